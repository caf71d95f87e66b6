"""Which version answers each row of a batch while a rollout runs. Pure.

An entity's bucket is a hash of the model, the rollout and the entity, in [0, 1); the canary answers
the buckets below its share. So an entity keeps its version while the share stays, stays with the
canary while the share grows, and is drawn anew by the next rollout.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quintet.serving.routes import Route

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Choice", "assigned", "bucket", "entity_hash", "keys_of", "row_keys"]

#: before the id of a request in the place of an entity: no entity's override applies to it
_REQUEST = "\0"


#: a canary runs first: if it fails, no other version has run for nothing
_ORDER = ("canary", "pinned", "live")


class Choice(NamedTuple):
    """The version that answers rows, and its route: live, canary, or pinned by an override.

    `mark` is "<rollout>#<step>" if the rollout's share decided, and empty otherwise: such rows are
    no evidence.
    """

    version: int
    route: str
    mark: str = ""


def entity_hash(model: str, entity: str) -> int:
    """The hash (64 bits, not negative) that stands for an entity in the evidence of rollouts."""
    return _hash(f"{model}\0{entity}")


def bucket(model: str, rollout: str, entity: str) -> float:
    """The bucket of an entity in a rollout, in [0, 1), in steps of 2**-53."""
    return (_hash(f"{model}\0{rollout}\0{entity}") >> 11) * 2.0**-53


def keys_of(entities: Sequence[str] | None, rows: int, request: str, *, whole: bool) -> list[str]:
    """What each row of a request is routed by: its entity, or without one the request's id.

    Request ids are not sticky. With `whole`, the first row decides for all.
    """
    if whole and entities is not None:
        return [entities[0] or _REQUEST + request] * rows
    return row_keys(entities, [request] * rows)


def row_keys(entities: Sequence[str] | None, events: Sequence[str]) -> list[str]:
    """What each row is routed by: its entity, or without one its event, such as its request."""
    if entities is None:
        return [_REQUEST + event for event in events]
    return [entity or _REQUEST + event for entity, event in zip(entities, events, strict=True)]


def assigned(route: Route, keys: Sequence[str]) -> dict[Choice, NDArray[np.int64]]:
    """The positions of the rows that each version answers, ascending: the canary first, live last.

    `keys` are of `keys_of`. Overrides decide first, then the canary's share.
    """
    number = {key: position for position, key in enumerate(dict.fromkeys(keys))}
    choices = [_choice(route, key) for key in number]
    distinct = sorted(set(choices), key=lambda choice: (_ORDER.index(choice.route), choice))
    if len(distinct) == 1:
        return {distinct[0]: np.arange(len(keys))}
    place = {choice: position for position, choice in enumerate(distinct)}
    of_key = np.array([place[choice] for choice in choices])
    of_row = of_key[[number[key] for key in keys]]
    return {choice: np.flatnonzero(of_row == position) for choice, position in place.items()}


def _choice(route: Route, key: str) -> Choice:
    fixed = route.overrides.get(key)
    if fixed is not None:
        return Choice(fixed, "pinned")
    if route.canary is not None and bucket(route.model, route.rollout, key) < route.canary_share:
        return Choice(route.canary, "canary", route.mark)
    return Choice(route.live, "live", route.mark)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
