"""No web page reads or drives the local AWS."""

from __future__ import annotations

import json
from urllib.error import HTTPError
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import pytest
from tests.kits.local_aws import LocalAws

from quintet_local.guard import refusal
from quintet_local.http1 import Request

PAGE = "https://evil.example"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"


def request(**headers: str) -> Request:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Request("POST", "/", named, "127.0.0.1")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "127.0.0.1:4566"},
        {"Host": "localhost"},
        {"Host": "[::1]:4566"},
        {"Host": "172.17.0.1:4566"},  # the bridge of Docker, by a relay
        {"Host": "inbox.localhost:4566"},
        {"Host": "host.docker.internal:4566"},
        {"Host": "inbox.s3.localhost.localstack.cloud:4566"},
        {"Host": "0.0.0.0:4566", "User_Agent": "Boto3/1.44.5"},
        {"Host": "127.0.0.1:4566", "User_Agent": BROWSER},  # an old one, or PowerShell
        {"Host": "127.0.0.1:4566", "Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate"},
        {"Host": "127.0.0.1:4566", "Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "navigate"},
    ],
)
def test_a_program_of_this_machine_is_answered(headers: dict[str, str]) -> None:
    assert refusal(request(**headers).header) is None


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Host": "evil.example:4566"}, "Host is evil.example:4566"),
        ({"Host": "localhost.evil.example"}, "Host is localhost.evil.example"),
        ({"Host": "127.0.0.1.evil.example"}, "Host is 127.0.0.1.evil.example"),
        ({"Host": ""}, "Host is "),
        # an image of a page, with which browsers send no Sec-Fetch-Site
        (
            {"Host": "0.0.0.0:4566", "User_Agent": BROWSER},
            "a browser asks 0.0.0.0:4566; open 127.0.0.1",
        ),
        (
            {"Host": "localhost.localstack.cloud", "User_Agent": BROWSER},
            "a browser asks localhost.localstack.cloud; open 127.0.0.1",
        ),
        ({"Host": "127.0.0.1", "Origin": PAGE}, f"Origin is {PAGE}"),
        ({"Host": "127.0.0.1", "Origin": "null"}, "Origin is null"),
        ({"Host": "127.0.0.1", "Origin": "http://127.0.0.1"}, "Origin is http://127.0.0.1"),
        ({"Host": "127.0.0.1", "Sec_Fetch_Site": "cross-site"}, "Sec-Fetch-Site is cross-site"),
        ({"Host": "127.0.0.1", "Sec_Fetch_Site": "same-site"}, "Sec-Fetch-Site is same-site"),
        ({"Host": "127.0.0.1", "Sec_Fetch_Site": "same-origin"}, "Sec-Fetch-Site is same-origin"),
    ],
)
def test_a_web_page_is_refused(headers: dict[str, str], why: str) -> None:
    assert refusal(request(**headers).header) == why


@pytest.mark.parametrize("headers", [{"Origin": PAGE}, {"Host": "evil.example"}])
@pytest.mark.parametrize("port", ["aws", "api"])
def test_both_ports_answer_a_page_with_403(
    stack: LocalAws, port: str, headers: dict[str, str]
) -> None:
    url = {"aws": stack.endpoint_url + "/_quintet/health", "api": stack.api_url + "/"}[port]
    with pytest.raises(HTTPError) as told:
        urlopen(HttpRequest(url, headers=headers))
    assert told.value.code == 403
    assert "Access-Control-Allow-Origin" not in told.value.headers
    assert json.load(told.value)["message"].startswith("the local AWS answers no web page: ")


@pytest.mark.parametrize("path", ["/moto-api/reset", "/%6doto-api/reset", "//moto-api/data.json"])
def test_motos_own_routes_are_closed(stack: LocalAws, path: str) -> None:
    client, bucket = stack.client("s3"), stack.outputs["Inbox"]
    client.put_object(Bucket=bucket, Key="kept/a", Body=b"a")
    with pytest.raises(HTTPError) as told:
        urlopen(HttpRequest(stack.endpoint_url + path, data=b"", method="POST"))
    assert told.value.code == 404
    assert client.get_object(Bucket=bucket, Key="kept/a")["Body"].read() == b"a"
