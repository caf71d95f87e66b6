"""The rules of jobs: one job a key, one end a job, one webhook id a job."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from tests.histories.history import Anomaly, History, Operation

__all__ = ["RULES"]

SETTLED = ("DONE", "FAILED", "EXPIRED", "CANCELLED")


def one_job_a_key(history: History) -> Iterator[Anomaly]:
    """The same key is the same job, and no two keys have one."""
    by_key: dict[str, list[Operation]] = defaultdict(list)
    keys: dict[str, set[str]] = defaultdict(set)
    for one in history.of("submit"):
        if one.status == 202:
            by_key[one.told["key"]].append(one)
            keys[one.told["job"]].add(one.told["key"])
    for key, told in by_key.items():
        for place, later in enumerate(told):
            for earlier in told[:place]:
                same_server = history.epoch(earlier) == history.epoch(later)
                if earlier.told["job"] == later.told["job"]:
                    continue
                if same_server or history.holds(earlier, later):
                    text = f"{key} is {earlier.told['job']}, then {later.told['job']}"
                    yield Anomaly("one job a key", text)
    for job, several in keys.items():
        if len(several) > 1:
            yield Anomaly("one job a key", f"{job} is the job of {', '.join(sorted(several))}")


def results_never_change(history: History) -> Iterator[Anomaly]:
    """A job that was accepted is there, and one that has ended stays as it ended."""
    for job, seen in _seen(history).items():
        for place, later in enumerate(seen):
            if later.does != "look" or later.status not in (200, 404):
                continue
            for earlier in seen[:place]:
                if not history.holds(earlier, later):
                    continue
                if later.status == 404:
                    yield Anomaly("no job is lost", f"{job} was there, and is not")
                    break
                if earlier.told.get("state") in SETTLED and _end(earlier) != _end(later):
                    text = f"{job} ended as {_end(earlier)}, and then was {_end(later)}"
                    yield Anomaly("results never change", text)
                    break


def jobs_end(history: History) -> Iterator[Anomaly]:
    """Each job that the last server accepted ends; kills of environments lose none."""
    seen = _seen(history)
    for job in _of_the_last_server(history):
        looks = [look for look in seen[job] if look.does == "look"]
        state = looks[-1].told.get("state") if looks else "not looked at"
        if state not in SETTLED:
            yield Anomaly("every job ends", f"{job} is {state} at the end")


def one_webhook_id_a_job(history: History) -> Iterator[Anomaly]:
    """A job has one webhook id, an id one job; each is signed, and of a job that was accepted."""
    ids: dict[str, set[str]] = defaultdict(set)
    jobs: dict[str, set[str]] = defaultdict(set)
    bodies: dict[tuple[str, int], set[str]] = defaultdict(set)
    accepted = {one.told["job"] for one in history.of("submit") if one.status == 202}
    for one in history.of("webhook"):
        job, id = one.told["job"], one.told["id"]
        ids[job].add(id)
        jobs[id].add(job)
        bodies[id, history.epoch(one)].add(one.told["body"])
        if not one.told["verified"]:
            yield Anomaly("webhooks are signed", f"{id} of {job} is not")
        if job not in accepted and history.epoch(one) == history.last:
            yield Anomaly("webhooks are of jobs", f"{id} is of {job}, which nobody has")
    for job, several in ids.items():
        if len(several) > 1:
            yield Anomaly("one webhook id a job", f"{job} has {', '.join(sorted(several))}")
    for id, several in jobs.items():
        if len(several) > 1:
            yield Anomaly("one webhook id a job", f"{id} is of {', '.join(sorted(several))}")
    for (id, _), different in bodies.items():
        if len(different) > 1:
            yield Anomaly("a webhook repeats itself", f"{id} came with {len(different)} bodies")


def ends_are_announced(history: History) -> Iterator[Anomaly]:
    """Each job that the last server accepted has its webhook."""
    heard = {one.told["job"] for one in history.of("webhook")}
    for job in sorted(_of_the_last_server(history) - heard):
        yield Anomaly("every end is announced", f"{job} has no webhook")


def _of_the_last_server(history: History) -> set[str]:
    """The jobs that no earlier server was asked for: a kill loses messages of queues.

    None before the clients have finished.
    """
    if not history.of("finish"):
        return set()
    found: dict[str, str] = {}
    before: set[str] = set()
    for one in history.of("submit"):
        if history.epoch(one) < history.last:
            before.add(one.told["key"])
        elif one.status == 202:
            found[one.told["key"]] = one.told["job"]
    return {job for key, job in found.items() if key not in before}


def _seen(history: History) -> dict[str, list[Operation]]:
    """What was told of each job, as it began."""
    found: dict[str, list[Operation]] = defaultdict(list)
    for one in history.of("submit", "look", "webhook"):
        if "job" in one.told and one.status is not None:
            found[one.told["job"]].append(one)
    return found


def _end(one: Operation) -> tuple[Any, ...]:
    return one.told.get("state"), one.told.get("version"), one.told.get("outputs")


RULES = (
    one_job_a_key,
    results_never_change,
    jobs_end,
    one_webhook_id_a_job,
    ends_are_announced,
)
