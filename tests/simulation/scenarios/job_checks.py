"""What must hold of jobs when nothing is left to happen."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson
from tests.simulation.scenarios.job_parts import POISON, Asked

from quintet.jobs.job import EVENTS, MAX_BROKEN, Job
from quintet.webhooks.job_events import webhook_id

if TYPE_CHECKING:
    from tests.simulation.scenarios.jobs import Jobs

__all__ = ["held"]

#: of a job that kills its workers; lost replies and throttles count as well
MOST_ATTEMPTS = 60


def held(world: Jobs) -> Iterator[str]:
    """What does not hold, each as "name: what"."""
    for name, job in world.store.jobs.items():
        number = int(name[1:].partition("-")[0])
        yield from _check_job(world, job, world.asked[number])
        yield from _check_callbacks(world, job)
    yield from _check_keys(world)
    yield from _check_captures(world)
    if strangers := world.receiver.came.keys() - {webhook_id(j) for j in world.store.jobs.values()}:
        yield f"callbacks: of no job: {sorted(strangers)}"


def _check_job(world: Jobs, job: Job, asked: Asked) -> Iterator[str]:
    ends = world.store.ends[job.id]
    if len(ends) != 1 or ends[0] != job:
        yield f"one end: {job.id} is {job.state} and ended {len(ends)} times"
    if job.state == "DONE":
        if asked.values == (POISON,) or 0.0 in asked.values:
            yield f"results: {job.id} has a result that its model does not give"
        elif not _is_right(world, job, asked):
            yield f"results: {job.id} differs from a run without faults"
    elif job.state == "FAILED":
        dead = any(json.loads(body)["job"] == job.id for body in world.queue.dead)
        is_bad = 0.0 in asked.values
        if not (is_bad or (dead and (job.broken >= MAX_BROKEN or world.queue.most < 1000))):
            yield f"needless failure: {job.id} failed, and broke off {job.broken} times"
    elif job.state == "CANCELLED" and asked.cancelled is None:
        yield f"needless end: {job.id} was cancelled by nobody"
    if POISON in asked.values and job.attempts > MOST_ATTEMPTS:
        yield f"needless runs: {job.id} is poisoned and was tried {job.attempts} times"
    if job.state == "EXPIRED" and job.deadline > world.faults.calm + 3600:
        yield f"needless end: {job.id} expired though all was calm for an hour"
    if job.state == "EXPIRED" and job.updated < job.deadline - 60:  # clocks differ
        yield f"needless end: {job.id} expired before its deadline"


def _is_right(world: Jobs, job: Job, asked: Asked) -> bool:
    content = job.result
    assert content is not None
    body = content.body
    if content.place is not None:
        body = world.blobs.stored.get(content.place)
    if body is None:
        return False
    rows = orjson.loads(body)["predictions"]
    wanted = [[math.log(value)] * 2 for value in asked.values]
    return len(rows) == len(wanted) and all(
        math.isclose(got, right, rel_tol=1e-6, abs_tol=1e-6)
        for row, both in zip(rows, wanted, strict=True)
        for got, right in zip(row["logs"], both, strict=True)
    )


def _check_callbacks(world: Jobs, job: Job) -> Iterator[str]:
    came = world.receiver.came.get(webhook_id(job), [])
    if job.endpoint is None:
        if came:
            yield f"callbacks: {job.id} asked for none"
        return
    if not came:
        yield f"callbacks: {job.id} was never told"
    elif len({*came}) > 1:
        yield f"callbacks: {job.id} was told in {len({*came})} ways"
    elif orjson.loads(came[0])["type"] != f"job.{EVENTS[job.state]}":
        yield f"callbacks: {job.id} is {job.state} and was told otherwise"
    if job.notify_topic and not world.topic.told[job.id]:
        yield f"callbacks: {job.id} was not published"


def _check_keys(world: Jobs) -> Iterator[str]:
    for number, asked in enumerate(world.asked):
        known = {name for name in world.store.jobs if name.startswith(f"j{number}-")}
        if asked.key and len(known) > 1:
            yield f"one job a key: {asked.key} made {sorted(known)}"
        if not world.answers[number] <= known:
            yield f"conservation: {sorted(world.answers[number] - known)} were answered and lost"


def _check_captures(world: Jobs) -> Iterator[str]:
    told: defaultdict[str, list[Any]] = defaultdict(list)
    for line in world.lines:
        found = orjson.loads(line)
        told[found["event"]].append(found)
    for job in world.store.jobs.values():
        if job.state != "DONE":
            continue
        if not told[job.id]:
            yield f"captures: {job.id} is done and has none"
        for line in told[job.id]:
            outputs = line["outputs"]["logs"]
            number = int(job.id[1:].partition("-")[0])
            for row, value in zip(outputs, world.asked[number].values, strict=True):
                if not math.isclose(row[0], math.log(value), rel_tol=1e-6, abs_tol=1e-6):
                    yield f"captures: {job.id} was captured otherwise"
