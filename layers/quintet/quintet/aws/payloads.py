"""The payloads bucket: requests and results that are too large for a job's item."""

from __future__ import annotations

from collections.abc import Callable

from quintet.aws.client import AwsClient
from quintet.aws.responses import AwsResponse
from quintet.aws.s3 import S3, checked, is_absent
from quintet.errors import NotFound, Refusal, TooLarge

__all__ = ["PayloadBucket", "presigner"]

#: lifetime of a link to a result, in seconds
LINK_SECONDS = 900


class PayloadBucket:
    """Blobs in S3; see `quintet.jobs.store.Blobs`. It reads only from this bucket."""

    def __init__(self, client: AwsClient, bucket: str) -> None:
        self.bucket = bucket
        self._s3 = S3(client)

    def put(self, key: str, body: bytes, content_type: str) -> str:
        """See `Blobs.put`."""
        checked(self._s3.put(self.bucket, key, body, {"content-type": content_type}))
        return f"s3://{self.bucket}/{key}"

    def get(self, place: str, most: int) -> bytes:
        """See `Blobs.get`."""
        # read one byte past the limit to detect a larger object
        headers = {"range": f"bytes=0-{most}"}
        response = self._s3.get(self.bucket, self._key(place), headers=headers)
        if response.status == 416:  # an empty object has no satisfiable range
            return b""
        body = _present(response).body
        if len(body) > most:
            raise TooLarge([Refusal(None, "input", f"at most {most} bytes", "more")])
        return body

    def describe(self, place: str) -> tuple[int, str]:
        """See `Blobs.describe`."""
        headers = _present(self._s3.head(self.bucket, self._key(place))).headers
        return int(headers["content-length"]), headers.get("content-type", "")

    def _key(self, place: str) -> str:
        prefix = f"s3://{self.bucket}/"
        if not place.startswith(prefix):
            raise _nothing()
        return place.removeprefix(prefix)


def _present(response: AwsResponse) -> AwsResponse:
    if is_absent(response):
        raise _nothing()
    return checked(response)


def _nothing() -> NotFound:
    return NotFound([Refusal(None, "input", "an object that can be read", "none")])


def presigner(client: AwsClient) -> Callable[[str], str]:
    """Return a function that presigns s3://bucket/key for reading, for `LINK_SECONDS`."""
    return lambda place: client.presigned(place.removeprefix("s3:/"), LINK_SECONDS)
