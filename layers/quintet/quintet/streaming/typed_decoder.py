"""The fast path of decoding: see `quintet.formats.typed_records`."""

from __future__ import annotations

from collections.abc import Sequence

from quintet.contract import Contract
from quintet.formats import typed_records
from quintet.streaming.aggregate_fields import field_kinds, id_field

__all__ = ["decode_typed"]


def decode_typed(
    contract: Contract, bodies: Sequence[bytes], model: str | None
) -> typed_records.TypedRows | None:
    """The rows of records that are all of `model` in the records form; None: all bare objects.

    All rows have an id, or none has one. None if a record needs the general path.
    """
    own, text, others = contract.compiled[_fields_read]
    if own is not None and text not in bodies[0]:
        own = None
    envelope = None if model is None else (("model", model),)
    return typed_records.decode_typed(contract, bodies, envelope, own=own, others=others)


def _fields_read(contract: Contract) -> tuple[str | None, bytes, tuple[tuple[str, str], ...]]:
    """The field with a row's id, what a record with one contains, and the fields of aggregates."""
    own = id_field(contract)
    return own, f'"{own}"'.encode(), tuple(field_kinds(contract).items())
