"""Records, as JSON gives them, to a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from quintet.columns.batch import (
    PLAIN_TYPES,
    Batch,
    fill,
    numpy_dtype,
    set_entities,
    shown,
)
from quintet.columns.values import json_value
from quintet.contract import Contract, Feature


def from_records(contract: Contract, records: Sequence[Any]) -> Batch:
    """Records (dicts of JSON values by feature name, and the entity key) as a batch."""
    plan: _Plan = contract.compiled[_Plan]
    rows = len(records)
    batch = Batch(rows, {}, np.ones(rows, dtype=np.bool_))
    if set(map(type, records)) - {dict}:
        records = list(records)
        for row, record in enumerate(records):
            if type(record) is not dict:
                batch.refuse(row, "record", "an object", shown(record))
                records[row] = {}
    if unknown := set().union(*records) - contract.request_keys:
        _refuse_unknown(contract, batch, records, unknown)
    for group in plan.groups:
        if not group.put(batch, records):  # something is missing, too big or of another kind
            for feature in group.features:
                _fill_json(batch, feature, [record.get(feature.name) for record in records])
    for feature in plan.shaped:
        _fill_json(batch, feature, [record.get(feature.name) for record in records])
    if contract.entity:
        keys = [record.get(contract.entity) for record in records]
        if set(map(type, keys)) == {str} and "" not in keys and ".0" not in "".join(keys):
            batch.entities = keys
        else:
            set_entities(contract, batch, keys)
    return batch


class _Plan:
    """How records of a contract are read: scalars by dtype, and features that have a shape."""

    def __init__(self, contract: Contract) -> None:
        self.shaped = [feature for feature in contract.requested if feature.shape]
        self.groups = [
            _Group([contract.by_name[name] for name in names])
            for (stored, _), names in contract.scalar_groups.items()
            if not stored
        ]


class _Group:
    """Scalar features of one dtype."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = features
        self._names = tuple(feature.name for feature in features)
        self._values = itemgetter(*self._names)
        self._dtype = numpy_dtype(features[0].dtype)
        self._plain = PLAIN_TYPES[self._dtype.kind]

    def put(self, batch: Batch, records: Sequence[dict[str, Any]]) -> bool:
        """Put the columns of records from one array; False where some value is not plain."""
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
    for row, record in enumerate(records):
        for name in sorted(unknown & record.keys()):
            stored = name in contract.by_name
            expected = (
                "no value: the feature store holds it"
                if stored
                else f"one of {', '.join(sorted(contract.request_keys))}"
            )
            batch.refuse(row, shown(name)[1:-1], expected, "a value" if stored else "another field")


def _fill_json(batch: Batch, feature: Feature, values: list[Any]) -> None:
    """A column looked at value by value: defaults filled, other kinds refused."""
    fill(batch, feature, values, json_value)
