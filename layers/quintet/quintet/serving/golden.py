"""Golden vectors: rows of features and their expected outputs, on every path and machine.

`golden.json` of a model package:

    {"columns": {"amount": [12.5, ...], ...}, "outputs": {"score": [0.03, ...]}, "tolerance": 1e-6}

All features are columns, including stored ones; null is a missing value, and in an output one that
is not finite. Row i of every output belongs to row i of every column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quintet.columns import Array, from_records, numpy_dtype, shown
from quintet.contract import Output
from quintet.features import MemoryFeatures
from quintet.scoring import Model, Scores
from quintet.serving.predict import ModelRoute, predict

__all__ = ["Difference", "Golden", "check", "golden_from_dict", "score_columns"]

TOLERANCE = 1e-6
HALF_TOLERANCE = 1e-3  # float16 keeps three digits


@dataclass(frozen=True, slots=True)
class Golden:
    """Columns of features and of their expected outputs.

    A number agrees where |got - expected| <= tolerance * max(1, |expected|).
    """

    columns: dict[str, list[Any]]
    outputs: dict[str, list[Any]]
    tolerance: float = TOLERANCE

    def head(self, rows: int) -> Golden:
        """The first rows."""
        return self.slice(0, rows)

    def slice(self, start: int, stop: int) -> Golden:
        """Some of the rows."""
        return Golden(
            {name: values[start:stop] for name, values in self.columns.items()},
            {name: values[start:stop] for name, values in self.outputs.items()},
            self.tolerance,
        )

    def repeated(self, rows: int) -> Golden:
        """As many rows as asked for, these ones over and over."""
        times = -(-rows // self.rows)
        return Golden(
            {name: (values * times)[:rows] for name, values in self.columns.items()},
            {name: (values * times)[:rows] for name, values in self.outputs.items()},
            self.tolerance,
        )

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values())))

    def to_dict(self) -> dict[str, Any]:
        """As golden.json holds it."""
        return {"columns": self.columns, "outputs": self.outputs, "tolerance": self.tolerance}


@dataclass(frozen=True, slots=True)
class Difference:
    """One golden value that the model does not reproduce."""

    row: int
    output: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.output}: expected {self.expected}, got {self.got}"


def golden_from_dict(data: Mapping[str, Any]) -> Golden:
    """Golden vectors from the content of golden.json, validated at publish."""
    return Golden(dict(data["columns"]), dict(data["outputs"]), data.get("tolerance", TOLERANCE))


def check(model: Model, golden: Golden) -> list[Difference]:
    """Score the golden rows as any request's; what differs, one value a row and output.

    Raises:
        ModelFailure: the model raised, or broke its contract's shapes.
    """
    scores = score_columns(model, golden.columns)
    rows = {int(row): position for position, row in enumerate(scores.index)}
    differences = [
        Difference(refusal.row or 0, refusal.field, refusal.expected, refusal.got)
        for refusal in scores.refusals
    ]
    for output in model.contract.outputs:
        expected = golden.outputs.get(output.name)
        if expected is None:
            continue
        for row, want in enumerate(expected):
            if row in rows:
                have = scores.outputs[output.name][rows[row]]
                differences.extend(_compare(output, row, want, have, golden.tolerance))
    return sorted(differences, key=lambda difference: difference.row)


def score_columns(model: Model, columns: Mapping[str, Sequence[Any]]) -> Scores:
    """Score rows like a request's: stored features come from a feature store, one entity per row.

    `columns` are JSON values by feature, None where one is missing.

    Raises:
        ModelFailure: the model raised, or broke its contract's shapes.
    """
    contract = model.contract
    source = MemoryFeatures()
    records: list[dict[str, Any]] = [{} for _ in next(iter(columns.values()))]
    for name, values in columns.items():
        feature = contract.by_name[name]
        for row, value in enumerate(values):
            if value is None:
                continue
            if feature.source == "request":
                records[row][feature.key] = value
            elif contract.entity:
                source.put(contract.entity, str(row), name, value, 0.0)
    if contract.entity:
        for row, record in enumerate(records):
            record[contract.entity] = str(row)
    batch = from_records(contract, records)
    (prediction,) = predict(ModelRoute(model), batch, source, 0.0)
    return prediction.scores


def _compare(
    output: Output, row: int, want: Any, have: Array, tolerance: float
) -> list[Difference]:
    dtype = numpy_dtype(output.dtype)
    expected = np.asarray(want, dtype=np.float64 if dtype.kind == "f" else dtype)
    if not expected.size and np.asarray(have).tolist() == want:
        return []  # JSON does not show the other dimensions of what is empty
    if expected.shape != np.shape(have):
        shapes = (str(list(expected.shape)), str(list(np.shape(have))))
        return [Difference(row, output.name, f"shape {shapes[0]}", f"shape {shapes[1]}")]
    if dtype.kind == "f":
        slack = max(tolerance, HALF_TOLERANCE) if dtype.itemsize == 2 else tolerance
        allowed = slack * np.maximum(1.0, np.abs(expected))
        got = np.asarray(have, np.float64)
        with np.errstate(invalid="ignore"):
            apart = ~(np.abs(got - expected) <= allowed)
        apart &= ~(np.isnan(expected) & ~np.isfinite(got))
    else:
        apart = np.asarray(have != expected)
    if not apart.any():
        return []
    if not expected.shape:
        return [Difference(row, output.name, shown(expected.item()), shown(have))]
    place = np.unravel_index(int(np.argmax(apart)), expected.shape)
    name = f"{output.name}{[int(i) for i in place]}"
    return [Difference(row, name, shown(expected[place]), shown(have[place]))]
