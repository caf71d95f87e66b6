"""The models of one environment: their routes, and the versions in memory. Pure."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from quintet.errors import ModelFailure, NotFound, QuintetError, Transient
from quintet.scoring import Model
from quintet.serving.crashes import CrashLog
from quintet.serving.routes import Route, Routes, UnknownModel, Version

__all__ = [
    "Loader",
    "ModelCache",
    "PublishedModel",
    "memory_needed",
]

ROUTE_SECONDS = 5.0
TOLD_SECONDS = 60.0  # between two notices that a route could not be read
TAKEN_OUT_SECONDS = 60.0  # until a version that could not be loaded is tried again
UNKNOWN_SECONDS = 1.0  # a model requested just before it is published is soon found
ROUTES_KEPT = 1024  # names come from requests: the number remembered is bounded

# onnxruntime keeps weights and their packed form: 1.9 times the file for 48 MB of dense layers
# (benchmarks/sessions.py); the rest is for the bytes while they load, and for what runs take
MEMORY_FACTOR = 3
MEMORY_BASE = 2_000_000

#: what is known of a name that was not asked for: when that expires, and its route
_UNKNOWN: tuple[float, Route | None] = (float("-inf"), None)


class PublishedModel(Model, Protocol):
    """A loaded version of a model, with the digest of its package."""

    @property
    def digest(self) -> str: ...

    @property
    def due(self) -> Callable[[], None] | None:
        """What must be called before the model answers again.

        It raises a ModelFailure if this version must not answer.
        """
        ...


class Loader(Protocol):
    """Loads published versions into memory."""

    def load(self, model: str, version: int, seal: str | None = None) -> PublishedModel:
        """Load a version, verified against the registry's seal.

        Raises:
            ModelFailure: its files differ from the published ones, or do not load.
            Transient: its files could not be read.
        """
        ...


def memory_needed(size: int) -> int:
    """The approximate memory of a loaded graph of `size` bytes, in bytes."""
    return MEMORY_BASE + MEMORY_FACTOR * size


@dataclass(slots=True, eq=False, repr=False)
class _Flight:
    """A load in progress, which other threads wait for."""

    memory: int
    done: threading.Event = field(default_factory=threading.Event)
    model: PublishedModel | None = None
    error: Exception | None = None


class ModelCache:
    """Loaded models by (name, version); at the memory bound, the least recently used is dropped.

    Routes are cached for `ROUTE_SECONDS`, and without limit while the registry does not answer
    (docs/adr/0023-old-routes.md): `outdated` is called then, every `TOLD_SECONDS`, with the name of
    a model, the age of its route in seconds, and the error. A version is loaded once, however many
    threads ask for it. A version that `crashes` refuses is not loaded. `taken_out` is called when a
    version beside the live one cannot answer, with its error.
    """

    def __init__(
        self,
        routes: Routes,
        loader: Loader,
        *,
        memory: int,
        clock: Callable[[], float],
        crashes: CrashLog | None = None,
        taken_out: Callable[[str, int, QuintetError], None] = lambda name, version, error: None,
        outdated: Callable[[str, float, Transient], None] = lambda name, age, error: None,
    ) -> None:
        self.crashes = crashes or CrashLog(clock)
        self._taken_out = taken_out
        self._outdated = outdated
        #: of names whose route was not read at the last try: when it was read, when that was told
        self._unread: dict[str, tuple[float, float]] = {}
        self._failed: dict[tuple[str, int], tuple[float, QuintetError]] = {}
        self._routes = routes
        self._loader = loader
        self._memory = memory
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[float, Route | None]] = OrderedDict()
        self._loaded: OrderedDict[tuple[str, int], tuple[PublishedModel, int]] = OrderedDict()
        self._flights: dict[tuple[str, int], _Flight] = {}

    def get(self, name: str, version: int | None = None) -> PublishedModel:
        """The model of that version, the live one by default; loaded if it is not in memory.

        Raises:
            NotFound: there is no such model or version.
            ModelFailure: the version does not load, or is larger than the memory bound.
            Transient: the registry could not be read, or the version crashed often.
        """
        return self.answering(name, version)[1]

    def answering(self, name: str, version: int | None) -> tuple[Route, PublishedModel]:
        """The route of a name, and the model that `get` gives. Raises as `get` does."""
        until, route = self._known.get(name, _UNKNOWN)
        if route is None or self._clock() >= until:
            route = self.route(name)
        number = route.live if version is None else version
        key = (route.model, number)
        found = self._loaded.get(key)
        if found is None or found[0].due is not None or route.withdrawn:
            return route, self.loaded(route, number)
        with self._lock:
            if key in self._loaded:
                self._loaded.move_to_end(key)
        return route, found[0]

    def loaded(self, route: Route, number: int) -> PublishedModel:
        """A version of a model, whose route is known. Raises as `get` does."""
        if number in route.withdrawn:  # it may still be loaded
            raise route.unknown(number)
        key = (route.model, number)
        with self._lock:
            if found := self._loaded.get(key):
                self._loaded.move_to_end(key)
        if found:
            self._check(key, found[0])
            return found[0]
        if number not in route.versions:
            raise route.unknown(number)
        return self._load(key, route.versions[number])

    def candidate(self, route: Route, number: int) -> PublishedModel:
        """A version beside the live one; a failure to load is remembered `TAKEN_OUT_SECONDS`.

        Raises:
            QuintetError: as `get` does; the live version answers then.
        """
        key = (route.model, number)
        until, error = self._failed.get(key, (0.0, None))
        if error is not None:
            if self._clock() < until:
                raise error
            self._failed.pop(key, None)
        try:
            return self.loaded(route, number)
        except QuintetError as failure:
            self._failed[key] = (self._clock() + TAKEN_OUT_SECONDS, failure)
            self._taken_out(*key, failure)
            raise

    def route(self, name: str) -> Route:
        """The route of a model, at most `ROUTE_SECONDS` old while the registry answers.

        Raises:
            NotFound: there is no such model.
            Transient: the registry could not be read, and no older route is remembered.
        """
        now = self._clock()
        with self._lock:
            until, route = self._known.get(name, _UNKNOWN)
        if now >= until:
            route = self._refresh(name, now, route)
        if route is None:
            raise UnknownModel(name)
        return route

    def knows(self, name: str) -> bool:
        """Whether a model's route was read, and there is such a model."""
        with self._lock:
            return self._known.get(name, _UNKNOWN)[1] is not None

    def unload(self, name: str) -> None:
        """Drop a model's versions from memory; the next request for one loads it again.

        Raises:
            NotFound: there is no such model.
            Transient: the registry could not be read, and no older route is remembered.
        """
        self.route(name)
        with self._lock:
            for key in [key for key in self._loaded if key[0] == name]:
                del self._loaded[key]

    def in_memory(self) -> list[tuple[str, int]]:
        """Name and version of the loaded models, the least recently used first."""
        with self._lock:
            return list(self._loaded)

    def _refresh(self, name: str, now: float, last: Route | None) -> Route | None:
        route: Route | None
        try:
            route = self._routes.route(name)
        except NotFound:
            route = None
        except Transient as error:
            if last is None:
                raise
            route = last  # an old route is better than no answer
            self._tell(name, now, error)
        else:
            self._unread.pop(name, None)
        keep = UNKNOWN_SECONDS if route is None else ROUTE_SECONDS
        with self._lock:
            self._known[name] = (now + keep, route)
            self._known.move_to_end(name)
            if len(self._known) > ROUTES_KEPT:
                self._known.popitem(last=False)
        return route

    def _tell(self, name: str, now: float, error: Transient) -> None:
        """Tell that a route could not be read, unless that was told just now."""
        with self._lock:
            until, _ = self._known[name]
            read, told = self._unread.get(name, (until - ROUTE_SECONDS, float("-inf")))
            due = now >= told + TOLD_SECONDS
            self._unread[name] = read, now if due else told
        if due:
            self._outdated(name, now - read, error)

    def _check(self, key: tuple[str, int], model: PublishedModel) -> None:
        """Call what is due of a model; one that fails is dropped."""
        if model.due is None:
            return
        try:
            model.due()
        except ModelFailure:
            with self._lock:
                self._loaded.pop(key, None)
            raise

    def _load(self, key: tuple[str, int], version: Version) -> PublishedModel:
        self.crashes.check(*key)  # here alone: a version that crashed is not in memory
        memory = memory_needed(version.size)
        if memory > self._memory:
            raise ModelFailure(
                f"model {key[0]} version {key[1]} needs about {_mb(memory)} of memory; "
                f"this function allows its models {_mb(self._memory)}"
            )
        with self._lock:
            if found := self._loaded.get(key):
                return found[0]
            flight = self._flights.get(key)
            first = flight is None
            if flight is None:
                flight = self._flights[key] = _Flight(memory)
                self._make_room()
        if first:
            self._fly(key, version, flight)
        flight.done.wait()
        if flight.error is not None:
            raise flight.error
        assert flight.model is not None
        return flight.model

    def _fly(self, key: tuple[str, int], version: Version, flight: _Flight) -> None:
        """Load for every thread that waits on the flight."""
        with self._lock:
            slot = self.crashes.slot(*key)
        self.crashes.running[slot] = 1
        try:
            flight.model = self._loader.load(*key, version.seal)
        except Exception as error:
            flight.error = error
        finally:
            self.crashes.running[slot] = 0
        with self._lock:
            del self._flights[key]
            if flight.model is not None:
                self._loaded[key] = (flight.model, flight.memory)
        flight.done.set()

    def _make_room(self) -> None:
        """Drop the least recently used models until all, including those being loaded, fit."""
        used = sum(memory for _, memory in self._loaded.values())
        used += sum(flight.memory for flight in self._flights.values())
        while used > self._memory and self._loaded:
            _, (_, memory) = self._loaded.popitem(last=False)
            used -= memory


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
