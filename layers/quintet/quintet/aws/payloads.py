"""The payloads bucket: requests and results that are too large for a job's item."""

from __future__ import annotations

from collections.abc import Callable

from quintet.aws.client import AwsClient
from quintet.aws.responses import Response
from quintet.errors import NotFound, Refusal, TooLarge, Transient

__all__ = ["PayloadBucket", "presigner"]

#: seconds that a link to a result holds
LINK_SECONDS = 900


class PayloadBucket:
    """Blobs in S3; see `quintet.jobs.store.Blobs`. Only this bucket's places are read."""

    def __init__(self, client: AwsClient, bucket: str) -> None:
        self.bucket = bucket
        self._client = client

    def put(self, key: str, body: bytes, content_type: str) -> str:
        """See `Blobs.put`."""
        path = f"/{self.bucket}/{key}"
        headers = {"content-type": content_type}
        response = self._client.request("PUT", path, headers=headers, body=body, idempotent=True)
        if response.status != 200:
            raise Transient(f"s3 answered {response.status} to a write")
        return f"s3:/{path}"

    def get(self, place: str, most: int) -> bytes:
        """See `Blobs.get`."""
        # one byte more than may come shows that there is more
        response = self._ask("GET", place, {"range": f"bytes=0-{most}"})
        if response.status == 416:  # an empty object has no bytes to give
            return b""
        if len(response.body) > most:
            raise TooLarge([Refusal(None, "input", f"at most {most} bytes", "more")])
        return response.body

    def size(self, place: str) -> int:
        """See `Blobs.size`."""
        return int(self._ask("HEAD", place, {}).headers["content-length"])

    def _ask(self, method: str, place: str, headers: dict[str, str]) -> Response:
        path = place.removeprefix("s3:/")
        if not path.startswith(f"/{self.bucket}/"):
            raise _nothing()
        response = self._client.request(method, path, headers=headers)
        if response.status in (200, 206, 416):
            return response
        # without leave to list the bucket, S3 answers 403 for what is not there
        if response.status in (403, 404):
            raise _nothing()
        raise Transient(f"s3 answered {response.status} to a read")


def _nothing() -> NotFound:
    return NotFound([Refusal(None, "input", "an object that can be read", "none")])


def presigner(client: AwsClient) -> Callable[[str], str]:
    """What makes a link of a place, s3://bucket/key, that reads it for `LINK_SECONDS`."""
    return lambda place: client.presigned(place.removeprefix("s3:/"), LINK_SECONDS)
