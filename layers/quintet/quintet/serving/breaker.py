"""A circuit breaker: a feature store that fails often is not called for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from quintet.errors import Transient
from quintet.features import FeatureSource, StoredValue

__all__ = ["CircuitBreaker", "GuardedFeatures", "State"]

State = Literal["CLOSED", "OPEN", "HALF_OPEN"]
Result = TypeVar("Result")


class CircuitBreaker:
    """The state of one circuit: closed, open after failures in a row, half open during a probe.

    After `recovery_seconds` one call may probe. It closes the circuit or opens it again; if a probe
    never reports, another may follow after `recovery_seconds`. Thread-safe. `clock` is monotonic,
    in seconds.
    """

    def __init__(
        self,
        *,
        failures: int,
        recovery_seconds: float,
        clock: Callable[[], float],
        on_change: Callable[[State], None] = lambda state: None,
    ) -> None:
        self._threshold = failures
        self._recovery = recovery_seconds
        self._clock = clock
        self._on_change = on_change
        self._lock = threading.Lock()
        self._failures = 0  # in a row
        self._probe_at = 0.0
        self.state: State = "CLOSED"

    def allows(self) -> bool:
        """Whether to call now; report the call by `succeeded` or `failed`."""
        if self.state == "CLOSED":
            return True
        with self._lock:
            if self._clock() < self._probe_at:
                return False
            self._probe_at = self._clock() + self._recovery
            self._change("HALF_OPEN")
        return True

    def succeeded(self) -> None:
        """A call that was allowed succeeded."""
        with self._lock:
            self._failures = 0
            # a call from before the circuit opened says less than the failures after it
            if self.state == "HALF_OPEN":
                self._change("CLOSED")

    def failed(self) -> None:
        """A call that was allowed failed."""
        with self._lock:
            self._failures += 1
            tripped = self.state == "CLOSED" and self._failures >= self._threshold
            if tripped or self.state == "HALF_OPEN":
                self._probe_at = self._clock() + self._recovery
                self._change("OPEN")

    def guard(self, call: Callable[[], Result]) -> Result:
        """The result of a call; raises Transient if the call does, or if the circuit is open."""
        if not self.allows():
            raise Transient("the feature store failed often; its circuit is open")
        try:
            found = call()
        except Transient:
            self.failed()
            raise
        self.succeeded()
        return found

    def _change(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self._on_change(state)


class GuardedFeatures:
    """A feature source behind a circuit breaker."""

    def __init__(self, source: FeatureSource, breaker: CircuitBreaker) -> None:
        self._source = source
        self._breaker = breaker

    def fetch(
        self, key: str, entities: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, StoredValue]]:
        """See `FeatureSource.fetch`; raises Transient while the circuit is open."""
        return self._breaker.guard(lambda: self._source.fetch(key, entities, names))
