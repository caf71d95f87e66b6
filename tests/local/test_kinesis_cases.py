"""What Lambda does with a stream, case by case, each with the page of AWS that says so.

The pure machine runs on a virtual clock: what it calls, gives up and waits for is written down
as text. `abc` is a call with these records (each is one letter), `0{ab}c` one in the window that
begins at 0 with `ab` in its state, `0{ab}final` and `0{ab}early` end a window, `-c` gives up.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from quintet_local.sources.kinesis import (
    Call,
    Discard,
    Finished,
    Lane,
    Record,
    Wait,
    answered,
    decide,
    gathered,
    lane_of,
    not_called,
    room,
)
from quintet_local.sources.kinesis_answers import Answer
from quintet_local.sources.kinesis_config import Config, Position, Refused
from quintet_local.sources.kinesis_shards import Shard, Shards, listed

GUIDE = "https://docs.aws.amazon.com/lambda/latest/dg/"
STREAMS = f"{GUIDE}with-kinesis.html"
ERRORS = f"{GUIDE}kinesis-on-failure-destination.html"
PARTIAL = f"{GUIDE}services-kinesis-batchfailurereporting.html"
WINDOWS = f"{GUIDE}services-kinesis-windows.html"
WINDOW_FLAGS = "https://docs.rs/aws_lambda_events/latest/aws_lambda_events/time_window/"
#: what LocalStack has recorded from AWS itself
RECORDED = "https://github.com/localstack/localstack/tree/main/tests/aws/services/lambda_"
MAPPING = "https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html"
QUOTAS = f"{GUIDE}gettingstarted-limits.html"
RESHARDING = (
    "https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html"
)

#: None: the function could not be called
Function = Callable[[Call, int], Answer | None]
TICK = 0.25


def record(letter: str, arrived: float = 0.0, size: int = 1) -> Record:
    return Record(str(1000 + ord(letter)), letter, letter.encode() * size, arrived)


def letters(records: tuple[Record, ...]) -> str:
    return "".join(r.partition_key for r in records)


# functions


def good(call: Call, _: int) -> Answer:
    state = call.window.state if call.window else {}
    seen = state.get("seen", "") + letters(call.records)
    return Answer(json.dumps({"state": {"seen": seen}}).encode())


def poison(letter: str) -> Function:
    """Raises whenever it gets that record."""
    return lambda call, n: ERROR if letter in letters(call.records) else good(call, n)


def fails(times: int) -> Function:
    """Raises in its first calls."""
    return lambda call, n: ERROR if n < times else good(call, n)


def reports(*lists: str) -> Function:
    """Reports these records in its first calls, if it got them, with the state of what was done."""

    def function(call: Call, n: int) -> Answer:
        failed = [c for c in (lists[n] if n < len(lists) else "") if c in letters(call.records)]
        names = [{"itemIdentifier": str(1000 + ord(c))} for c in failed]
        done = letters(call.records).partition(min(failed, default="~"))[0]
        state = call.window.state if call.window else {}
        answer = {"batchItemFailures": names, "state": {"seen": state.get("seen", "") + done}}
        return Answer(json.dumps(answer).encode())

    return function


def answers(*payloads: str) -> Function:
    """Answers with these, then well."""

    def function(call: Call, n: int) -> Answer:
        return Answer(payloads[n].encode()) if n < len(payloads) else good(call, n)

    return function


def throttled(times: int) -> Function:
    return lambda call, n: None if n < times else good(call, n)


ERROR = Answer(b'{"errorMessage": "x"}', error=True)


def run(
    config: Config, records: list[Record], function: Function, closes: float | None, until: float
) -> list[str]:
    """What the machine did; the records are read when they arrive, the clock ticks."""
    lane, trace, calls, now = Lane(), [], 0, 0.0
    left = list(records)
    while now <= until:
        new: list[Record] = []
        while left and left[0].arrived <= now and len(new) < room(config, lane):
            new.append(left.pop(0))
        caught_up = not left or left[0].arrived > now
        ended = closes is not None and now >= closes and not left
        lane = gathered(lane, tuple(new), now, now if caught_up else 0.0, ended)
        lane, action = decide(config, lane, now)
        if isinstance(action, Call):
            trace.append(said(action))
            answer = function(action, calls)
            calls += 1
            if answer is None:
                lane = not_called(config, lane, action, now)
            else:
                lane = answered(config, lane, action, answer, now)
        elif isinstance(action, Discard):
            trace.append(f"-{letters(action.records)} {action.condition}")
        elif isinstance(action, Finished):
            return [*trace, "finished"]
        else:
            assert isinstance(action, Wait)
            now += TICK
    return trace


def said(call: Call) -> str:
    window = call.window
    if window is None:
        return letters(call.records)
    what = letters(call.records)
    if call.final:
        what = "early" if window.early else "final"
    return f"{window.start}{{{window.state.get('seen', '')}}}{what}"


@dataclass(frozen=True)
class Case:
    name: str
    source: str
    records: list[Record]
    expected: list[str]
    config: dict[str, Any] = field(default_factory=dict)
    function: Function = good
    closes: float | None = None
    until: float = 60.0


ABCD = [record(letter) for letter in "abcd"]
LATER = [record("a"), record("b"), record("c", 10), record("d", 12)]
MEGABYTE = 1024 * 1024
RETRIES = "RetryAttemptsExhausted"
AGE = "RecordAgeExceeded"

CASES = [
    Case("records are handed over as soon as they are there", STREAMS, LATER, ["ab", "c", "d"]),
    Case("a batch has at most BatchSize", STREAMS, ABCD, ["abc", "d"], {"batch_size": 3}),
    Case(
        "the batching window gathers, from the first record on",
        STREAMS,
        LATER,
        ["ab", "cd"],
        {"batch_window": 5},
    ),
    Case(
        "a full batch does not wait for its batching window",
        STREAMS,
        ABCD,
        ["ab", "cd"],
        {"batch_window": 300, "batch_size": 2},
        until=1,
    ),
    Case(
        "a call takes 6 MB",
        QUOTAS,
        [record(letter, size=MEGABYTE) for letter in "abcdef"],
        ["abcd", "ef"],
    ),
    Case(
        "an error is tried again with the same batch, and what follows waits",
        ERRORS,
        LATER,
        ["ab", "ab", "ab", "c", "d"],
        function=fails(2),
    ),
    Case(
        "after MaximumRetryAttempts the batch is given up, and the shard goes on",
        ERRORS,
        LATER,
        ["ab", "ab", "ab", f"-ab {RETRIES}", "c", "d"],
        {"retries": 2},
        poison("b"),
    ),
    Case(
        "no retries: once",
        MAPPING,
        LATER,
        ["ab", f"-ab {RETRIES}", "c", "d"],
        {"retries": 0},
        poison("b"),
    ),
    Case(
        "without an end, a record blocks its shard",
        ERRORS,
        [record("a"), record("b", 1)],
        ["a"] * 7,
        {"retries": -1, "backoff": (1.0, 8.0)},
        poison("a"),
        until=32,
    ),
    Case(
        "an error bisects, which is no retry",
        ERRORS,
        ABCD,
        ["abcd", "ab", "cd", "c", "c", f"-c {RETRIES}", "d"],
        {"bisect": True, "retries": 1},
        poison("c"),
    ),
    Case(
        "bisecting goes on with the halves that are left",
        ERRORS,
        ABCD,
        ["abcd", "ab", "a", f"-a {RETRIES}", "b", "cd"],
        {"bisect": True, "retries": 0},
        poison("a"),
    ),
    Case(
        "records that are too old are not sent, the others are",
        ERRORS,
        [record("a"), record("b", 3), record("c", 3)],
        ["a", "a", f"-a {AGE}", "bc"],
        {"max_age": 2, "backoff": (2.0, 4.0)},
        poison("a"),
    ),
    Case(
        "a batch in which records grow old loses these alone",
        RECORDED,
        [record("a"), record("b", 3)],
        ["ab", f"-a {AGE}", "b"],
        {"max_age": 4, "batch_window": 4, "backoff": (2.0, 2.0)},
        poison("a"),
    ),
    Case(
        "a throttle is no retry",
        ERRORS,
        ABCD,
        ["abcd"] * 4,
        {"retries": 0},
        throttled(3),
    ),
    Case(
        "a throttle goes on until the records are too old",
        ERRORS,
        [record("a"), record("b", 10)],
        ["a", "a", "a", f"-a {AGE}", "b"],
        {"max_age": 5, "retries": 0},
        throttled(3),
    ),
    Case(
        "the lowest reported failure is the checkpoint",
        PARTIAL,
        ABCD,
        ["abcd", "bcd"],
        {"partial": True},
        reports("db"),
    ),
    Case(
        "from the checkpoint on, retries are counted anew",
        RECORDED,
        ABCD,
        ["abcd", "cd", "cd", f"-cd {RETRIES}"],
        {"partial": True, "retries": 1},
        reports("c", "c", "c"),
    ),
    Case(
        "the shard goes on after what is given up from the checkpoint on",
        RECORDED,
        LATER,
        ["ab", "b", "b", f"-b {RETRIES}", "c", "d"],
        {"partial": True, "retries": 1},
        reports("b", "b", "b"),
    ),
    Case(
        "bisected at the returned sequence number, only the remaining records are tried again",
        PARTIAL,
        ABCD,
        ["abcd", "bcd", "cd", "d", "d", f"-d {RETRIES}"],
        {"partial": True, "bisect": True, "retries": 1},
        reports("b", "c", "d", "d", "d"),
    ),
    Case(
        "an error is bisected, whatever can be reported",
        PARTIAL,
        ABCD,
        ["abcd", "ab", "cd"],
        {"partial": True, "bisect": True},
        fails(1),
    ),
    Case(
        "what is reported counts only with ReportBatchItemFailures",
        PARTIAL,
        ABCD,
        ["abcd"],
        {},
        reports("b"),
    ),
    Case(
        "a window's state goes from call to call, and is dropped after the last",
        WINDOWS,
        [record("a"), record("b", 2), record("c", 11)],
        ["0{}a", "0{a}b", "0{ab}final", "10{}c", "10{c}final"],
        {"window": 10},
    ),
    Case(
        "a batch is of one window",
        WINDOWS,
        [record("a", 9), record("b", 9.5), record("c", 10), record("d", 20)],
        ["0{}ab", "0{ab}final", "10{}c", "10{c}final", "20{}d", "20{d}final"],
        {"window": 10, "batch_window": 5},
    ),
    Case(
        "a window without records has no calls",
        WINDOWS,
        [record("a"), record("b", 35)],
        ["0{}a", "0{a}final", "30{}b", "30{b}final"],
        {"window": 10},
    ),
    Case(
        "a batch is not held back past the end of its window",
        WINDOWS,
        [record("a", 9)],
        ["0{}a", "0{a}final"],
        {"window": 10, "batch_window": 300},
        until=11,
    ),
    Case(
        "an answer without state is a failure",
        WINDOWS,
        [record("a")],
        ["0{}a", "0{}a", "0{}a", "0{a}final"],
        {"window": 10},
        answers("{}", '{"state": null}'),
    ),
    Case(
        "so is one that is no JSON, where nothing can be reported",
        WINDOWS,
        [record("a")],
        ["0{}a", "0{}a", "0{a}final"],
        {"window": 10},
        answers("text"),
    ),
    Case(
        "the call that ends a window needs a state, too",
        WINDOWS,
        [record("a")],
        ["0{}a", "0{a}final", "0{a}final"],
        {"window": 10},
        answers('{"state": {"seen": "a"}}', "null"),
    ),
    Case(
        "more than 1 MB of state ends the window early, which goes on with a fresh one",
        WINDOW_FLAGS,
        [record("a"), record("b", 1)],
        ["0{}a", f"0{{{'x' * MEGABYTE}}}early", "0{}b", "0{b}final"],
        {"window": 10},
        answers(json.dumps({"state": {"seen": "x" * MEGABYTE}})),
    ),
    Case(
        "what a batch has left after that is in the same window",
        WINDOW_FLAGS,
        [record("a"), record("b")],
        ["0{}ab", f"0{{{'x' * MEGABYTE}}}early", "0{}b", "0{b}final"],
        {"window": 10, "partial": True},
        answers(
            json.dumps(
                {
                    "state": {"seen": "x" * MEGABYTE},
                    "batchItemFailures": [{"itemIdentifier": record("b").sequence}],
                }
            )
        ),
    ),
    Case(
        "a last call that fails suspends the shard until it succeeds, whatever the retries",
        WINDOWS,
        [record("a"), record("b", 11)],
        ["0{}a", "0{a}final", "0{a}final", "0{a}final", "10{}b", "10{b}final"],
        {"window": 10, "retries": 0, "backoff": (1.0, 8.0)},
        lambda call, n: ERROR if 1 <= n <= 2 else good(call, n),
    ),
    Case(
        "so does one that is throttled",
        WINDOWS,
        [record("a")],
        ["0{}a", "0{a}final", "0{a}final"],
        {"window": 10},
        lambda call, n: None if n == 1 else good(call, n),
    ),
    Case(
        "windows honour MaximumRetryAttempts: what is given up leaves the state as it was",
        WINDOWS,
        [record("a"), record("b", 1), record("c", 2)],
        ["0{}a", "0{a}b", "0{a}b", f"-b {RETRIES}", "0{a}c", "0{ac}final"],
        {"window": 10, "retries": 1},
        poison("b"),
    ),
    Case(
        "windows honour MaximumRecordAgeInSeconds",
        WINDOWS,
        [record("a"), record("b", 5)],
        ["0{}a", "0{}a", f"-a {AGE}", "0{}b", "0{b}final"],
        {"window": 10, "max_age": 3, "backoff": (2.0, 2.0)},
        poison("a"),
    ),
    Case(
        "the state that comes with reported failures is the next call's",
        WINDOWS,
        [record("a"), record("b"), record("c")],
        ["0{}abc", "0{ab}c", "0{abc}final"],
        {"window": 10, "partial": True},
        lambda call, n: reports("c")(call, n) if n == 0 else good(call, n),
    ),
    Case(
        "the end of a shard ends its window",
        WINDOWS,
        [record("a"), record("b", 2)],
        ["0{}a", "0{a}b", "0{ab}final", "finished"],
        {"window": 10},
        closes=3,
        until=5,
    ),
    Case(
        "the end of a shard ends a batching window",
        RESHARDING,
        ABCD,
        ["abcd", "finished"],
        {"batch_window": 300},
        closes=1,
        until=5,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_what_lambda_does_with_a_shard(case: Case) -> None:
    assert case.source.startswith("https://")
    config = Config(**case.config)
    assert run(config, case.records, case.function, case.closes, case.until) == case.expected


@pytest.mark.parametrize(
    ("payload", "calls"),
    [
        # complete success
        ("null", ["ab"]),
        ('""', ["ab"]),
        ("[]", ["ab"]),
        ("{}", ["ab"]),
        ("", ["ab"]),
        ('{"batchItemFailures": []}', ["ab"]),
        ('{"batchItemFailures": null}', ["ab"]),
        ('{"statusCode": 200}', ["ab"]),
        # partial
        ('{"batchItemFailures": [{"itemIdentifier": "1098"}]}', ["ab", "b"]),
        (
            '{"batchItemFailures": [{"itemIdentifier": "1098"}, {"itemIdentifier": "1097"}]}',
            ["ab"] * 2,
        ),
        # complete failure
        ("not json", ["ab", "ab"]),
        ('"text"', ["ab", "ab"]),
        ("7", ["ab", "ab"]),
        ('{"batchItemFailures": "1098"}', ["ab", "ab"]),
        ('{"batchItemFailures": 7}', ["ab", "ab"]),
        ('{"batchItemFailures": [{"itemIdentifier": ""}]}', ["ab", "ab"]),
        ('{"batchItemFailures": [{"itemIdentifier": null}]}', ["ab", "ab"]),
        ('{"batchItemFailures": [{"itemIdentifier": 1098}]}', ["ab", "ab"]),
        ('{"batchItemFailures": [{"messageId": "1098"}]}', ["ab", "ab"]),
        ('{"batchItemFailures": ["1098"]}', ["ab", "ab"]),
        (
            '{"batchItemFailures": [{"itemIdentifier": "1098"}, {"itemIdentifier": "9"}]}',
            ["ab"] * 2,
        ),
    ],
)
def test_what_an_answer_means(payload: str, calls: list[str]) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html"""
    config = Config(partial=True)
    assert run(config, ABCD[:2], answers(payload), None, 10) == calls


def test_a_lane_reads_one_batch_ahead() -> None:
    config = Config(batch_size=2)
    lane, action = decide(config, gathered(Lane(), tuple(ABCD[:2]), 0), 0)
    assert isinstance(action, Call)
    assert room(config, lane) == 2
    lane = gathered(lane, tuple(ABCD[2:]), 0)
    assert room(config, lane) == 0
    large = gathered(lane, tuple(record(c, size=MEGABYTE) for c in "efghi"), 0)
    assert room(Config(batch_size=10_000), large) == 0


def test_with_a_parallelization_factor_a_key_keeps_its_lane_and_order() -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html"""
    config = Config(parallel=3)
    lanes = {key: lane_of(config, key) for key in map(str, range(60))}
    assert set(lanes.values()) == {0, 1, 2}
    assert lanes == {key: lane_of(config, key) for key in lanes}
    assert {lane_of(Config(), key) for key in lanes} == {0}


GIVEN = {
    "BatchSize": 500,
    "BisectBatchOnFunctionError": True,
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
    "MaximumBatchingWindowInSeconds": 2,
    "MaximumRecordAgeInSeconds": 3600,
    "MaximumRetryAttempts": 5,
    "TumblingWindowInSeconds": 30,
}


def test_the_mapping_is_read_as_cloudformation_has_it() -> None:
    assert Config.of(GIVEN) == Config(500, 2.0, 1, True, True, 5, 3600.0, 30)
    assert Config.of({}) == Config()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"ParallelizationFactor": 2}, "must be 1 with TumblingWindowInSeconds"),
        ({"ParallelizationFactor": 11}, "11 is not from 1 to 10"),
        ({"BatchSize": 10_001}, "10001 is not from 1 to 10000"),
        ({"BatchSize": 0}, "0 is not from 1 to 10000"),
        ({"MaximumBatchingWindowInSeconds": 301}, "301 is not from 0 to 300"),
        ({"MaximumRetryAttempts": -2}, "-2 is not from -1 to 10000"),
        ({"MaximumRecordAgeInSeconds": 59}, "59 is neither -1 nor 60 on"),
        ({"TumblingWindowInSeconds": 901}, "901 is not from 0 to 900"),
    ],
)
def test_what_lambda_refuses(change: dict[str, Any], text: str) -> None:
    """https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html"""
    with pytest.raises(Refused, match=text):
        Config.of({**GIVEN, **change})


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({}, "StartingPosition: must be"),
        ({"StartingPosition": "AFTER"}, "StartingPosition: must be"),
        ({"StartingPosition": "AT_TIMESTAMP"}, "StartingPositionTimestamp: missing"),
    ],
)
def test_a_position_is_needed(properties: dict[str, Any], text: str) -> None:
    with pytest.raises(Refused, match=text):
        Position.of(properties)


# shards, by https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html

LATEST, HORIZON, STAMP = Position("LATEST"), Position(), Position("AT_TIMESTAMP", 7.0)
SPLIT = [Shard("0", closed=True), Shard("1"), Shard("2", ("0",)), Shard("3", ("0",))]
MERGED = [Shard("0", closed=True), Shard("1", closed=True), Shard("2", ("0", "1"))]


def test_children_are_read_after_their_parent() -> None:
    shards, ready = listed(Shards(HORIZON), SPLIT)
    assert ready == {"0": HORIZON, "1": HORIZON}
    shards, ready = listed(shards, SPLIT)
    assert ready == {}
    shards, ready = listed(shards.finished("0"), SPLIT)
    assert ready == {"2": HORIZON, "3": HORIZON}
    assert listed(shards, SPLIT)[1] == {}


def test_the_child_of_a_merge_is_read_after_both_parents() -> None:
    shards, ready = listed(Shards(HORIZON), MERGED)
    assert set(ready) == {"0", "1"}
    shards, ready = listed(shards.finished("1"), MERGED)
    assert ready == {}
    assert listed(shards.finished("0"), MERGED)[1] == {"2": HORIZON}


def test_a_parent_that_is_gone_holds_nothing_up() -> None:
    assert listed(Shards(HORIZON), [Shard("2", ("0", "1"))])[1] == {"2": HORIZON}


def test_latest_begins_with_the_open_shards_and_reads_later_ones_whole() -> None:
    shards, ready = listed(Shards(LATEST), SPLIT)
    assert ready == {"1": LATEST, "2": LATEST, "3": LATEST}
    later = [*SPLIT[:1], Shard("1", closed=True), *SPLIT[2:], Shard("4", ("1",))]
    shards, ready = listed(shards, later)
    assert ready == {}
    assert listed(shards.finished("1"), later)[1] == {"4": HORIZON}


def test_a_timestamp_is_for_every_shard() -> None:
    shards, ready = listed(Shards(STAMP), SPLIT)
    assert ready == {"0": STAMP, "1": STAMP}
    assert listed(shards.finished("0"), SPLIT)[1] == {"2": STAMP, "3": STAMP}
