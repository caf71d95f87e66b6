"""S3 requests and the meaning of its responses; each bucket's adapter has its own module."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import unquote_plus

from quintet.aws.client import AwsClient
from quintet.aws.responses import AwsResponse, error_code
from quintet.errors import Transient

__all__ = ["S3", "Found", "checked", "folders", "is_absent", "is_denied", "listed"]

_DENIED = {"403", "AccessDenied"}
# without permission to list the bucket, S3 returns 403 for a missing object; and 405 for a
# version that is a delete marker
_ABSENT = _DENIED | {"404", "405", "MethodNotAllowed", "NoSuchKey", "NoSuchVersion"}
#: another writer was first, is writing now, or deleted the object that was read
_LOST = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"}
#: statuses that S3 returns for a bucket in another region
_ELSEWHERE = {301, 307, 400}
_TOKEN = rb"<NextContinuationToken>([^<]+)</NextContinuationToken>"


class Found(NamedTuple):
    """An object in a listing; `modified` is ISO 8601."""

    key: str
    size: int
    etag: str
    modified: str


class S3:
    """Idempotent requests to S3, safe to share between threads."""

    def __init__(self, client: AwsClient) -> None:
        self._client = client
        self._regions: dict[str, str] = {}  # buckets outside the client's region

    def send(
        self,
        method: str,
        bucket: str,
        key: str = "",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> AwsResponse:
        """Send a request to the bucket's region; return the response if below 500.

        Raises:
            Transient: no usable response after all attempts.
        """
        path = f"/{bucket}/{key}" if key else f"/{bucket}"
        while True:
            known = self._regions.get(bucket)
            response = self._client.request(
                method, path, query=query, headers=headers, body=body, idempotent=True, region=known
            )
            region = response.headers.get("x-amz-bucket-region")
            asked = known or self._client.region
            if response.status not in _ELSEWHERE or region in (None, asked) or known:
                return response
            self._regions[bucket] = str(region)

    def get(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AwsResponse:
        """Read an object, or a version of it. Raises the same as `send`."""
        return self.send("GET", bucket, key, query=_version(version_id), headers=headers)

    def head(self, bucket: str, key: str, version_id: str | None = None) -> AwsResponse:
        """Read an object's headers. Raises the same as `send`."""
        return self.send("HEAD", bucket, key, query=_version(version_id))

    def put(self, bucket: str, key: str, body: bytes, headers: Mapping[str, str]) -> AwsResponse:
        """Store an object. Raises the same as `send`."""
        return self.send("PUT", bucket, key, headers=headers, body=body)

    def swap(
        self, bucket: str, key: str, body: bytes, headers: Mapping[str, str], tag: str | None
    ) -> bool:
        """Replace the object that has the ETag `tag`, or put a new one if it is None.

        False if the object is another by now, or another writer is writing it. A request that was
        sent again is refused for its own first effect: the object then has this very content.
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html

        Raises:
            Transient: it may be replaced or not.
        """
        condition = {"if-none-match": "*"} if tag is None else {"if-match": tag}
        response = self.put(bucket, key, body, {**headers, **condition})
        if response.status >= 300 and error_code(response) in _LOST:
            found = self.get(bucket, key)
            return found.status == 200 and found.body == body
        checked(response)
        return True

    def pages(
        self, bucket: str, prefix: str, delimiter: str = "", *, after: str = ""
    ) -> Iterator[AwsResponse]:
        """Yield the pages of a listing, for `listed` or `folders`; the last may be an error.

        Keys up to `after` are left out. Raises the same as `send`.
        """
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
        if after:
            query["start-after"] = after
        if delimiter:
            query["delimiter"] = delimiter
        while True:
            page = self.send("GET", bucket, query=query)
            yield page
            token = re.search(_TOKEN, page.body)
            if token is None:
                return
            from html import unescape  # not at a cold start, which lists nothing

            query["continuation-token"] = unescape(token[1].decode())

    def objects(self, bucket: str, prefix: str, *, after: str = "") -> Iterator[Found]:
        """Yield the objects with a prefix, in the order of their keys, without those up to `after`.

        Raises:
            Transient: the bucket could not be listed.
        """
        for page in self.pages(bucket, prefix, after=after):
            yield from listed(checked(page))

    def folders(self, bucket: str, prefix: str) -> Iterator[str]:
        """Yield the names of the folders below a prefix. Raises the same as `objects`."""
        for page in self.pages(bucket, prefix, "/"):
            for found in folders(checked(page)):
                yield found[len(prefix) : -1]


def listed(page: AwsResponse) -> Iterator[Found]:
    """The objects on a page of a listing."""
    from xml.etree import ElementTree as Xml  # lazy: keeps it out of the cold start

    root = Xml.fromstring(page.body)
    for entry in root.iterfind("{*}Contents"):
        key, size = entry.findtext("{*}Key", ""), entry.findtext("{*}Size", "0")
        etag, modified = entry.findtext("{*}ETag", ""), entry.findtext("{*}LastModified", "")
        yield Found(unquote_plus(key), int(size), etag.strip('"'), modified)


def folders(page: AwsResponse) -> Iterator[str]:
    """The folders on a page of a delimited listing, each with a trailing slash."""
    from xml.etree import ElementTree as Xml

    for entry in Xml.fromstring(page.body).iterfind("{*}CommonPrefixes"):
        yield unquote_plus(entry.findtext("{*}Prefix", ""))


def is_denied(response: AwsResponse) -> bool:
    """Whether S3 denied access."""
    return response.status >= 300 and error_code(response) in _DENIED


def is_absent(response: AwsResponse) -> bool:
    """Whether the object or version does not exist, as far as the caller can tell."""
    return response.status >= 300 and error_code(response) in _ABSENT


def checked(response: AwsResponse) -> AwsResponse:
    """Return the response if it is a success.

    Raises:
        Transient: the response is an error.
    """
    if response.status >= 300:
        raise Transient(f"S3 answered {error_code(response)}")
    return response


def _version(version_id: str | None) -> dict[str, str]:
    return {} if version_id is None else {"versionId": version_id}
