"""The fault plan: what is read, what is refused, and that every decision is the seed's alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quintet_local.faults import (
    OFF,
    CallRates,
    FaultError,
    FaultPlan,
    Faults,
    Kills,
    call_fate,
    kill_after,
    late_by,
    load,
    parse,
)

PLAN = FaultPlan(
    seed=7,
    calls={"dynamodb": CallRates(errors=0.05, throttles=0.03, lost_replies=0.02)},
    duplicates=0.05,
    kills=Kills(0.1, ("Work",)),
)
MANY = range(1, 20_001)


def test_a_plan_is_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(
        "seed: 7\n"
        "calls:\n"
        "  dynamodb: {errors: 0.05, throttles: 0.03, lost_replies: 0.02}\n"
        "duplicates: 0.05\n"
        "kills: {share: 0.1, functions: [Work]}\n"
    )
    assert load(path) == PLAN


def test_an_empty_plan_is_off_and_reports_nothing() -> None:
    assert parse({}) == OFF
    faults = Faults(OFF)
    assert (faults.on, faults.report()) == (False, None)
    assert (faults.call("s3", "PUT"), faults.late("q"), faults.kill("Work")) == (None, None, None)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, "plan: expected an object, got None"),
        ({"sed": 1}, "plan: 'sed' is none of seed, calls, duplicates, kills, streams"),
        ({"seed": "1"}, "seed: expected a whole number, got '1'"),
        ({"seed": True}, "seed: expected a whole number, got True"),
        ({"calls": {"sns": {}}}, "calls: 'sns' is none of dynamodb, s3, sqs"),
        ({"calls": {"s3": 0.1}}, "calls.s3: expected an object, got 0.1"),
        (
            {"calls": {"s3": {"error": 0.1}}},
            "calls.s3: 'error' is none of errors, throttles, lost_replies",
        ),
        (
            {"calls": {"s3": {"errors": 1.5}}},
            "calls.s3.errors: expected a share from 0 to 1, got 1.5",
        ),
        (
            {"calls": {"s3": {"errors": 0.6, "throttles": 0.6}}},
            "calls.s3: expected shares of at most 1 together",
        ),
        ({"duplicates": float("nan")}, "duplicates: expected a share from 0 to 1, got nan"),
        ({"duplicates": True}, "duplicates: expected a share from 0 to 1, got True"),
        ({"kills": {"functions": "Work"}}, "kills.functions: expected a list of logical ids"),
    ],
)
def test_what_is_no_plan_is_refused(given: Any, text: str) -> None:
    with pytest.raises(FaultError) as raised:
        parse(given)
    assert str(raised.value) == text


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\x00", b"seed: x"])
def test_a_refused_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plan.yaml"
    path.write_bytes(content)
    with pytest.raises(FaultError, match=r"plan\.yaml: "):
        load(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FaultError, match=r"none\.yaml: No such file"):
        load(tmp_path / "none.yaml")


def sequences(faults: Faults) -> dict[str, list[Any]]:
    """What befalls two services, a queue and a function, asked in turns."""
    found: dict[str, list[Any]] = {"put": [], "get": [], "late": [], "kill": []}
    for _ in range(2000):
        found["put"].append(faults.call("dynamodb", "PutItem"))
        found["get"].append(faults.call("dynamodb", "GetItem"))
        found["late"].append(faults.late("WorkQueue"))
        found["kill"].append(faults.kill("Work"))
    return found


def test_the_same_seed_gives_the_same_sequences_and_another_seed_others() -> None:
    first, other = sequences(Faults(PLAN)), sequences(Faults(replace(PLAN, seed=8)))
    assert sequences(Faults(PLAN)) == first
    assert all(first[name] != other[name] for name in first)
    assert first["put"] != first["get"]


def test_a_streams_sequence_does_not_depend_on_what_happens_beside_it() -> None:
    alone = Faults(PLAN)
    assert [alone.late("WorkQueue") for _ in range(2000)] == sequences(Faults(PLAN))["late"]


def test_the_shares_are_those_of_the_plan() -> None:
    fates = Counter(call_fate(PLAN, "dynamodb", "PutItem", n) for n in MANY)
    shares = {fate: round(count / len(MANY), 2) for fate, count in fates.items()}
    assert shares == {None: 0.9, "error": 0.05, "throttle": 0.03, "lost_reply": 0.02}
    late = [seconds for n in MANY if (seconds := late_by(PLAN, "WorkQueue", n)) is not None]
    assert round(len(late) / len(MANY), 2) == 0.05
    assert 0 <= min(late) < max(late) <= 2
    killed = [seconds for n in MANY if (seconds := kill_after(PLAN, "Work", n)) is not None]
    assert round(len(killed) / len(MANY), 2) == 0.1
    assert 0.002 <= min(killed) < 0.01
    assert 0.3 < max(killed) <= 0.5


def test_nothing_befalls_what_the_plan_does_not_name() -> None:
    assert {call_fate(PLAN, "s3", "PUT", n) for n in MANY} == {None}
    assert {kill_after(PLAN, "Predict", n) for n in MANY} == {None}
    anyone = replace(PLAN, kills=Kills(1.0))
    assert None not in {kill_after(anyone, "Predict", n) for n in range(100)}


def test_what_happened_is_counted() -> None:
    faults = Faults(FaultPlan(3, {"s3": CallRates(throttles=1.0)}, duplicates=1.0))
    faults.call("s3", "PUT")
    faults.call("s3", "GET")
    faults.call("sqs", "SendMessage")
    faults.late("WorkQueue")
    assert faults.report() == {
        "plan": {
            "seed": 3,
            "calls": {"s3": {"errors": 0.0, "throttles": 1.0, "lost_replies": 0.0}},
            "duplicates": 1.0,
            "kills": {"share": 0.0, "functions": ()},
            "streams": {"failures": 0.0, "duplicates": 0.0},
        },
        "happened": {"s3.throttle": 2, "sqs.duplicate": 1},
    }
