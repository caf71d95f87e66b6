"""Reads files of records, JSONL, CSV or Parquet, to send to a stream."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from quintet.aws.stream_sender import RECORD_BYTES, size_of
from quintet.columns import cell_value, key_of, shown
from quintet.columns.values import comma_value
from quintet.contract import Contract, Feature
from quintet.errors import BadInput, Refusal
from quintet.formats.arrow import arrow_errors
from quintet.formats.csv_rows import csv_rows, delimiter_of
from quintet.formats.strict_json import parse
from quintet.streaming.decoding import decode
from quintet.streaming.model_rows import ShardBatch
from quintet_publish.text_files import read_text

__all__ = ["Line", "Packer", "check_sizes", "read_lines", "read_records"]


@dataclass(frozen=True, slots=True)
class Line:
    """One record for the stream: its partition key, and the record or its raw bytes."""

    key: str
    content: dict[str, Any] | bytes
    number: int = field(default=0, compare=False)


#: a file's content: each line's number, and its record or why it has none
Numbered = Iterator[tuple[int, dict[str, Any] | Refusal]]


@dataclass(frozen=True, slots=True)
class Packer:
    """Encodes a line for the stream.

    `model` goes into the envelope; without it the record has no envelope, for the stack's default
    model. `time` names a field that is set to the time of sending: as text if the file has
    text there, else in epoch seconds.
    """

    model: str | None = None
    time: str | None = None

    def pack(self, line: Line, now: float) -> bytes:
        """Return the bytes of a line that is sent now."""
        record = line.content
        if isinstance(record, bytes):
            return record
        if self.time is not None:
            as_text = isinstance(record.get(self.time), str)
            moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
            record = {**record, self.time: moment if as_text else round(now, 3)}
        return orjson.dumps(record if self.model is None else _envelope(self.model, record))


def _envelope(model: str, record: dict[str, Any]) -> dict[str, Any]:
    return {"model": model, "records": [record]}


def read_records(
    path: Path,
    contract: Contract | None,
    key: str | None,
    arrival: float = math.inf,
    sent_at: str | None = None,
) -> list[Line]:
    """Return the records of a file, each with the partition key from its field `key`.

    Without `key` it is the contract's entity, or else the line's number. With a
    contract every record is checked against it first, as if it arrived at that time (epoch
    seconds). Records need no field `sent_at`: it is set when they are sent.

    Raises:
        BadInput: the file cannot be read, or some of its records are invalid; by their lines.
    """
    readers = {".csv": _csv, ".parquet": _parquet}
    found = list(readers.get(path.suffix, _jsonl)(path, contract))
    if not found:
        raise BadInput.of(path.name, "at least one record", "none")
    told = [(number, item) for number, item in found if isinstance(item, Refusal)]
    numbered = [(number, item) for number, item in found if not isinstance(item, Refusal)]
    unsent: dict[str, Any] = {} if sent_at is None else {sent_at: 0}
    records = [unsent | record for _, record in numbered]
    key = key or (contract.entity if contract is not None else None)
    refusals = _refusals(contract, records, arrival) if contract is not None and records else []
    if key is not None:
        named = {(refusal.row, refusal.field) for refusal in refusals}
        refusals += [
            Refusal(row, key, "a text or a whole number, the partition key", _got(record, key))
            for row, record in enumerate(records)
            if not _is_key(record.get(key)) and (row, key) not in named
        ]
    for refusal in refusals:
        number, _ = numbered[refusal.row or 0]
        told.append((number, refusal._replace(row=None, field=f"line {number}, {refusal.field}")))
    if told:
        raise BadInput(_alike(sorted(told, key=itemgetter(0))))
    return [
        Line(str(number) if key is None else key_of(record[key]), record, number)
        for (number, _), record in zip(numbered, records, strict=True)
    ]


def read_lines(path: Path, key: str | None) -> list[Line]:
    """Return the lines of a file unchanged and unchecked; no line is empty.

    The partition key is the line's field `key` if it is JSON and has one, else its number.

    Raises:
        BadInput: the file has no lines.
    """
    lines = []
    for number, content in enumerate(path.read_bytes().split(b"\n"), 1):
        if content:
            lines.append(Line(_key_of(content, key) or str(number), content, number))
    if not lines:
        raise BadInput.of(path.name, "at least one line", "none")
    return lines


def check_sizes(lines: Sequence[Line], packer: Packer, now: float) -> None:
    """Check that a stream accepts all lines.

    Raises:
        BadInput: some of them are larger than a record may be.
    """
    sizes = ((line.number, size_of(line.key, packer.pack(line, now))) for line in lines)
    expected = f"at most {RECORD_BYTES:,} bytes, the partition key with it"
    told = [
        (number, Refusal(None, f"line {number}", expected, f"{size:,}"))
        for number, size in sizes
        if size > RECORD_BYTES
    ]
    if told:
        raise BadInput(_alike(told))


def _alike(told: Sequence[tuple[int, Refusal]]) -> list[Refusal]:
    """The first refusal of each field and expectation, with the number of others like it."""
    groups: dict[tuple[str, str], list[tuple[int, Refusal]]] = {}
    for number, refusal in told:
        place = refusal.field.removeprefix(f"line {number}")
        groups.setdefault((place, refusal.expected), []).append((number, refusal))
    found = []
    for (place, _), (first, *others) in groups.items():
        number, refusal = first
        like = f" and {len(others):,} like it" if others else ""
        found.append(refusal._replace(field=f"line {number}{like}{place}"))
    return found


def _key_of(content: bytes, key: str | None) -> str | None:
    try:
        record = parse(content) if key else None
    except BadInput:
        return None
    value = record.get(key) if isinstance(record, dict) else None
    return key_of(value) if _is_key(value) else None


def _is_key(value: Any) -> bool:
    try:
        # https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecordsRequestEntry.html
        return 0 < len(key_of(value)) <= 256
    except ValueError:
        return False


def _got(record: dict[str, Any], key: str) -> str:
    return shown(record[key]) if key in record else "nothing"


def _refusals(
    contract: Contract, records: Sequence[dict[str, Any]], arrival: float
) -> list[Refusal]:
    """Return why the stream's own reader would refuse records that arrive at that time."""
    count = len(records)
    shard_batch = ShardBatch(
        shard="",
        sequences=[str(number) for number in range(count)],
        keys=[""] * count,
        data=[orjson.dumps(_envelope(contract.name, record)) for record in records],
        arrived=np.full(count, arrival),
    )
    from quintet.aws.contracts import Described  # with onnxruntime, as what follows in this file

    decoded = decode(shard_batch, lambda _: Described(contract, ""))
    refusals = [
        reason._replace(row=item.record) for item in decoded.undecodable for reason in item.reasons
    ]
    for _, model_rows in decoded.by_model:
        refusals += [
            reason._replace(row=int(model_rows.record[reason.row or 0]))
            for reason in model_rows.batch.refusals
        ]
    return refusals


def _jsonl(path: Path, contract: Contract | None) -> Numbered:
    for number, text in enumerate(path.read_bytes().split(b"\n"), 1):
        if not text.strip():
            continue
        try:
            record = parse(text)
        except BadInput as error:
            yield number, error.refusals[0]._replace(field=f"line {number}")
            continue
        if isinstance(record, dict):
            yield number, record
        else:
            yield number, Refusal(None, f"line {number}", "a JSON object", shown(record))


def _csv(path: Path, contract: Contract | None) -> Numbered:
    """Read rows of text cells: a number if its feature is one, or if it looks like one."""
    try:
        text = read_text(path)
        decimal = contract.decimal if contract is not None else "."
        lines = csv_rows(text, delimiter_of(text, decimal))
        names = [name or "" for name in next(lines, (0, []))[1]]
        for number, cells in lines:
            if len(cells) != len(names):
                expected = f"{len(names)} cells"
                yield number, Refusal(None, f"line {number}", expected, "another number of them")
                continue
            given = [(n, cell) for n, cell in zip(names, cells, strict=True) if cell is not None]
            yield number, {n: _cell(n, cell, contract) for n, cell in given}
    except csv.Error as error:
        raise BadInput.of(path.name, "CSV", str(error)) from None


def _cell(name: str, text: str, contract: Contract | None) -> Any:
    feature = contract.by_key.get(name) if contract is not None else None
    if contract is not None and name in (contract.entity, contract.id):
        return text
    # a field that is not a feature is a number if it looks like one
    kinds = [feature] if feature is not None else [_INTEGER, _FLOAT]
    read = comma_value if contract is not None and contract.decimal == "," else cell_value
    for kind in kinds:
        with suppress(ValueError):
            value = read(kind, text)
            if not isinstance(value, float) or math.isfinite(value):  # JSON has no other
                return value
            if kind.missing and math.isnan(value):
                return None
    return text


_INTEGER, _FLOAT = Feature(name="", dtype="int64"), Feature(name="", dtype="float64")


def _parquet(path: Path, contract: Contract | None) -> Numbered:
    with arrow_errors(path.name, "Parquet"):
        from quintet_publish.kit import read_table

        columns = read_table(path)
    plain = {name: values.tolist() for name, values in columns.items()}
    for number, row in enumerate(zip(*plain.values(), strict=True), 1):
        yield number, {n: v for n, v in zip(plain, row, strict=True) if v is not None}
