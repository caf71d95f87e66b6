"""What another version would have shown to whom an impression was shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.contract import Contract
from quintet.recommend.filters import Exclusions, Listed, chosen
from quintet.rollouts.answers import ask, asked
from quintet.scoring import Model
from quintet_cli.impressions.logged import Logged

__all__ = ["NOTHING", "Targets", "targets"]

#: rows of one run
RUN_ROWS = 2_000
#: the item of a place that a version leaves empty
NOTHING = -1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Targets:
    """The lists of a version: `items` at each shown place, (shown,), NOTHING where it has none.

    Of the impressions, (impressions,) each, `missing` have no list since features of their rows are
    not known, and `failed` since the version failed on a row.
    """

    items: Ints
    missing: Flags
    failed: Flags


def targets(model: Model, hour: Logged, which: Flags) -> Targets:
    """Rank again with a version what was ranked for some impressions, `which` of them.

    The version gets the features as they were captured, and nothing else: position is not one of
    them. The filters are those of its own contract; what was sold out then is left out. A list is
    as long as what was shown.
    """
    count = len(which)
    index, ranks, categories = _ranked(model, hour, which)
    answer = hour.ranked[index]
    counts = np.bincount(answer, minlength=count)
    missing = which & ((counts == 0) | (counts < hour.candidates))
    failed = ~missing & (np.bincount(answer, np.isnan(ranks), count) > 0)
    # the highest rank first, and of equal ones the earlier row, as in serving
    order = np.lexsort((-ranks, answer))
    ranked, of_rank = hour.items[index][order], categories[order]
    ends = np.cumsum(counts)
    items = np.full(len(hour.shown.item), NOTHING, dtype=np.int64)
    sizes = np.bincount(hour.shown.answer, minlength=count)
    places = np.cumsum(sizes) - sizes
    for number in np.flatnonzero(which & ~missing & ~failed).tolist():
        rows = slice(ends[number] - counts[number], ends[number])
        found = _list(model.contract, hour.documents[number], ranked[rows], of_rank[rows])
        items[places[number] : places[number] + len(found)] = found
    return Targets(items, missing, failed)


def _ranked(model: Model, hour: Logged, which: Flags) -> tuple[Ints, Floats, Ints]:
    """The numbers of rows, their ranks, NaN where the version failed, and their categories."""
    rule = model.contract.recommend
    assert rule is not None
    part = asked(model.contract, hour.contract, hour.rows, np.flatnonzero(which[hour.ranked]))
    ranks = np.empty(len(part.index))
    categories = np.zeros(len(part.index), dtype=np.int64)
    for start in range(0, len(part.index), RUN_ROWS):
        some = slice(start, start + RUN_ROWS)
        (answers,) = ask(model, [part.part(some)])
        ranks[some] = np.where(answers.failed, np.nan, answers.outputs[rule.rank].reshape(-1))
        if rule.category is not None:
            categories[some] = answers.outputs[rule.category].reshape(-1)
    return part.index, ranks, categories


def _list(contract: Contract, document: Mapping[str, Any], items: Ints, categories: Ints) -> Any:
    """The items of an impression that the filters leave, of `items` in the version's order."""
    rule = contract.recommend
    assert rule is not None
    low, high = contract.by_name[rule.item].range or (None, None)
    assert low is not None and high is not None
    there = ~np.isin(items, document["filtered"]["stock"])
    listed = Listed(items[there], categories=categories[there])
    seen = [*document["context"]["items"], *document["filtered"]["seen"]]
    out = Exclusions(seen, None, int(low), int(high))
    return chosen(listed, rule.filters, out, len(document["items"])).items
