"""Workers, zombies and impatient callers against the stores: one end each, and it is published."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.kits.aws import moto_server
from tests.kits.jobs import NOW, TTL, job, job_table

from quintet.errors import Conflict, Transient
from quintet.jobs.job import EVENTS, Content, JobOutcome, Lease
from quintet.jobs.memory import MemoryJobs
from quintet.jobs.store import JobStore

LEASE = 30.0


class Shift(RuleBasedStateMachine):
    """One job, several workers on their own clocks' one time, leases that are used late."""

    leases: Bundle[Lease] = Bundle("leases")
    store: JobStore

    def make(self) -> JobStore:
        return MemoryJobs()

    @initialize()
    def start(self) -> None:
        self.store = self.make()
        self.now = NOW
        self.end: Any = None
        self.holder: Lease | None = None
        self.fences: list[int] = []
        self.store.accept(job(endpoint="crm"))

    @rule(seconds=st.sampled_from([0.5, 7.0, LEASE / 2, LEASE, TTL / 2]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=leases, worker=st.sampled_from(["w1", "w2", "w3"]), together=st.booleans())
    def lease(self, worker: str, together: bool) -> Any:
        try:
            if together:
                read = self.store.read_many(["j1"]).values()
                found = self.store.lease_many([*read], worker, self.now, LEASE)["j1"].lease
            else:
                found = self.store.lease("j1", worker, self.now, LEASE).lease
        except (Conflict, Transient, KeyError):
            return multiple()
        assert found is not None
        if self.holder is not None and self.holds(self.holder):
            assert found == self.holder  # its own, asked for again
            return found
        # a new lease has a fence that no one had before
        assert self.fences == [] or found.fence > max(self.fences)
        self.fences.append(found.fence)
        self.holder = found
        return found

    def holds(self, lease: Lease) -> bool:
        """Whether a lease is the right to change the job now."""
        mine = self.holder is not None and lease.fence == self.holder.fence
        return mine and self.holder is not None and self.holder.until > self.now

    @rule(lease=leases)
    def release(self, lease: Lease) -> None:
        allowed = self.end is None and self.holds(lease)
        before = self.store.get("j1")
        try:
            self.store.release("j1", lease, self.now)
        except Transient:
            assert not allowed
            assert self.store.get("j1") == before
        else:
            assert allowed
            self.holder = None

    @rule(lease=leases, fails=st.booleans(), together=st.booleans())
    def settle(self, lease: Lease, fails: bool, together: bool) -> None:
        allowed = self.end is None and self.holds(lease)
        before = self.store.get("j1")
        # what a worker makes carries its fence, so that a zombie's would be seen
        result = Content("text/plain", 1, str(lease.fence).encode())
        outcome = JobOutcome(problem={"fence": lease.fence}) if fails else JobOutcome(result=result)
        try:
            if together:
                ends = [(replace(before, lease=lease), outcome)]
                event = self.store.settle_many(ends, self.now)["j1"]
            else:
                event = self.store.settle("j1", lease, outcome, self.now)
        except (Transient, KeyError):
            if together and self.end is not None:  # nothing is said of it, as if it were refused
                assert self.store.get("j1") == self.end
                return
            assert not allowed
            assert self.store.get("j1") == before
            return
        after = self.store.get("j1")
        if allowed:
            assert (after.state, after.result, after.problem) == (
                outcome.state,
                outcome.result,
                outcome.problem,
            )
            self.end = after
        else:  # the same worker again, after a reply that was lost: nothing changes
            assert self.end is not None and after == self.end
            assert after.lease is not None and after.lease.fence == lease.fence
        assert event.kind == EVENTS[after.state]

    @rule()
    def cancel(self) -> None:
        try:
            found, _ = self.store.cancel("j1", "ann", self.now)
        except Conflict:
            assert self.end is not None and self.end.state != "CANCELLED"
        else:
            assert self.end is None or self.end == found
            self.end = found

    @rule()
    def expire(self) -> None:
        try:
            self.store.expire("j1", self.now)
        except (Conflict, Transient):
            return
        found = self.store.get("j1")
        assert found.state == "EXPIRED"
        assert self.now >= found.deadline
        self.end = found

    @precondition(lambda self: self.end is None)
    @invariant()
    def what_is_open_is_found_by_the_sweep(self) -> None:
        found = self.store.get("j1")
        if found.settled:  # a lease that came too late expired it
            assert found.state == "EXPIRED" and self.now >= found.deadline
            self.end = found
        else:
            assert self.store.overdue(found.deadline + 1) == ["j1"]

    @precondition(lambda self: self.end is not None)
    @invariant()
    def an_end_stays_and_is_in_the_outbox_once(self) -> None:
        assert self.store.get("j1") == self.end
        events = [n.kind for n in self.store.outbox(self.now + 1) if n.kind != "accepted"]
        assert events == [EVENTS[self.end.state]]
        assert self.store.overdue(self.now + 10 * TTL) == []


class TableShift(Shift):
    """The same on DynamoDB's conditions."""

    url: str

    def make(self) -> JobStore:
        return job_table(self.url)


def test_every_order_of_events_leads_to_one_end_in_memory() -> None:
    _run(Shift, examples=150, steps=25)


def test_every_order_of_events_leads_to_one_end_in_dynamodb() -> None:
    with moto_server() as url:
        TableShift.url = url
        _run(TableShift, examples=12, steps=15)


def _run(machine: type[Shift], examples: int, steps: int) -> None:
    chosen = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=True
    )
    run_state_machine_as_test(machine, settings=chosen)
