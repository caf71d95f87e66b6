"""Checks training data against contract and model: what is refused, and how well outputs fit.

Its outputs become the baseline of outputs.

A contract with two features in the wrong order passes every check of form. The training data show
the error: the outputs fit the column of true values better with the two swapped.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array, numpy_dtype
from quintet.contract import Contract, Feature, Output
from quintet.monitoring.baseline import Columns, first_rows, outputs_of
from quintet.scoring import Scores
from quintet.serving.golden import score_columns
from quintet_publish.full_request import Recorded

__all__ = ["check_sample", "sample_of"]

ROWS = 2000
VALUES = 400_000
REASONS = 5
#: rows by which the time of scoring is told
TRIAL = 20
#: seconds that scoring the first rows of entities may take
ENTITY_SECONDS = 10.0
SWAP_SECONDS = 10.0
AUC_MARGIN = 0.05  # minimum improvement by a swap
RMSE_SHARE = 0.8


class Quality(NamedTuple):
    """How well outputs fit the true values."""

    measure: str
    value: float

    def much_better_than(self, other: Quality) -> bool:
        """Whether the difference is too large for chance."""
        if self.measure == "RMSE":
            return self.value < RMSE_SHARE * other.value
        return self.value > other.value + AUC_MARGIN

    def __str__(self) -> str:
        return f"{self.measure} {self.value:.4g}"


# ---- the sample ----------------------------------------------------------------------------------


def sample_of(
    contract: Contract, columns: Columns, target: Any, entities: Sequence[Any] | None
) -> dict[str, Any] | None:
    """Return some rows of the training data as JSON; None where a feature has no column.

    `firsts` are rows that are the first of their entity, if `entities` are known.
    """
    if not columns or any(feature.name not in columns for feature in contract.features):
        return None
    total = len(next(iter(columns.values())))
    width = sum(math.prod(feature.largest) for feature in contract.features)
    count = min(total, ROWS, max(1, VALUES // max(width, 1)))
    picked = _spread(total, count)

    def plain(rows: Sequence[int]) -> dict[str, list[Any]]:
        return {
            feature.name: [_plain(feature, columns[feature.name][row]) for row in rows]
            for feature in contract.features
        }

    firsts = None
    if entities is not None:
        known = first_rows(entities)
        firsts = plain([known[place] for place in _spread(len(known), count)])
    return {
        "columns": plain(picked),
        "target": None if target is None else [_value(target[row]) for row in picked],
        "firsts": firsts,
    }


def _spread(total: int, count: int) -> list[int]:
    """Positions spread evenly over all."""
    places: list[int] = np.linspace(0, total - 1, min(count, total)).astype(np.int64).tolist()
    return places


def _value(value: Any) -> Any:
    value = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    if value is None or isinstance(value, bool | int | str | list):
        return value
    return value if isinstance(value, float) and np.isfinite(value) else None


def _plain(feature: Feature, value: Any) -> Any:
    """Convert a value to JSON; tables of training data hold integers with nulls as floats."""
    value, kind = _value(value), numpy_dtype(feature.dtype).kind
    if isinstance(value, list) and not feature.free and len(value) == math.prod(feature.shape):
        return np.reshape(np.array(value, object), feature.shape).tolist()  # tables hold it flat
    if kind in "iu" and isinstance(value, float) and value.is_integer():
        return int(value)
    return bool(value) if kind == "b" and value in (0, 1) else value


# ---- the check -----------------------------------------------------------------------------------


def check_sample(model: Recorded, sample: dict[str, Any]) -> dict[str, Any]:
    """Return what the contract refuses in it, how well the outputs fit, and any better order.

    `outputs` and `entity_outputs` are their baselines, in rows and in one row of each entity.
    """
    contract, columns = model.contract, sample["columns"]
    entity_outputs = _entity_outputs(model, sample)
    scores = score_columns(model, columns)
    total = len(next(iter(columns.values())))
    reasons = Counter(f"{r.field}: expected {r.expected}" for r in scores.refusals)
    found: dict[str, Any] = {
        "rows": total,
        "refused": len({refusal.row for refusal in scores.refusals}),
        "reasons": [f"{count:,} for {text}" for text, count in reasons.most_common(REASONS)],
        "outputs": _outputs(contract, scores),
        "entity_outputs": entity_outputs,
    }
    if sample["target"] is None or not len(scores.index) or scores.fallback.any():
        return found
    target = [sample["target"][row] for row in scores.index.tolist()]
    as_written = _quality(contract, scores.outputs, target)
    if as_written is not None:
        found["quality"] = str(as_written)
        found["swap"] = _better_swap(model, target, as_written)
    return found


def _entity_outputs(model: Recorded, sample: dict[str, Any]) -> dict[str, Any] | None:
    """Return the baseline of outputs in one row of each entity: of as many as there is time for."""
    columns = sample["firsts"]
    if columns is None:
        return None
    total = len(next(iter(columns.values())))
    trial, begun = _spread(total, TRIAL), time.monotonic()
    score_columns(model, _rows(columns, trial))
    each = (time.monotonic() - begun) / len(trial)
    fit = min(total, max(len(trial), int(ENTITY_SECONDS / max(each, 1e-9))))
    return _outputs(model.contract, score_columns(model, _rows(columns, _spread(total, fit))))


def _rows(columns: dict[str, list[Any]], rows: list[int]) -> dict[str, list[Any]]:
    return {name: [values[row] for row in rows] for name, values in columns.items()}


def _outputs(contract: Contract, scores: Scores) -> dict[str, Any]:
    """Return the baseline of the outputs that the model itself gave."""
    own = ~scores.fallback
    return outputs_of(contract, {name: values[own] for name, values in scores.outputs.items()})


def _better_swap(model: Recorded, target: Sequence[Any], as_written: Quality) -> str | None:
    """Return the two features of a stack that fit much better when swapped."""
    feeds, best, better = dict(model.feeds), as_written, None
    names = list(model.results)
    until = time.monotonic() + SWAP_SECONDS
    for graph_input in model.contract.inputs:
        if model.contract.grouped:  # the feeds are those of some rows
            return better
        stack = feeds[graph_input.name]
        for one, other in combinations(range(len(graph_input.features or ())), 2):
            if time.monotonic() > until or len(stack) != len(target):
                return better
            swapped = stack.copy()
            swapped[:, [one, other]] = stack[:, [other, one]]
            given = model.run(names, {**feeds, graph_input.name: swapped})
            found = _quality(model.contract, dict(zip(names, given, strict=True)), target)
            if found and found.much_better_than(as_written) and _beats(found, best):
                features = graph_input.features or ()
                better = (
                    f"inputs.{graph_input.name}.features: with {features[one]} and "
                    f"{features[other]} swapped, the training data give {found} in place of "
                    f"{as_written}; expected the order of the graph"
                )
                best = found
    return better


def _beats(one: Quality, other: Quality) -> bool:
    return one.value < other.value if one.measure == "RMSE" else one.value > other.value


# ---- how well outputs fit ------------------------------------------------------------------------


def _quality(
    contract: Contract, outputs: dict[str, Array], target: Sequence[Any]
) -> Quality | None:
    """Return AUC (probabilities and scores of two classes), RMSE (values) or label accuracy."""
    of: dict[str, Output] = {}
    for output in reversed([output for output in contract.outputs if not output.free]):
        of[output.meaning] = output
    for meaning in ("probabilities", "score", "value", "label"):
        if meaning in of:
            output = of[meaning]
            return _fit(output, outputs[output.name].reshape(len(target), -1), target)
    return None


def _fit(output: Output, values: Array, target: Sequence[Any]) -> Quality | None:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return None
    if output.meaning == "probabilities":
        labels = output.labels or tuple(map(str, range(values.shape[1])))
        names = output.class_names or labels
        found = [
            _auc(values[:, i], np.array([_is(t, label, name) for t in target]))
            for i, (label, name) in enumerate(zip(labels, names, strict=True))
            if i < values.shape[1]
        ]
        kept = [auc for auc in found if auc is not None]
        return Quality("AUC", float(np.mean(kept))) if kept else None
    if output.meaning == "label":
        given = values[:, 0].tolist()
        right = [_is(t, str(v), output.class_of.get(v)) for t, v in zip(target, given, strict=True)]
        return Quality("accuracy", float(np.mean(right)))
    if values.shape[1] != 1 or not all(isinstance(t, bool | int | float) for t in target):
        return None
    numbers = np.array(target, np.float64)
    scores = values[:, 0].astype(np.float64)
    if set(numbers.tolist()) == {0.0, 1.0} and (auc := _auc(scores, numbers == 1)) is not None:
        return Quality("AUC", auc)
    return Quality("RMSE", float(np.sqrt(np.mean((scores - numbers) ** 2))))


def _is(target: Any, label: str, name: str | None) -> bool:
    """Whether a true value is that class: by its label, or by its name."""
    if isinstance(target, float) and target.is_integer():
        target = int(target)
    text = str(int(target)) if isinstance(target, bool) else str(target)
    return text in (label, name)


def _auc(scores: Array, positive: NDArray[np.bool_]) -> float | None:
    """Return the share of positive-negative pairs that are in order; ties count half."""
    ups, downs = int(positive.sum()), int((~positive).sum())
    if not ups or not downs:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse.reshape(-1)]
    return float((ranks[positive].sum() - ups * (ups + 1) / 2) / (ups * downs))
