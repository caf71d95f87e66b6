"""The batch path's buckets on S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from quintet.batch.plans import Snapshot
from quintet.batch.stores import Listed, changed, unreadable
from quintet.errors import NotFound, Transient

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["S3Inbox", "S3Store"]

CONTENT_TYPES = {
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "html": "text/html; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
# without leave to list the bucket, S3 answers 403 for what is not there
GONE = {"404", "NoSuchKey", "NoSuchVersion", "NotFound", "MethodNotAllowed", "405"}
DENIED = {"403", "AccessDenied", "Forbidden"}
GONE |= DENIED


@contextmanager
def _transient() -> Iterator[None]:
    """botocore has tried several times already; the state machine tries later."""
    try:
        yield
    except ClientError as error:
        raise Transient(f"S3 answered {_code(error)}") from error
    except BotoCoreError as error:
        raise Transient(f"S3 could not be reached ({type(error).__name__})") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "an error"))


class S3Inbox:
    """The inbox bucket, and others that a run may read."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    def keys(self, bucket: str, prefix: str) -> Iterator[Listed]:
        """See `quintet.batch.stores.InputBucket.keys`."""
        pages = self._client.get_paginator("list_objects_v2")
        with _transient():
            try:
                for page in pages.paginate(Bucket=bucket, Prefix=prefix):
                    for found in page.get("Contents", []):
                        yield Listed(found["Key"], found["Size"], found["ETag"].strip('"'))
            except ClientError as error:
                if _code(error) in DENIED | {"NoSuchBucket", "InvalidBucketName"}:
                    raise unreadable(bucket) from error
                raise
            except ParamValidationError as error:  # no name that a bucket can have
                raise unreadable(bucket) from error

    def snapshot(self, bucket: str, key: str, version_id: str | None) -> Snapshot:
        """See `quintet.batch.stores.InputBucket.snapshot`."""
        version: Any = {} if version_id is None else {"VersionId": version_id}
        with _transient():
            try:
                head = self._client.head_object(Bucket=bucket, Key=key, **version)
            except ClientError as error:
                if _code(error) in DENIED:  # plan_run may list what it may read: it would be a 404
                    raise unreadable(bucket) from error
                if _code(error) not in GONE:
                    raise
                expected = f"{key} in the inbox"
                raise NotFound.of("the file", expected, "nothing; it was deleted") from error
        return Snapshot(
            bucket=bucket,
            key=key,
            version_id=head.get("VersionId", version_id),
            etag=head["ETag"].strip('"'),
            size=head["ContentLength"],
            metadata=dict(head["Metadata"]),
        )

    def read(self, snapshot: Snapshot, start: int, end: int) -> bytes:
        """See `quintet.batch.stores.InputBucket.read`."""
        if start >= end:
            return b""
        version: Any = {}
        if snapshot.version_id is not None:
            version = {"VersionId": snapshot.version_id}
        with _transient():
            try:
                found = self._client.get_object(
                    Bucket=snapshot.bucket,
                    Key=snapshot.key,
                    Range=f"bytes={start}-{end - 1}",
                    IfMatch=f'"{snapshot.etag}"',
                    **version,
                )
            except ClientError as error:
                if _code(error) in GONE | {"412", "PreconditionFailed"}:
                    raise changed(snapshot) from error
                raise
            return found["Body"].read()


class S3Store:
    """The scores bucket."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def get(self, key: str) -> bytes | None:
        """See `quintet.batch.stores.ObjectStore.get`."""
        with _transient():
            try:
                return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            except ClientError as error:
                if _code(error) in GONE:
                    return None
                raise

    def put(self, key: str, body: bytes) -> None:
        """See `quintet.batch.stores.ObjectStore.put`."""
        kind = CONTENT_TYPES.get(key.rpartition(".")[2], "application/octet-stream")
        with _transient():
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=kind)

    def folders(self, prefix: str) -> list[str]:
        """See `quintet.batch.run_status.RunIndex.folders`."""
        pages = self._client.get_paginator("list_objects_v2")
        with _transient():
            return [
                found["Prefix"][len(prefix) : -1]
                for page in pages.paginate(Bucket=self._bucket, Prefix=prefix, Delimiter="/")
                for found in page.get("CommonPrefixes", [])
            ]

    def keys(self, prefix: str) -> list[str]:
        """See `quintet.batch.stores.ObjectStore.keys`."""
        pages = self._client.get_paginator("list_objects_v2")
        with _transient():
            return [
                found["Key"]
                for page in pages.paginate(Bucket=self._bucket, Prefix=prefix)
                for found in page.get("Contents", [])
            ]
