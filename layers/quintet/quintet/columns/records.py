"""JSON records to a batch, and a model's outputs back to records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from operator import itemgetter
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.columns.batch import (
    PLAIN_TYPES,
    Array,
    Batch,
    array_of,
    fill,
    numpy_dtype,
    set_entities,
    set_ids,
    shown,
)
from quintet.columns.names import did_you_mean
from quintet.columns.outputs import FALLBACK
from quintet.columns.values import json_value
from quintet.contract import Contract, Feature


def from_records(contract: Contract, records: Sequence[Any]) -> Batch:
    """Records (dicts of JSON values by feature name, the entity key and the id) as a batch."""
    plan: _RecordPlan = contract.compiled[_RecordPlan]
    rows = len(records)
    batch = Batch(rows, {}, np.ones(rows, dtype=np.bool_))
    if set(map(type, records)) - {dict}:
        records = list(records)
        for row, record in enumerate(records):
            if type(record) is not dict:
                batch.refuse(row, "record", "an object", shown(record))
                records[row] = {}
    given = set().union(*records)
    if unknown := given - contract.request_keys:
        _refuse_unknown(contract, batch, records, unknown)
    for group in plan.groups:
        if not group.put(batch, records):  # a value is missing, too big or of another kind
            for feature in group.features:
                _fill_json(batch, feature, [record.get(feature.key) for record in records])
    for feature in plan.shaped:
        _fill_json(batch, feature, [record.get(feature.key) for record in records])
    if contract.entity:
        set_entities(contract, batch, [record.get(contract.entity) for record in records])
    if contract.id and contract.id in given:
        set_ids(batch, contract.id, [record.get(contract.id) for record in records])
    return batch


class _RecordPlan:
    """How records of a contract are read: scalars by dtype, and features with a shape."""

    def __init__(self, contract: Contract) -> None:
        self.shaped = [feature for feature in contract.requested if feature.shape]
        self.groups = [
            _RecordGroup([contract.by_name[name] for name in names])
            for (stored, _), names in contract.scalar_groups.items()
            if not stored
        ]


class _RecordGroup:
    """Scalar features of one dtype."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = features
        self._names = tuple(feature.name for feature in features)
        self._values = itemgetter(*(feature.key for feature in features))
        self._dtype = numpy_dtype(features[0].dtype)
        self._plain = PLAIN_TYPES[self._dtype.kind]

    def put(self, batch: Batch, records: Sequence[dict[str, Any]]) -> bool:
        """Put the columns of records from one array; False if a value is not plain."""
        names = self._names
        try:
            values = list(map(self._values, records))
            flat: Iterable[Any] = values if len(names) == 1 else chain.from_iterable(values)
            if not set(map(type, flat)) <= self._plain:
                return False
            with np.errstate(over="ignore"):  # overflow to infinity is left to the finite check
                matrix = np.array(values, dtype=self._dtype).reshape(batch.rows, len(names))
        except (KeyError, OverflowError):
            return False
        batch.stacked[names] = matrix
        batch.columns.update(zip(names, matrix.T, strict=True))
        return True


def _refuse_unknown(
    contract: Contract, batch: Batch, records: Sequence[dict[str, Any]], unknown: set[Any]
) -> None:
    known = sorted(contract.request_keys)
    near = {name: did_you_mean(name, known, contract) for name in unknown}
    for row, record in enumerate(records):
        for name in sorted(unknown & record.keys()):
            if any(name == feature.name for feature in contract.stored):
                expected, got = "no value: the feature store holds it", "a value"
            else:
                expected, got = f"one of {', '.join(known)}", f"another field{near[name]}"
            batch.refuse(row, shown(name)[1:-1], expected, got)


def _fill_json(batch: Batch, feature: Feature, values: list[Any]) -> None:
    """A column with missing values or other kinds; read value by value if need be."""
    if feature.missing and not feature.shape:
        kinds = set(map(type, values))
        if NoneType in kinds and kinds & PLAIN_TYPES["f"] == kinds - {NoneType} != set():
            with suppress(OverflowError):
                batch.columns[feature.name] = array_of(values, feature.dtype)
                return
    fill(batch, feature, values, json_value)


# ---- back to records ---------------------------------------------------------------------------


def json_columns(
    contract: Contract, outputs: Mapping[str, Array], fallback: NDArray[np.bool_]
) -> dict[str, Sequence[Any]]:
    """The given outputs, as JSON values by row, and which rows the fallback answered.

    With classes, a label comes with its name, and probabilities are objects by class.
    """
    columns: dict[str, Sequence[Any]] = {}
    for output in contract.outputs:
        values, classes = outputs.get(output.name), output.class_names
        if values is None:
            continue
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if output.free:
            keep = numpy_dtype(output.dtype).kind == "f"
            columns[output.name] = list(values) if keep else [row.tolist() for row in values]
            continue
        # float32 stays float32: orjson writes 0.1 and not 0.10000000149011612
        plain = values.dtype.kind in "Obiu"
        rows: Sequence[Any] = values.tolist() if plain else list(np.ascontiguousarray(values))
        columns[output.name] = rows
        if classes is None:
            continue
        if output.meaning == "label" and output.class_of and values.ndim == 1:
            columns[f"{output.name}_class"] = [output.class_of.get(label) for label in rows]
        elif values.ndim == 2 and values.shape[1] == len(classes):
            by_class = [c.tolist() if plain else list(np.ascontiguousarray(c)) for c in values.T]
            columns[output.name] = [
                dict(zip(classes, row, strict=True)) for row in zip(*by_class, strict=True)
            ]
    if contract.fallback is not None:
        columns[FALLBACK] = fallback.tolist()
    return columns


def as_records(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Columns as one object for each row."""
    names = tuple(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
