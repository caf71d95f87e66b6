"""What a stream reads from its rows beside features: fields of aggregates, times and ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from quintet.columns import Array, Batch, no_rows, set_ids, shown
from quintet.contract import Contract, Feature
from quintet.errors import BadInput
from quintet.streaming.model_rows import AHEAD_SECONDS, ModelRows

__all__ = [
    "Values",
    "field_kinds",
    "given_values",
    "id_field",
    "take_from_rows",
    "take_from_tensors",
    "to_model_rows",
]

#: the rows' values by field, as received, or an array of finite numbers; None for a missing field
Values = dict[str, list[Any] | Array]

_NUMBERS = {int, float}
#: the field with a row's id, if the contract names none
ID = "id"


class _Field(NamedTuple):
    """A field that aggregates read, its name in records, and the kind of its values."""

    name: str
    key: str
    feature: Feature | None
    kind: Literal["number", "text", "either"]


def _fields(contract: Contract) -> tuple[_Field, ...]:
    """The fields that the aggregates read: `contract.compiled[_fields]`."""
    if contract.stream is None:
        return ()
    hows: dict[str, set[str]] = {}
    for aggregate in contract.stream.aggregates:
        if aggregate.of is not None:
            hows.setdefault(aggregate.of, set()).add(aggregate.how)
    fields = []
    for name, how in hows.items():
        feature = contract.by_name.get(name)
        if feature is not None:
            text = feature.dtype == "string"
            fields.append(_Field(name, feature.key, feature, "text" if text else "number"))
        else:
            either = how <= {"last", "distinct"}
            fields.append(_Field(name, name, None, "either" if either else "number"))
    return tuple(fields)


def _names(contract: Contract) -> tuple[dict[str, str], dict[str, str]]:
    """The fields to remove from a record because they are not features; the fields only to read.

    Each with its name in records.
    """
    keys = {field.name: field.key for field in contract.compiled[_fields]}
    if contract.stream is not None and contract.stream.time is not None:
        keys[contract.stream.time] = contract.time_key or ""
    if (own := contract.compiled[id_field]) is not None:
        keys[own] = own
    known = contract.request_keys - {own}
    return (
        {name: key for name, key in keys.items() if key not in known},
        {name: key for name, key in keys.items() if key in known},
    )


def id_field(contract: Contract) -> str | None:
    """The field with a row's id; None if the field of that name is something else."""
    if contract.id is not None:
        return contract.id
    taken = contract.request_keys | contract.by_name.keys() | field_kinds(contract).keys()
    return None if ID in taken else ID


def field_kinds(contract: Contract) -> dict[str, str]:
    """The fields that the aggregates read, with their kinds; a time is a number or a text."""
    kinds: dict[str, str] = {field.name: field.kind for field in contract.compiled[_fields]}
    if contract.stream is not None and contract.stream.time is not None:
        kinds.setdefault(contract.stream.time, "either")
    return kinds


def take_from_rows(contract: Contract, rows: Sequence[Any]) -> Values:
    """The values of records, removed from them if they are not features of the model."""
    taken, seen = contract.compiled[_names]
    if not taken and not seen:
        return {}
    if set(map(type, rows)) != {dict}:
        rows = [row if type(row) is dict else {} for row in rows]
    values: Values = {name: [row.get(key) for row in rows] for name, key in seen.items()}
    return values | {name: [row.pop(key, None) for row in rows] for name, key in taken.items()}


def take_from_tensors(contract: Contract, tensors: dict[str, Array]) -> Values:
    """The tensors' values that are not features; values of features are in the batch.

    Raises:
        BadInput: a tensor has other than one value for each row.
    """
    values: Values = {}
    for name in contract.compiled[_names][0]:
        tensor = tensors.pop(name, None)
        if tensor is not None:
            if tensor.size != len(tensor):
                raise BadInput.of(name, "one value for each row", f"shape {list(tensor.shape)}")
            values[name] = tensor.reshape(-1).tolist()
    return values


def to_model_rows(
    contract: Contract,
    batch: Batch,
    values: Values,
    *,
    record: NDArray[np.int64],
    row: NDArray[np.int64],
    arrived: NDArray[np.float64],
    ids: Mapping[int, str] = MappingProxyType({}),
) -> ModelRows:
    """A batch with the values to aggregate; rows that cannot be aggregated are refused.

    A field that `values` does not contain is read from the batch's column. `arrived` is the rows'
    arrival. `ids` are those of whole records.
    """
    model_rows = ModelRows(contract, batch, record, row, {}, arrived, ~no_rows(batch.rows))
    _set_ids(model_rows, values, ids)
    stream = contract.stream
    if stream is None:
        return model_rows
    refused_before = {(refusal.field, refusal.row) for refusal in batch.refusals}
    for field in contract.compiled[_fields]:
        given = given_values(batch, field.name, values)
        column, bad = _column(field, given)
        model_rows.fields[field.name] = column
        for position in bad:
            model_rows.counted[position] = False
            if (field.key, position) not in refused_before and batch.good[position]:
                expected = {"number": "a number", "text": "a string"}.get(field.kind)
                batch.refuse(
                    position,
                    field.key,
                    expected or "a number or a string",
                    "nothing" if given[position] is None else shown(given[position], field.feature),
                )
        for name, place in refused_before:
            if name == field.key and place is not None:
                model_rows.counted[place] = False
    if stream.time is not None:
        given = given_values(batch, stream.time, values)
        _set_times(model_rows, contract.time_key or "", given)
    if stream.aggregates and batch.entities is not None:
        _check_entities(model_rows, batch.entities)
    return model_rows


def _set_ids(model_rows: ModelRows, values: Values, ids: Mapping[int, str]) -> None:
    """The rows' own ids, or those of their records with the row's number."""
    name, batch = model_rows.contract.compiled[id_field], model_rows.batch
    if ids:
        places = zip(model_rows.record.tolist(), model_rows.row.tolist(), strict=True)
        batch.ids = [f"{ids[record]}\0{row}" if record in ids else None for record, row in places]
    if name in values:
        given = values[name]
        set_ids(batch, name, given.tolist() if isinstance(given, np.ndarray) else given)


def given_values(batch: Batch, name: str, values: Values) -> list[Any] | Array:
    """The values of a field in the rows of a batch."""
    if name in values:
        return values[name]
    if name in batch.columns:
        found: list[Any] = batch.columns[name].tolist()
        return found
    return [None] * batch.rows


def _column(field: _Field, given: list[Any] | Array) -> tuple[Array, list[int]]:
    """A field's values as an array, and the positions of invalid values."""
    if isinstance(given, np.ndarray):
        return given.astype(np.float64, copy=False), []
    kinds = set(map(type, given))
    if field.kind != "text" and kinds <= _NUMBERS:
        return _finite(np.array(given, dtype=np.float64))
    if field.kind != "number" and kinds == {str}:
        return np.array(given, dtype=object), []
    if field.feature is not None and field.feature.default is not None:
        given = [field.feature.default if value is None else value for value in given]
    allowed: set[type] = {str} if field.kind == "text" else _NUMBERS
    if field.feature is not None and field.feature.dtype == "bool":
        allowed = {bool}
    elif field.kind == "either" and str in kinds:
        # a field has one kind: if some values are texts, its numbers become texts too
        given = [orjson.dumps(v).decode() if type(v) in _NUMBERS else v for v in given]
        allowed = {str}
    bad = [position for position, value in enumerate(given) if type(value) not in allowed]
    filler: Any = "" if allowed == {str} else 0.0
    held = list(given)
    for position in bad:
        held[position] = filler
    column = np.array(held, dtype=object if allowed == {str} else np.float64)
    return column, bad


def _finite(column: NDArray[np.float64]) -> tuple[Array, list[int]]:
    fine = np.isfinite(column)
    if fine.all():
        return column, []
    return np.where(fine, column, 0.0), np.flatnonzero(~fine).tolist()


def _set_times(model_rows: ModelRows, key: str, given: list[Any] | Array) -> None:
    """The rows' own times; unreadable and future times are refused."""
    if isinstance(given, np.ndarray) or set(map(type, given)) <= _NUMBERS:
        times = np.array(given, dtype=np.float64)
    else:
        times = np.array([_moment(value) for value in given], dtype=np.float64)
    batch, latest = model_rows.batch, model_rows.times + AHEAD_SECONDS
    readable = np.isfinite(times)
    fine = readable & (times <= latest)
    model_rows.times = np.where(readable, times, model_rows.times)
    model_rows.counted &= fine
    for position in np.flatnonzero(~fine).tolist():
        if not batch.good[position]:
            continue
        if readable[position]:
            expected, got = "a time that is not in the future", shown(given[position])
        else:
            expected = "a time: epoch seconds, or ISO 8601"
            got = "nothing" if given[position] is None else shown(given[position])
        batch.refuse(position, key, expected, got)


def _moment(value: Any) -> float:
    """A time as epoch seconds, NaN if it is invalid; ISO 8601 without a zone is UTC."""
    if type(value) in _NUMBERS:
        return float(value)
    if type(value) is str:
        try:
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            pass
    return float("nan")


def _check_entities(model_rows: ModelRows, entities: list[str]) -> None:
    if all(entities):
        return
    assert model_rows.contract.entity is not None
    for position, entity in enumerate(entities):
        if not entity:
            model_rows.counted[position] = False
            if model_rows.batch.good[position]:
                model_rows.batch.refuse(
                    position, model_rows.contract.entity, "the entity key", "nothing"
                )
