"""Skew: stored features as they were served, against what the offline source knew at that time.

A model is trained on features joined from the offline source. If the feature store serves other
values, because a load is late, a pipeline computes them in another way or rows are missing, its
predictions are worse than its tests were. Here each served row is joined again from the history of
the source, as of the moment it was served, and compared value by value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array, numpy_dtype
from quintet.contract import Feature

__all__ = ["TOLERANCE", "History", "Served", "as_of", "skew_of"]

#: the relative difference up to which numbers are equal within tolerance: what float32 and the
#: order of a sum change
TOLERANCE = 1e-6
#: seconds by which times may differ: ages are captured as float32
_SLACK = 1.0
_RELATIVE_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class History:
    """The rows of the offline source, in the order in which they were loaded.

    `at` (rows,) is the time that a row describes, `known_at` since when it is known, NaN if the
    source does not say, in epoch seconds. `there` marks the rows in which a feature has a value.
    """

    entities: NDArray[np.str_]
    at: NDArray[np.float64]
    known_at: NDArray[np.float64]
    values: Mapping[str, Array]
    there: Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Served:
    """Rows as they were served at the times `at`, in epoch seconds.

    `values` are stored features as the model saw them; `ages` are in seconds, NaN without a value.
    `fallback` (rows,) are those that the fallback rule answered.
    """

    entities: NDArray[np.str_]
    at: NDArray[np.float64]
    values: Mapping[str, Array]
    ages: Mapping[str, NDArray[np.float64]]
    fallback: NDArray[np.bool_]


def as_of(
    rows: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
    wanted: tuple[NDArray[np.int64], NDArray[np.float64]],
) -> NDArray[np.int64]:
    """For each wanted (entity, time): the position of the row with the latest `at` among those of
    the entity whose `at` and `known_at` are not after the time; -1 if there is none.

    `rows` are (entities as numbers, at, known_at); a `known_at` of NaN does not count. Of rows with
    one `at` the one known last is taken, and of those the first, as the feature store does.
    """
    (entities, at, known), (who, when) = rows, wanted
    if not len(at) or not len(when):
        return np.full(len(when), -1, dtype=np.int64)
    since = np.fmax(at, known)  # from when on a row can be seen
    codes = np.concatenate([entities, who])
    times = np.unique(np.concatenate([since, when]), return_inverse=True)[1]
    keys = codes * (int(times.max()) + 1) + times  # ordered by entity, then by time
    # the rank of each row: of two rows of an entity that can be seen, the higher one is taken
    place = np.arange(len(at))
    ranked = np.lexsort((-place, np.where(np.isnan(known), -np.inf, known), at, codes[: len(at)]))
    rank = np.empty(len(at), dtype=np.int64)
    rank[ranked] = place
    seen = np.argsort(keys[: len(at)], kind="stable")
    # ranks grow with the entity, so that no row of an earlier entity is the best of a later one
    best = np.maximum.accumulate(rank[seen])
    last = np.searchsorted(keys[: len(at)][seen], keys[len(at) :], "right") - 1
    found = ranked[best[np.maximum(last, 0)]]
    ours = (last >= 0) & (codes[found] == codes[len(at) :])
    return np.where(ours, found, -1)


def skew_of(features: Sequence[Feature], served: Served, history: History) -> list[dict[str, Any]]:
    """The skew of stored features, most skewed first.

    Of each feature: `rows` compared, of which `exact` are equal, `within` equal within TOLERANCE,
    `different` not, `missing_served` and `missing_offline` missing on one side, `missing_both` on
    both; `skewed` is the share of those that are not equal. Missing is also what is older than the
    contract allows. `behind` of them were served an older value than the source knew: a load was
    late. `by_event_time` says that the source does not say for all rows when they were known.
    A feature whose values were not captured, or were never loaded, has `rows` 0.
    """
    names = [*history.entities.tolist(), *served.entities.tolist()]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    codes = np.fromiter(map(numbers.__getitem__, names), np.int64, len(names))
    split = np.split(codes, [len(history.at)])
    found = [_feature(feature, served, history, *split) for feature in features]
    return sorted(found, key=lambda one: (-(one["skewed"] or 0.0), one["feature"]))


def _feature(
    feature: Feature,
    served: Served,
    history: History,
    entities: NDArray[np.int64],
    who: NDArray[np.int64],
) -> dict[str, Any]:
    name = feature.name
    rows = np.flatnonzero(history.there[name])
    if name not in served.values or not len(rows) or not len(served.at):
        why = "not captured" if name not in served.values else "no row served"
        why = why if len(rows) else "never loaded from a file"
        return {"feature": name, "rows": 0, "skewed": None, "not_compared": why}
    at, known = history.at[rows], history.known_at[rows]
    place = as_of((entities[rows], at, known), (who, served.at))
    oldest = np.inf if feature.max_age is None or feature.when_stale == "serve" else feature.max_age
    offline = place >= 0
    moment = np.where(offline, at[place], -np.inf)
    age = served.ages[name]
    online = age <= oldest
    then = np.where(np.isnan(age), -np.inf, served.at - age)
    slack = _SLACK + _RELATIVE_SLACK * np.nan_to_num(age)
    with np.errstate(invalid="ignore"):  # of two that are missing
        late = moment - then
    same = np.abs(late) <= slack
    offline = np.where(same, online, offline & (served.at - moment <= oldest))
    both = np.flatnonzero(online & offline)
    one = served.values[name][both].astype(numpy_dtype(feature.dtype))
    other = history.values[name][rows][place[both]]
    exact = one == other
    within = ~exact & _close(one, other)
    different = both[~exact & ~within]
    unequal = np.concatenate([different, np.flatnonzero(online != offline)])
    counts = {
        "exact": exact.sum(),
        "within": within.sum(),
        "different": len(different),
        "missing_served": (~online & offline).sum(),
        "missing_offline": (online & ~offline).sum(),
        "missing_both": (~online & ~offline).sum(),
        "behind": (late > slack)[unequal].sum(),
    }
    return {
        "feature": name,
        "rows": len(served.at),
        "skewed": len(unequal) / len(served.at),
        **{what: int(count) for what, count in counts.items()},
        "by_event_time": bool(np.isnan(known).any()),
    }


def _close(one: Array, other: Array) -> NDArray[np.bool_]:
    if one.dtype.kind != "f":
        return np.zeros(len(one), dtype=np.bool_)
    close: NDArray[np.bool_] = np.isclose(
        one.astype(np.float64), other.astype(np.float64), rtol=TOLERANCE, atol=0.0
    )
    return close
