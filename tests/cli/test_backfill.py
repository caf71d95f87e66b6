"""A backfill: which partitions, how many at once, and what a second one leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from quintet.batch.plans import RunPaths
from quintet.batch.starts import Started
from quintet.errors import BadInput, Conflict, NotFound
from quintet_cli.app import app
from quintet_cli.backfill import PartitionResult, backfill, partitions


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2026-01", "2026-03", ["month=2026-01", "month=2026-02", "month=2026-03"]),
        ("2025-12", "2026-01", ["month=2025-12", "month=2026-01"]),
        ("2026-02-27", "2026-03-01", ["date=2026-02-27", "date=2026-02-28", "date=2026-03-01"]),
        ("2024", "2026", ["year=2024", "year=2025", "year=2026"]),
        ("2026-06", "2026-06", ["month=2026-06"]),
    ],
)
def test_partitions_are_every_one_between_two(first: str, last: str, expected: list[str]) -> None:
    assert partitions(first, last) == expected


def test_a_decade_of_each_kind_has_no_gap_and_no_double() -> None:
    assert (
        len(set(partitions("2019-01", "2028-12"))) == len(partitions("2019-01", "2028-12")) == 120
    )
    assert len(partitions("2019-01-01", "2028-12-31")) == 3653
    assert len(partitions("1999", "2026")) == 28


def test_folders_may_have_another_name() -> None:
    assert partitions("2026-01-31", "2026-02-01", "dt") == ["dt=2026-01-31", "dt=2026-02-01"]


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        ("2026-03", "2026-01", "--to: expected 2026-03 or later"),
        ("2026-01", "2026-01-31", "--to: expected a time written like 2026-01"),
        ("2026-13", "2026-14", "--from: expected a time like"),
        ("202601", "202602", "--from: expected a time like"),
        ("2026-1-1", "2026-1-2", "--from: expected a time like"),
        ("2026-01", "June", "--to: expected a time like"),
        ("1900-01-01", "2026-01-01", "at most 10,000 partitions"),
    ],
)
def test_what_is_no_stretch_of_time_is_refused(first: str, last: str, text: str) -> None:
    with pytest.raises(BadInput, match=text):
        partitions(first, last)


class Desk:
    """Runs that end one look after they were started, as `ends` has it; by default well."""

    def __init__(self, ends: dict[str, list[str]] | None = None, missing: str = "") -> None:
        self.ends = ends or {}
        self.missing = missing
        self.known: dict[str, str] = {}
        self.done: list[str] = []
        self.most = 0

    def start(self, partition: str) -> Started:
        if partition == self.missing:
            raise BadInput.of("partition", f"files of {partition}", "none")
        folder = RunPaths("tiny", f"run-{partition}")
        if folder.run in self.known:
            return Started(folder, self.known[folder.run] == "running")
        self._run(folder, "start")
        return Started(folder, True)

    def redrive(self, folder: RunPaths) -> None:
        if self.known[folder.run] in ("running", "succeeded"):
            raise Conflict.of("run", "one that has ended", "one that is running")
        self._run(folder, "redrive")

    def _run(self, folder: RunPaths, how: str) -> None:
        self.known[folder.run] = "running"
        self.done.append(f"{how} {folder.run.removeprefix('run-')}")
        self.most = max(self.most, list(self.known.values()).count("running"))

    def show(self, folder: RunPaths) -> dict[str, Any]:
        return {
            "status": self.known[folder.run],
            "cause": "" if self.known[folder.run] == "succeeded" else "it broke",
            "counts": {"scored": 1000, "quarantined": 1},
        }

    def wait(self) -> None:
        """Let the run that was started first come to its end."""
        run = next(run for run, status in self.known.items() if status == "running")
        ends = self.ends.get(run.removeprefix("run-"))
        self.known[run] = ends.pop(0) if ends else "succeeded"


def run(desk: Desk, wanted: list[str], at_once: int = 2) -> list[PartitionResult]:
    return list(backfill(wanted, desk, at_once, desk.wait))


@pytest.mark.parametrize("at_once", [1, 2, 5, 100])
def test_so_many_runs_go_on_at_once_and_no_more(at_once: int) -> None:
    desk, wanted = Desk(), [f"month=2026-{n:02d}" for n in range(1, 13)]
    found = run(desk, wanted, at_once)
    assert [outcome.partition for outcome in found] == wanted
    assert {(o.status, o.detail) for o in found} == {("succeeded", "1,000 scored + 1 quarantined")}
    assert desk.most == min(at_once, 12)
    assert desk.done == [f"start {partition}" for partition in wanted]


def test_a_second_backfill_runs_only_what_is_missing() -> None:
    desk = Desk({"b": ["failed"], "d": ["stopped"]}, missing="c")
    first = run(desk, ["a", "b", "c", "d"])
    assert sorted((o.partition, o.status) for o in first) == [
        ("a", "succeeded"),
        ("b", "failed"),
        ("c", "not started"),
        ("d", "stopped"),
    ]
    desk.done.clear()
    desk.missing = ""  # its files have come
    second = run(desk, ["a", "b", "c", "d"])
    assert {o.status for o in second} == {"succeeded"}
    assert desk.done == ["redrive b", "start c", "redrive d"]
    desk.done.clear()
    assert run(desk, ["a", "b", "c", "d"]) == sorted(second)
    assert desk.done == []


def test_what_goes_on_already_is_waited_for() -> None:
    desk = Desk()
    desk.start("a")  # by a backfill that was interrupted
    assert [o.status for o in run(desk, ["a", "b"])] == ["succeeded", "succeeded"]
    assert desk.done == ["start a", "start b"]


def test_an_unknown_model_ends_it_at_once() -> None:
    class Nothing(Desk):
        def start(self, partition: str) -> Started:
            raise NotFound.of("model", "a published model", "none")

    with pytest.raises(NotFound):
        run(Nothing(), ["a", "b"])


@pytest.mark.parametrize(("words", "got"), [([], "none"), (["churn", "--model", "churn"], "two")])
def test_a_backfill_is_of_one_model(words: list[str], got: str) -> None:
    result = CliRunner().invoke(app, ["backfill", *words, "--from", "2026-01", "--to", "2026-02"])
    assert str(result.exception) == f"MODEL: expected one model, got {got}"
