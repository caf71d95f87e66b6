"""The proxy as a server, before an API that verifies signatures as AWS does."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import TokenRetrievalError
from tests.kits.proxies import MemoryApi, records
from yarl import URL

from quintet_cli.proxy.messages import Asked
from quintet_cli.proxy.server import HEALTH, Settings, running
from quintet_cli.proxy.upstream import Signer
from quintet_cli.stacks import StageError

REGION = "eu-west-1"
CREDENTIALS = Credentials("AKIDEXAMPLE", "secret", "session")
STAGE = "/prod"
PREDICT, JSON = "/models/shop/predict", {"Content-Type": "application/json"}


@dataclass
class Gateway:
    """A stage `prod` of API Gateway with IAM. Behind it `answer` answers; `seen` are the requests
    whose signature fits, without it."""

    answer: Callable[[web.Request, bytes], Awaitable[web.Response]]
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a request, 403 if it is not signed rightly."""
        body = await request.read()
        if not _is_signed(request, body):
            return web.json_response({"message": "Forbidden"}, status=403)
        signed = {"authorization", "x-amz-date", "x-amz-security-token", "host", "content-length"}
        headers = {k.lower(): v for k, v in request.headers.items() if k.lower() not in signed}
        self.seen.append((request.method, request.raw_path, headers, body))
        return await self.answer(request, body)


def _is_signed(request: web.Request, body: bytes) -> bool:
    """Whether the signature is the one that botocore computes of the request as it came."""
    said = request.headers.get("Authorization", "")
    found = re.fullmatch(
        rf"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/(\d{{8}})/{REGION}/execute-api/aws4_request, "
        r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
        said,
    )
    if not found or request.headers.get("X-Amz-Security-Token") != CREDENTIALS.token:
        return False
    names = found[2].split(";")
    assert {"host", "x-amz-date", "x-amz-security-token"} <= set(names)
    url = f"http://{request.headers['host']}{request.raw_path}"
    again = AWSRequest(request.method, url, data=body)
    for name in names:
        again.headers[name] = request.headers[name]
    again.context["timestamp"] = request.headers["X-Amz-Date"]
    auth = SigV4Auth(CREDENTIALS, "execute-api", REGION)
    text = auth.string_to_sign(again, auth.canonical_request(again))
    return bool(auth.signature(text, again) == found[3])


@asynccontextmanager
async def served(answer: Any) -> AsyncIterator[str]:
    """The address of a server on loopback."""
    app = web.Application(client_max_size=2**25)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def proxied(
    gateway: Gateway, rows: int = 0, lines: list[str] | None = None
) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """The address of a proxy before a gateway, and a client. It waits for so many rows, if any."""
    access = None if lines is None else lines.append
    settings = Settings("prod", 0, 60 * bool(rows), rows, access)
    signer = Signer(CREDENTIALS, REGION)
    async with (
        served(gateway.handle) as upstream,
        running(settings, upstream + STAGE, signer) as address,
        aiohttp.ClientSession(auto_decompress=False) as client,
    ):
        yield address, client


async def echo(request: web.Request, body: bytes) -> web.Response:
    """Answer with what came."""
    headers = {"X-Request-Id": "api-1", "Connection": "keep-alive", "X-Many": "a"}
    return web.Response(status=207, body=body, headers=headers, content_type="text/csv")


def predicting(api: MemoryApi) -> Callable[[web.Request, bytes], Awaitable[web.Response]]:
    """Answer as `predict` does."""

    async def answer(request: web.Request, body: bytes) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        path = request.path.removeprefix(STAGE)
        found = await api.send(Asked(request.method, path, headers, body))
        return web.Response(status=found.status, body=found.body, headers=found.headers)

    return answer


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/models/log"),
        ("POST", "/endpoints/log/invocations"),
        ("POST", "/v1/models/log:predict"),
        ("POST", "/v1/models/log%3Apredict"),
        ("GET", "/scores/churn/caf%C3%A9%2F%20x~y?b=2&a=1%2F"),
        ("GET", "/runs?model=churn&limit=5&flag"),
        ("GET", "/runs?a-b=1&a=2&a=10&a="),
        ("GET", "/jobs//7/./8/../9/"),
        ("DELETE", "/runs/churn/r-1"),
    ],
)
def test_requests_are_signed_and_passed_on_as_they_are(method: str, path: str) -> None:
    async def run() -> None:
        gateway, body = Gateway(echo), b"" if method == "GET" else b'\x00{"a": 1}'
        sent = {"X-Request-Id": "mine", "Accept": "text/csv", "Content-Encoding": "br"}
        signed_for_another = {"Authorization": "AWS4-HMAC-SHA256 Credential=x", "X-Amz-Date": "1"}
        async with proxied(gateway) as (address, client):
            url = URL(address + path, encoded=True)
            headers = sent | signed_for_another
            async with client.request(method, url, headers=headers, data=body) as answer:
                assert (answer.status, await answer.read()) == (207, body)
                assert answer.headers["X-Request-Id"] == "api-1"
                assert answer.headers["Content-Type"].startswith("text/csv")
        ((found_method, found_path, found_headers, found_body),) = gateway.seen
        assert (found_method, found_path, found_body) == (method, STAGE + path, body)
        assert {k.lower(): v for k, v in sent.items()}.items() <= found_headers.items()

    asyncio.run(run())


def test_a_path_that_names_the_stage_is_not_prefixed_again() -> None:
    async def run() -> None:
        gateway = Gateway(echo)
        async with proxied(gateway) as (address, client):
            for path in ("/prod/jobs/7", "/prodigy", "/prod"):
                async with client.get(address + path) as answer:
                    assert answer.status == 207
        assert [path for _, path, _, _ in gateway.seen] == [
            "/prod/jobs/7",
            "/prod/prodigy",
            "/prod/",
        ]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "shop.example"}, 403),
        ({"Host": "127.0.0.1.shop.example:80"}, 403),
        ({"Origin": "https://shop.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 403),
        ({"Host": "localhost:80", "Sec-Fetch-Site": "none"}, 207),
        ({"Host": "[::1]:80"}, 207),
    ],
)
def test_no_page_of_a_browser_has_requests_signed(headers: dict[str, str], status: int) -> None:
    async def run() -> None:
        gateway = Gateway(echo)
        async with (
            proxied(gateway) as (address, client),
            client.post(address + "/v2", headers=headers, data=b"{}") as answer,
        ):
            assert answer.status == status
            assert "Access-Control-Allow-Origin" not in answer.headers
        assert len(gateway.seen) == (status == 207)

    asyncio.run(run())


def test_a_body_over_the_limit_of_api_gateway_is_refused() -> None:
    async def run() -> None:
        gateway = Gateway(echo)
        async with proxied(gateway) as (address, client):
            for size, status in ((10 * 2**20, 207), (10 * 2**20 + 1, 413)):
                async with client.post(address + "/v2", data=b"0" * size) as answer:
                    assert answer.status == status
                    found = await answer.read()
            assert (
                orjson.loads(found)["detail"] == "body: expected at most 10485760 bytes, got more"
            )
        assert len(gateway.seen) == 1

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/v2/models/log/infer", "/endpoints/log/invocations", "/jobs/7"])
def test_without_an_api_behind_it_the_answer_is_a_502_that_each_client_reads(path: str) -> None:
    async def run() -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            upstream = f"http://127.0.0.1:{closed.getsockname()[1]}/prod"
            settings, signer = Settings("prod", 0, 0, 64), Signer(CREDENTIALS, REGION)
            async with (
                running(settings, upstream, signer) as address,
                aiohttp.ClientSession() as client,
                client.post(address + path, data=b"{}") as answer,
            ):
                assert answer.status == 502
                assert answer.headers["x-amzn-errortype"] == "ServiceUnavailable"
                found = await answer.json(content_type=None)
        text = f"{upstream} cannot be reached"
        assert found["detail"] == found["error"] == found["Message"]
        assert found["detail"].startswith(text)

    asyncio.run(run())


def test_credentials_that_cannot_be_renewed_are_told() -> None:
    class Expired:
        def refresh_needed(self) -> bool:
            return True

        def get_frozen_credentials(self) -> None:
            raise TokenRetrievalError(provider="sso", error_msg="run aws sso login")

    async def run() -> None:
        async with (
            running(
                Settings("prod", 0, 0, 64), "http://127.0.0.1:9/prod", Signer(Expired(), REGION)
            ) as address,
            aiohttp.ClientSession() as client,
            client.get(address + "/v2") as answer,
        ):
            found = await answer.json(content_type=None)
        assert answer.status == 502
        assert found["detail"].startswith("the AWS credentials cannot be used: ")
        assert found["detail"].endswith("run aws sso login")

    asyncio.run(run())


def test_concurrent_requests_are_combined_signed_and_counted() -> None:
    async def run() -> None:
        api, lines = MemoryApi(), list[str]()
        gateway = Gateway(predicting(api))
        asked = [records("shop", [{"customer": "c1", "amount": n}]) for n in (1, 2, "x")]
        async with proxied(gateway, 3, lines) as (address, client):

            async def post(body: bytes) -> tuple[int, Any]:
                async with client.post(address + PREDICT, data=body, headers=JSON) as answer:
                    return answer.status, orjson.loads(await answer.read())

            found = await asyncio.gather(*(post(one.body) for one in asked))
            async with client.get(address + HEALTH) as answer:
                health = await answer.json()
        assert [status for status, _ in found] == [200, 200, 400]
        assert found[0][1]["predictions"] != found[1][1]["predictions"]
        assert found[2][1]["errors"][0]["row"] == 0
        assert len(gateway.seen) == 2
        assert health == {
            "status": "ok",
            "stage": "prod",
            "upstream": health["upstream"],
            "batch_ms": 60_000,
            "batch_rows": 3,
            "requests": 3,
            "calls": 2,
        }
        together = [line for line in lines if "combined in api-0" in line]
        assert len(together) == 2
        assert len(lines) == 4
        assert all(
            re.match(r"(POST /models/shop/predict (200|400)|GET /proxy/health 200) ", line)
            for line in lines
        )

    asyncio.run(run())


def test_a_client_that_sends_slowly_delays_no_others_and_one_that_goes_fails_none() -> None:
    async def run() -> None:
        api, arrived, gone = MemoryApi(), asyncio.Event(), asyncio.Event()
        answer = predicting(api)

        async def late(request: web.Request, body: bytes) -> web.Response:
            arrived.set()
            await gone.wait()
            return await answer(request, body)

        one = records("shop", [{"customer": "c1", "amount": 1}])
        async with proxied(Gateway(late), 3) as (address, client):
            at = URL(address)
            head = f"POST {PREDICT} HTTP/1.1\r\nHost: {at.authority}\r\n"
            whole = f"{head}Content-Length: {len(one.body)}\r\n\r\n".encode() + one.body
            _, slow = await asyncio.open_connection(at.host, at.port)
            slow.write(whole[:-1])
            _, goes = await asyncio.open_connection(at.host, at.port)
            goes.write(whole)
            asked = [
                asyncio.ensure_future(client.post(address + PREDICT, data=one.body, headers=JSON))
                for _ in range(2)
            ]
            await arrived.wait()
            goes.close()
            await goes.wait_closed()
            gone.set()
            for found in await asyncio.gather(*asked):
                assert (found.status, len((await found.json())["predictions"])) == (200, 1)
            slow.close()
        assert [len(orjson.loads(sent.body)["records"]) for sent in api.sent] == [3]

    asyncio.run(run())


def test_what_is_under_way_is_answered_at_the_end() -> None:
    async def run() -> None:
        arrived, stopped = asyncio.Event(), asyncio.Event()

        async def late(request: web.Request, body: bytes) -> web.Response:
            arrived.set()
            await stopped.wait()
            return web.Response(body=b"late")

        async with served(Gateway(late).handle) as upstream, aiohttp.ClientSession() as client:
            proxy = running(
                Settings("prod", 0, 0, 64), upstream + STAGE, Signer(CREDENTIALS, REGION)
            )
            address = await proxy.__aenter__()
            asked = asyncio.ensure_future(client.get(address + "/jobs/1"))
            await arrived.wait()
            ending = asyncio.ensure_future(proxy.__aexit__(None, None, None))
            await asyncio.sleep(0)
            stopped.set()
            answer = await asked
            assert (answer.status, await answer.read()) == (200, b"late")
            await ending
            with pytest.raises(aiohttp.ClientConnectionError):
                await client.get(address + "/jobs/1")

    asyncio.run(run())


def test_a_port_that_is_taken_is_an_error_with_the_way_out() -> None:
    async def run() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(StageError, match=r"is taken$") as refused:
                async with running(
                    Settings("prod", port, 0, 64), "http://127.0.0.1:9", Signer(CREDENTIALS, REGION)
                ):
                    pass
            assert refused.value.command == "quintet proxy --port 0"

    asyncio.run(run())
