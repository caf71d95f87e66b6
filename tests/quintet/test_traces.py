"""Spans: the documents that X-Ray's daemon gets, and which requests send one."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import jsonschema
import pytest
from tests.kits.models import LOG, NOW, Clock, event, online

from quintet.api import gateway
from quintet.api.telemetry import RequestTelemetry, StdoutTelemetry
from quintet.jobs.messages import Delivery, MessageResult
from quintet.protocols.registry import RECORDS
from quintet.telemetry import traces
from quintet.wiring import common, work

TRACE, PARENT, SEGMENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "53995c3f42cd8ad8"
ROOT_ID = "1-5759e988-bd862e3fe1be46a994272793"
XRAY = f"Root={ROOT_ID};Parent={SEGMENT};Sampled=1;Lineage=1:a87bd80c:0"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"

_ID = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
_PART: dict[str, Any] = {
    "id": _ID,
    "name": {"type": "string", "pattern": r"^[\w\s.:/%&#=+\\\-@]{1,200}$"},
    "start_time": {"type": "number"},
    "end_time": {"type": "number"},
}
#: a subsegment that is sent apart from its segment, as far as spans use the format
#: https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html#api-segmentdocuments-subsegments
DOCUMENTED = {
    "type": "object",
    "required": ["type", "trace_id", "parent_id", *_PART],
    "additionalProperties": False,
    "properties": {
        **_PART,
        "type": {"const": "subsegment"},
        "trace_id": {"type": "string", "pattern": "^1-[0-9a-f]{8}-[0-9a-f]{24}$"},
        "parent_id": _ID,
        "annotations": {
            "type": "object",
            "maxProperties": 50,
            "propertyNames": {"pattern": "^[A-Za-z0-9_]{1,500}$"},
            "additionalProperties": {
                "type": ["string", "number", "boolean"],
                "maxLength": 1_000,
            },
        },
        "error": {"type": "boolean"},
        "throttle": {"type": "boolean"},
        "fault": {"type": "boolean"},
        "subsegments": {
            "type": "array",
            "items": {
                "type": "object",
                "required": list(_PART),
                "additionalProperties": False,
                "properties": _PART,
            },
        },
    },
}


class Daemon:
    """The daemon's socket on this machine."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(5)
        host, port = self.socket.getsockname()
        self.environ = {
            "AWS_XRAY_DAEMON_ADDRESS": f"{host}:{port}",
            "POWERTOOLS_SERVICE_NAME": "predict",
            "QUINTET_STAGE": "test",
        }

    def next(self) -> dict[str, Any]:
        """The next document, which has the documented form."""
        header, _, body = self.socket.recv(65_536).partition(b"\n")
        assert header == b'{"format": "json", "version": 1}'
        document: dict[str, Any] = json.loads(body)
        jsonschema.validate(document, DOCUMENTED)
        return document

    def empty(self) -> bool:
        """Whether nothing more has come. A datagram on the loopback is there once it is sent."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(65_536)
        except BlockingIOError:
            return True
        return False


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    found = Daemon()
    yield found
    found.socket.close()


def ask(
    environ: dict[str, str], body: str = '{"records": [{"x": 3, "y": 1}]}', **headers: str
) -> dict[str, Any]:
    """The answer of `predict`."""
    service = online(LOG)
    telemetry = RequestTelemetry(StdoutTelemetry("test", environ, Clock()))
    answer = lambda request, context: RECORDS.answer(service, request, context)  # noqa: E731
    routes = gateway.Routes({("POST", "/models/{model}/predict"): (answer, RECORDS.failure)})
    asked = event("POST", f"/models/{LOG.name}/predict", body, headers)
    return gateway.respond(asked, routes, lambda: telemetry, lambda: "none")


def test_a_sampled_request_sends_one_subsegment(daemon: Daemon) -> None:
    answer = ask({**daemon.environ, "_X_AMZN_TRACE_ID": XRAY}, traceparent=TRACEPARENT)
    document = daemon.next()
    steps = document.pop("subsegments")
    span = document["id"]
    assert document == {
        "type": "subsegment",
        "name": "predict",
        "id": span,
        "trace_id": ROOT_ID,
        "parent_id": SEGMENT,
        "start_time": NOW,
        "end_time": NOW,
        "annotations": {
            "w3c_trace": TRACE,
            "w3c_parent": PARENT,
            "request_id": "gateway-id",
            "route": "POST /models/{model}/predict",
            "model": LOG.name,
            "version": LOG.version,
            "rows": 1,
            "status": 200,
            "cold": True,
            "stage": "test",
        },
    }
    assert [step["name"] for step in steps] == ["load", "decode", "features", "score"]
    assert len({span, *(step["id"] for step in steps)}) == 5
    assert steps[0]["start_time"] == NOW
    for before, after in pairwise(steps):
        assert before["end_time"] == after["start_time"]
    assert answer["headers"]["traceparent"] == f"00-{TRACE}-{span}-01"
    assert daemon.empty()


def test_without_a_traceparent_the_w3c_trace_has_the_digits_of_xrays(daemon: Daemon) -> None:
    answer = ask({**daemon.environ, "_X_AMZN_TRACE_ID": XRAY})
    document = daemon.next()
    assert document["annotations"]["w3c_trace"] == "5759e988bd862e3fe1be46a994272793"
    assert "w3c_parent" not in document["annotations"]
    assert answer["headers"]["traceparent"] == (
        f"00-5759e988bd862e3fe1be46a994272793-{document['id']}-01"
    )


@pytest.mark.parametrize(
    "xray",
    ["", XRAY.replace("Sampled=1", "Sampled=0"), f"Root={ROOT_ID};Sampled=1", "Root=1;Sampled=1"],
)
def test_a_request_that_is_not_sampled_sends_nothing(daemon: Daemon, xray: str) -> None:
    answer = ask({**daemon.environ, "_X_AMZN_TRACE_ID": xray}, traceparent=TRACEPARENT)
    assert answer["headers"]["traceparent"] == TRACEPARENT
    assert daemon.empty()


@pytest.mark.parametrize("address", ["", "127.0.0.1:1", "nowhere"])
def test_a_request_is_answered_without_a_daemon(address: str) -> None:
    environ = {"_X_AMZN_TRACE_ID": XRAY, "AWS_XRAY_DAEMON_ADDRESS": address}
    for _ in range(3):  # the second send meets the error of the first
        assert ask(environ)["statusCode"] == 200


def test_a_refused_request_is_an_error_of_the_caller(daemon: Daemon) -> None:
    ask({**daemon.environ, "_X_AMZN_TRACE_ID": XRAY}, '{"records": [{"x": "no"}]}')
    document = daemon.next()
    assert (document["error"], "fault" in document) == (True, False)
    assert document["annotations"]["status"] == 400


def test_a_document_is_bounded(daemon: Daemon) -> None:
    span = traces.begin(XRAY, TRACEPARENT, NOW)
    assert span is not None
    span.about |= {f"text_{n}": "x" * 5_000 for n in range(20)}
    span.failure = "throttle"
    span.end(daemon.environ, NOW + 1)
    document = daemon.next()
    assert (document["error"], document["throttle"]) == (True, True)
    assert document["annotations"]["text_0"] == "x" * 1_000


def test_a_worker_sends_a_span_for_each_job(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**daemon.environ, "_X_AMZN_TRACE_ID": XRAY}.items():
        monkeypatch.setenv(name, value)
    done = MessageResult(
        Delivery("m1", "r1", "{}"), "completed", True, "j1", "log", 1, 3, traceparent=TRACEPARENT
    )
    kept = replace(done, event="to be tried again", acknowledged=False, job="j2", traceparent="")
    work.trace([done, kept], NOW)
    first, second = daemon.next(), daemon.next()
    assert first["annotations"] == {
        "w3c_trace": TRACE,
        "w3c_parent": PARENT,
        "job": "j1",
        "result": "completed",
        "rows": 3,
        "model": "log",
        "version": 1,
        "stage": "test",
    }
    assert (first["start_time"], "fault" in first, second["fault"]) == (NOW, False, True)
    assert second["annotations"]["w3c_trace"] == "5759e988bd862e3fe1be46a994272793"


def test_a_block_that_raises_is_a_fault(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**daemon.environ, "_X_AMZN_TRACE_ID": XRAY}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(KeyError), common.traced(TRACEPARENT):
        raise KeyError("x")
    assert daemon.next()["fault"] is True
    monkeypatch.delenv("_X_AMZN_TRACE_ID")
    with common.traced(TRACEPARENT) as span:
        assert span is None
    assert daemon.empty()
