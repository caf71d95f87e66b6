"""A circuit breaker around the feature store: Powertools' state machine, our persistence.

Powertools' own DynamoDB persistence imports boto3, reads the state every few seconds on the
healthy path, and forgets that a circuit is open when its table cannot be written, which is
likely just when the feature store (the same service) fails. Here the environment's own view
comes first and the table is how environments tell each other; the items are Powertools'.
https://docs.aws.amazon.com/powertools/python/latest/utilities/circuit_breaker/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools.utilities.circuit_breaker import (
    CircuitBreakerConfig,
    CircuitBreakerOpenError,
    CircuitInfo,
    CircuitState,
    CircuitTransition,
    circuit_breaker,
)

from quintet.aws.client import AwsClient, ConditionFailed, dynamodb_call
from quintet.errors import Transient
from quintet.features import FeatureSource, StoredValue

__all__ = ["CircuitStates", "GuardedFeatures"]

TTL_SECONDS = 3600  # how long a circuit's item outlives its last change, past a recovery


@dataclass(slots=True)
class Circuit:
    """A circuit's state, with the names that Powertools' state machine reads."""

    name: str
    state: CircuitState = CircuitState.CLOSED
    failure_count: int = 0
    opened_at: int | None = None
    half_open_owner: str | None = None
    probe_lease_expiry: int | None = None
    #: whether the table has it: one that it has not is this environment's alone
    shared: bool = True

    def to_circuit_info(self) -> CircuitInfo:
        """What Powertools hands on."""
        return CircuitInfo(self.name, self.state, self.failure_count, self.opened_at)


class CircuitStates:
    """Circuits, in memory and in a table.

    The table is read at first, then only after a failure (`doubt`) or while a circuit is not
    closed: the healthy path pays nothing. At most one read in `refresh` seconds.
    """

    def __init__(
        self, client: AwsClient, table: str, *, clock: Callable[[], float], refresh: float = 5.0
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._refresh = refresh
        self._recovery = 30
        self._known: dict[str, Circuit] = {}
        self._due: dict[str, float] = {}  # when the table is to be read again; absent: now

    def configure(self, config: CircuitBreakerConfig, circuit_name: str) -> None:
        """Powertools tells its settings."""
        self._recovery = config.recovery_timeout

    def doubt(self, name: str) -> None:
        """The guarded call failed: others may know more."""
        known = self._known.get(name)
        if known is not None and known.shared and self._due[name] == float("inf"):
            self._due[name] = self._clock()

    def get_state(self, name: str) -> Circuit:
        """The circuit, from memory unless the table is due to be read."""
        known = self._known.get(name)
        if known is None or self._clock() >= self._due.get(name, 0.0):
            known = self._read(name, known)
        return known

    def save_open(self, name: str, failure_count: int, opened_at: int) -> None:
        """The circuit opens after failures."""
        self._save(Circuit(name, CircuitState.OPEN, failure_count, opened_at))

    def save_reopen(self, name: str, opened_at: int) -> None:
        """The probe failed."""
        self._save(Circuit(name, CircuitState.OPEN, 0, opened_at))

    def save_closed(self, name: str) -> None:
        """The probe succeeded."""
        self._save(Circuit(name))

    def try_acquire_half_open(self, name: str, owner: str, opened_at: int) -> bool:
        """Whether this environment may probe: one at a time, as the table has it."""
        now = int(self._clock())
        known = self._known[name]
        probing = Circuit(name, CircuitState.HALF_OPEN, 0, opened_at, owner, now + self._recovery)
        if known.shared:
            try:
                self._put(probing, _free_to_probe(now, opened_at))
            except ConditionFailed:
                self._due[name] = now  # someone else probes, or is done: look again
                return False
            except Transient:
                probing.shared = False
        else:
            probing.shared = False
        self._keep(probing)
        return True

    def _read(self, name: str, known: Circuit | None) -> Circuit:
        """The table's circuit; what was known before where the table cannot be read."""
        try:
            found = self._get(name)
        except Transient:
            found = known or Circuit(name)  # a breaker must not be the outage
            self._keep(found)
            self._due[name] = self._clock() + self._refresh
            return found
        self._keep(found)
        return found

    def _save(self, circuit: Circuit) -> None:
        try:
            self._put(circuit)
        except Transient:
            circuit.shared = False
        self._keep(circuit)

    def _keep(self, circuit: Circuit) -> None:
        self._known[circuit.name] = circuit
        # a table that could not be written knows less than this environment does
        settled = circuit.state is CircuitState.CLOSED or not circuit.shared
        self._due[circuit.name] = float("inf") if settled else self._clock() + self._refresh

    def _get(self, name: str) -> Circuit:
        answer = dynamodb_call(
            self._client, "GetItem", {"TableName": self._table, "Key": {"id": {"S": name}}}
        )
        item = answer.get("Item")
        if item is None:
            return Circuit(name)
        return Circuit(
            name,
            CircuitState(item["state"]["S"]),
            int(item["failure_count"]["N"]),
            _number(item, "opened_at"),
            item["half_open_owner"]["S"] if "half_open_owner" in item else None,
            _number(item, "probe_lease_expiry"),
        )

    def _put(self, circuit: Circuit, condition: dict[str, Any] | None = None) -> None:
        expiration = int(self._clock()) + self._recovery + TTL_SECONDS
        item = {
            "id": {"S": circuit.name},
            "state": {"S": circuit.state.value},
            "failure_count": {"N": str(circuit.failure_count)},
            "expiration": {"N": str(expiration)},
        }
        if circuit.opened_at is not None:
            item["opened_at"] = {"N": str(circuit.opened_at)}
        if circuit.half_open_owner is not None:
            item["half_open_owner"] = {"S": circuit.half_open_owner}
        if circuit.probe_lease_expiry is not None:
            item["probe_lease_expiry"] = {"N": str(circuit.probe_lease_expiry)}
        payload = {"TableName": self._table, "Item": item, **(condition or {})}
        dynamodb_call(self._client, "PutItem", payload, idempotent=condition is None)


def _number(item: Mapping[str, Any], name: str) -> int | None:
    return int(item[name]["N"]) if name in item else None


def _free_to_probe(now: int, opened_at: int) -> dict[str, Any]:
    """The condition of a probe: the circuit is open as it was seen, or its probe ran out."""
    return {
        "ConditionExpression": (
            "(#state = :open AND #opened = :opened) OR (#state = :half AND #lease <= :now)"
        ),
        "ExpressionAttributeNames": {
            "#state": "state",
            "#opened": "opened_at",
            "#lease": "probe_lease_expiry",
        },
        "ExpressionAttributeValues": {
            ":open": {"S": CircuitState.OPEN.value},
            ":half": {"S": CircuitState.HALF_OPEN.value},
            ":opened": {"N": str(opened_at)},
            ":now": {"N": str(now)},
        },
    }


class GuardedFeatures:
    """A feature source behind a circuit: when it fails often, it is not asked for a while."""

    def __init__(
        self,
        source: FeatureSource,
        states: CircuitStates,
        *,
        name: str = "feature-store",
        failures: int = 3,
        recovery_seconds: int = 10,
        on_transition: Callable[[CircuitTransition], None] | None = None,
    ) -> None:
        self._states = states
        self._name = name
        config = CircuitBreakerConfig(
            failure_threshold=failures,
            recovery_timeout=recovery_seconds,
            success_threshold=1,
            handled_exceptions=Transient,
        )
        store: Any = states  # of the persistence layer's interface, without its import of boto3
        guard = circuit_breaker(name, store, on_transition=on_transition, config=config)
        self._fetch = guard(source.fetch)

    def fetch(
        self, key: str, entities: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, StoredValue]]:
        """See `quintet.features.FeatureSource.fetch`."""
        try:
            found: dict[str, dict[str, StoredValue]] = self._fetch(key, entities, names)
        except CircuitBreakerOpenError as error:
            raise Transient("the feature store failed often; its circuit is open") from error
        except Transient:
            self._states.doubt(self._name)
            raise
        return found
