"""Marks of what was put back: written before it goes, so that it goes once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

from botocore.exceptions import ClientError

from quintet.aws.blobs import S3Store
from quintet.batch.plans import dump
from quintet_cli.stage import StageError

__all__ = ["TAKEN", "Marks", "Standing"]

#: how S3 says that a condition of a put does not hold
TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Standing:
    """A mark's object as it stands: when it was written, and its age in seconds, by S3's clock."""

    etag: str
    written: datetime
    age: float


@dataclass(frozen=True)
class Marks(Generic[M]):
    """The numbered marks of a place below a prefix of a bucket; `read` reads one's JSON."""

    s3: Any
    bucket: str
    root: str
    read: Callable[[bytes], M]
    place: str

    def all(self) -> dict[int, M]:
        """The marks by their numbers, ascending."""
        store = S3Store(self.s3, self.bucket)
        return {
            int(key.removeprefix(self.root).removesuffix(".json")): self.read(store.get(key) or b"")
            for key in store.keys(self.root)
        }

    def claim(self, number: int, mark: M) -> None:
        """Mark things as put back, before they are.

        Raises:
            StageError: another replay has marked some since this one began.
        """
        self._write_if(number, mark, IfNoneMatch="*")

    def settle(self, number: int, mark: M) -> None:
        """Write a mark that is there anew, once they are put back."""
        self._write(number, mark)

    def standing(self, number: int) -> Standing:
        """How a mark stands."""
        head = self.s3.head_object(Bucket=self.bucket, Key=self._key(number))
        now = parsedate_to_datetime(head["ResponseMetadata"]["HTTPHeaders"]["date"])
        written: datetime = head["LastModified"]
        return Standing(head["ETag"], written, (now - written).total_seconds())

    def take_over(self, number: int, mark: M, standing: Standing) -> None:
        """Write a mark that another replay has left, as it stood.

        Raises:
            StageError: it does not stand so any more.
        """
        self._write_if(number, mark, IfMatch=standing.etag)

    def _write_if(self, number: int, mark: M, **condition: str) -> None:
        try:
            self._write(number, mark, **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] not in TAKEN:
                raise
            # where S3's first reply was lost, it is this one's own
            found = S3Store(self.s3, self.bucket).get(self._key(number))
            if found is None or self.read(found) != mark:
                raise StageError(f"another replay of {self.place} is under way") from error

    def _write(self, number: int, mark: M, **condition: str) -> None:
        self.s3.put_object(
            Bucket=self.bucket,
            Key=self._key(number),
            Body=dump(mark),
            ContentType="application/json",
            **condition,
        )

    def _key(self, number: int) -> str:
        return f"{self.root}{number:05d}.json"
