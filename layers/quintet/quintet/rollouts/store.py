"""The store of routes and rollouts: every change is written once, with who made it and why.

A change holds the route as it was read, and is written only if the stored one is still that one:
of two changes that were made from the same route, one is refused (`RolloutStore.write`).
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from quintet.rollouts.state import Rollout
from quintet.serving.routes import MemoryRoutes, Route, UnknownModel, Version

__all__ = [
    "Cause",
    "Change",
    "Event",
    "Fields",
    "MemoryRollouts",
    "RolloutStore",
    "Stored",
    "fields_of",
    "named",
    "with_fields",
]

#: the fields of a route that a change sets; the others are left out where they have no value
Fields = Mapping[str, Any]

Event = Literal[
    "published",
    "made live",
    "started",
    "advanced",
    "paused",
    "resumed",
    "promoted",
    "rolled back",
    "finished",
]


@dataclass(frozen=True, slots=True)
class Stored:
    """A model's route and its rollout, None if no rollout is in progress.

    `unsent` is the route's revision if the notice of the change to it may not have been sent, else
    0.
    """

    route: Route
    rollout: Rollout | None = None
    unsent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """When a change is made (epoch seconds), who makes it, and why.

    `evidence` is JSON: the verdict that decided it, None without one.
    """

    at: float
    by: str
    reason: str = ""
    evidence: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of a model's route.

    `before` and `after` are the fields of the route (see `fields_of`), `before` None for a model's
    first version. `rollout` is the rollout after the change, None if none is in progress. `notice`
    asks for a notice, which is due until `RolloutStore.sent`; the history does not tell it.
    """

    model: str
    event: Event
    cause: Cause
    before: Fields | None
    after: Fields
    rollout: Rollout | None = None
    notice: bool = False

    @property
    def revision(self) -> int:
        """The route's revision after the change."""
        return int(self.after["revision"])


class RolloutStore(Protocol):
    """The routes of all models, their rollouts, and the history of both.

    Every method raises Transient if the store cannot be reached.
    """

    def read(self, model: str) -> Stored:
        """The route and the rollout of a model.

        Raises:
            UnknownModel: there is no such model.
        """
        ...

    def write(self, change: Change) -> bool:
        """Store a change and its record in the history.

        False, and nothing is stored, if the route was changed since it was read, or if a version
        that the route names afterwards does not answer any more: read the route again and decide
        anew. Repeating a write that was stored returns True.
        """
        ...

    def sent(self, model: str, revision: int) -> None:
        """The notice of the change to this revision was sent; a later change needs no word."""
        ...

    def history(self, model: str) -> list[Change]:
        """All changes of a model's route, oldest first; empty for an unknown model."""
        ...

    def active(self) -> list[str]:
        """The models that have a rollout in progress, sorted."""
        ...


def fields_of(route: Route) -> dict[str, Any]:
    """The fields of a route that changes set; those of a rollout only if they have a value."""
    found: dict[str, Any] = {"live": route.live, "revision": route.revision}
    if route.canary is not None:
        found |= {"canary": route.canary, "canary_share": float(route.canary_share)}
    if route.shadow is not None:
        found["shadow"] = route.shadow
    if route.overrides:
        found["overrides"] = dict(route.overrides)
    if route.rollout:
        found |= {"rollout": route.rollout, "step": route.step}
    return found


def with_fields(route: Route, fields: Fields) -> Route:
    """The route with these fields, as `fields_of` returns them; its versions stay."""
    return Route(route.model, versions=route.versions, withdrawn=route.withdrawn, **fields)


def named(fields: Fields, rollout: Rollout | None = None) -> set[int]:
    """The versions that a route names, and those that its rollout may come back to."""
    found = {fields["live"], *fields.get("overrides", {}).values()}
    found |= {fields[name] for name in ("canary", "shadow") if name in fields}
    return found if rollout is None else found | {rollout.live, rollout.candidate}


class MemoryRollouts(MemoryRoutes):
    """The store in memory, thread-safe; serving may read its routes.

    A model that has versions but no live one yet is stored with revision 0.
    """

    def __init__(self, routes: Sequence[Route] = ()) -> None:
        super().__init__(routes)
        self._rollouts: dict[str, Rollout | None] = {}
        self._changes: defaultdict[str, list[Change]] = defaultdict(list)
        self._unsent: dict[str, int] = {}
        self._lock = threading.Lock()

    def add_version(self, model: str, version: Version) -> None:
        """Let a version answer, as publishing does."""
        with self._lock:
            route = self.stored.get(model, Route(model, 0, 0, {}))
            versions = {**route.versions, version.number: version}
            self.stored[model] = replace(route, versions=versions)

    def withdraw_version(self, model: str, number: int, moment: str, revision: int) -> bool:
        """Let a version answer no more; False if the route has another revision."""
        with self._lock:
            route = self.stored[model]
            if route.revision != revision:
                return False
            kept = {one: found for one, found in route.versions.items() if one != number}
            withdrawn = {number: moment, **route.withdrawn}
            self.stored[model] = replace(route, versions=kept, withdrawn=withdrawn)
            return True

    def route(self, model: str) -> Route:
        """See `quintet.serving.routes.Routes.route`."""
        found = super().route(model)
        if not found.revision:
            raise UnknownModel(model)
        return found

    def read(self, model: str) -> Stored:
        """See `RolloutStore.read`."""
        with self._lock:
            return Stored(self.route(model), self._rollouts.get(model), self._unsent.get(model, 0))

    def write(self, change: Change) -> bool:
        """See `RolloutStore.write`."""
        with self._lock:
            changes, notice = self._changes[change.model], change.notice
            change = replace(change, notice=False)
            if change in changes:
                return True
            route = self.stored.get(change.model, Route(change.model, 0, 0, {}))
            known = fields_of(route) if route.revision else None
            if known != change.before or not named(change.after) <= route.versions.keys():
                return False
            self.stored[change.model] = with_fields(route, change.after)
            self._rollouts[change.model] = change.rollout
            self._unsent[change.model] = change.revision if notice else 0
            changes.append(change)
        return True

    def sent(self, model: str, revision: int) -> None:
        """See `RolloutStore.sent`."""
        with self._lock:
            if self._unsent.get(model) == revision:
                self._unsent[model] = 0

    def history(self, model: str) -> list[Change]:
        """See `RolloutStore.history`."""
        with self._lock:
            return list(self._changes[model])

    def active(self) -> list[str]:
        """See `RolloutStore.active`."""
        with self._lock:
            return sorted(model for model, rollout in self._rollouts.items() if rollout)
