"""Decode the records of a stream into rows by model, or reasons why a record is unreadable.

A record's data is JSON in one of the forms that the HTTP API takes, with the model's name:
{"model": ..., "records": [...]}, {"model_name": ..., "inputs": [...]} of the Open Inference
Protocol, both with an "id" if they have one; or a bare object or array of records for the stream's
default model. It may be compressed with gzip.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.columns import ID_KIND, Batch, from_records, id_of, merge, positions
from quintet.columns.tensors import from_tensors
from quintet.contract import Contract
from quintet.errors import BadInput, ModelFailure, Refusal, TooLarge, json_kind, shown
from quintet.formats import strict_json
from quintet.protocols import oip_infer
from quintet.serving.model_cache import PublishedModel
from quintet.serving.routes import NAME
from quintet.streaming.aggregate_fields import (
    Values,
    given_values,
    take_from_rows,
    take_from_tensors,
    to_model_rows,
)
from quintet.streaming.compression import may_be_packed, unpack
from quintet.streaming.model_rows import Decoded, ModelRows, ShardBatch, Undecodable
from quintet.streaming.typed_decoder import decode_typed

__all__ = ["decode"]

_ENVELOPE = re.compile(rb'\{"model": ?"([a-z0-9_-]+)", ?"records": ?\[')
_RECORDS_KEYS = {"id", "model", "records"}


@dataclass(slots=True)
class _ModelRecords:
    """A batch's content for one model: rows from JSON, and requests with tensors."""

    rows: list[Any] = field(default_factory=list)
    records: list[int] = field(default_factory=list)  # of each row, its record
    numbers: list[int] = field(default_factory=list)  # and its number within it
    ids: dict[int, str] = field(default_factory=dict)  # of records that have one
    tensors: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    def note_id(self, record: int, envelope: Mapping[str, Any]) -> None:
        """Note the id of a whole record, if it has one. Raises BadInput."""
        if "id" not in envelope:
            return
        try:
            own = id_of(envelope["id"])
        except ValueError:
            got = shown(envelope["id"])
            raise BadInput.of("id", ID_KIND, got) from None
        if own is not None:
            self.ids[record] = own

    def drop(self, records: Container[int]) -> None:
        """Remove some records."""
        kept = [place for place, record in enumerate(self.records) if record not in records]
        self.rows = [self.rows[place] for place in kept]
        self.numbers = [self.numbers[place] for place in kept]
        self.records = [self.records[place] for place in kept]
        self.tensors = [item for item in self.tensors if item[0] not in records]


def decode(
    shard_batch: ShardBatch, models: Callable[[str], PublishedModel], default: str = ""
) -> Decoded:
    """The batch's rows by model, typed by its contract; unreadable rows and records are refused.

    `models` gives the live version of a model; `default` is the model of records without a name.

    Raises:
        Transient: a model's version could not be read.
    """
    if (fast := _decode_fast(shard_batch.data, models, default, shard_batch)) is not None:
        return Decoded([fast], [])
    broken: dict[int, Undecodable] = {}
    bodies = _bodies(shard_batch.data, broken)
    if bodies is not shard_batch.data and not broken:
        fast = _decode_fast(bodies, models, default, shard_batch)
        if fast is not None:
            return Decoded([fast], [])
    by_model = []
    for name, found in _by_name(bodies, default, broken).items():
        try:
            model = models(name)
        except (BadInput, ModelFailure) as error:
            for record in (*found.records, *(record for record, _ in found.tensors)):
                broken[record] = _undecodable(record, error, name)
            continue
        rows = _model_rows(model.contract, found, bodies, shard_batch, broken)
        if rows is not None:
            by_model.append((model, rows))
    return Decoded(by_model, [broken[record] for record in sorted(broken)])


# ---- bytes ------------------------------------------------------------------------------------


def _bodies(data: Sequence[bytes], broken: dict[int, Undecodable]) -> Sequence[bytes]:
    """The unpacked data of each record; valid JSON in place of data that cannot be unpacked."""
    if not may_be_packed(data):
        return data
    bodies = list(data)
    for record, packed in enumerate(data):
        try:
            bodies[record] = unpack(packed)
        except BadInput as error:
            broken[record] = _undecodable(record, error)
            bodies[record] = b"null"
    return bodies


# ---- the fast path ----------------------------------------------------------------------------


def _decode_fast(
    bodies: Sequence[bytes],
    models: Callable[[str], PublishedModel],
    default: str,
    shard_batch: ShardBatch,
) -> tuple[PublishedModel, ModelRows] | None:
    """The rows of records that all have the first one's model and form, and are all valid.

    Raises:
        Transient: the model's version could not be read.
    """
    if not bodies or not bodies[0].startswith(b"{"):
        return None
    envelope = _ENVELOPE.match(bodies[0])
    name = envelope and envelope[1].decode()
    try:
        model = models(_name(name, default))
    except (BadInput, ModelFailure):
        return None
    contract = model.contract
    if max(map(len, bodies)) > contract.limits.bytes:
        return None
    typed = decode_typed(contract, bodies, name)
    if typed is None:
        return None
    places, row, arrived = positions(len(bodies)), _first(len(bodies)), shard_batch.arrived
    if len(bodies) < typed.batch.rows:
        places = np.repeat(places, typed.counts)
        row = np.concatenate([np.arange(count) for count in typed.counts])
        arrived = arrived[places]
    model_rows = to_model_rows(
        contract, typed.batch, typed.fields, record=places, row=row, arrived=arrived
    )
    return model, model_rows


@lru_cache(maxsize=64)
def _first(records: int) -> NDArray[np.int64]:
    """The number of the first row for each of so many records; shared, so it cannot be changed."""
    found = np.zeros(records, dtype=np.int64)
    found.flags.writeable = False
    return found


# ---- forms ------------------------------------------------------------------------------------


def _by_name(
    bodies: Sequence[bytes], default: str, broken: dict[int, Undecodable]
) -> dict[str, _ModelRecords]:
    """The records by the name of their model; those of unknown form are added to `broken`."""
    by_name: dict[str, _ModelRecords] = {}
    for record, value in enumerate(strict_json.parse_all(bodies)):
        try:
            if record not in broken:
                _add(by_name, record, value, default)
        except BadInput as error:
            broken[record] = _undecodable(record, error)
    return by_name


def _add(by_name: dict[str, _ModelRecords], record: int, value: Any, default: str) -> None:
    """Add a record to those of its model.

    Raises:
        BadInput: the record has an unknown form, or names no model.
    """
    if isinstance(value, BadInput):
        raise value
    kind = type(value)
    if kind is dict and "inputs" in value and "records" not in value:
        name = _name(value.pop("model", None) or value.get("model_name"), default)
        found = _of_model(by_name, name)
        found.note_id(record, value)
        found.tensors.append((record, value))
        return
    rows: Any
    if kind is dict and "records" in value:
        name, rows = _name(value.get("model"), default), value["records"]
        if other := sorted(value.keys() - _RECORDS_KEYS):
            expected = 'the keys "model" and "records", and optionally "id"'
            raise BadInput.of("data", expected, shown(other[0]))
        if type(rows) is not list:
            raise BadInput.of("records", "an array of objects", json_kind(rows))
    elif kind in (dict, list):
        name, rows = _name(None, default), value if kind is list else [value]
        value = {}  # a bare object is a row, whose id is its own
    else:
        raise BadInput.of("data", "an object or an array", json_kind(value))
    found = _of_model(by_name, name)
    found.note_id(record, value)
    if len(rows) == 1:
        found.rows.append(rows[0])
        found.records.append(record)
        found.numbers.append(0)
        return
    if not rows:
        raise BadInput.of("records", "at least one row", "none")
    found.rows += rows
    found.records += [record] * len(rows)
    found.numbers += range(len(rows))


def _of_model(by_name: dict[str, _ModelRecords], name: str) -> _ModelRecords:
    found = by_name.get(name)
    if found is None:
        found = by_name[name] = _ModelRecords()
    return found


def _name(given: Any, default: str) -> str:
    if given is None or given == "":
        if not default:
            expected = "the name of a model; the stream has no default model"
            raise BadInput.of("model", expected, "nothing")
        return default
    if type(given) is not str or not NAME.fullmatch(given):
        raise BadInput.of("model", "the name of a model", shown(given))
    return given


# ---- rows -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Rows:
    """Rows of one form: their batch, their records, and the fields that the aggregates read."""

    batch: Batch
    records: Sequence[int]
    numbers: Sequence[int]
    values: Values


def _model_rows(
    contract: Contract,
    found: _ModelRecords,
    bodies: Sequence[bytes],
    shard_batch: ShardBatch,
    broken: dict[int, Undecodable],
) -> ModelRows | None:
    """The rows of one model; None if all of its records are refused as a whole."""
    refused = dict(_too_large(contract, found, bodies))
    if refused:
        found.drop(refused)
    parts = []
    if found.rows:
        values = take_from_rows(contract, found.rows)
        batch = from_records(contract, found.rows)
        parts.append(_Rows(batch, found.records, found.numbers, values))
    for record, value in found.tensors:
        try:
            parts.append(_tensor_rows(contract, record, value))
        except BadInput as error:
            refused[record] = error
    for record, reason in refused.items():
        broken[record] = _undecodable(record, reason, contract.name)
    if not parts:
        return None
    part = parts[0] if len(parts) == 1 else _concatenated(parts)
    places = np.array(part.records, dtype=np.int64)
    return to_model_rows(
        contract,
        part.batch,
        part.values,
        record=places,
        row=np.array(part.numbers, dtype=np.int64),
        arrived=shard_batch.arrived[places],
        ids=found.ids,
    )


def _concatenated(parts: Sequence[_Rows]) -> _Rows:
    """Rows of several forms as one, in the order of their records."""
    records = [record for part in parts for record in part.records]
    numbers = [number for part in parts for number in part.numbers]
    order = np.argsort(records, kind="stable").tolist()
    values: Values = {}
    for name in dict.fromkeys(name for part in parts for name in part.values):
        column: list[Any] = []
        for part in parts:
            column += given_values(part.batch, name, part.values)
        values[name] = [column[place] for place in order]
    return _Rows(
        _reordered(merge([part.batch for part in parts]), order),
        [records[place] for place in order],
        [numbers[place] for place in order],
        values,
    )


def _reordered(batch: Batch, order: list[int]) -> Batch:
    places = {old: new for new, old in enumerate(order)}
    refusals = [r if r.row is None else r._replace(row=places[r.row]) for r in batch.refusals]
    moved = Batch(batch.rows, {}, batch.good[order], None, refusals)
    if batch.entities is not None:
        moved.entities = [batch.entities[place] for place in order]
    moved.columns = {name: column[order] for name, column in batch.columns.items()}
    return moved


def _too_large(
    contract: Contract, found: _ModelRecords, bodies: Sequence[bytes]
) -> Iterator[tuple[int, BadInput]]:
    """Refuse the records with more bytes or rows than one request of the model may have."""
    limits = contract.limits
    if max(map(len, bodies)) > limits.bytes:
        for record in {*found.records, *(record for record, _ in found.tensors)}:
            if (size := len(bodies[record])) > limits.bytes:
                yield record, TooLarge.of("data", f"at most {limits.bytes} bytes", f"{size}")
    if max(found.numbers, default=0) >= limits.rows:
        rows = dict(zip(found.records, found.numbers, strict=True))  # the last of each
        for record, last in rows.items():
            if last >= limits.rows:
                yield record, TooLarge.of("records", f"at most {limits.rows} rows", f"{last + 1}")


def _tensor_rows(contract: Contract, record: int, value: dict[str, Any]) -> _Rows:
    """One request of the Open Inference Protocol.

    Raises:
        BadInput: it is not a request for this model.
    """
    tensors = oip_infer.tensors_of(contract, value)
    values = take_from_tensors(contract, tensors)
    batch = from_tensors(contract, tensors)
    return _Rows(batch, [record] * batch.rows, range(batch.rows), values)


def _undecodable(
    record: int, error: BadInput | ModelFailure, model: str | None = None
) -> Undecodable:
    if isinstance(error, ModelFailure):
        return Undecodable(record, [Refusal(None, "model", "one that loads", str(error))], model)
    # a stream's counterpart to a request's body is a record's data
    reasons = [r._replace(field="data") if r.field == "body" else r for r in error.refusals]
    return Undecodable(record, reasons, model)
