"""Objects of S3 as a replay reads and writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from quintet.replay.aws.errors import code_of, replay_errors
from quintet.replay.marks import MarkVersion
from quintet.replay.stream_objects import StreamObject

__all__ = ["S3MarkObjects", "S3ReplayInbox", "S3StreamObjects"]

#: how S3 says that the condition of a put does not hold
TAKEN = {"PreconditionFailed", "ConditionalRequestConflict"}


@dataclass(frozen=True)
class S3MarkObjects:
    """See `quintet.replay.marks.MarkObjects`; the tag is the ETag."""

    s3: Any
    bucket: str

    def swap(self, key: str, body: bytes, tag: str | None) -> bool:
        """See `MarkObjects.swap`."""
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        place = {"Bucket": self.bucket, "Key": key, "ContentType": "application/json"}
        with replay_errors():
            try:
                self.s3.put_object(**place, Body=body, **condition)
            except ClientError as error:
                if code_of(error) in TAKEN:
                    return False
                raise
        return True

    def version(self, key: str) -> MarkVersion:
        """See `MarkObjects.version`; S3's own clock gives the age."""
        with replay_errors():
            head = self.s3.head_object(Bucket=self.bucket, Key=key)
        now = parsedate_to_datetime(head["ResponseMetadata"]["HTTPHeaders"]["date"])
        written = head["LastModified"]
        return MarkVersion(head["ETag"], written.timestamp(), (now - written).total_seconds())


@dataclass(frozen=True)
class S3ReplayInbox:
    """See `quintet.replay.run_quarantine.ReplayInbox`; the bucket has versioning."""

    s3: Any
    bucket: str

    def put_once(self, key: str, body: bytes, metadata: Mapping[str, str]) -> str:
        """See `ReplayInbox.put_once`."""
        place = {"Bucket": self.bucket, "Key": key}
        with replay_errors():
            try:
                put = self.s3.put_object(**place, Body=body, Metadata=metadata, IfNoneMatch="*")
            except ClientError as error:
                if code_of(error) not in TAKEN:
                    raise
                put = self.s3.head_object(**place)
        version: str = put["VersionId"]
        return version


@dataclass(frozen=True)
class S3StreamObjects:
    """See `quintet.replay.stream_objects.StreamObjects`."""

    s3: Any
    bucket: str

    def list(self, prefix: str) -> Sequence[StreamObject]:
        """See `StreamObjects.list`."""
        return [
            StreamObject(found["Key"], found["Size"], found["LastModified"].timestamp())
            for page in self._pages(Prefix=prefix)
            for found in page.get("Contents", [])
        ]

    def folders(self, prefix: str) -> Sequence[str]:
        """See `StreamObjects.folders`."""
        return [
            found["Prefix"][len(prefix) : -1]
            for page in self._pages(Prefix=prefix, Delimiter="/")
            for found in page.get("CommonPrefixes", [])
        ]

    def read(self, key: str) -> bytes:
        """See `StreamObjects.read`."""
        with replay_errors():
            found: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return found

    def _pages(self, **asked: str) -> Iterator[dict[str, Any]]:
        pages = self.s3.get_paginator("list_objects_v2")
        with replay_errors():
            yield from pages.paginate(Bucket=self.bucket, **asked)
