"""A table's pointer: whole runs only, the newest by itself, any by hand, moved in one step."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from tests.kits.batch import BUCKET, Bench, csv_bytes, row

from quintet.batch.planning import TRIAL
from quintet.batch.plans import REPLAY_OF, Plan, RunPaths
from quintet.batch.reports import report_run
from quintet.batch.stores import MemoryConditionalObjects
from quintet.batch.tables import current_run, pointer_key, show_run, shows_itself
from quintet.errors import NotFound, Transient
from quintet.manifest import sha256

NOW = datetime(2026, 11, 21, tzinfo=UTC)
AT_DAY = "2026-11-{:02d}T08:00:00.000Z"


def finished(bench: Bench, name: str, day: int, partition: str | None = None) -> RunPaths:
    """A run that was started on a day of November, and has succeeded."""
    plan = bench.plan(f"tiny/{name}.csv", csv_bytes([row(number) for number in range(5)]))
    assert isinstance(plan, Plan)
    body = orjson.loads(bench.store.objects[plan.folder.plan])
    body |= {"started": AT_DAY.format(day), "partition": partition}
    bench.store.put(plan.folder.plan, orjson.dumps(body))
    bench.score(plan)
    report_run(plan.folder, store=bench.store, cells=bench.cells, clock=lambda: NOW)
    return plan.folder


def move(
    bench: Bench, cells: MemoryConditionalObjects, folder: RunPaths, **by: str
) -> dict[str, Any]:
    return show_run(folder, store=bench.store, cells=cells, clock=lambda: NOW, **by)


def test_a_run_that_succeeded_is_shown_with_its_manifest() -> None:
    bench, cells = Bench(), MemoryConditionalObjects()
    folder = finished(bench, "a", 1)
    pointer = move(bench, cells, folder)
    assert pointer == {
        "model": "tiny",
        "run": folder.run,
        "version": 3,
        "partition": None,
        "manifest": folder.manifest,
        "sha256": sha256(bench.store.objects[folder.manifest]),
        "scored": 5,
        "quarantined": 0,
        "started": AT_DAY.format(1),
        "moved": "2026-11-21T00:00:00.000+00:00",
        "by": "the run itself",
        "before": None,
        "newest": AT_DAY.format(1),
    }
    assert current_run("tiny", None, cells) == pointer
    assert list(cells.held) == ["tables/tiny/current.json"]


def test_a_late_old_run_does_not_replace_a_newer_one() -> None:
    bench, cells = Bench(), MemoryConditionalObjects()
    old, new = finished(bench, "old", 1), finished(bench, "new", 2)
    shown = move(bench, cells, new)
    assert move(bench, cells, old) == shown
    assert current_run("tiny", None, cells) == shown


def test_by_hand_an_older_run_is_shown_until_a_newer_one_succeeds() -> None:
    bench, cells = Bench(), MemoryConditionalObjects()
    first, late, bad = (finished(bench, name, day) for name, day in (("f", 1), ("l", 2), ("b", 3)))
    move(bench, cells, first)
    move(bench, cells, bad)
    back = move(bench, cells, first, by="ada")
    assert (back["run"], back["by"], back["before"]) == (first.run, "ada", bad.run)
    # neither a run that was late nor the same one reported again undoes it
    assert move(bench, cells, late) == move(bench, cells, bad) == back
    # by hand once more changes nothing
    assert move(bench, cells, first, by="bob") == back
    newer = finished(bench, "n", 4)
    assert move(bench, cells, newer)["run"] == newer.run


def test_a_partition_has_a_table_of_its_own() -> None:
    bench, cells = Bench(), MemoryConditionalObjects()
    whole = finished(bench, "whole", 1)
    january = finished(bench, "january", 3, "month=2026-01")
    for folder in (whole, january):
        move(bench, cells, folder)
    both = {
        partition: current_run("tiny", partition, cells) for partition in (None, "month=2026-01")
    }
    assert {name: found and found["run"] for name, found in both.items()} == {
        None: whole.run,
        "month=2026-01": january.run,
    }
    same = {
        pointer_key("tiny", p) for p in ("month=2026-01/country=de", "country=de/month=2026-01/")
    }
    assert same == {"tables/tiny/country=de/month=2026-01/current.json"}


def test_a_replay_of_refused_rows_does_not_show_itself() -> None:
    bench = Bench()
    whole = finished(bench, "whole", 1)
    key = f"tiny/replays/{whole.run}/replay-r-1.csv"
    bench.inbox.put(BUCKET, key, csv_bytes([row(1)]), {REPLAY_OF: whole.run})
    plan = bench.plan_many(key=key)
    bench.score(plan)
    report_run(plan.folder, store=bench.store, cells=bench.cells, clock=lambda: NOW)
    assert [shows_itself(folder, bench.store) for folder in (whole, plan.folder)] == [True, False]


def test_readers_do_not_see_a_trial_until_somebody_shows_it() -> None:
    bench, cells = Bench(), MemoryConditionalObjects()
    bench.inbox.put(BUCKET, "data/a.csv", csv_bytes([row(1)]))
    plan = bench.plan_many(prefix="data/", trial=True)
    bench.score(plan)
    report_run(plan.folder, store=bench.store, cells=bench.cells, clock=lambda: NOW)
    report = orjson.loads(bench.store.objects[plan.folder.report])
    assert (report["status"], report["notes"][-1]) == ("succeeded", TRIAL)
    assert not shows_itself(plan.folder, bench.store)
    assert move(bench, cells, plan.folder, by="ada")["run"] == plan.run


def test_a_run_that_is_not_whole_is_not_shown() -> None:
    bench, cells = Bench(), MemoryConditionalObjects()
    with pytest.raises(NotFound, match="expected a run of tiny that has succeeded, got never"):
        move(bench, cells, RunPaths("tiny", "never"))
    folder = finished(bench, "a", 1)
    (part,) = bench.store.keys(f"{folder.root}scores/")
    del bench.store.objects[part]
    with pytest.raises(NotFound, match=f"expected all files of {folder.run}, got no {part}"):
        move(bench, cells, folder, by="ada")
    assert cells.held == {}


class Busy(MemoryConditionalObjects):
    """Others write right before each of the next swaps."""

    def __init__(self, others: list[bytes]) -> None:
        super().__init__()
        self.others = others

    def swap(self, key: str, body: bytes, tag: str | None) -> bool:
        if self.others:
            self.held[key] = self.others.pop(0)
        return super().swap(key, body, tag)


def test_runs_that_end_at_once_leave_the_newest() -> None:
    bench = Bench()
    folder = finished(bench, "a", 2)

    def other(day: int) -> bytes:
        pointer = {"run": f"other-{day}", "newest": AT_DAY.format(day)}
        return orjson.dumps(pointer)

    after_older = move(bench, Busy([other(1)]), folder)
    assert (after_older["run"], after_older["before"]) == (folder.run, "other-1")
    assert move(bench, Busy([other(3)]), folder)["run"] == "other-3"
    with pytest.raises(Transient, match="moved by too many at once"):
        move(bench, Busy([b" " * n + other(1) for n in range(30)]), folder)
