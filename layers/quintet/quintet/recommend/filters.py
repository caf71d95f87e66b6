"""Which items of a list an answer has: those that are left after the filters. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array
from quintet.contract import Filters

__all__ = ["REASONS", "Chosen", "Exclusions", "Listed", "chosen"]

#: why an item is filtered, in the order in which they apply
REASONS = ("unknown", "seen", "stock", "category")


class Listed(NamedTuple):
    """Items, the best first, (n,), with their scores and categories, if there are any.

    `unknown` are those that the ranker did not know, if it made the list; they are not in it.
    """

    items: NDArray[np.int64]
    scores: Array | None = None
    categories: Array | None = None
    unknown: Sequence[int] | None = None


class Exclusions(NamedTuple):
    """The items that are seen, those that are sold out, (items + 1,), and the range of the known.

    `sold_out` is None if nobody knows.
    """

    seen: Sequence[int]
    sold_out: NDArray[np.bool_] | None
    low: int
    high: int


class Chosen(NamedTuple):
    """The items of an answer, the best first, their scores, and the filtered ones by reason."""

    items: list[int]
    scores: Array | None
    filtered: dict[str, list[int]]


def chosen(listed: Listed, rule: Filters, out: Exclusions, top: int) -> Chosen:
    """The best `top` items of a list that no filter leaves out.

    Of a category's items beyond its cap, only those that would have been among the best are named.
    """
    items = listed.items
    masks = {}
    if listed.unknown is None:
        masks["unknown"] = (items < out.low) | (items > out.high)
    if rule.seen and out.seen:
        seen = set(out.seen)
        masks["seen"] = np.array([item in seen for item in items.tolist()], dtype=np.bool_)
    if out.sold_out is not None:
        listed_there = (items >= 0) & (items < len(out.sold_out))
        masks["stock"] = listed_there & out.sold_out[np.where(listed_there, items, 0)]
    left = np.ones(len(items), dtype=np.bool_)
    filtered: dict[str, list[int]] = {reason: [] for reason in REASONS}
    for reason, mask in masks.items():
        filtered[reason] = items[mask & left].tolist()
        left &= ~mask
    filtered["unknown"] += listed.unknown or ()
    places = np.flatnonzero(left)
    if rule.per_category is not None and listed.categories is not None:
        within = _within(listed.categories[places], rule.per_category)
        kept = places[within][:top]
        over = places[~within]
        if len(kept) == top:
            over = over[over < kept[-1]]
        filtered["category"] = items[over].tolist()
        places = kept
    places = places[:top]
    scores = None if listed.scores is None else listed.scores[places]
    return Chosen(items[places].tolist(), scores, filtered)


def _within(categories: Array, most: int) -> NDArray[np.bool_]:
    """Which items are among the first `most` of their category."""
    order = np.argsort(categories, kind="stable")
    starts = np.flatnonzero(np.diff(categories[order], prepend=categories[order][:1] - 1))
    sizes = np.diff(np.append(starts, len(order)))
    within = np.empty(len(order), dtype=np.bool_)
    within[order] = np.arange(len(order)) - np.repeat(starts, sizes) < most
    return within
