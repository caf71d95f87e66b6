"""S3's requests: buckets of other regions, listings by pages, and what errors mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.kits.aws import client, environ, moto_server

from quintet.aws.client import AwsClient
from quintet.aws.responses import AwsResponse
from quintet.aws.s3 import S3, checked, folders, is_absent, is_denied, listed
from quintet.errors import Transient


def refused(status: int, code: str) -> AwsResponse:
    return AwsResponse(status, {}, f"<Error><Code>{code}</Code></Error>".encode())


class Regional(AwsClient):
    """A client of buckets in eu-west-1, which other regions answer as S3 does."""

    def __init__(self, status: int) -> None:
        super().__init__("s3", environ={"AWS_REGION": "us-east-1"})
        self.status = status
        self.regions: list[str | None] = []

    def request(self, *_: Any, region: str | None = None, **__: Any) -> AwsResponse:
        """See `AwsClient.request`."""
        self.regions.append(region)
        if region == "eu-west-1":
            return AwsResponse(200, {}, b"found")
        return AwsResponse(self.status, {"x-amz-bucket-region": "eu-west-1"}, b"")


@pytest.mark.parametrize("status", [301, 307, 400])
def test_a_bucket_in_another_region_is_followed_there_and_remembered(status: int) -> None:
    client = Regional(status)
    s3 = S3(client)
    assert [s3.get("bucket", "key").body for _ in range(2)] == [b"found"] * 2
    assert client.regions == [None, "eu-west-1", "eu-west-1"]


def test_an_error_of_the_right_region_is_given_back() -> None:
    class Bad(Regional):
        def request(self, *_: Any, region: str | None = None, **__: Any) -> AwsResponse:
            self.regions.append(region)
            return AwsResponse(400, {"x-amz-bucket-region": "us-east-1"}, b"")

    client = Bad(400)
    assert S3(client).get("bucket", "key").status == 400
    assert client.regions == [None]


class Paged(AwsClient):
    """A client that lists a page per call, the continuation token in between."""

    def __init__(self, *pages: bytes) -> None:
        super().__init__("s3", environ={})
        self.pages = list(pages)
        self.tokens: list[str | None] = []

    def request(self, *_: Any, query: Mapping[str, str] | None = None, **__: Any) -> AwsResponse:
        """See `AwsClient.request`."""
        self.tokens.append((query or {}).get("continuation-token"))
        return AwsResponse(200, {}, self.pages.pop(0))


def test_a_listing_goes_on_by_its_token() -> None:
    page = b"<L><NextContinuationToken>a&amp;b=</NextContinuationToken></L>"
    client = Paged(page, b"<L/>")
    assert len(list(S3(client).pages("bucket", ""))) == 2
    assert client.tokens == [None, "a&b="]


def test_keys_come_as_they_were_put() -> None:
    keys = ["odd/a b+c&d.csv", "odd/below/x", "odd/ü<>\x01%41", "odd/ünder/y"]
    with moto_server() as url:
        s3 = client("s3", url)
        s3.create_bucket(Bucket="odd-keys")
        for key in keys:
            s3.put_object(Bucket="odd-keys", Key=key, Body=key.encode())
        lean = S3(AwsClient("s3", environ=environ(url)))
        (page,) = lean.pages("odd-keys", "odd/")
        assert [found.key for found in listed(page)] == sorted(keys)
        assert [found.size for found in listed(page)] == [len(k.encode()) for k in sorted(keys)]
        (page,) = lean.pages("odd-keys", "odd/", "/")
        assert list(folders(page)) == ["odd/below/", "odd/ünder/"]


@pytest.mark.parametrize(
    ("response", "absent", "denied"),
    [
        (AwsResponse(200, {}, b"<Code>NoSuchKey</Code>"), False, False),
        (refused(404, "NoSuchKey"), True, False),
        (refused(404, "NoSuchVersion"), True, False),
        (refused(405, "MethodNotAllowed"), True, False),
        (refused(403, "AccessDenied"), True, True),
        (AwsResponse(404, {}, b""), True, False),
        (AwsResponse(403, {}, b""), True, True),
        (refused(404, "NoSuchBucket"), False, False),
        (refused(403, "SignatureDoesNotMatch"), False, False),
        (refused(412, "PreconditionFailed"), False, False),
    ],
)
def test_what_errors_mean(response: AwsResponse, absent: bool, denied: bool) -> None:
    assert (is_absent(response), is_denied(response)) == (absent, denied)


def test_an_error_is_transient_and_named() -> None:
    assert checked(AwsResponse(204, {}, b"")).status == 204
    with pytest.raises(Transient, match=r"^S3 answered NoSuchBucket$"):
        checked(refused(404, "NoSuchBucket"))
