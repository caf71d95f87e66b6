"""The stream's bucket: objects that are put once, with the last record they cover beside them."""

from __future__ import annotations

from quintet.aws.client import AwsClient
from quintet.aws.responses import Response
from quintet.errors import Transient
from quintet.streaming.commit_log import Stored

__all__ = ["StreamBucket"]

_LAST = "x-amz-meta-last"
_CONTENT_TYPES = {"parquet": "application/vnd.apache.parquet", "jsonl": "application/x-ndjson"}


class StreamBucket:
    """See `quintet.streaming.commit_log.Sink`."""

    def __init__(self, client: AwsClient, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, key: str, stored: Stored) -> Stored:
        """See `Sink.put`."""
        headers = {
            "content-type": _CONTENT_TYPES[key.rpartition(".")[2]],
            "if-none-match": "*",
            _LAST: stored.last,
        }
        # sent twice does no harm: then it finds itself
        path = f"/{self._bucket}/{key}"
        response = self._client.request(
            "PUT", path, headers=headers, body=stored.body, idempotent=True
        )
        if response.status == 412:
            return self.get(key)
        _check(response, "write")  # 409: somebody else is writing it now
        return stored

    def get(self, key: str) -> Stored:
        """See `Sink.get`."""
        response = self._client.request("GET", f"/{self._bucket}/{key}")
        _check(response, "read")
        return Stored(response.body, response.headers[_LAST])


def _check(response: Response, what: str) -> None:
    if response.status != 200:
        raise Transient(f"s3 answered {response.status} to a {what}")
