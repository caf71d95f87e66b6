"""The cases that `make foreign-models` exported, with their rows as the sample."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from benchmarks.foreign.cases import cases
from benchmarks.foreign.exports.case import OUT
from benchmarks.foreign.values import plain
from benchmarks.init_models.case import Case

__all__ = ["foreign_cases"]


def foreign_cases() -> Iterator[Case]:
    """Nothing if there are none in build/."""
    for case in cases(OUT) if OUT.exists() else ():
        records = [{name: plain(value) for name, value in row.items()} for row in case.rows]
        feeds = []
        for row in case.rows:
            axes = {name: case.first.axis(name) for name in row}
            feeds.append(
                {
                    name: value if (at := axes[name]) is None else np.expand_dims(value, at)
                    for name, value in row.items()
                }
            )
        yield Case(case.name, case.exporter, case.first.graph, records, feeds, suffix=".jsonl")
