"""Routes: which versions of a model answer, and the port that they are read by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Protocol

from quintet.errors import NotFound, Refusal
from quintet.record import Value

__all__ = ["NAME", "MemoryRoutes", "Route", "Routes", "UnknownModel", "Version"]

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")  # of models


class Version(Value):
    """An immutable published version.

    `digest` is of the package's source files, `seal` the SHA-256 of the manifest, `size`
    the bytes of the graph that is served.
    """

    number: int
    digest: str
    seal: str
    size: int
    created: str


class Route(Value):
    """The versions of a model that answer, as serving reads them.

    While a rollout runs, `rollout` is its id, which salts the routing; `canary` answers the share
    `canary_share` (0 to 1) of the entities, `shadow` scores what was captured, and `overrides`
    are the entities that one version answers whatever the share; `step` is the step of the rollout
    (-1 in shadow). `revision` grows with each change.
    """

    model: str
    live: int
    revision: int
    versions: Mapping[int, Version]
    canary: int | None = None
    canary_share: float = 0.0
    shadow: int | None = None
    overrides: Mapping[str, int] = field(default_factory=dict)
    rollout: str = ""
    step: int = 0
    #: when each withdrawn version was withdrawn
    withdrawn: Mapping[int, str] = field(default_factory=dict)

    @property
    def splits(self) -> bool:
        """Whether more than one version answers."""
        return self.canary is not None or bool(self.overrides)

    @property
    def mark(self) -> str:
        """The rollout's step as captures name it: "<rollout>#<step>"; empty without a rollout."""
        return f"{self.rollout}#{self.step}" if self.rollout else ""

    def unknown(self, number: int) -> UnknownModel:
        """The error for a version that does not answer."""
        return UnknownModel(self.model, number, self.withdrawn.get(number))


class UnknownModel(NotFound):
    """No such model or version; in Triton's words, because its clients' code relies on them.

    `withdrawn` is when the version was withdrawn, if it was.
    """

    def __init__(
        self, model: str, version: int | str | None = None, withdrawn: str | None = None
    ) -> None:
        if version is None:
            refusal = Refusal(None, "model", "a published model", repr(model)[:80])
            text = f"Request for unknown model: '{model[:80]}' is not found"
        else:
            got = str(version)[:80]
            why = "is not found" if withdrawn is None else f"was withdrawn at {withdrawn}"
            shown = got if withdrawn is None else f"{got}, which {why}"
            refusal = Refusal(None, "version", "a published version", shown)
            text = f"Request for unknown model: '{model[:80]}' version {got} {why}"
        super().__init__([refusal])
        self.args = (text,)


class Routes(Protocol):
    """The store of routes."""

    def route(self, model: str) -> Route:
        """The route of a model.

        Raises:
            NotFound: there is no such model.
            Transient: the store could not be read.
        """
        ...


class MemoryRoutes:
    """Routes in memory."""

    def __init__(self, routes: Sequence[Route] = ()) -> None:
        self.stored = {route.model: route for route in routes}

    def route(self, model: str) -> Route:
        """See `Routes.route`."""
        try:
            return self.stored[model]
        except KeyError:
            raise UnknownModel(model) from None
