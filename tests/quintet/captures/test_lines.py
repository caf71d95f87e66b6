"""Captures of requests: the lines that `predict` writes, and the rows that are read from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from arro3 import core
from tests.kits.models import CONTRACTS, ECHO, NOW, ROWS, SHOP, TEXT, Clock, event, online

from quintet.api import gateway
from quintet.api.telemetry import RequestTelemetry, StdoutTelemetry
from quintet.captures import lines as captured_lines
from quintet.captures.events import new_event, taken, taken_rows
from quintet.captures.plans import CapturePlan
from quintet.captures.reading import Hour, read_lines
from quintet.captures.tables import FIXED, read_parquet, scored, write_parquet
from quintet.columns import from_records
from quintet.contract import Capture, Contract
from quintet.errors import Transient
from quintet.features import FeatureSource, MemoryFeatures, StoredValue
from quintet.protocols.registry import RECORDS
from quintet.serving import ModelRoute
from quintet.serving.predict import predict
from quintet.serving.prediction import in_caller_order

CAPTURE = Capture(rate=1, days=7)
HOUR = Hour("shop", 3, 7, int(NOW // 3600) * 3600)


def captured(contract: Contract) -> Contract:
    return replace(contract, capture=CAPTURE)


class Away:
    """A feature store that does not answer."""

    def fetch(
        self, key: str, entities: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, StoredValue]]:
        """See `FeatureSource.fetch`."""
        raise Transient("away")


class Asked:
    """One model behind the gateway; each answer with its lines."""

    def __init__(
        self,
        capsys: pytest.CaptureFixture[str],
        contract: Contract,
        features: FeatureSource | None = None,
    ) -> None:
        self._capsys, self._name = capsys, contract.name
        telemetry = RequestTelemetry(StdoutTelemetry("test", {}, clock=lambda: NOW + 1))
        handle = partial(RECORDS.answer, online(contract, features=features, clock=Clock()))
        routes = gateway.Routes({("POST", "/models/{model}/predict"): (handle, RECORDS.failure)})
        self._respond = partial(
            gateway.respond, routes=routes, telemetry=lambda: telemetry, auth=lambda: "none"
        )

    def __call__(self, body: Any, **headers: str) -> tuple[dict[str, Any], list[str]]:
        """The answer with its lines of captures."""
        sent = {"Content-Type": "application/json", **headers}
        asked = event("POST", f"/models/{self._name}/predict", json.dumps(body), sent)
        answer = self._respond(asked)
        written = self._capsys.readouterr().out.splitlines()
        return answer, [line for line in written if '"capture":1' in line]


def rows_of(lines: Sequence[str]) -> list[dict[str, Any]]:
    """The rows in lines of one hour, without columns that are null in all of them."""
    found, unreadable = read_lines(lines)
    assert unreadable == 0
    ((_, read),) = found.items()
    return records(read.rows)


def records(table: core.Table) -> list[dict[str, Any]]:
    columns = {name: table[name].to_pylist() for name in table.column_names}
    held = {name: values for name, values in columns.items() if set(map(str, values)) != {"None"}}
    return [dict(zip(held, row, strict=True)) for row in zip(*held.values(), strict=True)]


def test_an_answer_is_captured_with_what_the_model_saw(capsys: pytest.CaptureFixture[str]) -> None:
    asked = Asked(capsys, captured(SHOP))
    order = {"customer": "c1", "amount": 100}
    trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    answer, lines = asked({"records": [order, order | {"customer": "c2"}]}, **trace)
    first, second = rows_of(lines)
    took = {name: first.pop(name) for name in list(first) if name.endswith("_ms")}
    assert list(took) == ["load_ms", "decode_ms", "features_ms", "score_ms", "total_ms"]
    predictions = json.loads(answer["body"])["predictions"]
    moment = np.datetime64(int(NOW), "s").item()
    assert first == {
        "event": answer["headers"]["X-Quintet-Event"],
        "row": 0,
        "event_time": moment,
        "served_at": moment,
        "outcome": "scored",
        "model": "shop",
        "version": 3,
        "digest": CapturePlan(captured(SHOP)).about.digest,
        "path": "online",
        "route": "live",
        "rate": 1.0,
        "rows": 2,
        "request_id": answer["headers"]["X-Request-Id"],
        "trace_id": "a" * 32,
        "caller": "anonymous",
        "entity": "c1",
        "cold": True,
        "fallback": False,
        "fallback_reason": None,
        "without_features": False,
        "feature_amount": 100.0,
        "feature_items": 1.0,
        "feature_orders_90d": 4.0,
        "age_orders_90d": 600.0,
        "output_label": predictions[0]["label"] != "kept",
        "output_probability": pytest.approx(predictions[0]["probability"]),
    }
    assert (second["row"], second["entity"], second["fallback"]) == (1, "c2", True)
    assert second["fallback_reason"] == "orders_90d is too old"
    assert (second["output_probability"], second["age_orders_90d"]) == (0.25, 86_400.0)
    _, lines = asked({"records": [order]})
    (warm,) = rows_of(lines)
    assert warm["cold"] is False


def test_a_contract_without_capture_leaves_no_event(capsys: pytest.CaptureFixture[str]) -> None:
    asked = Asked(capsys, SHOP)
    for record in ({"customer": "c1", "amount": 100}, {"customer": "c1", "amount": -1}):
        answer, lines = asked({"records": [record]})
        assert lines == []
        assert "X-Quintet-Event" not in answer["headers"]


def test_a_refused_request_leaves_its_reasons_and_no_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = Asked(capsys, captured(SHOP))
    bad = {"customer": "planted-1", "amount": -77.5, "planted-2": 1}
    answer, lines = asked({"records": [bad]})
    assert answer["statusCode"] == 400
    assert "planted" not in lines[0]
    assert "77.5" not in lines[0]
    (row,) = rows_of(lines)
    assert row["event"] == answer["headers"]["X-Quintet-Event"]
    assert row["outcome"] == "refused"
    assert row["refusals"] == "; ".join(
        [
            "request: expected one of amount, customer, items",
            "amount: expected a number from 0 to 10000",
        ]
    )
    assert not {name for name in row if name.startswith(("feature_", "output_"))}
    _, lines = asked({"records": [{"customer": "c1", "amount": -77.5}]}, Prefer="respond-async")
    assert rows_of(lines)[0]["path"] == "async"
    assert rows_of(lines)[0]["refusals"] == "amount: expected a number from 0 to 10000"


def test_refused_rows_of_a_partial_answer_stand_beside_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = Asked(capsys, captured(SHOP))
    body = [{"customer": "c1", "amount": amount} for amount in (-1, 100, 20_000)]
    answer, lines = asked({"records": body, "partial": True})
    event_id = answer["headers"]["X-Quintet-Event"]
    columns = ("event", "row", "outcome", "entity", "feature_amount", "refusals", "rows")
    reason = "amount: expected a number from 0 to 10000"
    assert [tuple(row[name] for name in columns) for row in rows_of(lines)] == [
        (event_id, 1, "scored", "c1", 100.0, None, 3),
        (event_id, 0, "refused", None, None, reason, 3),
        (event_id, 2, "refused", None, None, reason, 3),
    ]


def test_a_store_that_is_away_is_the_reason_of_the_fallback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = Asked(capsys, captured(SHOP), Away())
    _, lines = asked({"records": [{"customer": "c1", "amount": 100}]})
    (row,) = rows_of(lines)
    assert (row["fallback"], row["fallback_reason"]) == (True, "feature store unavailable")
    assert np.isnan(row["age_orders_90d"])


def test_a_failure_is_captured_without_values(capsys: pytest.CaptureFixture[str]) -> None:
    contract = captured(SHOP)
    asked = Asked(capsys, replace(contract, fallback=None), Away())
    answer, lines = asked({"records": [{"customer": "planted", "amount": 100}]})
    assert answer["statusCode"] == 503
    assert "planted" not in lines[0]
    (row,) = rows_of(lines)
    assert (row["outcome"], row["failure"], row["rows"]) == ("failed", "Transient", 1)


def test_sensitive_features_are_not_captured(capsys: pytest.CaptureFixture[str]) -> None:
    _, lines = Asked(capsys, captured(TEXT))({"records": [{"text": "shirt"}]})
    assert "shirt" not in lines[0]
    (row,) = rows_of(lines)
    assert row["output_department"] == 1
    assert "feature_text" not in row


def test_a_line_gives_the_same_row_as_the_prediction(capsys: pytest.CaptureFixture[str]) -> None:
    """Every dtype: what is read from a line is what a stream or a batch run writes itself."""
    contract = captured(ECHO)
    record = {name: values[0] for name, values in ROWS["echo"].items()}
    record |= {"in_float32": [0.1, 1e-7], "in_float16": [0.1, 2], "in_int64": [2**52 + 1, -1]}
    _, lines = Asked(capsys, contract)({"records": [record]})
    batch = from_records(contract, [record])
    service = online(contract)
    route = ModelRoute(service.models.get("echo"), "live")
    prediction = in_caller_order(predict(route, batch, service.features, NOW))
    direct = scored(CapturePlan(contract), prediction, slice(None), {"path": "online"})
    own = [name for name in direct.column_names if name not in FIXED]
    assert len(own) == len(ECHO.features) * 3  # a feature, and two columns of its output
    read = read_parquet(write_parquet(next(iter(read_lines(lines)[0].values())).rows))
    assert read.select(own).schema == read_parquet(write_parquet(direct)).select(own).schema
    assert records(read.select(own)) == records(direct.select(own))
    assert records(read.select(["feature_in_float32"]))[0]["feature_in_float32"][0] == float(
        np.float32(0.1)
    )


def test_rows_are_captured_with_when_the_store_took_their_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = MemoryFeatures()
    store.put("customer", "c1", "orders_90d", 4, NOW - 600, known=NOW - 599.5)
    store.put("customer", "c2", "orders_90d", 9, NOW - 600)
    order = {"customer": "c1", "amount": 100}
    asked = Asked(capsys, captured(SHOP), store)
    sent = [order, order | {"customer": "c2"}, order | {"customer": "c3"}, order | {"amount": -1}]
    _, lines = asked({"records": sent, "partial": True})
    taken_at = np.datetime64(int((NOW - 599.5) * 1e6), "us").item()
    (read,) = read_lines(lines)[0].values()
    stored = records(read_parquet(write_parquet(read.rows)))
    assert [row["known_orders_90d"] for row in stored] == [taken_at, None, None, None]
    _, lines = asked({"records": sent[1:2]})
    assert "known" not in json.loads(lines[0])
    assert "known_orders_90d" not in rows_of(lines)[0]
    both = [json.loads(line) for line in asked({"records": sent[:1]})[1]] + [json.loads(lines[0])]
    together = rows_of([json.dumps(line) for line in both])
    assert [row["known_orders_90d"] for row in together] == [taken_at, None]


def test_rows_are_captured_with_their_own_id(capsys: pytest.CaptureFixture[str]) -> None:
    contract = replace(captured(SHOP), id="order")
    order = {"customer": "c1", "amount": 100}
    sent = [order | {"order": "A-1"}, order, order | {"order": 7}]
    _, lines = Asked(capsys, contract)({"records": sent})
    assert [row["row_id"] for row in rows_of(lines)] == ["A-1", None, "7"]
    _, lines = Asked(capsys, contract)({"records": [order]})
    assert "ids" not in json.loads(lines[0])
    wrong, lines = Asked(capsys, contract)({"records": [order | {"order": 1.5}]})
    assert wrong["statusCode"] == 400
    (row,) = rows_of(lines)
    assert row["refusals"] == "order: expected a string of at most 200 bytes, or a whole number"


def test_a_missing_value_and_an_output_that_is_not_finite_are_nan(
    capsys: pytest.CaptureFixture[str],
) -> None:
    amount, items, orders = SHOP.features
    label, probability = SHOP.outputs
    contract = replace(
        captured(SHOP),
        features=(amount, replace(items, default=None, missing="nan"), orders),
        outputs=(label, replace(probability, finite=False)),
    )
    order = {"customer": "c1", "amount": 100}
    records = [order, order | {"items": None}, order | {"items": 2}]
    answer, lines = Asked(capsys, contract)({"records": records})
    predictions = json.loads(answer["body"])["predictions"]
    assert [one["probability"] is None for one in predictions] == [True, True, False]
    assert [
        (str(row["feature_items"]), str(row["output_probability"])) for row in rows_of(lines)[:2]
    ] == [("nan", "nan")] * 2


def test_a_large_event_is_split_by_rows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captured_lines, "MAX_BYTES", 1100)
    asked = Asked(capsys, replace(captured(SHOP), id="order"))
    body = [{"customer": f"c{n}", "amount": n - 1, "order": n} for n in range(10)]
    answer, lines = asked({"records": body, "partial": True})
    assert len(lines) > 1
    assert max(map(len, lines)) <= 1100
    found = rows_of(lines)
    assert {row["event"] for row in found} == {answer["headers"]["X-Quintet-Event"]}
    scored_rows = {r["row"]: (r["entity"], r["row_id"]) for r in found if r["outcome"] == "scored"}
    assert scored_rows == {n: (f"c{n}", str(n)) for n in range(1, 10)}
    assert [row["row"] for row in found if row["outcome"] == "refused"] == [0]


def test_a_row_that_is_too_large_is_captured_without_features(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captured_lines, "MAX_BYTES", 100)
    asked = Asked(capsys, captured(CONTRACTS["pixels"]))
    _, lines = asked({"records": [{"image": [[1, 2, 3], [4, 5, 6]]}]})
    (row,) = rows_of(lines)
    assert row["without_features"] is True
    assert "feature_image" not in row
    assert (row["output_parts_dark"], row["output_parts_bright"]) == (6.0, 15.0)


def test_rows_are_read_by_version_and_hour(capsys: pytest.CaptureFixture[str]) -> None:
    asked = Asked(capsys, captured(SHOP))
    lines = [asked({"records": [{"customer": "c1", "amount": n}]})[1][0] for n in range(3)]
    later = json.loads(lines[2]) | {"event_time": NOW + 3600}
    found, unreadable = read_lines([*lines[:2], json.dumps(later), '{"capture":1}', "cut {"])
    assert unreadable == 2
    first, last = sorted(json.loads(line)["event"] for line in lines[:2])
    next_hour = HOUR._replace(start=HOUR.start + 3600)
    assert {hour: (r.rows.num_rows, r.first, r.last) for hour, r in found.items()} == {
        HOUR: (2, first, last),
        next_hour: (1, later["event"], later["event"]),
    }


def test_a_rate_takes_its_share_and_a_retry_the_same() -> None:
    ids = [new_event() for _ in range(4000)]
    assert len(set(ids)) == len(ids)
    assert [event_id[:12] for event_id in ids] == sorted(event_id[:12] for event_id in ids)
    some = [event_id for event_id in ids if taken(event_id, 0.25)]
    assert 0.2 < len(some) / len(ids) < 0.3
    assert all(taken(event_id, 0.25) for event_id in some)
    assert not any(taken(event_id, 0) for event_id in ids)
    rows = np.arange(100_000)
    of_run = taken_rows("run-1", rows, 0.25)
    assert 0.24 < of_run.mean() < 0.26
    assert (of_run == taken_rows("run-1", rows, 0.25)).all()
    assert 0.2 < (of_run & taken_rows("run-2", rows, 0.5)).mean() / of_run.mean() / 2 < 0.3
    assert not taken_rows("run-1", rows, 0).any()
