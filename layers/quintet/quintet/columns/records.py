"""Records, as JSON gives them, to a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any

from quintet.columns.batch import (
    PLAIN_TYPES,
    Batch,
    array_of,
    empty,
    fill,
    numpy_dtype,
    set_entities,
    shown,
    vector,
)
from quintet.contract import Contract, Feature


def from_records(contract: Contract, records: Sequence[Any]) -> Batch:
    """Records (dicts of JSON values by feature name, and the entity key) as a batch."""
    batch = empty(len(records))
    if set(map(type, records)) - {dict}:
        records = list(records)
        for row, record in enumerate(records):
            if type(record) is not dict:
                batch.refuse(row, "record", "an object", shown(record))
                records[row] = {}
    if unknown := set().union(*records) - contract.request_keys:
        _refuse_unknown(contract, batch, records, unknown)
    for features, getter in _scalar_groups(contract):
        _records_group(batch, records, features, getter)
    for feature in contract.requested:
        if feature.shape:
            _fill_json(batch, feature, [record.get(feature.name) for record in records])
    if contract.entity:
        set_entities(contract, batch, [record.get(contract.entity) for record in records])
    return batch


@lru_cache(maxsize=64)
def _scalar_groups(
    contract: Contract,
) -> tuple[tuple[tuple[Feature, ...], Callable[[Any], Any]], ...]:
    """The scalar request features by dtype, each group with the getter of its values."""
    groups: dict[str, list[Feature]] = {}
    for feature in contract.requested:
        if not feature.shape:
            groups.setdefault(feature.dtype, []).append(feature)
    return tuple(
        (tuple(group), itemgetter(*(feature.name for feature in group)))
        for group in groups.values()
    )


def _records_group(
    batch: Batch,
    records: Sequence[dict[str, Any]],
    features: tuple[Feature, ...],
    getter: Callable[[Any], Any],
) -> None:
    """The columns of features of one dtype: one array for all where every value is plain."""
    dtype = features[0].dtype
    try:
        values = [getter(record) for record in records]
        flat: Iterable[Any] = values if len(features) == 1 else chain.from_iterable(values)
        if set(map(type, flat)) <= PLAIN_TYPES[numpy_dtype(dtype).kind]:
            matrix = array_of(values, dtype).reshape(len(records), len(features))
            batch.put(tuple(feature.name for feature in features), matrix)
            return
    except (KeyError, OverflowError):
        pass  # something is missing or too big: look at each value
    for feature in features:
        _fill_json(batch, feature, [record.get(feature.name) for record in records])


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
    fill(batch, feature, values, _json_value)


def _json_value(feature: Feature, value: Any) -> Any:
    """One JSON value in the feature's kind. Raises ValueError when it is of another."""
    if feature.shape:
        return vector(feature, value)
    kind = numpy_dtype(feature.dtype).kind
    if type(value) in PLAIN_TYPES[kind]:
        return value
    if kind in "iu" and type(value) is float and value.is_integer():
        return int(value)
    raise ValueError
