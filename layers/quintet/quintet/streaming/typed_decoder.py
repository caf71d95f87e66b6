"""The fast path of decoding: see `quintet.formats.typed_records`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quintet.columns import Batch
from quintet.contract import Contract
from quintet.formats import typed_records
from quintet.streaming.aggregate_fields import Values, field_kinds, id_field

__all__ = ["TypedRows", "decode_typed"]


@dataclass(slots=True)
class TypedRows:
    """The decoded rows: their batch, the fields that the aggregates read, and each record's number
    of rows (None if every record has one)."""

    batch: Batch
    values: Values
    counts: list[int] | None


def decode_typed(
    contract: Contract, bodies: Sequence[bytes], model: str | None
) -> TypedRows | None:
    """The rows of records that are all of `model` in the records form; None: all bare objects.

    All rows have an id, or none has one. None if a record needs the general path.
    """
    own = id_field(contract)
    if own is not None and f'"{own}"'.encode() not in bodies[0]:
        own = None
    kinds = field_kinds(contract)
    envelope = None if model is None else (("model", model),)
    others = tuple(kinds.items())
    typed = typed_records.decode_typed(contract, bodies, envelope, own=own, others=others)
    if typed is None:
        return None
    values: Values = {name: typed.fields[name] for name in kinds}
    if own is not None:
        values[own] = typed.fields[own]
    return TypedRows(typed.batch, values, typed.counts if max(typed.counts) > 1 else None)
