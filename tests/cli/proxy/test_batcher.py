"""What the proxy learns of a model, and callers that go away."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from tests.kits.canary import Stage
from tests.kits.models import LOG
from tests.kits.proxies import MemoryApi, oip, posted, records, row_by_row, together

import quintet
from quintet.contract import Capture
from quintet_cli.proxy import pieces
from quintet_cli.proxy.batcher import Batcher
from quintet_cli.proxy.messages import Answer, Asked, failed
from quintet_cli.proxy.upstream import _NOT_SENT


def shop(*names: str) -> Asked:
    """A request of a record for each customer."""
    return records("shop", [{"customer": name, "amount": 10} for name in names])


def shop_tensors(name: str) -> Asked:
    """The same for one customer, in tensors."""
    inputs = {"customer": np.array([name], dtype=object), "amount": np.array([10], "f4")}
    return oip("shop", inputs)


def shop_instances(name: str) -> Asked:
    """The same in KServe's V1 form."""
    return posted("/v1/models/shop:predict", {"instances": [{"customer": name, "amount": 10}]})


def shop_endpoint(name: str) -> Asked:
    """The same in SageMaker's form."""
    body = {"records": [{"customer": name, "amount": 10}]}
    return posted("/endpoints/shop/invocations", body)


def log(*rows: tuple[float, float]) -> Asked:
    return records("log", [{"x": x, "y": y} for x, y in rows])


def in_turn(api: MemoryApi, *turns: list[Asked]) -> list[list[Answer]]:
    """The answers to requests that arrive at once, turn by turn, at one batcher."""

    async def run() -> list[list[Answer]]:
        batcher = Batcher(api.send, seconds=0.001, rows=64)
        return [await asyncio.gather(*(batcher.answer(one) for one in turn)) for turn in turns]

    return asyncio.run(run())


def test_while_a_canary_answers_each_record_has_the_version_of_its_entity() -> None:
    stage = Stage()
    asked = [shop(name) for name in stage.names[:20]] + [shop(*stage.names[20:23])]
    combined, alone = MemoryApi(stage.online), MemoryApi(stage.online)
    own = {"x-request-id", "x-quintet-combined", "x-quintet-event"}
    found = together(combined, asked)
    # three rows of one request are captured with an event of their own
    assert len(combined.sent) == 2
    versions = set()
    for one, other in zip(found, together(alone, asked, seconds=0), strict=True):
        assert one.body == other.body
        assert {k: v for k, v in one.headers.items() if k not in own} == {
            k: v for k, v in other.headers.items() if k not in own
        }
        versions.add(one.headers["x-quintet-version"])
    assert versions >= {"3", "4"}


def test_a_row_of_an_override_has_its_version() -> None:
    stage = Stage()
    names = stage.names[:12]
    canary = MemoryApi(stage.online)
    of = {
        name: answer.headers["x-quintet-version"]
        for name, answer in zip(
            names, together(canary, [shop(name) for name in names], seconds=0), strict=True
        )
    }
    moved = next(name for name, version in of.items() if version == "4")
    stage.set(overrides={moved: 3})
    api = MemoryApi(stage.online)
    found = together(api, [shop(name) for name in names])
    assert len(api.sent) == 1
    for name, answer in zip(names, found, strict=True):
        version = 3 if name == moved else int(of[name])
        body = orjson.loads(answer.body)
        assert (body["version"], body["versions"]) == (version, [version])
        # version 3 answers by two routes: which of them a row took is not said
        routes = "canary" if version == 4 else "pinned, live"
        assert answer.headers["x-quintet-route"] == routes


@pytest.mark.parametrize("form", [shop_tensors, shop_instances, shop_endpoint])
def test_forms_of_one_version_are_not_combined_while_it_depends_on_the_entity(
    form: Callable[[str], Asked],
) -> None:
    stage = Stage()
    asked = [form(name) for name in stage.names[:8]]
    api, alone = MemoryApi(stage.online), together(MemoryApi(stage.online), asked, seconds=0)

    async def run() -> None:
        batcher = Batcher(api.send, seconds=0.001, rows=64)
        for sent in (1 + 8, 8):  # found out by the first answer, and known after it
            api.sent.clear()
            found = await asyncio.gather(*(batcher.answer(one) for one in asked))
            assert [one.body for one in found] == [one.body for one in alone]
            assert len(api.sent) == sent
        stage.set(canary=None, rollout="")
        for sent in (8, 1):  # the rollout has ended: the next answers say so
            api.sent.clear()
            await asyncio.gather(*(batcher.answer(one) for one in asked))
            assert len(api.sent) == sent

    asyncio.run(run())
    assert {answer.headers["x-quintet-version"] for answer in alone} == {"3", "4"}


def test_a_captured_row_has_the_id_that_its_label_takes() -> None:
    api = MemoryApi(row_by_row(replace(LOG, capture=Capture())))
    first, second = together(api, [log((3, 1)), log((4, 1))])
    event, _, row = second.headers["x-quintet-event"].partition(".")
    assert first.headers["x-quintet-event"] == f"{event}.0"
    assert (len(event), row) == (32, "1")


def test_several_captured_rows_are_sent_with_an_event_of_their_own() -> None:
    api = MemoryApi(row_by_row(replace(LOG, capture=Capture())))
    two, one = log((3, 1), (4, 1)), log((5, 1))
    first, second = in_turn(api, [two, one, one], [two, one, one])
    assert ["." in answer.headers["x-quintet-event"] for answer in first] == [False, True, True]
    assert ["." in answer.headers["x-quintet-event"] for answer in second] == [False, True, True]
    sizes = [len(orjson.loads(sent.body)["records"]) for sent in api.sent]
    assert (sizes[:2], sorted(sizes[2:])) == ([4, 2], [2, 2])  # found out, then known


def test_a_model_that_caches_whole_requests_is_not_combined() -> None:
    api = MemoryApi(row_by_row(replace(LOG, cache_ttl=60)))
    in_turn(api, [log((3, 1)), log((4, 1))], [log((3, 1)), log((4, 1))])
    assert [len(orjson.loads(sent.body)["records"]) for sent in api.sent] == [2, 1, 1]


def test_a_batch_of_more_rows_than_the_model_takes_is_halved_from_then_on() -> None:
    api = MemoryApi()  # the model takes ten rows
    one = [log((3, 1))] * 12
    first, second = in_turn(api, one, one)
    assert {answer.status for answer in first + second} == {200}
    sizes = [len(orjson.loads(sent.body)["records"]) for sent in api.sent]
    assert sizes == [12, 6, 6, 6, 6]


@pytest.mark.parametrize("status", [403, 404, 429, 500, 502, 503, 504])
def test_an_error_that_is_no_callers_own_is_every_callers(status: int) -> None:
    down = failed(status, "no", {"retry-after": "1", "x-request-id": "api-9"})
    api = MemoryApi(down=down)
    mine = Asked("POST", "/models/log/predict", {"x-request-id": "mine"}, log((3, 1)).body)
    first, second = together(api, [mine, log((4, 1))])
    assert (first.status, first.body) == (second.status, second.body) == (status, down.body)
    assert first.headers["retry-after"] == "1"
    assert (first.headers["x-request-id"], second.headers["x-request-id"]) == ("mine", "api-9")
    assert len(api.sent) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"model":"log","version":1}'])
def test_an_answer_of_another_kind_is_not_taken_apart(body: bytes) -> None:
    api = MemoryApi(down=Answer(200, body, {"content-type": "text/html"}))
    tensors = oip("log", {"XY": np.array([[3, 1]], "f4")})
    asked = [log((3, 1)), log((4, 1)), tensors, tensors]
    assert [answer.body for answer in together(api, asked)] == [body] * 4
    assert len(api.sent) == 6


def test_a_caller_that_goes_takes_its_rows_along() -> None:
    api = MemoryApi()

    async def run() -> Answer:
        batcher = Batcher(api.send, seconds=0.02, rows=64)
        stays = asyncio.ensure_future(batcher.answer(log((3, 1))))
        goes = asyncio.ensure_future(batcher.answer(log((4, 1))))
        await asyncio.sleep(0)
        goes.cancel()
        return await stays

    assert asyncio.run(run()).status == 200
    assert [one.body for one in api.sent] == [log((3, 1)).body]


def test_a_caller_that_goes_while_its_batch_is_answered_fails_no_others() -> None:
    api, asked = MemoryApi(), [log((3, 1)), log((4, 1)), log((5, 1))]

    async def run() -> list[Answer]:
        sent, answered = asyncio.Event(), asyncio.Event()

        async def send(one: Asked) -> Answer:
            sent.set()
            await answered.wait()
            return await api.send(one)

        batcher = Batcher(send, seconds=0.001, rows=64)
        first, goes, last = (asyncio.ensure_future(batcher.answer(one)) for one in asked)
        await sent.wait()
        goes.cancel()
        answered.set()
        return [await first, await last]

    found = asyncio.run(run())
    alone = together(api, [asked[0], asked[2]], seconds=0)
    assert [orjson.loads(answer.body)["version"] for answer in found] == [1, 1]
    for one, other in zip(found, alone, strict=True):
        assert one.body == other.body


def test_a_defect_fails_the_requests_and_leaves_none_waiting() -> None:
    async def send(asked: Asked) -> Answer:
        raise RuntimeError("a defect")

    async def run() -> list[Answer | BaseException]:
        batcher = Batcher(send, seconds=0.001, rows=64)
        asked = (batcher.answer(log((x, 1))) for x in (3, 4))
        return await asyncio.gather(*asked, return_exceptions=True)

    assert [str(error) for error in asyncio.run(run())] == ["a defect"] * 2


def test_every_header_that_the_api_reads_is_carried_or_keeps_a_request_alone() -> None:
    """A header that the API comes to read has to be thought of here."""
    package = Path(quintet.__file__).parent
    read = {
        name
        for folder in ("api", "protocols")
        for file in (package / folder).glob("*.py")
        for name in re.findall(r'headers\.get\(\s*"([^"]+)"', file.read_text(encoding="utf-8"))
    }
    carried = {"traceparent", "x-request-id", "content-type", "origin"}
    no_matter = {"accept", "accept-encoding", "access-control-request-headers"}
    assert {"prefer", "content-encoding", "x-request-id"} <= read
    assert read - carried - no_matter - pieces.ALONE - _NOT_SENT == set()
