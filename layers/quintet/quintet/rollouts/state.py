"""A rollout as it is stored with its model's route."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import orjson

__all__ = ["Phase", "Rollout", "from_json", "to_json"]

#: in shadow the candidate answers nobody, as a canary a share, and after its promotion everybody,
#: while the version before stays ready to come back
Phase = Literal["shadow", "canary", "watching"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A rollout in progress.

    `id` is unique, and salts the routing. `live` is the version that answered when it started,
    `candidate` the new one. `steps` are the candidate's shares (0 to 1) as a canary, ascending.
    `step` is the position of the present one; it is -1 in shadow and `len(steps)` when watching,
    so that one step has one share. `started` and `entered` (the present phase and step) are in
    epoch seconds. `paused` says why it stands still, empty if it goes on. `by` and `reason` are who
    started it, and why. `paired` is False if captures do not let one version score what the other
    answered (`quintet.rollouts.compatible.unpaired`).
    """

    id: str
    model: str
    live: int
    candidate: int
    phase: Phase
    steps: tuple[float, ...]
    step: int
    started: float
    entered: float
    paused: str = ""
    by: str = ""
    reason: str = ""
    paired: bool = True

    @property
    def share(self) -> float:
        """The share of the entities that the candidate answers."""
        if self.phase == "canary":
            return self.steps[self.step]
        return 0.0 if self.phase == "shadow" else 1.0


def to_json(rollout: Rollout) -> bytes:
    """A rollout as JSON."""
    return orjson.dumps(asdict(rollout))


def from_json(text: bytes | str) -> Rollout:
    """A rollout from its JSON."""
    fields: dict[str, Any] = orjson.loads(text)
    return Rollout(**{**fields, "steps": tuple(fields["steps"])})
