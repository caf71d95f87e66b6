"""The fast path of decoding records in JSON: valid ones of one model and form.

msgspec decodes them with types made from the contract: a record that passes has all fields, each of
its kind, and no others. The fast path refuses nothing: it returns None for any other input, and the
general path (`quintet.columns.from_records`) finds the errors, or reads the same rows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec.structs import astuple

from quintet.columns import FALSE, Array, Batch, fits, numpy_dtype, ragged
from quintet.contract import Contract, Feature
from quintet.formats import strict_json

__all__ = ["Envelope", "OtherFields", "TypedRows", "decode_typed"]

#: the members of a text beside its `records`, each with its only value
Envelope = tuple[tuple[str, str], ...]
#: fields that are no features, and the kinds of their values: number, text or either
OtherFields = tuple[tuple[str, str], ...]

#: the JSON kind of each kind of numpy dtype
_KINDS: dict[str, Any] = {"f": float, "i": int, "u": int, "b": bool, "O": str}

#: an integer of more than 64 bits becomes a float at least this large
_LARGE = 2.0**63

#: the dtype of numbers that are not features
_NO_FEATURES = "none"


@dataclass(slots=True)
class TypedRows:
    """The decoded rows: their batch, the values of the id and of the other fields by name, and each
    text's number of rows. Numbers are arrays, others lists."""

    batch: Batch
    fields: dict[str, Any]
    counts: list[int]


@dataclass(frozen=True)
class _Reader:
    """How the records of a contract are read.

    A row begins with its numbers, `width` of them: `packer` converts them to bytes, an array of
    `packed` with one field for each of `numbers`. The fields of `objects` follow, of which `texts`
    and `shaped` are features. `others` are the fields that are no features, and the id.
    """

    decode: Callable[[bytes], Any]
    width: int
    packer: struct.Struct
    packed: np.dtype[Any]
    numbers: Sequence[_Numbers]
    objects: Sequence[str]
    texts: tuple[str, ...]
    shaped: Sequence[Feature]
    others: Sequence[str]


@dataclass(frozen=True)
class _Numbers:
    """The numbers of features of one dtype, in a `field` of the packed rows; None: of no features.

    Floats are read in 64 bits: those from `limit` on need the general path. `others` are the
    positions of those that are fields of their own, by name.
    """

    field: str
    names: tuple[str, ...]
    dtype: np.dtype[Any] | None
    limit: float | None
    others: Mapping[str, int]


@dataclass(slots=True)
class _Rows:
    """The decoded values: the packed numbers and the objects of all rows; each record's rows."""

    numbers: bytearray
    objects: list[Any]
    counts: list[int]


def decode_typed(
    contract: Contract,
    bodies: Sequence[bytes],
    envelope: Envelope | None,
    *,
    own: str | None = None,
    others: OtherFields = (),
) -> TypedRows | None:
    """The rows of texts that are all of the records form; without an envelope, each is a row.

    All rows have the id `own` and the fields of `others`, if these are given.
    """
    reader: _Reader | None = contract.compiled[_Readers][envelope, own, others]
    if reader is None:
        return None
    try:
        rows = _read(reader, bodies, enveloped=envelope is not None)
    except (msgspec.MsgspecError, UnicodeError, struct.error):
        return None
    counts, width = rows.counts, len(reader.objects)
    count = sum(counts)
    # no duplicate key has hidden another
    keys = count * (reader.width + width)
    keys += 0 if envelope is None else (1 + len(envelope)) * len(bodies)
    if not (
        0 < min(counts) <= max(counts) <= contract.limits.rows
        and strict_json.no_more_keys(bodies, keys)
    ):
        return None
    objects = {name: rows.objects[at::width] for at, name in enumerate(reader.objects)}
    batch, fields = Batch(count, {}), dict[str, Any]()
    if not (
        _put_objects(contract, reader, batch, objects)
        and _put_numbers(reader, rows.numbers, batch, fields)
    ):
        return None
    for name in reader.others:
        if name in objects:
            if not _is_plain(objects[name]):
                return None
            fields[name] = objects[name]
    return TypedRows(batch, fields, counts)


class _Readers(dict[tuple[Envelope | None, str | None, OtherFields], _Reader | None]):
    """A contract's readers, each made when it is first needed."""

    def __init__(self, contract: Contract) -> None:
        super().__init__()
        self._contract = contract

    def __missing__(self, key: tuple[Envelope | None, str | None, OtherFields]) -> _Reader | None:
        reader = self[key] = _reader(self._contract, *key)
        return reader


def _reader(
    contract: Contract, envelope: Envelope | None, own: str | None, others: OtherFields
) -> _Reader | None:
    """The reader of such texts; None if a feature has several dimensions."""
    kinds: dict[str, Any] = {}
    numbers: dict[str, tuple[str, ...]] = {}
    for feature in contract.requested:
        dtype = numpy_dtype(feature.dtype)
        kind = kinds[feature.name] = _KINDS[dtype.kind]
        if feature.shape:
            kinds[feature.name] = list.__class_getitem__(kind)
        elif kind is not str:
            numbers[feature.dtype] = (*numbers.get(feature.dtype, ()), feature.name)
        if len(feature.shape) > 1 or (feature.name == contract.entity and dtype.kind != "O"):
            return None
    if contract.entity is not None:
        kinds[contract.entity] = str
    for name, read in others:
        if name not in kinds:
            kinds[name] = {"number": float, "text": str}.get(read, float | str)
            if read == "number":
                numbers[_NO_FEATURES] = (*numbers.get(_NO_FEATURES, ()), name)
    if own is not None:
        kinds.setdefault(own, str)
    # floats are read in 64 bits, whatever their feature's dtype
    wide = {d: np.dtype("float64" if d == _NO_FEATURES or d[0] == "f" else d) for d in numbers}
    # the largest first: then no padding is needed, and `struct` is quickest in native layout
    numbers = {d: numbers[d] for d in sorted(numbers, key=lambda d: -wide[d].itemsize)}
    packed = [name for names in numbers.values() for name in names]
    objects = [name for name in kinds if name not in packed]
    keys = {name: contract.by_name[name].key for name in kinds if name in contract.by_name}
    record = _record({keys.get(name, name): kinds[name] for name in packed + objects}, envelope)
    fields = [name for name, _ in others] + ([] if own is None else [own])
    return _Reader(
        msgspec.json.Decoder(record).decode,
        len(packed),
        struct.Struct("".join(f"{len(names)}{wide[d].char}" for d, names in numbers.items())),
        np.dtype([(d, wide[d], (len(names),)) for d, names in numbers.items()]),
        [_numbers(d, names, fields) for d, names in numbers.items()],
        objects,
        tuple(f.name for f in contract.requested if f.dtype == "string" and not f.shape),
        [feature for feature in contract.requested if feature.shape],
        fields,
    )


def _numbers(dtype: str, names: tuple[str, ...], fields: Sequence[str]) -> _Numbers:
    """The numbers `names` of a dtype; `fields` are those that are to be read by themselves."""
    others = {name: names.index(name) for name in fields if name in names}
    if dtype == _NO_FEATURES:
        return _Numbers(dtype, names, None, _LARGE, others)
    kind = numpy_dtype(dtype)
    limit = min(_LARGE, float(np.finfo(kind).max)) if kind.kind == "f" else None
    return _Numbers(dtype, names, kind, limit, others)


def _record(kinds: Mapping[str, Any], envelope: Envelope | None) -> Any:
    """The type of a text whose rows have these fields, in this order."""
    names = {f"f{number}": name for number, name in enumerate(kinds)}
    forbid: Any = {"forbid_unknown_fields": True, "gc": False}
    fields = list(zip(names, kinds.values(), strict=True))
    row = msgspec.defstruct("Row", fields, rename=names, **forbid)
    if envelope is None:
        return row
    literal: Any = Literal
    members = [(name, literal[value]) for name, value in envelope]
    members.append(("records", list.__class_getitem__(row)))
    return msgspec.defstruct("Text", members, **forbid)


def _read(reader: _Reader, bodies: Sequence[bytes], *, enveloped: bool) -> _Rows:
    """Read row by row: once packed, a row's numbers free their memory for the next row.

    Raises:
        MsgspecError, UnicodeError, struct.error: a record needs the general path.
    """
    decode, pack, width = reader.decode, reader.packer.pack, reader.width
    numbers = bytearray()
    objects: list[Any] = []
    counts: list[int] = []
    for body in bodies:
        record = decode(body)
        rows = record.records if enveloped else (record,)
        counts.append(len(rows))
        for row in rows:
            values = astuple(row)
            numbers += pack(*values[:width])
            objects += values[width:]
    return _Rows(numbers, objects, counts)


def _put_numbers(reader: _Reader, numbers: bytearray, batch: Batch, fields: dict[str, Any]) -> bool:
    """Set the columns of scalar numbers, and the others in `fields`; False if one is unusual."""
    if not reader.numbers:
        return True
    packed = np.frombuffer(numbers, reader.packed)
    for group in reader.numbers:
        matrix = packed[group.field]
        if group.limit is not None and FALSE in (np.abs(matrix) < group.limit).tobytes():
            return False
        for name, place in group.others.items():
            fields[name] = matrix[:, place]
        if group.dtype is not None:
            batch.stacked[group.names] = matrix.astype(group.dtype, order="C")
    return True


def _put_objects(
    contract: Contract, reader: _Reader, batch: Batch, read: Mapping[str, Any]
) -> bool:
    """Set the other columns and the entities; False if one needs checking."""
    for feature in reader.shaped:
        if not _put_shaped(feature, batch, read[feature.name]):
            return False
    if texts := reader.texts:
        matrix = np.array([read[name] for name in texts], dtype=object)
        batch.stacked[texts] = np.ascontiguousarray(matrix.T)
    if contract.entity is not None:
        batch.entities = list(read[contract.entity])
        # a whole number written with a fraction has another key: `quintet.columns.key_of`
        return "" not in batch.entities and ".0" not in "".join(batch.entities)
    return True


def _put_shaped(feature: Feature, batch: Batch, read: Sequence[Any]) -> bool:
    """Set the column of a feature with a shape; False if it needs checking."""
    if feature.free:
        rows = [_array(feature, value) for value in read]
        if any(row is None for row in rows):
            return False
        batch.columns[feature.name] = ragged(rows)  # type: ignore[arg-type]
        return True
    dtype = numpy_dtype(feature.dtype)
    try:
        values = np.array(read, dtype=np.float64 if dtype.kind == "f" else dtype)
    except (ValueError, OverflowError):
        return False
    if values.shape != (batch.rows, *feature.shape):
        return False
    if dtype.kind == "f" and values.size and np.abs(values).max() >= _LARGE:
        return False
    with np.errstate(over="ignore"):
        batch.columns[feature.name] = values.astype(dtype)
    return True


def _array(feature: Feature, value: Any) -> Array | None:
    """One row of a feature with a free axis; None if it needs checking."""
    dtype = numpy_dtype(feature.dtype)
    try:
        row = np.array(value, dtype=np.float64 if dtype.kind == "f" else dtype)
    except (ValueError, OverflowError):
        return None
    if not fits(row.shape, feature) or (dtype.kind == "f" and np.abs(row).max(initial=0) >= _LARGE):
        return None
    with np.errstate(over="ignore"):
        return row.astype(dtype)


def _is_plain(values: Sequence[Any]) -> bool:
    """Whether values are of one kind and none is an integer of more than 64 bits."""
    kinds = set(map(type, values))
    return len(kinds) <= 1 and (kinds != {float} or max(map(abs, values)) < _LARGE)
