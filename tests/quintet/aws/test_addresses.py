"""Addresses are those of botocore's endpoint data; signed URLs are those that boto3 signs."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from botocore.config import Config
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointResolutionError
from botocore.loaders import Loader

from quintet.aws.addresses import PARTITIONS, locate
from quintet.aws.client import AwsClient

LOADER = Loader()
DATA = LOADER.load_data("partitions")
#: a service as its hosts name it -> as botocore's data does
SERVICES = {
    "dynamodb": "dynamodb",
    "glue": "glue",
    "kms": "kms",
    "s3": "s3",
    "sns": "sns",
    "sqs": "sqs",
    "states": "stepfunctions",
}
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG"}
TOKEN = {"AWS_SESSION_TOKEN": "a+token/with=signs"}


def regions() -> Iterator[str]:
    """Every region of every partition, without those that stand for a whole partition."""
    for partition in DATA["partitions"]:
        yield from (name for name in partition["regions"] if "global" not in name)


@pytest.mark.parametrize("service", SERVICES)
def test_every_regions_address_is_botocores(service: str) -> None:
    rules = LOADER.load_service_model(SERVICES[service], "endpoint-rule-set-1")
    provider = EndpointProvider(rules, DATA)
    bucket = {"Bucket": "bucket"} if service == "s3" else {}
    compared = 0
    for region, fips, dual in itertools.product(regions(), (False, True), (False, True)):
        environ = {
            "AWS_USE_FIPS_ENDPOINT": str(fips).lower(),
            "AWS_USE_DUALSTACK_ENDPOINT": str(dual).lower(),
        }
        address, _ = locate(service, region, "/bucket/key", environ)
        ours = f"{address.scheme}://{address.authority}"
        try:
            theirs = provider.resolve_endpoint(
                Region=region, UseFIPS=fips, UseDualStack=dual, **bucket
            )
        except EndpointResolutionError as error:
            assert "Partition does not support FIPS" in str(error)
            continue
        assert ours == theirs.url
        compared += 1
    assert compared >= 180


def test_every_partition_is_known() -> None:
    suffixes = {
        (p["outputs"]["dnsSuffix"], p["outputs"]["dualStackDnsSuffix"]) for p in DATA["partitions"]
    }
    assert suffixes == set(PARTITIONS.values())


def test_a_bucket_with_dots_stays_in_the_path() -> None:
    address, path = locate("s3", "eu-west-1", "/bu.cket/a", {})
    assert (address.host, path) == ("s3.eu-west-1.amazonaws.com", "/bu.cket/a")


def test_a_service_endpoint_goes_before_the_common_one() -> None:
    environ = {"AWS_ENDPOINT_URL_S3": "https://h:8443/base/", "AWS_ENDPOINT_URL": "http://other"}
    address, path = locate("s3", "us-east-1", "/bucket/key", environ)
    assert (address.authority, address.prefix, path) == ("h:8443", "/base", "/bucket/key")
    named = {"AWS_ENDPOINT_URL_SFN": "http://sfn:1"}
    assert locate("states", "us-east-1", "/", named)[0].authority == "sfn:1"


def boto3s_link(environ: dict[str, str], key: str, style: str) -> str:
    """What boto3 presigns with an addressing style, at a time."""
    addressing: Any = {"addressing_style": style}
    config = Config(signature_version="s3v4", s3=addressing)
    client = boto3.client(
        "s3",
        region_name=environ["AWS_REGION"],
        endpoint_url=environ.get("AWS_ENDPOINT_URL"),
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=environ.get("AWS_SESSION_TOKEN"),
        config=config,
    )
    moment = datetime.datetime(2026, 11, 23, 22, 15, tzinfo=datetime.UTC)
    with patch("botocore.auth.get_current_datetime", lambda: moment):
        url: str = client.generate_presigned_url(
            "get_object", Params={"Bucket": "bucket", "Key": key}, ExpiresIn=900
        )
    return url


def parts(url: str) -> tuple[str, set[str]]:
    """A URL without the order of its query's parts."""
    place, _, query = url.partition("?")
    return place, set(query.split("&"))


@pytest.mark.parametrize("token", [{}, TOKEN], ids=["lasting", "temporary"])
@pytest.mark.parametrize("key", ["results/a.json", "a b/+ü=&~.json"])
@pytest.mark.parametrize(
    ("place", "style"),
    [
        ({"AWS_REGION": "eu-central-1"}, "virtual"),
        ({"AWS_REGION": "ap-southeast-5"}, "virtual"),
        ({"AWS_REGION": "us-gov-west-1"}, "virtual"),
        ({"AWS_REGION": "cn-north-1"}, "virtual"),
        ({"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}, "path"),
        ({"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": "http://localhost:4566"}, "path"),
    ],
)
def test_a_link_is_the_one_that_boto3_signs(
    place: dict[str, str], style: str, key: str, token: dict[str, str]
) -> None:
    environ = {**KEYS, **token, **place}
    with patch("quintet.aws.client._now", lambda: "20261123T221500Z"):
        ours = AwsClient("s3", environ=environ).presigned(f"/bucket/{key}", 900)
    assert parts(ours) == parts(boto3s_link(environ, key, style))


def test_a_link_in_us_east_1_names_the_region() -> None:
    environ = {**KEYS, "AWS_REGION": "us-east-1"}
    url = AwsClient("s3", environ=environ).presigned("/bucket/key", 900)
    assert url.startswith("https://bucket.s3.us-east-1.amazonaws.com/key?X-Amz-Algorithm=")
