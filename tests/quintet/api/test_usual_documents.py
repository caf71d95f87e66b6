"""A usual request's documents, from a template, are those that any request's are made of."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from tests.kits.models import event
from tests.quintet.test_path_length import FRAUD, fraud

from quintet.api import gateway
from quintet.api.telemetry import RequestTelemetry, StdoutTelemetry
from quintet.contract import Capture, Slo
from quintet.protocols.registry import RECORDS

RECORD: dict[str, Any] = json.loads((FRAUD / "data/requests.jsonl").read_text().splitlines()[0])
KNOWN = {**RECORD, "customer_id": "13509"}
XRAY = f"Root=1-{'a' * 8}-{'b' * 24};Parent={'c' * 16};Sampled=0"
ROUTE = ("POST", "/models/{model}/predict")


@pytest.mark.parametrize(
    ("body", "environ", "headers"),
    [
        ({"records": [KNOWN]}, {}, {}),
        ({"records": [KNOWN]}, {"_X_AMZN_TRACE_ID": XRAY}, {"X-Request-Id": "a%d:b"}),
        ({"records": [KNOWN]}, {}, {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}),
        ({"records": [KNOWN, RECORD, KNOWN]}, {"POWERTOOLS_SERVICE_NAME": "100%"}, {}),
        ({"records": [KNOWN, {}], "partial": True}, {}, {}),
    ],
    ids=["plain", "traced", "traceparent", "fallback", "refused"],
)
@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("captured", [False, True])
def test_they_are_the_same(
    body: dict[str, Any],
    environ: dict[str, str],
    headers: dict[str, str],
    *,
    slow: bool,
    captured: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    online = fraud(Capture() if captured else None)
    slo = Slo(p95_ms=0.0 if slow else 1e9)
    loaded = online.models.get("fraud")
    monkeypatch.setattr(loaded, "contract", replace(loaded.contract, slo=slo))
    routes = gateway.Routes({ROUTE: (partial(RECORDS.answer, online), RECORDS.failure)})
    typed = {"Content-Type": "application/json", **headers}
    asked = event("POST", "/models/fraud/predict", json.dumps(body), typed, caller="arn:a:b%d")
    telemetry = RequestTelemetry(StdoutTelemetry("test", environ, lambda: 1_700_000_000.1234))

    def written() -> list[dict[str, Any]]:
        assert gateway.respond(asked, routes, lambda: telemetry, lambda: "iam")["statusCode"] == 200
        documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [timeless(document) for document in documents]

    written()  # the first is cold
    usual = written()
    assert written() == usual  # from the template that the one before made
    assert len(telemetry._templates) == 1
    monkeypatch.setattr(telemetry.output, "writes_all", False)
    assert [list(one.items()) for one in written()] == [list(one.items()) for one in usual]
    assert len(usual) == (3 if captured else 2)
    assert usual[1]["requests_count"] == [1.0]
    assert ("slow_requests_count" in usual[1]) == slow


def timeless(document: dict[str, Any]) -> dict[str, Any]:
    """A document without what differs between two requests: times, and the id of its capture."""
    times = {name: value for name, value in document.items() if name.endswith("_ms")}
    for value in times.values():
        (number,) = value if isinstance(value, list) else (value,)
        assert isinstance(number, float)
    found = {**document, **dict.fromkeys(times, "time")}
    return {**found, "ms": list(found.get("ms", ())), "event": ""}
