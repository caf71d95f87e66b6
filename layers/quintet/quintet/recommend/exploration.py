"""Show a share of the answers in random order, with known propensities. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Order", "explored"]


class Order(NamedTuple):
    """The places of ranked items in the order in which they are shown, and the propensities.

    The propensity of an item is the probability that it is shown at its position.
    """

    places: Sequence[int]
    propensity: list[float]
    explored: bool


def explored(event: str, count: int, share: float) -> Order:
    """The order of `count` ranked items: with the probability `share` a uniform permutation.

    It depends on the event's id alone. An item is at its ranked position with the probability
    `1 - share + share / count`, and at each other one with `share / count`.
    """
    ranked = range(count)
    if not share or count < 2:
        return Order(ranked, [1.0] * count, False)
    random = np.random.default_rng(int(event, 16))
    drawn = bool(random.random() < share)
    places: Sequence[int] = random.permutation(count).tolist() if drawn else ranked
    by_chance = share / count
    propensity = [
        by_chance + (1 - share if place == position else 0.0)
        for position, place in enumerate(places)
    ]
    return Order(places, propensity, drawn)
