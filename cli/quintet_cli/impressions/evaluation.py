"""The value of another version on logged impressions, before it answers anybody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.errors import BadInput
from quintet.feedback.table import Feedback
from quintet.scoring import Model
from quintet_cli.impressions.estimators import ENOUGH, Weighted, values
from quintet_cli.impressions.logged import Logged, Shown
from quintet_cli.impressions.outcomes import outcomes
from quintet_cli.impressions.pairs import Pairs
from quintet_cli.impressions.rewards import fitted_rewards
from quintet_cli.impressions.targets import NOTHING, targets

__all__ = ["LEFT_OUT", "evaluated"]

#: why an impression is left out
LEFT_OUT = {
    "open": "whose window for feedback is open",
    "not_ranked": "that the ranker did not rank",
    "no_exploration": "without exploration",
    "without_features": "whose rows lack a feature of the version",
    "failed": "on which the version fails",
}
#: users from which intervals can be told
USERS = 30
#: a share of places that could have been shown, below which the methods have to guess
SUPPORT = 0.9

Ints = NDArray[np.int64]


@dataclass
class _Gathered:
    """Impressions of all hours: what was shown, the version's items, those ranked before
    exploration, and which impressions are evaluated."""

    shown: list[Shown] = field(default_factory=list)
    items: list[Ints] = field(default_factory=list)
    ranked: list[Ints] = field(default_factory=list)
    kept: list[NDArray[np.bool_]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def evaluated(
    hours: Iterable[Logged], model: Model, feedback: Feedback, *, reward: str, now: float
) -> dict[str, Any]:
    """What a version would earn an answer, as JSON: see `estimators.values`. Differences are from
    the order in which the answers were ranked, before exploration.

    `reward` is a type of feedback; feedback counts as in an export at `now`, in epoch seconds.
    Impressions that say nothing are left out, by reason: their window is `open`; another step of
    the ladder than the ranker answered (`not_ranked`); there was `no_exploration`; a feature of the
    version is not in their rows (`without_features`); the version `failed` on a row.

    Raises:
        BadInput: no impression is left; it says why.
    """
    found = _Gathered()
    for hour in hours:
        _add(found, hour, model, now)
    shown = Shown.joined(found.shown)
    kept = np.concatenate([np.zeros(0, np.bool_), *found.kept])
    if not kept.any():
        expected = "some on which the version can be judged"
        raise BadInput.of("impressions", expected, _none(found.left_out))
    joined = outcomes(shown, feedback, now)
    rows = np.flatnonzero(kept[shown.answer])
    items, ranked = (np.concatenate(some)[rows] for some in (found.items, found.ranked))
    earned = ~np.isnan(joined.first[reward][rows])
    version, then = _weighted(shown, rows, (items, ranked), earned.astype(np.float64))
    document = {
        "reward": reward,
        "impressions": int(np.count_nonzero(kept)),
        "users": len(np.unique(version.user)),
        "left_out": dict(found.left_out),
        "feedback": joined.counts,
        "rewards": int(np.count_nonzero(earned)),
        "agreement": float(np.mean(items == ranked)),
        "matches": int(np.count_nonzero((items == shown.item[rows]) & (items != ranked))),
        **values(version, then),
    }
    return document | {"warnings": list(_warnings(document))}


def _add(found: _Gathered, hour: Logged, model: Model, now: float) -> None:
    shown, documents = hour.shown, hour.documents
    count = len(documents)
    left = np.ones(count, dtype=np.bool_)

    def leave(reason: str, out: NDArray[np.bool_]) -> None:
        nonlocal left
        found.left_out[reason] += int(np.count_nonzero(left & out))
        left = left & ~out

    leave("open", shown.closes > now)
    leave("not_ranked", np.array([one["step"] != "reranked" for one in documents]))
    certain = np.bincount(shown.answer, shown.propensity < 1, count) == 0
    leave("no_exploration", certain)
    target = targets(model, hour, left)
    leave("without_features", target.missing)
    leave("failed", target.failed)
    found.shown.append(shown)
    found.items.append(target.items)
    found.ranked.append(np.array([item for one in documents for item in one["ranked"]], np.int64))
    found.kept.append(left)


def _weighted(
    shown: Shown, rows: Ints, lists: Sequence[Ints], reward: NDArray[np.float64]
) -> list[Weighted]:
    """Shown items as rows for the estimators, for each of several lists of items at their places.

    With exploration each item of an answer may be at each of its places, and no other item.
    """
    item, position = shown.item[rows], shown.position[rows]
    answer = np.unique(shown.answer[rows], return_inverse=True)[1]
    user = np.unique(shown.users[shown.answer[rows]], return_inverse=True)[1]
    fitted, *expected = np.split(
        fitted_rewards(
            user=user,
            position=position,
            item=item,
            reward=reward,
            asked=np.concatenate([item, *lists]),
            of=np.tile(np.arange(len(rows)), 1 + len(lists)),
        ),
        1 + len(lists),
    )
    pairs = Pairs(answer, item)
    return [
        Weighted(
            answer=answer,
            user=user,
            position=position,
            reward=reward,
            weight=(items == item) / shown.propensity[rows],
            support=(pairs.find(answer, items) >= 0).astype(np.float64),
            fitted=fitted,
            expected=np.where(items == NOTHING, 0.0, value),
        )
        for items, value in zip(lists, expected, strict=True)
    ]


def _none(left_out: Counter[str]) -> str:
    left = +left_out
    if not left:
        return "none in that time; --since takes an earlier one"
    if set(left) == {"no_exploration"}:
        return (
            f"{left['no_exploration']:,} without exploration, where each item was certain at its "
            "place: they say nothing of another order; publish a version with `explore: 0.05` "
            "under `recommend`"
        )
    return "only " + ", ".join(f"{count:,} {LEFT_OUT[reason]}" for reason, count in left.items())


def _warnings(document: Mapping[str, Any]) -> Iterator[str]:
    """What makes the figures doubtful."""
    matches, support = document["matches"], document["support"]
    if document["agreement"] < 1 and matches < ENOUGH:
        yield (
            f"where the orders differ, exploration showed the version's item {matches:,} times; "
            f"below {ENOUGH} the intervals are too narrow: wait for more impressions, or explore "
            "a larger share"
        )
    if document["users"] < USERS:
        yield f"{document['users']} users are too few for intervals; {USERS} are the least"
    if support < SUPPORT:
        yield (
            f"at {1 - support:.0%} of the places the version has an item that was not among the "
            "shown ones: nothing is known of it there. IPS counts it as no reward, SNIPS as the "
            "mean of the others, DR as the reward model says"
        )
    mean, low, high = document["mean_weight"].values()
    # twice as far as the interval goes
    if low is not None and not 2 * (low - mean) <= support - mean <= 2 * (high - mean):
        yield (
            f"the mean weight is {mean:.3f} and should be {support:.3f}: the propensities are not "
            "those with which items were shown"
        )
