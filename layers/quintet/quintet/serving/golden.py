"""Golden vectors: rows of features and their expected outputs, on every path and machine.

`golden.json` of a model package:

    {"columns": {"amount": [12.5, ...], ...}, "outputs": {"score": [0.03, ...]}, "tolerance": 1e-6}

All features are columns, including stored ones; null is a missing value, and in an output one that
is not finite. Row i of every output belongs to row i of every column.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from quintet.columns import Array, from_records, numpy_dtype, shown
from quintet.contract import Contract, Output
from quintet.features import MemoryFeatures
from quintet.record import Value
from quintet.scoring import Model, Scores
from quintet.serving.predict import predict
from quintet.serving.prediction import ModelRoute

__all__ = [
    "NEAR",
    "Difference",
    "Golden",
    "check",
    "compare",
    "difference_of",
    "expected_values",
    "golden_from_dict",
    "packed",
    "ratios",
    "records_of",
    "score_columns",
]

TOLERANCE = 1e-6
PACKED = 256  # values a row from which a manifest holds a column in base64
HALF_TOLERANCE = 1e-3  # float16 keeps three digits
#: another processor adds in another order: noise of the same size as between two ways to run on
#: one, of which publishing asks the tolerance to hold four times. Another graph or other weights
#: differ by far more than ten tolerances
NEAR = 10


class Golden(Value):
    """Columns of features and of their expected outputs.

    A number agrees where |got - expected| <= tolerance * max(1, |expected|).
    """

    columns: dict[str, list[Any]]
    outputs: dict[str, list[Any]]
    tolerance: float = TOLERANCE

    def head(self, rows: int) -> Golden:
        """The first rows."""
        return self.slice(0, rows)

    def slice(self, start: int, stop: int | None) -> Golden:
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


class Difference(Value):
    """One golden value that the model does not reproduce.

    Of two numbers, `apart` is their difference, which agrees up to `tolerance * scale`.
    """

    row: int
    output: str
    expected: str
    got: str
    apart: float | None = None
    scale: float = 1.0
    tolerance: float = 0.0

    def __str__(self) -> str:
        text = f"row {self.row}: {self.output}: expected {self.expected}, got {self.got}"
        if self.apart is None:
            return text
        return (
            f"{text}; they differ by {self.apart:.2g}, the tolerance {self.tolerance:g} allows "
            f"{self.tolerance * self.scale:.2g}"
        )

    @property
    def relative(self) -> float:
        """The difference as a tolerance would have to be; infinity if no tolerance could."""
        return math.inf if self.apart is None else self.apart / self.scale

    @property
    def is_near(self) -> bool:
        """Whether it is within `NEAR` times the tolerance."""
        return self.relative <= NEAR * self.tolerance


def golden_from_dict(data: Mapping[str, Any]) -> Golden:
    """Golden vectors from the content of golden.json, or of a manifest, validated at publish."""
    columns, outputs = (
        {name: _unpacked(values) for name, values in data[kind].items()}
        for kind in ("columns", "outputs")
    )
    return Golden(columns, outputs, data.get("tolerance", TOLERANCE))


def packed(contract: Contract, golden: Golden) -> dict[str, Any]:
    """As a manifest holds it: numbers of many values a row in base64, which is fast to parse."""
    columns = {f.name: (numpy_dtype(f.dtype), math.prod(f.largest)) for f in contract.features}
    outputs = {o.name: (numpy_dtype(o.dtype), math.prod(o.largest)) for o in contract.outputs}
    return {
        "columns": {name: _packed(v, *columns[name]) for name, v in golden.columns.items()},
        "outputs": {name: _packed(v, *outputs[name]) for name, v in golden.outputs.items()},
        "tolerance": golden.tolerance,
    }


def _packed(values: list[Any], dtype: np.dtype[Any], width: int) -> Any:
    if width < PACKED or dtype.kind == "O":
        return values
    try:
        exact = np.array(values, np.float64 if dtype.kind == "f" else dtype)
    except (TypeError, ValueError):  # with nulls, or of different shapes
        return values
    if exact.dtype.kind == "f" and not np.isfinite(exact).all():  # nulls became NaN
        return values
    narrow = exact.astype(dtype)
    array = narrow if np.array_equal(narrow, exact) else exact  # digits beyond the dtype's
    array = array.astype(array.dtype.newbyteorder("<"))
    text = base64.b64encode(array.tobytes()).decode("ascii")
    return {"dtype": array.dtype.str, "shape": array.shape, "base64": text}


def _unpacked(values: Any) -> list[Any]:
    if not isinstance(values, dict):
        return list(values)
    array = np.frombuffer(base64.b64decode(values["base64"]), values["dtype"])
    found: list[Any] = array.reshape(values["shape"]).tolist()
    return found


def check(model: Model, golden: Golden, start: int = 0) -> list[Difference]:
    """Score the golden rows as any request's; what differs, one value a row and output.

    `start` is the number of the first of these rows.

    Raises:
        ModelFailure: the model raised, or broke its contract's shapes.
    """
    scores = score_columns(model, golden.columns)
    rows = {int(row): position for position, row in enumerate(scores.index)}
    differences = [
        Difference(start + (refusal.row or 0), refusal.field, refusal.expected, refusal.got)
        for refusal in scores.refusals
    ]
    for output in model.contract.outputs:
        for row, want in enumerate(golden.outputs.get(output.name, ())):
            if row in rows:
                have = scores.outputs[output.name][rows[row]]
                differences.extend(compare(output, start + row, want, have, golden.tolerance))
    return sorted(differences, key=lambda difference: difference.row)


def score_columns(model: Model, columns: Mapping[str, Sequence[Any]]) -> Scores:
    """Score rows like a request's: stored features come from a feature store, one entity per row.

    `columns` are JSON values by feature, None where one is missing.

    Raises:
        ModelFailure: the model raised, or broke its contract's shapes.
    """
    records, source = records_of(model.contract, columns, 0.0)
    batch = from_records(model.contract, records)
    (prediction,) = predict(ModelRoute(model), batch, source, 0.0)
    return prediction.scores


def records_of(
    contract: Contract, columns: Mapping[str, Sequence[Any]], now: float
) -> tuple[list[dict[str, Any]], MemoryFeatures]:
    """Records with the request's features of columns, each of an entity of its own.

    What the contract reads from a store is in the features returned, as of `now` (epoch seconds).
    """
    source = MemoryFeatures()
    records: list[dict[str, Any]] = [{} for _ in next(iter(columns.values()))]
    for feature in contract.features:
        for row, value in enumerate(columns.get(feature.name, ())):
            if value is None:
                continue
            if feature.source == "request":
                records[row][feature.key] = value
            elif contract.entity:
                source.put(contract.entity, str(row), feature.name, value, now)
    if contract.entity:
        for row, record in enumerate(records):
            record[contract.entity] = str(row)
    return records, source


def ratios(expected: Array, got: Array, tolerance: float) -> Array:
    """How far values are from the expected ones, in multiples of what the tolerance allows.

    Up to 1 agrees. Values that are not floats have 0 or infinity; a value that is not finite agrees
    with any other such value.
    """
    if got.dtype.kind != "f":
        return np.where(got == expected, 0.0, np.inf)
    exact, given = np.asarray(expected, np.float64), np.asarray(got, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.abs(given - exact)
        found = apart / (_held(got.dtype, tolerance) * np.maximum(1.0, np.abs(exact)))
    same = (apart == 0) | ~(np.isfinite(exact) | np.isfinite(given))
    return np.where(same, 0.0, np.nan_to_num(found, nan=np.inf))


def compare(output: Output, row: int, want: Any, have: Array, tolerance: float) -> list[Difference]:
    """The value of a row's output that differs most from the expected one, if any differs."""
    expected, have = expected_values(output, want), np.asarray(have)
    if not expected.size and have.tolist() == want:
        return []  # JSON does not show the other dimensions of what is empty
    if expected.shape != have.shape:
        shapes = (str(list(expected.shape)), str(list(have.shape)))
        return [Difference(row, output.name, f"shape {shapes[0]}", f"shape {shapes[1]}")]
    times = ratios(expected, have, tolerance)
    if not times.size or times.max() <= 1:
        return []
    place = np.unravel_index(int(np.argmax(times)), expected.shape)
    name = f"{output.name}{[int(i) for i in place]}" if place else output.name
    return [difference_of(row, name, expected[place], have[place], tolerance)]


def expected_values(output: Output, want: Any) -> Array:
    """A row's expected output as an array: floats in float64, null as NaN."""
    dtype = numpy_dtype(output.dtype)
    return np.asarray(want, dtype=np.float64 if dtype.kind == "f" else dtype)


def difference_of(row: int, name: str, expected: Any, got: Any, tolerance: float) -> Difference:
    """The difference of two values: numpy's scalars or, of strings, Python's."""
    found = Difference(row, name, _shown(expected), _shown(got))
    dtype = getattr(got, "dtype", None)
    if dtype is None or dtype.kind != "f" or not np.isfinite(expected) or not np.isfinite(got):
        return found
    apart, scale = abs(float(got) - float(expected)), max(1.0, abs(float(expected)))
    return replace(found, apart=apart, scale=scale, tolerance=_held(dtype, tolerance))


def _shown(value: Any) -> str:
    return shown(value.item() if isinstance(value, np.generic | np.ndarray) else value)


def _held(dtype: np.dtype[Any], tolerance: float) -> float:
    """The tolerance that floats of a dtype are held to."""
    return max(tolerance, HALF_TOLERANCE) if dtype.itemsize == 2 else tolerance
