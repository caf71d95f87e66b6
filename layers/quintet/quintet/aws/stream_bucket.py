"""The stream bucket: objects that are written once, each with the last record that it covers."""

from __future__ import annotations

from quintet.aws.client import AwsClient
from quintet.aws.s3 import S3, checked
from quintet.streaming.commit_log import Stored

__all__ = ["StreamBucket"]

_LAST = "x-amz-meta-last"
_CONTENT_TYPES = {"parquet": "application/vnd.apache.parquet", "jsonl": "application/x-ndjson"}


class StreamBucket:
    """See `quintet.streaming.commit_log.Sink`."""

    def __init__(self, client: AwsClient, bucket: str) -> None:
        self._s3 = S3(client)
        self._bucket = bucket

    def put(self, key: str, stored: Stored) -> Stored:
        """See `Sink.put`."""
        headers = {
            "content-type": _CONTENT_TYPES[key.rpartition(".")[2]],
            "if-none-match": "*",
            _LAST: stored.last,
        }
        # a retry is harmless: it finds the object that the first attempt wrote
        response = self._s3.put(self._bucket, key, stored.body, headers)
        if response.status == 412:
            return self.get(key)
        checked(response)  # 409: another writer is writing it now
        return stored

    def get(self, key: str) -> Stored:
        """See `Sink.get`."""
        found = checked(self._s3.get(self._bucket, key))
        return Stored(found.body, found.headers[_LAST])

    def keys(self, prefix: str, after: str) -> list[str]:
        """See `Sink.keys`."""
        return [found.key for found in self._s3.objects(self._bucket, prefix, after=after)]
