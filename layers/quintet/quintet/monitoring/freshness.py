"""Freshness: how old stored features are when they are served, against what the contract allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quintet.contract import Feature
from quintet.monitoring.skew import Served

__all__ = ["AGING", "freshness_of"]

#: the share of `max_age` above which a feature is aging: a load is late, and there is still time
AGING = 0.8


def freshness_of(features: Sequence[Feature], served: Served) -> list[dict[str, Any]]:
    """The ages of stored features at serving, in seconds; nearest to its `max_age` first.

    Of each feature: `missing` and `too_old`, shares of the rows; `p50`, `p95`, `p99` and `oldest`
    of those with a value, None if there are none; `used`, the share of `max_age` that p95 is; and
    `aging`, whether that is above AGING. Without a `max_age`, nothing is too old.
    """
    found = [_feature(feature, served) for feature in features if feature.name in served.ages]
    return sorted(found, key=lambda one: (-(one["used"] or 0.0), one["feature"]))


def _feature(feature: Feature, served: Served) -> dict[str, Any]:
    ages = served.ages[feature.name]
    known = ages[~np.isnan(ages)]
    rows = max(len(ages), 1)
    p50 = p95 = p99 = oldest = used = None
    if len(known):
        p50, p95, p99, oldest = np.quantile(known, (0.5, 0.95, 0.99, 1.0)).tolist()
        if feature.max_age:
            used = p95 / feature.max_age
    limit = np.inf if feature.max_age is None else feature.max_age
    return {
        "feature": feature.name,
        "max_age": feature.max_age,
        "rows": len(ages),
        "missing": (len(ages) - len(known)) / rows,
        "too_old": int(np.count_nonzero(known > limit)) / rows,
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "oldest": oldest,
        "used": used,
        "aging": used is not None and used > AGING,
    }
