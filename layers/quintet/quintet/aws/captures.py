"""The captures' bucket."""

from __future__ import annotations

from collections.abc import Iterable

from quintet.aws.client import AwsClient
from quintet.aws.s3 import S3, checked, is_absent
from quintet.captures.store import Stored

__all__ = ["CaptureBucket"]

_PARQUET = {"content-type": "application/vnd.apache.parquet"}


class CaptureBucket:
    """See `quintet.captures.store`: both ports."""

    def __init__(self, client: AwsClient, bucket: str) -> None:
        self._s3 = S3(client)
        self._bucket = bucket

    def put(self, key: str, body: bytes) -> None:
        """See `CaptureSink.put`."""
        checked(self._s3.put(self._bucket, key, body, _PARQUET))

    def keys(self, prefix: str) -> list[str]:
        """See `CaptureObjects.keys`."""
        return [found.key for found in self._s3.objects(self._bucket, prefix)]

    def get(self, key: str) -> Stored | None:
        """See `CaptureObjects.get`."""
        found = self._s3.get(self._bucket, key)
        if is_absent(found):
            return None
        return Stored(checked(found).body, found.headers["etag"])

    def swap(self, key: str, body: bytes, tag: str | None) -> bool:
        """See `CaptureObjects.swap`."""
        return self._s3.swap(self._bucket, key, body, _PARQUET, tag)

    def delete(self, keys: Iterable[str]) -> None:
        """See `CaptureObjects.delete`."""
        for key in keys:
            checked(self._s3.send("DELETE", self._bucket, key))
