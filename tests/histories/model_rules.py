"""The rules of versions and their answers, and of what a kill may lose."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from tests.histories.history import BOUND, Anomaly, History, Operation

__all__ = ["LOST_SECONDS", "RULES", "expected"]

#: what docs/local-aws.md states: a kill of the server loses no more since its disk was full
LOST_SECONDS = 30.0
#: float32 has seven digits
TOLERANCE = 1e-5
#: the status of an answer when an environment was killed, or a store did not answer
TRY_AGAIN = (429, 502, 503, 504)


def expected(row: tuple[float, float], version: int) -> tuple[float, float]:
    """What a version of the models of histories answers."""
    x, y = row
    return math.log(version * (x + y)), math.log(version * (x - y))


def answers_are_right(history: History) -> Iterator[Anomaly]:
    """Whatever scored a row, the outputs are those of the version that it names."""
    for one in history.operations:
        for row, version, outputs in _scored(one):
            right = expected((row[0], row[1]), version)
            if not all(map(_close, outputs, right)):
                text = f"{one.does}: version {version} answered {outputs} to {row}"
                yield Anomaly("answers are right", text)


def valid_requests_are_taken(history: History) -> Iterator[Anomaly]:
    """No valid request is refused, but where a version was withdrawn or a server lost it."""
    for one in history.operations:
        fine = one.status is None or one.status < 400 or one.status in TRY_AGAIN
        if not fine and one.status != 404:  # which `published` and the rules of jobs judge
            yield Anomaly("valid requests are taken", f"{one.does} was answered {one.status}")


def answers_are_understood(history: History) -> Iterator[Anomaly]:
    """Clients can read every answer."""
    for one in history.of("broken"):
        yield Anomaly("answers are understood", f"{one.by}: {one.told['problem']}")


def published_is_there(history: History) -> Iterator[Anomaly]:
    """What was published answers, also after a restart, until it is withdrawn."""
    published = [one for one in history.of("publish") if one.status == 200]
    for one in history.of("ask"):
        if one.status != 404:
            continue
        version, text = one.told["pinned"], f"version {one.told['pinned']} of {one.told['model']}"
        made = [
            other
            for other in published
            if other.told["model"] == one.told["model"]
            and version in (None, other.told["version"])
            and one.began - other.ended > BOUND
            and history.holds(other, one)
        ]
        if made and history.calm(one) and not _ending(history, one):
            yield Anomaly("what was published is there", f"{text} is not found")


def _ending(history: History, ask: Operation) -> bool:
    """Whether somebody withdraws what is asked for, or has done so."""
    model, version = ask.told["model"], ask.told["pinned"]
    return any(
        (one.told["model"], one.told["version"]) == (model, version) and one.began < ask.ended
        for one in history.of("withdraw")
    )


def promoted_answers(history: History) -> Iterator[Anomaly]:
    """Some seconds after a version was made live, none before it answers unasked."""
    for live, answer in _answers_after(history, "promote"):
        older = answer.told["version"] < live.told["version"]
        if older and _unasked(answer) and not _attempted(history, live, answer, "roll_back"):
            text = (
                f"version {answer.told['version']} answered {_late(live, answer)} after "
                f"{live.told['version']} was made live"
            )
            yield Anomaly("a promoted version answers", text)


def rolled_back_is_silent(history: History) -> Iterator[Anomaly]:
    """Some seconds after a version was rolled back, it answers nobody who does not name it."""
    for back, answer in _answers_after(history, "roll_back"):
        same = back.told["version"] == answer.told["version"]
        again = same and _attempted(history, back, answer, "roll_out", "promote")
        if same and _unasked(answer) and not again:
            text = f"version {back.told['version']} answered {_late(back, answer)} later"
            yield Anomaly("what was rolled back is silent", text)


def withdrawn_is_silent(history: History) -> Iterator[Anomaly]:
    """No version answers what was asked some seconds after it was withdrawn."""
    for gone, answer in _answers_after(history, "withdraw"):
        if gone.told["version"] == answer.told["version"]:
            late = _late(gone, answer)
            text = f"version {gone.told['version']} answered {late} after its withdrawal"
            yield Anomaly("what was withdrawn is silent", text)


def _answers_after(history: History, kind: str) -> Iterator[tuple[Operation, Operation]]:
    """Changes of a kind that succeeded, each with the answers to what was asked so long after it
    that the change must show.
    """
    done = [one for one in history.of(kind) if one.status == 200]
    for answer in history.of("ask"):
        if answer.status != 200 or not history.calm(answer):
            continue
        for change in done:
            if answer.began - change.ended > BOUND and history.holds(change, answer):
                yield change, answer


def _unasked(answer: Operation) -> bool:
    """Whether the request named no version."""
    return answer.told["pinned"] is None


def _late(change: Operation, answer: Operation) -> str:
    return f"{answer.began - change.ended:.1f} s"


def _attempted(history: History, after: Operation, before: Operation, *kinds: str) -> bool:
    """Whether the version of one operation was changed so between it and another's end."""
    return any(
        one.told["version"] == after.told["version"] and after.began < one.began < before.ended
        for one in history.of(*kinds)
    )


def little_is_lost(history: History) -> Iterator[Anomaly]:
    """A kill loses the last seconds, no more, and never what was kept before."""
    for kill in history.kills:
        lost = kill.began - max(kill.told["kept"], kill.told["freed"])
        if lost > LOST_SECONDS:
            yield Anomaly("a kill loses the last seconds", f"one lost {lost:.1f} s")
    for earlier, later in pairwise(history.kills):
        if later.told["kept"] < earlier.told["kept"]:
            yield Anomaly("what is kept stays", "a later kill went back behind an earlier one")


def _scored(one: Operation) -> Iterator[tuple[list[float], int, list[float]]]:
    if one.told.get("outputs") is not None and "row" in one.told:
        yield one.told["row"], one.told["version"], one.told["outputs"]


def _close(got: float, right: float) -> bool:
    return math.isclose(got, right, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


RULES = (
    answers_are_right,
    valid_requests_are_taken,
    answers_are_understood,
    published_is_there,
    promoted_answers,
    rolled_back_is_silent,
    withdrawn_is_silent,
    little_is_lost,
)
