"""JSON records to a batch, and a model's outputs back to records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from operator import itemgetter
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from quintet.columns.batch import (
    PLAIN_TYPES,
    Array,
    Batch,
    fill,
    flat_array,
    numpy_dtype,
    set_entities,
    set_ids,
    shown,
)
from quintet.columns.names import did_you_mean
from quintet.columns.outputs import FALLBACK
from quintet.columns.values import json_value
from quintet.contract import Contract, Feature, Output

if TYPE_CHECKING:
    from numpy.typing import NDArray


def from_records(contract: Contract, records: Sequence[Any]) -> Batch:
    """Records (dicts of JSON values by feature name, the entity key and the id) as a batch."""
    plan: _RecordPlan = contract.compiled[_RecordPlan]
    batch = Batch(len(records), {})
    if not plan.put(batch, records):  # a record is no object, lacks a field or has an unknown one
        _put_one_by_one(contract, batch, records)
    return batch


class _RecordPlan:
    """How records of a contract are read: scalars by dtype, features with a shape, the keys."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._fields = len(contract.requested)
        self._shaped = [feature for feature in contract.requested if feature.shape]
        self._groups = [
            _RecordGroup([contract.by_name[name] for name in names])
            for (stored, _), names in contract.scalar_groups.items()
            if not stored
        ]

    def put(self, batch: Batch, records: Sequence[Any]) -> bool:
        """Put records that all have every field, the keys if the first has them, and no other."""
        if not records or type(first := records[0]) is not dict:
            return False
        contract, fields = self._contract, self._fields
        entity, own = contract.entity, contract.id
        if has_entity := entity in first:
            fields += 1
        if has_own := own in first:
            fields += 1
        # as many fields as are read below: then none is unknown, and none has to be looked at
        if batch.rows == 1:
            if len(first) != fields:
                return False
        elif set(map(type, records)) != {dict} or set(map(len, records)) != {fields}:
            return False
        try:
            values = [list(map(group.values, records)) for group in self._groups]
            shaped = [[record[feature.key] for record in records] for feature in self._shaped]
            keys = [record[entity] for record in records] if has_entity else [None] * batch.rows
            owns = [record[own] for record in records] if has_own else []
        except KeyError:
            return False
        for group, rows in zip(self._groups, values, strict=True):
            group.put(batch, rows)
        for feature, column in zip(self._shaped, shaped, strict=True):
            fill(batch, feature, column, json_value)
        if entity is not None:
            set_entities(contract, batch, keys)
        if own is not None and has_own:
            set_ids(batch, own, owns)
        return True


def _put_one_by_one(contract: Contract, batch: Batch, records: Sequence[Any]) -> None:
    """Put records feature by feature; a record may lack some, and may be refused."""
    records = list(records)
    for row, record in enumerate(records):
        if type(record) is not dict:
            batch.refuse(row, "record", "an object", shown(record))
            records[row] = {}
    given = set().union(*records)
    if unknown := given - contract.request_keys:
        _refuse_unknown(contract, batch, records, unknown)
    # scalars first, as the plan reads them
    for feature in sorted(contract.requested, key=lambda feature: bool(feature.shape)):
        _fill_json(batch, feature, [record.get(feature.key) for record in records])
    if contract.entity:
        set_entities(contract, batch, [record.get(contract.entity) for record in records])
    if contract.id and contract.id in given:
        set_ids(batch, contract.id, [record.get(contract.id) for record in records])


class _RecordGroup:
    """Scalar features of one dtype."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self.values = itemgetter(*(feature.key for feature in features))
        self._features = features
        self._names = tuple(feature.name for feature in features)
        self._dtype = numpy_dtype(features[0].dtype)
        self._plain = PLAIN_TYPES[self._dtype.kind]

    def put(self, batch: Batch, rows: list[Any]) -> None:
        """Put the values of each row, as `values` gives them; they may be of another kind."""
        count = len(self._names)
        flat = rows
        if count > 1:
            flat = rows[0] if batch.rows == 1 else list(chain.from_iterable(rows))
        if self._plain.issuperset(map(type, flat)):
            try:  # without a context manager, which is three calls
                matrix = flat_array(flat, self._dtype)
            except OverflowError:
                pass  # the value that is too large is looked for
            else:
                batch.stacked[self._names] = matrix.reshape(batch.rows, count)
                return
        for position, feature in enumerate(self._features):
            _fill_json(batch, feature, flat[position::count])


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
    """A column whose values may be missing or of other kinds; read one by one if need be."""
    if not feature.shape:
        kinds = set(map(type, values))
        if feature.fill is not None and NoneType in kinds:
            if kinds == {NoneType}:
                batch.absent.add(feature.name)
            values = [feature.fill if value is None else value for value in values]
            kinds.remove(NoneType)
        if kinds <= PLAIN_TYPES[numpy_dtype(feature.dtype).kind]:
            with suppress(OverflowError):
                batch.columns[feature.name] = flat_array(values, numpy_dtype(feature.dtype))
                return
    fill(batch, feature, values, json_value)


# ---- back to records ---------------------------------------------------------------------------

#: the JSON texts of what a template takes for each row: one list, (rows,), a place
Places = list[list[bytes]]


def json_rows(
    contract: Contract,
    outputs: Mapping[str, Array],
    fallback: NDArray[np.bool_],
    ages: NDArray[np.float64] | None = None,
) -> list[bytes]:
    """Each row of the given outputs as a JSON object, (rows,).

    With classes, a label comes with its name, and probabilities are objects by class. `fallback`
    (rows,) is which rows the fallback rule answered, `ages` (rows, stored features) are in seconds,
    NaN without a value, which becomes null.
    """
    plan: _RowPlan = contract.compiled[_RowPlan]
    members, places = [], []
    for column in plan.outputs:
        if (values := outputs.get(column.name)) is not None:
            members.append(column.member)
            places += column.places(values)
    if plan.fallback:
        members.append(plan.fallback)
        places.append([_FLAGS[flag] for flag in fallback.tolist()])
    if ages is not None and plan.ages:
        members.append(plan.ages)
        places += _numbers(ages.round(3))
    if not len(fallback):
        return []
    template = b"{" + b",".join(members) + b"}"
    return list(map(template.__mod__, zip(*places, strict=True)))


_FLAGS = (b"false", b"true")


class _RowPlan:
    """The members of a row's object, and how their places are filled in."""

    def __init__(self, contract: Contract) -> None:
        self.outputs = [_Column(output) for output in contract.outputs]
        self.fallback = b"" if contract.fallback is None else _key(FALLBACK) + b"%b"
        names = [feature.name for feature in contract.stored]
        self.ages = _key("features_age_s") + _object(names) if names else b""


class _Column:
    """An output: its member of a row's object, with its places, and what fills them."""

    def __init__(self, output: Output) -> None:
        self.name = output.name
        self.places: Callable[[Array], Places] = _values
        value, classes = b"%b", output.class_names
        kind, shape = numpy_dtype(output.dtype).kind, output.row_shape
        plain = kind != "O" and not output.free
        if plain and shape in ((), (1,)):
            self.places = _numbers
        elif plain and len(shape) == 1:
            value, self.places = b"[%b]", _vectors
        if classes is not None and len(shape) == 1 and shape[0] == len(classes) != 1:
            value = _object(classes)
            self.places = _numbers if plain else _texts
        self.member = _key(output.name) + value
        if classes is not None and output.meaning == "label" and shape in ((), (1,)):
            self._classes = {label: orjson.dumps(name) for label, name in output.class_of.items()}
            if self._classes:
                self.member += b"," + _key(f"{output.name}_class") + b"%b"
                self._labels, self.places = self.places, self._named

    def _named(self, labels: Array) -> Places:
        names = [self._classes.get(label, b"null") for label in labels.reshape(-1).tolist()]
        return [*self._labels(labels), names]


def _key(name: str) -> bytes:
    return orjson.dumps(name).replace(b"%", b"%%") + b":"


def _object(names: Sequence[str]) -> bytes:
    return b"{" + b",".join([_key(name) + b"%b" for name in names]) + b"}"


# ---- what fills a member's places ----------------------------------------------------------------


# float32 stays float32: orjson writes 0.1 and not 0.10000000149011612
_dumps = partial(orjson.dumps, option=orjson.OPT_SERIALIZE_NUMPY)


def _numbers(values: Array) -> Places:
    """A place for each number of a row."""
    texts = _dumps(np.ascontiguousarray(values).reshape(-1))[1:-1].split(b",")
    count = values.size // (len(values) or 1)
    return [texts] if count == 1 else [texts[place::count] for place in range(count)]


def _vectors(values: Array) -> Places:
    """A place for all numbers of a row."""
    return [_dumps(np.ascontiguousarray(values))[2:-2].split(b"],[")]


def _texts(values: Array) -> Places:
    """A place for each text of a row."""
    return [[orjson.dumps(value) for value in column] for column in values.T.tolist()]


def _values(values: Array) -> Places:
    """A place for a row's value of any shape."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    rows = values.tolist() if values.dtype.kind == "O" else values
    return [[_dumps(_plain(row)) for row in rows]]


def _plain(row: Any) -> Any:
    """What orjson writes: an array of numbers in one piece, or nested lists of texts."""
    if not isinstance(row, np.ndarray):
        return row
    return row.tolist() if row.dtype.kind == "O" else np.ascontiguousarray(row)
