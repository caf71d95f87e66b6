"""What `quintet stream` shows: rows past the threshold, refusals, windows, new objects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rich.console import Console
from tests.kits.packages import contract

from quintet.contract import AlertRule, Contract, Output, Scalar
from quintet.streaming.parts import Counters
from quintet.streaming.windows import Window
from quintet_cli.stream_reader import Cursor, Scored
from quintet_cli.stream_tail import Refused, past
from quintet_cli.views.stream import refused_lines, scored_lines, window_line, window_table

HOUR = 1_795_485_600.0  # 2026-11-24 02:00:00 UTC


def watched(**rule: Any) -> Contract:
    """A contract with probabilities of two classes, and an alert."""
    output = Output(
        name="p", dtype="float32", shape=(-1, 2), meaning="probabilities", classes=("no", "yes")
    )
    return replace(contract(), outputs=(output,), alert=AlertRule(output="p", **rule))


def scored(*chances: float) -> Scored:
    columns: dict[str, list[Any]] = {
        "sequence": [str(n) for n in range(len(chances))],
        "row": [0] * len(chances),
        "arrived": [HOUR + n for n in range(len(chances))],
        "p_no": [1 - chance for chance in chances],
        "p_yes": list(chances),
        "model_version": [3] * len(chances),
    }
    return Scored("predictions/small/...", "small", columns)


def plain(*lines: str) -> list[str]:
    """Lines as a terminal without colours shows them."""
    console = Console(width=200, color_system=None, highlight=False)
    with console.capture() as shown:
        for line in lines:
            console.print(line, soft_wrap=True)
    return shown.get().splitlines()


def test_the_last_column_of_an_output_is_what_an_alert_is_about() -> None:
    assert past(watched(above=0.75), scored(0.9, 0.75, 0.1, 0.8)) == [0, 3]
    assert past(watched(below=0.5), scored(0.9, 0.1)) == [1]
    # 0.1 of float32 is not above 0.1
    assert past(watched(above=0.1), scored(0.10000000149011612)) == []
    assert past(contract(), scored(0.9)) == []


def test_rows_past_the_threshold_are_among_those_that_are_shown() -> None:
    batch = scored(0.25, 0.25, 0.25, 0.75)
    assert plain(*scored_lines(batch, watched(above=0.5), 2)) == [
        "02:00:00  small v3  p_no 0.75  p_yes 0.25",
        "02:00:03  small v3  p_no 0.25  p_yes 0.75",
        "          small  and 2 more rows",
    ]


def test_a_refusal_is_a_line_with_its_first_reason() -> None:
    reason = {"field": "a", "expected": "a number", "got": "'[red]'"}
    line = {"model": None, "arrived": HOUR, "reasons": [reason, reason]}
    assert plain(*refused_lines(Refused("key", [line, line]), 1)) == [
        "02:00:00  no model  refused  a: expected a number, got '[red]'",
        "          and 1 more refused",
    ]


def test_a_window_is_a_line_and_a_table() -> None:
    entities: dict[str, dict[str, Scalar]] = {
        "[s1]": {"heard": 2, "top": 1.23456},
        "s2": {"heard": 1, "top": 3.0},
    }
    counters = Counters(records=3, late=1)
    window = Window("small", HOUR, 60.0, entities, counters, 2)
    assert plain(window_line(window)) == [
        "          small  window  2026-11-24 02:00:00Z + 60 s: "
        "3 records, 2 entities, 1 late, 2 parts"
    ]
    console = Console(width=80, color_system=None)
    with console.capture() as shown:
        console.print(window_table(window, None, 1))
        console.print(window_table(window, "s2", 9))
    words = [line.split() for line in shown.get().splitlines()]
    assert words == [
        ["heard", "top"],
        ["[s1]", "2", "1.235"],
        ["and", "1", "more"],
        ["heard", "top"],
        ["s2", "1", "3"],
    ]


class Keys:
    """Keys of a bucket, and those who asked for them."""

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.after: list[str] = []

    def keys(self, prefix: str, after: str = "") -> list[str]:
        self.after.append(after)
        return [key for key in sorted(self.stored) if key.startswith(prefix) and key > after]


def test_a_shards_objects_are_seen_once_and_over_the_end_of_an_hour() -> None:
    bucket = Keys()
    cursor = Cursor(bucket.keys, "predictions/small/", "events.shard-1-")
    hour = "predictions/small/date=2026-11-24/hour="
    first, second = f"{hour}01/events.shard-1-5.parquet", f"{hour}02/events.shard-1-6.parquet"
    bucket.stored = [first, f"{hour}01/events.shard-2-5.parquet"]
    assert cursor.new(HOUR - 1) == [first]
    bucket.stored.append(second)
    assert cursor.new(HOUR + 1) == [second]
    assert cursor.new(HOUR + 2) == []
    assert cursor.new(HOUR + 1000) == []
    assert bucket.after[-1] == second
