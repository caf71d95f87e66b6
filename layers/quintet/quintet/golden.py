"""Golden vectors: records and the outputs they must give, on every path and machine.

`golden.json` of a model package:

    {"tolerance": 1e-6, "records": [{"amount": 12.5, ...}, ...], "outputs": {"score": [0.03, ...]}}

A record holds all features by name, the stored ones too. Row i of every output belongs to
record i.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from quintet.columns import Array, from_records, numpy_dtype, shown
from quintet.contract import Output
from quintet.features import MemoryFeatures, join
from quintet.scoring import Model, Scores, score

__all__ = ["Difference", "Golden", "check", "golden_from_dict"]

TOLERANCE = 1e-6
HALF_TOLERANCE = 1e-3  # float16 keeps three digits


@dataclass(frozen=True, slots=True)
class Golden:
    """Records and their outputs.

    A number agrees where |got - expected| <= tolerance * max(1, |expected|).
    """

    records: tuple[dict[str, Any], ...]
    outputs: dict[str, list[Any]]
    tolerance: float = TOLERANCE

    def head(self, rows: int) -> Golden:
        """The first rows."""
        outputs = {name: values[:rows] for name, values in self.outputs.items()}
        return Golden(self.records[:rows], outputs, self.tolerance)


@dataclass(frozen=True, slots=True)
class Difference:
    """One golden value that the model does not give."""

    row: int
    output: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.output}: expected {self.expected}, got {self.got}"


def golden_from_dict(data: Mapping[str, Any]) -> Golden:
    """Golden vectors from the content of golden.json, validated at publish."""
    return Golden(tuple(data["records"]), dict(data["outputs"]), data.get("tolerance", TOLERANCE))


def check(model: Model, golden: Golden) -> list[Difference]:
    """Score the golden records as any request's; what differs, one value a row and output.

    Raises:
        ModelFailure: the model raised, or broke its contract's shapes.
    """
    scores = _score(model, golden)
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


def _score(model: Model, golden: Golden) -> Scores:
    """The real path: the stored features of a record go through a feature store."""
    contract = model.contract
    stored = {feature.name for feature in contract.stored}
    source = MemoryFeatures()
    requests = []
    for row, record in enumerate(golden.records):
        request = {name: value for name, value in record.items() if name not in stored}
        if contract.entity:
            request[contract.entity] = str(row)  # each record has its own history
            for name in stored & record.keys():
                source.put(contract.entity, str(row), name, record[name], 0.0)
        requests.append(request)
    joined = join(contract, from_records(contract, requests), source, 0.0)
    return score(model, joined.batch, fallback=joined.fallback)


def _compare(
    output: Output, row: int, want: Any, have: Array, tolerance: float
) -> list[Difference]:
    dtype = numpy_dtype(output.dtype)
    expected = np.asarray(want, dtype=np.float64 if dtype.kind == "f" else dtype)
    if expected.shape != np.shape(have):
        shapes = (str(list(expected.shape)), str(list(np.shape(have))))
        return [Difference(row, output.name, f"shape {shapes[0]}", f"shape {shapes[1]}")]
    if dtype.kind == "f":
        slack = max(tolerance, HALF_TOLERANCE) if dtype.itemsize == 2 else tolerance
        allowed = slack * np.maximum(1.0, np.abs(expected))
        apart = ~(np.abs(np.asarray(have, np.float64) - expected) <= allowed)
    else:
        apart = np.asarray(have != expected)
    if not apart.any():
        return []
    if not expected.shape:
        return [Difference(row, output.name, shown(expected.item()), shown(have))]
    place = np.unravel_index(int(np.argmax(apart)), expected.shape)
    name = f"{output.name}{[int(i) for i in place]}"
    return [Difference(row, name, shown(expected[place]), shown(have[place]))]
