"""The checker finds a planted anomaly of every kind, and none in a history that is as it must be.

In each history a server is killed at 100; what was answered before 95 is kept.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.histories.checker import RULES, check
from tests.histories.history import History, Operation, Recorder, read
from tests.histories.model_rules import expected
from tests.histories.recommended import users

KILL = 100.0
KEPT = 95.0
ROW = [3.0, 1.0]
RIGHT = list(expected((3.0, 1.0), 1))


def op(does: str, began: float, status: int | None = 200, **told: Any) -> Operation:
    return Operation(does, "ann", began, began + 0.1, status, told)


def submit(began: float, job: str = "j1", key: str = "k1") -> Operation:
    return op("submit", began, 202, key=key, job=job)


def look(began: float, state: str = "DONE", job: str = "j1", **told: Any) -> Operation:
    scored = {"row": ROW, "version": 1, "outputs": RIGHT} if state == "DONE" else {}
    return op("look", began, 200, job=job, state=state, **(scored | told))


def webhook(began: float, id: str = "w1", job: str = "j1", **told: Any) -> Operation:
    about = {"state": "DONE", "version": 1, "outputs": RIGHT, "verified": True, "body": "b"}
    return op("webhook", began, 204, id=id, job=job, **(about | told))


def late(signed: float) -> Operation:
    """A webhook that was signed before the kill and heard after it."""
    return replace(webhook(signed), ended=KILL + 2)


def publish(began: float, version: int = 1) -> Operation:
    return op("publish", began, model="m", version=version)


def withdraw(began: float, version: int = 1) -> Operation:
    return op("withdraw", began, model="m", version=version)


def promote(began: float, version: int = 2) -> Operation:
    return op("promote", began, model="m", version=version)


def change(does: str, began: float, version: int, status: int | None = 200) -> Operation:
    return op(does, began, status, model="m", version=version)


def ask(began: float, version: int = 1, pinned: int | None = None) -> Operation:
    outputs = list(expected((3.0, 1.0), version))
    about = {"model": "m", "pinned": pinned, "version": version}
    return op("ask", began, 200, **about, row=ROW, outputs=outputs)


def missing(began: float, pinned: int | None = 1) -> Operation:
    return op("ask", began, 404, model="m", pinned=pinned)


def see(began: float, run: str = "r1", by: str = "ann", **told: Any) -> Operation:
    about = {"run": run, "newest": f"2026-{run}", "scored": 5, "rows": 5, "missing": []}
    return replace(op("read_table", began, 200, **(about | told)), by=by)


def drop(began: float, run: str = "r1") -> Operation:
    return op("drop", began, run=run, rows=5)


def send(kind: str, began: float, *ids: str, status: int | None = 200) -> Operation:
    return op(f"send_{kind}", began, status, ids=ids)


def count(kind: str, **counts: int) -> Operation:
    return op(f"count_{kind}", 499, counts=counts)


def recommend(*items: int, step: str = "reranked", session: tuple[int, ...] = ()) -> Operation:
    return op("recommend", 1, user=USER, step=step, items=items, session=session)


def slow(began: float) -> Operation:
    return op("slow_beat", began, None)


def kill(began: float = KILL, kept: float = KEPT, freed: float = 0.0) -> Operation:
    return op("kill_server", began, None, kept=kept, freed=freed)


def counted(kind: str, *operations: Operation, **counts: int) -> list[Operation]:
    return [*operations, count(kind, **counts), FINISH]


FINISH = op("finish", 500, None)
USER = next(user for user in users() if user.isdigit())
FIRST, SECOND, *_ = users()[USER]

#: a rule, and a history that breaks it and no other
PLANTED: list[tuple[str, list[Operation]]] = [
    ("one job a key", [submit(1), submit(2, "j2")]),
    ("one job a key", [submit(1), kill(), submit(102, "j2")]),
    ("one job a key", [submit(1), submit(2, key="k2")]),
    ("no job is lost", [submit(1), op("look", 3, 404, job="j1", row=ROW)]),
    ("no job is lost", [submit(1), kill(), op("look", 103, 404, job="j1", row=ROW)]),
    ("results never change", [look(1), look(2, "FAILED")]),
    ("results never change", [look(1), look(2, "LEASED")]),
    ("results never change", [look(1), kill(), look(102, "ACCEPTED")]),
    ("results never change", [webhook(1, state="FAILED"), submit(0), look(2)]),
    ("every job ends", [kill(), submit(101), look(102, "LEASED"), webhook(103), FINISH]),
    ("every job ends", [submit(101), webhook(103), FINISH]),
    ("webhooks are signed", [submit(1), webhook(2, verified=False)]),
    ("webhooks are of jobs", [webhook(2)]),
    ("one webhook id a job", [submit(1), webhook(2), webhook(3, "w2")]),
    ("one webhook id a job", [submit(1), webhook(2), submit(1, "j2", "k2"), webhook(3, job="j2")]),
    ("a webhook repeats itself", [submit(1), webhook(2), webhook(3, body="other")]),
    ("every end is announced", [submit(1), look(2), FINISH]),
    ("answers are right", [look(1, outputs=[1.0, 2.0])]),
    ("answers are right", [look(1, version=2)]),
    ("valid requests are taken", [op("ask", 1, 400, model="m", pinned=None)]),
    ("valid requests are taken", [op("submit", 1, 500, key="k1")]),
    ("answers are understood", [op("broken", 1, None, problem="KeyError: 'id'")]),
    ("what was published is there", [publish(1), missing(12)]),
    ("what was published is there", [publish(1), kill(), missing(102)]),
    ("what was published is there", [publish(1), withdraw(14), missing(12)]),
    ("what was published is there", [publish(1), publish(50, 2), missing(55, None)]),
    ("a promoted version answers", [promote(1), ask(12)]),
    ("a promoted version answers", [promote(1), kill(), ask(112)]),
    ("what was rolled back is silent", [change("roll_back", 1, 2), ask(12, 2)]),
    ("what was withdrawn is silent", [withdraw(1), ask(12, pinned=1)]),
    ("what was withdrawn is silent", [withdraw(1), kill(), ask(112, pinned=1)]),
    ("the pointer is monotonic", [see(1, "r2"), see(2)]),
    ("the pointer is monotonic", [see(1, "r2"), kill(), see(102)]),
    ("readers see whole runs", [see(1, rows=4)]),
    ("readers see whole runs", [drop(1), see(5, scored=4, rows=4)]),
    ("readers see whole runs", [see(1, missing=["a.parquet"])]),
    ("every run ends", [kill(), drop(101), FINISH]),
    ("what was sent is there", counted("feedback", send("feedback", 1, "a", "b"), a=1)),
    ("what was sent is there", counted("labels", send("labels", 1, "a"), kill())),
    ("what was sent is there", counted("records", kill(), send("records", 101, "a"))),
    ("each counts once", counted("feedback", send("feedback", 1, "a"), a=2)),
    ("each counts once", counted("records", send("records", 1, "a"), a=2)),
    ("each counts once", counted("records", send("records", 1, "a"), kill(), a=2)),
    ("each counts once", counted("labels", send("labels", 1, "a"), kill(), a=2)),
    (
        "each counts once",
        counted("labels", send("labels", 1, "a"), kill(), send("labels", 101, "a"), a=2),
    ),
    ("nothing is made up", counted("labels", send("labels", 1, "a"), a=1, b=1)),
    ("a user is shown items, each once", [recommend(FIRST, FIRST)]),
    ("a user is shown items, each once", [recommend(step="popular")]),
    ("items are of the user's candidates", [recommend(FIRST, -1)]),
    ("items are of the user's candidates", [recommend(FIRST, SECOND, session=(SECOND,))]),
    ("a kill loses the last seconds", [kill(kept=60)]),
    ("what is kept stays", [kill(), kill(110, kept=94)]),
]

#: histories that are as they must be
GOOD: list[list[Operation]] = [
    [],
    [submit(1), submit(2), look(3, "LEASED"), look(4), look(5), webhook(4.5), webhook(9), FINISH],
    # what was answered after the snapshot may be gone
    [submit(96), look(98), webhook(99), kill(), op("look", 101, 404, job="j1"), submit(102, "j2")],
    [submit(1), look(98), webhook(98.5), kill(), look(103, "ACCEPTED"), FINISH],
    # and a webhook of it may be heard after the kill
    [submit(98), late(99), kill(), op("look", 103, 404, job="j1"), submit(104, "j2")],
    [submit(1), late(99), kill(), look(103, "ACCEPTED"), FINISH],
    [publish(96), kill(), missing(101)],
    [withdraw(96), kill(), ask(120, pinned=1)],
    [promote(96), kill(), ask(120)],
    # another server's webhook of the same end may have another time
    [submit(1), webhook(96), kill(), webhook(103, body="later"), look(104), FINISH],
    # a version may answer for some seconds after it was withdrawn, and is not found after that
    [publish(1), withdraw(2), ask(11, pinned=1), missing(13)],
    [publish(1), missing(10)],
    # nor is a route read while the store does not answer
    [publish(1), slow(5), missing(12)],
    [promote(1), ask(12), slow(12)],
    [withdraw(1), slow(11), ask(14, pinned=1)],
    [publish(1), op("withdraw", 2, None, model="m", version=1), missing(13)],
    [promote(1), ask(10), ask(20, 2), ask(21, 1, pinned=1)],
    # a version that was rolled back may come back, and the one before it answers again
    [change("roll_back", 1, 2), change("roll_out", 5, 2), ask(12, 2), ask(13, 2, pinned=2)],
    [promote(1), change("roll_back", 5, 2, status=None), ask(12, 1)],
    # a killed environment, an unanswered request
    [op("ask", 1, 502, model="m", pinned=None), op("submit", 1, None, key="k1"), submit(2)],
    [see(1), see(2, "r2"), see(3, by="bob"), kill(), see(101, "r2")],
    [see(96, "r2"), kill(), see(101), drop(102, "r3"), op("run_ended", 103, run="r3"), FINISH],
    [op("read_table", 1), drop(2), kill(), FINISH],
    # what was not acknowledged may count, and what came after the snapshot need not
    counted("feedback", send("feedback", 1, "a", status=None), send("feedback", 2, "b"), a=1, b=1),
    counted("labels", send("labels", 96, "a"), kill()),
    # a stream's records are not kept, but what was made of them is
    counted("records", send("records", 1, "a"), send("records", 2, "b"), kill(), a=1),
    # that a row's id was seen may be lost, but what was made of the row kept
    counted("records", send("records", 90, "a"), kill(), send("records", 101, "a"), a=2),
    [recommend(FIRST, SECOND), recommend(-1, step="popular"), recommend(FIRST, session=(SECOND,))],
    # nothing is kept while the disk is full
    [submit(90), kill(kept=40, freed=85), submit(101, "j2")],
]


@pytest.mark.parametrize(("rule", "operations"), PLANTED)
def test_a_planted_anomaly_is_found(rule: str, operations: list[Operation]) -> None:
    assert {one.rule for one in check(operations)} == {rule}


@pytest.mark.parametrize("operations", GOOD)
def test_a_good_history_has_none(operations: list[Operation]) -> None:
    assert check(operations) == []


def test_every_kind_of_anomaly_is_planted() -> None:
    def names(rule: Callable[[History], Any]) -> list[str]:
        return re.findall(r'Anomaly\(\s*"([^"]+)"', inspect.getsource(rule))

    assert {name for rule in RULES for name in names(rule)} == {rule for rule, _ in PLANTED}


def test_a_history_is_read_as_it_was_recorded(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "history.jsonl")
    for one in (submit(1), look(2), kill()):
        recorder.add(one)
    recorder.close()
    assert read(tmp_path / "history.jsonl") == recorder.operations == [submit(1), look(2), kill()]
