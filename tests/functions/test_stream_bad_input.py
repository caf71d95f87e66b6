"""What score_stream makes of each kind of bad input, from Lambda's event to what is stored."""

from __future__ import annotations

import base64
import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from string import ascii_letters, digits
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from tests.functions.conftest import StreamAws
from tests.kits import models
from tests.kits.streams import NOW, TIMED, data, event, reading, sequence

from quintet.contract import Aggregate, Limits, Stream
from quintet.streaming import kinesis_events
from quintet.streaming.windows import MAX_STATE
from quintet.wiring import stream as wiring

MEGABYTE = 1024 * 1024
JSON = "JSON in UTF-8 with finite numbers"
NOT_UTF_8 = "str is not valid UTF-8: surrogates not allowed"
#: a model whose rows have their own time, by which its windows go
CLOCKED = replace(TIMED, name="clocked")


def told(stream_aws: StreamAws) -> list[tuple[Any, ...]]:
    """Of each line in quarantine the sequence, the row, the model and the reasons."""
    return [
        (
            line["sequence"],
            line["row"],
            line["model"],
            [(reason["field"], reason["expected"], reason["got"]) for reason in line["reasons"]],
        )
        for line in stream_aws.quarantine()
    ]


def kept(stream_aws: StreamAws) -> list[bytes]:
    """The bytes of records that are in quarantine."""
    lines = stream_aws.quarantine()
    return [base64.b64decode(line["data"]) for line in lines if line["data"] is not None]


def scored(stream_aws: StreamAws) -> list[tuple[str, int]]:
    return [(row["sequence"], row["row"]) for row in stream_aws.predictions()]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        pytest.param(b"", ("data", "JSON", "nothing"), id="empty-data"),
        pytest.param(
            b"\xff\xfe{}",
            (
                "data",
                JSON,
                "str is not valid UTF-8: surrogates not allowed: line 1 column 1 (char 0)",
            ),
            id="invalid-utf-8",
        ),
        pytest.param(
            gzip.compress(data(reading()))[:-9],
            ("data", "one whole gzip", "less or more than one"),
            id="damaged-gzip",
        ),
        pytest.param(
            b"\xf3\x89\x9a\xc2\x0a\x03key" + bytes(16),
            (
                "data",
                "records that the producer does not aggregate: AggregationEnabled = false",
                "an aggregated record of the KPL",
            ),
            id="aggregated-by-the-kpl",
        ),
    ],
)
def test_a_record_that_cannot_be_read_is_kept_whole_and_stops_no_other(
    stream_aws: StreamAws, record: bytes, reason: tuple[str, str, str]
) -> None:
    answer = stream_aws.handler(event([data(reading()), record, data(reading("m2"))]), None)
    assert answer == {"batchItemFailures": []}
    assert scored(stream_aws) == [(sequence(0), 0), (sequence(2), 0)]
    assert told(stream_aws) == [(sequence(1), None, None, [reason])]
    assert kept(stream_aws) == [record]


@pytest.mark.parametrize(
    ("record", "rows"),
    [
        pytest.param(gzip.compress(data(reading(x=3.0))), [3.0], id="gzip"),
        pytest.param(
            json.dumps([reading(x=3.0), reading("m2", 5.0)]).encode(),
            [3.0, 5.0],
            id="JSON-array-of-records",
        ),
        pytest.param(gzip.compress(json.dumps([reading()] * 10).encode()), [2.0] * 10, id="both"),
    ],
)
def test_a_record_in_another_form_is_scored(
    stream_aws: StreamAws, record: bytes, rows: list[float]
) -> None:
    stream_aws.handler(event([record]), None)
    assert scored(stream_aws) == [(sequence(0), row) for row in range(len(rows))]
    logs = [row["logs_0"] for row in stream_aws.predictions()]
    assert logs == pytest.approx([float(v) for v in np.log(rows)], rel=1e-6)
    assert told(stream_aws) == []


def test_a_record_of_1_mb_is_scored_unless_its_model_takes_less(stream_aws: StreamAws) -> None:
    less = replace(TIMED, name="less", limits=Limits(bytes=1_000_000))
    stream_aws.publish(less)
    large = [data(reading(), model=model).ljust(MEGABYTE) for model in ("log", "less")]
    stream_aws.handler(event([*large, data(reading("m2"))]), None)
    assert scored(stream_aws) == [(sequence(0), 0), (sequence(2), 0)]
    reasons = [("data", "at most 1000000 bytes", "1048576")]
    assert told(stream_aws) == [(sequence(1), None, "less", reasons)]
    assert kept(stream_aws) == large[1:]


def test_an_unknown_entity_is_answered_by_the_rule_of_its_contract(stream_aws: StreamAws) -> None:
    stream_aws.publish(models.SHOP)
    orders = [{"customer": name, "amount": 10.0} for name in ("nobody-has-seen-me", "", None)]
    stream_aws.handler(event([data(*orders, model="shop")]), None)
    (row,) = stream_aws.predictions()
    assert (row["customer"], row["probability"], row["fallback"]) == (
        "nobody-has-seen-me",
        0.25,
        True,
    )
    reasons = [("customer", "the entity key", "nothing")]
    assert told(stream_aws) == [
        (sequence(0), 1, "shop", reasons),
        (sequence(0), 2, "shop", reasons),
    ]


def test_a_timestamp_in_the_future_is_refused_and_counted_in_the_window_of_its_arrival(
    stream_aws: StreamAws,
) -> None:
    stream_aws.publish(CLOCKED)
    ahead = [299.0, 301.0, 1e9]
    rows = [{"meter": "m1", "x": 2.0, "at": NOW + seconds} for seconds in ahead]
    given = event([data(*rows, model="clocked")], window=NOW)
    state = stream_aws.handler(given, None)["state"]
    stream_aws.handler(event([], window=NOW, state=state, final=True), None)
    assert scored(stream_aws) == [(sequence(0), 0)]
    expected = "a time that is not in the future"
    assert told(stream_aws) == [
        (sequence(0), row, "clocked", [("at", expected, str(rows[row]["at"]))]) for row in (1, 2)
    ]
    windows = {
        start: window.counters._asdict()
        for start in stream_aws.windows().recent("clocked", 10)
        if (window := stream_aws.windows().read("clocked", start)) is not None
    }
    none = {"late": 0, "out_of_order": 0}
    assert windows == {
        NOW: {"records": 0, "future": 2, **none},
        NOW + 240: {"records": 1, "future": 0, **none},
    }


def test_a_state_that_grows_past_256_kb_is_stored_as_a_part(stream_aws: StreamAws) -> None:
    """What it came to is closed as a part; what came last is handed on."""
    state: Any = {}
    sizes, noise = [], Random(1)  # names that deflate to no less
    for call in range(4):
        names = ["".join(noise.choices(ascii_letters + digits, k=900)) for _ in range(100)]
        records = [data(reading(f"{call} {name}")) for name in names]
        given = event(records, first=call * 100, window=NOW, state=state)
        state = stream_aws.handler(given, None)["state"]
        sizes.append(len(json.dumps(state, separators=(",", ":"))))
    stream_aws.handler(event([], window=NOW, state=state, final=True), None)
    assert max(sizes) <= MAX_STATE
    assert [size > MAX_STATE // 2 for size in sizes] == [False, True, False, True]
    window = stream_aws.windows().read("log", NOW)
    assert window is not None
    assert (window.parts, window.counters.records, len(window.entities)) == (2, 400, 400)


def test_a_window_that_lambda_ends_early_goes_on_with_a_fresh_state(stream_aws: StreamAws) -> None:
    state = stream_aws.handler(event([data(reading(x=2.0))], window=NOW), None)["state"]
    answer = stream_aws.handler(event([], window=NOW, state=state, early=True), None)
    assert answer == {"state": {}, "batchItemFailures": []}
    later = event([data(reading(x=5.0))], first=1, window=NOW, state={})
    state = stream_aws.handler(later, None)["state"]
    stream_aws.handler(event([], window=NOW, state=state, final=True), None)
    window = stream_aws.windows().read("log", NOW)
    assert window is not None
    assert (window.parts, window.entities["m1"]["x_sum"]) == (2, 7.0)


def test_a_state_that_is_missing_is_begun_anew(stream_aws: StreamAws) -> None:
    given = event([data(reading())], window=NOW)
    del given["state"]
    state = stream_aws.handler(given, None)["state"]
    assert state == stream_aws.handler({**given, "state": {}}, None)["state"]


@pytest.mark.parametrize("turn", range(4))
def test_two_invocations_racing_on_one_shard_write_each_row_once(
    stream_aws: StreamAws, turn: int
) -> None:
    """One that timed out is still at it, while its records come again in another batch."""
    records = [
        b"poison %d" % n if n % 7 == 3 else data(reading(f"m{n}", x=20.0 if n % 9 == 0 else 2.0))
        for n in range(40)
    ]
    ends = [40, 25] if turn % 2 else [25, 40]
    together = Barrier(len(ends))

    def invoke(end: int) -> Any:
        given = event(records[:end], window=NOW)
        together.wait()
        return wiring.scorer().take(
            kinesis_events.shard_batch(given), kinesis_events.tumbling(given)
        )

    with ThreadPoolExecutor(len(ends)) as pool:
        outcomes = dict(zip(ends, pool.map(invoke, ends), strict=True))
    assert [outcome.failed for outcome in outcomes.values()] == [None, None]
    # Lambda goes on with the answer that it waited for
    state = outcomes[40].state
    stream_aws.handler(event([], window=NOW, state=state, final=True), None)
    good = [n for n in range(40) if n % 7 != 3]
    assert sorted(scored(stream_aws)) == [(sequence(n), 0) for n in good]
    assert sorted(kept(stream_aws)) == sorted(r for r in records if r.startswith(b"poison"))
    window = stream_aws.windows().read("log", NOW)
    assert window is not None
    assert (window.counters.records, window.parts) == (len(good), 1)
    assert {entity: v["readings"] for entity, v in window.entities.items()} == {
        f"m{n}": 1 for n in good
    }
    assert all(stream_aws.latest(f"m{n}")["sequence"] == {"S": sequence(n)} for n in good)
    past = {f"m{n}" for n in good if n % 9 == 0}
    assert {alert["entity"] for alert in stream_aws.alerts()} == past


def test_late_and_out_of_order_rows_are_scored_and_counted(stream_aws: StreamAws) -> None:
    stream = Stream(
        aggregates=(Aggregate(name="readings", how="count"),),
        time="at",
        window=60.0,
        allowed_lateness=10.0,
    )
    stream_aws.publish(replace(CLOCKED, name="patient", stream=stream))
    at = [NOW - 5, NOW - 9, NOW - 71, datetime.fromtimestamp(NOW - 8, UTC).isoformat()]
    rows = [{"meter": "m1", "x": 2.0, "at": moment} for moment in at]
    given = event([data(*rows, model="patient")], window=NOW)
    state = stream_aws.handler(given, None)["state"]
    stream_aws.handler(event([], window=NOW, state=state, final=True), None)
    assert scored(stream_aws) == [(sequence(0), row) for row in range(4)]
    found = [stream_aws.windows().read("patient", start) for start in (NOW - 60, NOW - 120)]
    assert [window and window.counters._asdict() for window in found] == [
        {"records": 3, "late": 0, "out_of_order": 2, "future": 0},
        {"records": 0, "late": 1, "out_of_order": 0, "future": 0},
    ]
