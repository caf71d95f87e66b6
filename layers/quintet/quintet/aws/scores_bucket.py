"""The scores bucket: documents and results of runs, and objects with conditional writes.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

from quintet.aws.client import AwsClient
from quintet.aws.s3 import S3, checked, is_absent

__all__ = ["S3ConditionalObjects", "S3ObjectStore"]

CONTENT_TYPES = {
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "html": "text/html; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}


class S3ObjectStore:
    """See `quintet.batch.stores.ObjectStore` and `quintet.batch.run_status.RunIndex`."""

    def __init__(self, client: AwsClient, bucket: str) -> None:
        self._s3 = S3(client)
        self._bucket = bucket

    def get(self, key: str) -> bytes | None:
        """See `ObjectStore.get`."""
        found = self._s3.get(self._bucket, key)
        return None if is_absent(found) else checked(found).body

    def put(self, key: str, body: bytes) -> None:
        """See `ObjectStore.put`."""
        checked(self._s3.put(self._bucket, key, body, _headers(key)))

    def keys(self, prefix: str) -> list[str]:
        """See `ObjectStore.keys`."""
        return [found.key for found in self._s3.objects(self._bucket, prefix)]

    def folders(self, prefix: str) -> list[str]:
        """See `RunIndex.folders`."""
        return list(self._s3.folders(self._bucket, prefix))


class S3ConditionalObjects:
    """See `quintet.batch.tables.ConditionalObjects`; an object's tag is its ETag."""

    def __init__(self, client: AwsClient, bucket: str) -> None:
        self._s3 = S3(client)
        self._bucket = bucket

    def read(self, key: str) -> tuple[bytes, str] | None:
        """See `ConditionalObjects.read`."""
        found = self._s3.get(self._bucket, key)
        if is_absent(found):
            return None
        return checked(found).body, found.headers["etag"]

    def swap(self, key: str, body: bytes, tag: str | None) -> bool:
        """See `ConditionalObjects.swap`."""
        return self._s3.swap(self._bucket, key, body, _headers(key), tag)


def _headers(key: str) -> dict[str, str]:
    kind = CONTENT_TYPES.get(key.rpartition(".")[2], "application/octet-stream")
    return {"content-type": kind}
