"""The fast path of decoding records in JSON: valid ones of one model and form.

msgspec decodes them with types made from the contract: a record that passes has all fields, each of
its kind, and no others. The fast path refuses nothing: it returns None for any other input, and the
general path (`quintet.columns.from_records`) finds the errors, or reads the same rows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec.structs import astuple

from quintet.columns import Array, Batch, fits, numpy_dtype, ragged
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
    fields: Mapping[str, Any]
    counts: list[int]


@dataclass(frozen=True)
class _Reader:
    """How the records of a contract are read.

    A row begins with its numbers: `numbers` holds their names by the dtype of the features, and
    `packer` converts them to bytes, an array of `packed` with one field for each of these dtypes.
    The fields of `objects` follow.
    """

    decode: Callable[[bytes], Any]
    numbers: Mapping[str, tuple[str, ...]]
    packer: struct.Struct
    packed: np.dtype[Any]
    objects: Sequence[str]


@dataclass(slots=True)
class _Rows:
    """The decoded values: the packed numbers and the objects of all rows; each record's rows."""

    numbers: list[bytes]
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
    reader = _reader(contract, envelope, own, others)
    if reader is None:
        return None
    try:
        rows = _read(reader, bodies, enveloped=envelope is not None)
    except (msgspec.MsgspecError, UnicodeError, struct.error):
        return None
    counts, width = rows.counts, len(reader.objects)
    # no duplicate key has hidden another
    keys = len(rows.numbers) * (sum(map(len, reader.numbers.values())) + width)
    keys += 0 if envelope is None else (1 + len(envelope)) * len(bodies)
    if not (
        0 < min(counts) <= max(counts) <= contract.limits.rows
        and strict_json.no_more_keys(bodies, keys)
    ):
        return None
    objects = {name: rows.objects[at::width] for at, name in enumerate(reader.objects)}
    batch = Batch(len(rows.numbers), {})
    fields = dict.fromkeys([name for name, _ in others] + ([] if own is None else [own]))
    if not (_put_objects(contract, batch, objects) and _put_numbers(reader, rows, batch, fields)):
        return None
    fields |= {name: objects[name] for name in fields if name in objects}
    if not all(map(_is_plain, fields.values())):
        return None
    return TypedRows(batch, fields, counts)


@lru_cache(maxsize=64)
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
    return _Reader(
        msgspec.json.Decoder(record).decode,
        numbers,
        struct.Struct("".join(f"{len(names)}{wide[d].char}" for d, names in numbers.items())),
        np.dtype([(d, wide[d], (len(names),)) for d, names in numbers.items()]),
        objects,
    )


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
    decode, pack, width = reader.decode, reader.packer.pack, sum(map(len, reader.numbers.values()))
    numbers: list[bytes] = []
    objects: list[Any] = []
    counts: list[int] = []
    for body in bodies:
        record = decode(body)
        rows = record.records if enveloped else (record,)
        counts.append(len(rows))
        for row in rows:
            values = astuple(row)
            numbers.append(pack(*values[:width]))
            objects += values[width:]
    return _Rows(numbers, objects, counts)


def _put_numbers(reader: _Reader, rows: _Rows, batch: Batch, fields: dict[str, Any]) -> bool:
    """Set the columns of scalar numbers, and those in `fields` as read; False if one needs
    checking."""
    if not reader.numbers:
        return True
    packed = np.frombuffer(b"".join(rows.numbers), reader.packed)
    for dtype, names in reader.numbers.items():
        matrix = packed[dtype]
        if matrix.dtype.kind == "f" and not -_LARGE < matrix.min() <= matrix.max() < _LARGE:
            return False
        fields |= {n: matrix[:, place] for place, n in enumerate(names) if n in fields}
        if dtype != _NO_FEATURES:
            with np.errstate(over="ignore"):
                batch.stacked[names] = matrix.astype(dtype, order="C")
    return True


def _put_objects(contract: Contract, batch: Batch, read: Mapping[str, Any]) -> bool:
    """Set the other columns and the entities; False if one needs checking."""
    texts = []
    for feature in contract.requested:
        dtype = numpy_dtype(feature.dtype)
        if feature.free:
            rows = [_array(feature, value) for value in read[feature.name]]
            if any(row is None for row in rows):
                return False
            batch.columns[feature.name] = ragged(rows)  # type: ignore[arg-type]
        elif feature.shape:
            try:
                wide = np.float64 if dtype.kind == "f" else dtype
                values = np.array(read[feature.name], dtype=wide)
            except (ValueError, OverflowError):
                return False
            if values.shape != (batch.rows, *feature.shape):
                return False
            if dtype.kind == "f" and values.size and np.abs(values).max() >= _LARGE:
                return False
            with np.errstate(over="ignore"):
                batch.columns[feature.name] = values.astype(dtype)
        elif dtype.kind == "O":
            texts.append(feature.name)
    if texts:
        matrix = np.array([read[name] for name in texts], dtype=object)
        batch.stacked[tuple(texts)] = np.ascontiguousarray(matrix.T)
    if contract.entity is not None:
        batch.entities = list(read[contract.entity])
        # a whole number written with a fraction has another key: `quintet.columns.key_of`
        return "" not in batch.entities and ".0" not in "".join(batch.entities)
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


def _is_plain(values: Any) -> bool:
    """Whether values are of one kind and none is an integer of more than 64 bits."""
    if isinstance(values, np.ndarray):
        return True
    kinds = set(map(type, values))
    return len(kinds) <= 1 and (kinds != {float} or max(map(abs, values)) < _LARGE)
