"""The circuit breaker: what opens it, who probes, what closes it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.kits.models import Clock

from quintet.errors import Transient
from quintet.features import StoredValue
from quintet.serving.breaker import CircuitBreaker, GuardedFeatures, State


class World:
    """A circuit with a clock, and its changes of state."""

    def __init__(self) -> None:
        self.clock = Clock(100.0)
        self.changes: list[State] = []
        self.breaker = CircuitBreaker(
            failures=3, recovery_seconds=10, clock=self.clock, on_change=self.changes.append
        )

    def fail(self, times: int) -> None:
        """Calls that are allowed and fail."""
        for _ in range(times):
            assert self.breaker.allows()
            self.breaker.failed()


def test_failures_in_a_row_open_it() -> None:
    world = World()
    world.fail(2)
    assert (world.breaker.allows(), world.changes) == (True, [])
    world.breaker.failed()
    assert (world.breaker.allows(), world.changes) == (False, ["OPEN"])


def test_a_success_between_failures_keeps_it_closed() -> None:
    world = World()
    for _ in range(5):
        world.fail(2)
        assert world.breaker.allows()
        world.breaker.succeeded()
    assert (world.breaker.state, world.changes) == ("CLOSED", [])


def test_one_call_probes_after_the_recovery_time() -> None:
    world = World()
    world.fail(3)
    world.clock.now += 9.9
    assert not world.breaker.allows()
    world.clock.now += 0.1
    assert [world.breaker.allows() for _ in range(3)] == [True, False, False]
    world.breaker.succeeded()
    assert world.breaker.allows()
    assert world.changes == ["OPEN", "HALF_OPEN", "CLOSED"]


def test_a_failed_probe_opens_it_for_another_recovery_time() -> None:
    world = World()
    world.fail(3)
    world.clock.now += 10
    world.fail(1)
    world.clock.now += 9.9
    assert not world.breaker.allows()
    world.clock.now += 0.1
    assert world.breaker.allows()
    assert world.changes == ["OPEN", "HALF_OPEN", "OPEN", "HALF_OPEN"]


def test_it_takes_as_many_failures_again_once_it_has_closed() -> None:
    world = World()
    world.fail(3)
    world.clock.now += 10
    assert world.breaker.allows()
    world.breaker.succeeded()
    world.fail(2)
    assert world.breaker.allows()


def test_a_probe_that_never_reports_is_replaced() -> None:
    world = World()
    world.fail(3)
    world.clock.now += 10
    assert [world.breaker.allows() for _ in range(2)] == [True, False]
    world.clock.now += 10
    assert [world.breaker.allows() for _ in range(2)] == [True, False]


def test_calls_from_before_it_opened_neither_close_it_nor_extend_it() -> None:
    world = World()
    assert all(world.breaker.allows() for _ in range(5))
    for _ in range(3):
        world.breaker.failed()
    world.clock.now += 5
    world.breaker.failed()
    world.breaker.succeeded()
    assert not world.breaker.allows()
    world.clock.now += 5
    assert world.breaker.allows()
    assert world.changes == ["OPEN", "HALF_OPEN"]


class Source:
    """A source that raises its next error, or answers with nothing."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors = list(errors)

    def fetch(
        self, key: str, entities: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, StoredValue]]:
        """See `FeatureSource.fetch`."""
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        return {}


def test_only_transient_failures_count() -> None:
    breaker = CircuitBreaker(failures=1, recovery_seconds=10, clock=Clock())
    guarded = GuardedFeatures(Source(ValueError("a bug"), None, Transient("lost")), breaker)
    with pytest.raises(ValueError, match="a bug"):
        guarded.fetch("card", ["one"], ["v"])
    assert guarded.fetch("card", ["one"], ["v"]) == {}
    with pytest.raises(Transient, match=r"^lost$"):
        guarded.fetch("card", ["one"], ["v"])
    with pytest.raises(Transient, match=r"^the feature store failed often; its circuit is open$"):
        guarded.fetch("card", ["one"], ["v"])
