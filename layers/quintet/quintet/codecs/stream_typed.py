"""The straight way of a stream's records: all of one model and one form, and nothing wrong in them.

They are read by a decoder that the contract makes: what it lets pass has all fields, each of its
kind, and no other. Nothing is refused here: whatever is not as plain as that is `None`, and goes
the general way, which says what is wrong, and comes to the same where nothing is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import astuple

from quintet.codecs import strict_json
from quintet.codecs.stream_fields import Values, kinds_of
from quintet.columns import Batch, numpy_dtype
from quintet.contract import Contract, Feature

__all__ = ["Plain", "read_plain"]

#: the kinds of JSON by the kind of the numpy dtype
_KINDS: dict[str, Any] = {"f": float, "i": int, "u": int, "b": bool, "O": str}

#: an integer of more than 64 bits has become a float as large as this
_LARGE = 2.0**63


@dataclass(slots=True)
class Plain:
    """Rows that were read: their batch, what the aggregates read of them, and of each record its
    number of rows, None where that is one."""

    batch: Batch
    values: Values
    counts: list[int] | None


class _Reader(NamedTuple):
    """How the records of a contract are read."""

    bare: Any
    enveloped: Any
    names: tuple[str, ...]


def read_plain(contract: Contract, bodies: Sequence[bytes], *, enveloped: bool) -> Plain | None:
    """The rows of records that are all in the records form (`enveloped`), or all bare objects."""
    reader = _reader(contract)
    if reader is None:
        return None
    counts = None
    try:
        if enveloped:
            found = [reader.enveloped(body).records for body in bodies]
            if any(len(rows) != 1 for rows in found):
                counts = list(map(len, found))
            rows = list(map(astuple, chain.from_iterable(found)))
        else:
            rows = [astuple(reader.bare(body)) for body in bodies]
    except (msgspec.MsgspecError, UnicodeError):
        return None
    if counts is not None and not 0 < min(counts) <= max(counts) <= contract.limits.rows:
        return None
    keys = len(rows) * len(reader.names) + (2 * len(bodies) if enveloped else 0)
    text = b"\n".join(bodies)
    # no key has gone unseen because it came again
    if text.count(b":") != keys and strict_json.most_keys(text) != keys:
        return None
    columns = dict(zip(reader.names, zip(*rows, strict=True), strict=True))
    batch = _batch(contract, columns, len(rows))
    values = {name: list(columns[name]) for name in kinds_of(contract)}
    if batch is None or not all(map(_is_plain, values.values())):
        return None
    return Plain(batch, values, counts)


@lru_cache(maxsize=64)
def _reader(contract: Contract) -> _Reader | None:
    """The readers of a contract's records; None where it has features of several dimensions."""
    kinds: dict[str, Any] = {}
    for feature in contract.requested:
        kind: Any = _KINDS[numpy_dtype(feature.dtype).kind]
        kinds[feature.name] = list[kind] if feature.shape else kind
        if len(feature.shape) > 1:
            return None
    for name, read in kinds_of(contract).items():
        kinds.setdefault(name, {"number": float, "text": str}.get(read, float | str))
    if contract.entity is not None:
        kinds[contract.entity] = str
    names = {f"f{number}": name for number, name in enumerate(kinds)}
    fields = [(field, kinds[name]) for field, name in names.items()]
    forbid: Any = {"forbid_unknown_fields": True, "gc": False}
    row = msgspec.defstruct("Row", fields, rename=names, **forbid)
    # the model was looked at before
    envelope: Any = [("model", msgspec.Raw), ("records", list.__class_getitem__(row))]
    record = msgspec.defstruct("Record", envelope, **forbid)
    return _Reader(
        msgspec.json.Decoder(row).decode, msgspec.json.Decoder(record).decode, tuple(kinds)
    )


def _batch(contract: Contract, columns: dict[str, tuple[Any, ...]], rows: int) -> Batch | None:
    """The batch of columns that are all of their kinds; None where a value needs a look."""
    batch = Batch(rows, {}, np.ones(rows, dtype=np.bool_))
    groups: dict[str, list[Feature]] = {}
    for feature in contract.requested:
        if feature.shape:
            groups[feature.name] = [feature]
        else:
            groups.setdefault(feature.dtype, []).append(feature)
    for group in groups.values():
        dtype, shape = numpy_dtype(group[0].dtype), group[0].shape
        try:
            wide = np.float64 if dtype.kind == "f" else dtype
            values = np.array([columns[feature.name] for feature in group], dtype=wide)
        except (ValueError, OverflowError):
            return None
        if values.shape != (len(group), rows, *shape):
            return None
        if dtype.kind == "f" and values.size and np.abs(values).max() >= _LARGE:
            return None
        with np.errstate(over="ignore"):
            values = values.astype(dtype)
        if shape:
            batch.columns[group[0].name] = values[0]
        else:
            batch.put(tuple(feature.name for feature in group), np.ascontiguousarray(values.T))
    if contract.entity is not None:
        batch.entities = list(columns[contract.entity])
        if "" in batch.entities:
            return None
    return batch


def _is_plain(values: list[Any]) -> bool:
    """Whether values are of one kind, and no integer of more than 64 bits is among them."""
    kinds = set(map(type, values))
    if kinds != {float}:
        return len(kinds) <= 1 or kinds == {float, int}
    return bool(max(map(abs, values)) < _LARGE)
