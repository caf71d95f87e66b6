"""Runs the largest row that free axes allow, and times rows that run one by one."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

import numpy as np

from quintet.columns import ragged, values_of
from quintet.contract import Contract, Feature
from quintet.errors import ModelFailure
from quintet.serving.golden import Golden, score_columns
from quintet_publish.full_request import Recorded, peak_memory

__all__ = ["one_by_one", "run_largest", "too_slow"]

#: runs that are timed
RUNS = 5


def run_largest(model: Recorded, vectors: Golden) -> list[str]:
    """Run the first golden row with every free axis as long as the contract allows.

    Returns what the graph or the contract refuses there.
    """
    contract = model.contract
    if not any(feature.free for feature in contract.features):
        return []
    columns = {
        feature.name: [_largest(feature, vectors.columns[feature.name])]
        if feature.free
        else vectors.columns[feature.name][:1]
        for feature in contract.features
    }
    sizes = ", ".join(f"{f.name} {list(f.largest)}" for f in contract.features if f.free)
    try:
        refusals = score_columns(model, columns).refusals
    except ModelFailure as error:
        cause = " ".join(str(error.__cause__ or error).split())
        return [f"the largest row of the contract ({sizes}) fails: {cause[:400]}"]
    return [
        f"the largest row of the contract ({sizes}): {refusal.field}: expected "
        f"{refusal.expected}, got {refusal.got}"
        for refusal in refusals
    ]


def _largest(feature: Feature, rows: list[Any]) -> Any:
    """The golden values of a feature, over and over, in its largest shape."""
    values, _ = values_of(ragged([np.array(row, dtype=object) for row in rows]))
    filler: Any = "" if feature.dtype == "string" else 0
    return np.resize(values if values.size else [filler], feature.largest).tolist()


def one_by_one(model: Recorded) -> dict[str, Any]:
    """Time a request of the most rows, each in a run of its own, as `grow` does for one run."""
    feeds, wanted = model.feeds, list(model.results)
    times = []
    for _ in range(RUNS):
        model.run(wanted, feeds)
        times.append(model.ms)
    rows = model.contract.limits.rows
    return {"rows": rows, "ms": median(times) * rows, "memory": peak_memory()}


def too_slow(contract: Contract, ms: float, seconds: float) -> Iterator[str]:
    """Say if a request of the most rows, one by one, takes too long: `ms` in all.

    That is longer than the contract's service level, or than the `seconds` that a request has.
    """
    rows, level = contract.limits.rows, contract.slo.p95_ms
    most = min(level, seconds * 1000)
    if contract.rows == "many" or ms <= most:
        return
    fit = int(most / (ms / rows))
    why = f"slo.p95_ms is {level:g}" if most == level else f"a request has {seconds:g} s"
    hints = [f"lower it to at most {fit:,}"] * bool(fit) + ["raise slo.p95_ms"] * (most == level)
    yield (
        f"with rows: one, {rows:,} rows take {rows:,} runs of {ms / rows:.3g} ms, "
        f"{ms / 1000:.3g} s in all; {why}: {', or '.join(hints) or 'one row takes too long'}"
    )
