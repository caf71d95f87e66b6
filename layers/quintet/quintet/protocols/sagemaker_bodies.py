"""Decode rows in the formats that SageMaker's clients send: JSON, JSON lines, CSV and npy.

In rows without names, values are in the contract's order: first the entity key, if the model
joins stored features, then the request's features, an array value by value.
"""

from __future__ import annotations

import csv
import io
import math
import re
import tokenize
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from quintet.columns import Array, Batch, from_records
from quintet.columns.tables import from_arrays, from_text
from quintet.contract import Contract, Feature
from quintet.errors import BadInput, Refusal, UnsupportedMedia, json_kind
from quintet.formats import strict_json
from quintet.formats.csv_rows import csv_rows, delimiter_of
from quintet.protocols.http import JSON_TEXT, Request, check_count, check_rows, parse_json
from quintet.protocols.records import Asked, read

__all__ = ["decode", "ordered_fields", "rows"]

_ROWS = "rows"
_CSV_TEXT = re.compile(rb'"[^"]*"')
#: the keys of an object that has a row's values and not their names
_WRAPPERS = {"features", "data"}
#: dimensions of an array; numpy's own limit is 32 or 64, depending on its version
_MAX_DIMENSIONS = 32


def decode(contract: Contract, request: Request) -> Asked:
    """Decode a request's rows by its content type; no type, and that of `curl -d`, means JSON.

    Raises:
        BadInput: the body does not have that type, or does not fit the model.
        TooLarge: the body has too many bytes or rows.
        UnsupportedMedia: the type is not supported.
    """
    body = request.content(contract.limits.bytes)
    match request.media_type:
        case "application/json" | "" | "application/x-www-form-urlencoded":  # curl -d's default
            return _json(contract, parse_json(contract, body))
        case "application/jsonlines" | "application/jsonl" | "application/x-ndjson":
            lines = [line for line in body.splitlines() if line.strip()]
            check_rows(contract, len(lines), _ROWS)
            check_count(contract, body, JSON_TEXT)
            return Asked(_batch(contract, [_line(row, line) for row, line in enumerate(lines)]))
        case "text/csv":
            return Asked(_csv(contract, body))
        case "application/x-npy":
            return Asked(_npy(contract, body))
    known = "application/json, application/jsonlines, text/csv or application/x-npy"
    raise UnsupportedMedia.of("Content-Type", known, repr(request.media_type[:60]))


def _check_fixed(contract: Contract, what: str) -> None:
    """Refuse values in order for a contract that does not say how many there are."""
    for feature in contract.requested:
        if feature.free:
            expected = f"JSON objects by name: {feature.key} has no fixed number of values"
            raise BadInput.of("body", expected, what)


def ordered_fields(contract: Contract) -> list[tuple[str, Feature | None, int]]:
    """Name, feature (None for the entity key) and number of values of each field, in row order."""
    key: list[tuple[str, Feature | None, int]] = []
    if contract.entity and contract.needs_entity:
        key = [(contract.entity, None, 1)]
    return key + [(f.key, f, math.prod(f.largest)) for f in contract.requested]


# ---- JSON ------------------------------------------------------------------------------------


def _json(contract: Contract, value: Any) -> Asked:
    """The records form, {"instances": [...]}, {"inputs": ...}, or the rows alone."""
    if type(value) is dict:
        if "records" in value:
            return read(contract, value)
        named = strict_json.members("body", value, {"records", "instances", "inputs"})
        if len(named) != 1:
            expected = 'one of "records", "instances" and "inputs"'
            raise BadInput.of("body", expected, f"{len(named)} of them")
        (value,) = named.values()
    listed = type(value) is list and not _is_flat(contract, value)
    return Asked(rows(contract, value if listed else [value]))


def rows(contract: Contract, found: Sequence[Any]) -> Batch:
    """A batch of rows in JSON: each an object by name, an array in order, or a single value.

    Raises:
        BadInput: there is no row, or they differ in form.
        TooLarge: there are too many.
    """
    check_rows(contract, len(found), _ROWS)
    return _batch(contract, found)


def _is_flat(contract: Contract, values: list[Any]) -> bool:
    """Whether an array of plain values is one row: it is, unless rows have a single value."""
    single = len(ordered_fields(contract)) == 1 and not any(f.shape for f in contract.requested)
    return bool(values) and not single and not any(type(item) in (list, dict) for item in values)


def _line(row: int, line: bytes) -> Any:
    """Parse one JSON line; a refusal names its row."""
    try:
        return strict_json.parse(line)
    except BadInput as error:
        raise BadInput(refusal._replace(row=row) for refusal in error.refusals) from None


def _batch(contract: Contract, found: Sequence[Any]) -> Batch:
    """A batch of rows: objects by name, arrays of values in order, or single values."""
    if _is_wrapper(contract, found[0]):
        found = [_unwrapped(row) if _is_wrapper(contract, row) else row for row in found]
    if any(type(row) is dict for row in found):
        return from_records(contract, found)
    fields = ordered_fields(contract)
    if len(fields) == 1:
        name, feature, _ = fields[0]
        alone = [row[0] if _is_wrapped(row, feature) else row for row in found]
        shape = feature.shape if feature else ()
        return from_records(contract, [{name: _nested(row, shape)} for row in alone])
    _check_fixed(contract, "rows of values")
    width = sum(size for _, _, size in fields)
    _check_widths(found, width)
    return from_records(contract, [_record(fields, row) for row in found])


def _is_wrapper(contract: Contract, row: Any) -> bool:
    """Whether a row is an object around its values, as SageMaker's built-in algorithms take it.

    https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-inference.html
    """
    return type(row) is dict and len(row) == 1 and row.keys() <= _WRAPPERS - contract.request_keys


def _unwrapped(row: dict[str, Any]) -> Any:
    """The values of {"features": [...]} or {"data": {"features": {"values": [...]}}}.

    Raises:
        BadInput: the object has another form, such as the sparse one.
    """
    if "features" in row:
        return row["features"]
    features = strict_json.members("data", row["data"], {"features"}).get("features", {})
    dense = strict_json.members("data.features", features, {"values"})
    if "values" not in dense:
        raise BadInput.of("data.features", '"values" with every value of the row', "nothing")
    return dense["values"]


def _is_wrapped(row: Any, feature: Feature | None) -> bool:
    """Whether a row is [value] for a scalar feature."""
    return type(row) is list and len(row) == 1 and not (feature and feature.shape)


def _check_widths(found: Sequence[Any], width: int) -> None:
    refusals = [
        Refusal(
            row,
            "row",
            f"{width} values",
            f"{len(values)}" if type(values) is list else json_kind(values),
        )
        for row, values in enumerate(found)
        if type(values) is not list or len(values) != width
    ]
    if refusals:
        raise BadInput(refusals)


def _record(fields: list[tuple[str, Feature | None, int]], row: list[Any]) -> dict[str, Any]:
    record = {}
    at = 0
    for name, feature, size in fields:
        if feature is not None and feature.shape:
            record[name] = _nested(row[at : at + size], feature.shape)
        else:
            record[name] = row[at]
        at += size
    return record


def _nested(values: Any, shape: tuple[int, ...]) -> Any:
    """Nest flat values to `shape`; other values are returned unchanged."""
    if (
        len(shape) < 2
        or -1 in shape
        or type(values) is not list
        or any(type(v) is list for v in values)
    ):
        return values
    for size in reversed(shape[1:]):
        values = [values[i : i + size] for i in range(0, len(values), size)]
    return values


# ---- CSV -------------------------------------------------------------------------------------


def _csv(contract: Contract, body: bytes) -> Batch:
    """Lines of values; the first line is a header if it contains a known name."""
    _check_fixed(contract, "CSV")
    try:
        check_count(contract, body, _CSV_TEXT)
        text = body.decode("utf-8-sig")
        # at most a header and one line beyond the limit, enough to refuse the batch
        rows = csv_rows(text, delimiter_of(text, contract.decimal))
        lines = [cells for _, cells in islice(rows, contract.limits.rows + 2)]
    except UnicodeDecodeError:
        raise BadInput.of("body", "CSV in UTF-8", "other bytes") from None
    except csv.Error as error:
        raise BadInput.of("body", "CSV", str(error)) from None
    fields = ordered_fields(contract)
    names = [name for name, _, _ in fields]
    if lines and set(lines[0]) & contract.request_keys:
        names = [name or "" for name in lines.pop(0)]
        if len(set(names)) < len(names):
            raise BadInput.of("header", "each column once", "one twice")
    check_rows(contract, len(lines), _ROWS)
    vectors = [name for name, feature, _ in fields if feature is not None and feature.shape]
    if vectors and set(names) != {name for name, _, _ in fields}:
        raise BadInput.of("header", f"no header, for {vectors[0]} is an array", "one")
    _check_widths(lines, sum(size for _, _, size in fields) if vectors else len(names))
    if not vectors:
        return from_text(contract, dict(zip(names, zip(*lines, strict=True), strict=True)))
    records = [_record(fields, line) for line in lines]
    return from_text(contract, {name: [record[name] for record in records] for name in names})


# ---- npy -------------------------------------------------------------------------------------


def _npy(contract: Contract, body: bytes) -> Batch:
    """An array of numbers, (rows, values) or (rows, *shape) of the only feature."""
    array = _read_npy(body)
    fields = ordered_fields(contract)
    if len(fields) == 1 and contract.requested and contract.requested[0].free:
        if array.ndim == len(contract.requested[0].shape):
            array = array[np.newaxis]
        check_rows(contract, len(array) if array.ndim else 1, _ROWS)
        return from_arrays(contract, {fields[0][0]: np.atleast_1d(array)}, {})
    _check_fixed(contract, "an npy array")
    width = sum(size for _, _, size in fields)
    if array.ndim == 0 or (array.ndim == 1 and array.size == width and width > 1):
        array = array.reshape(1, -1)
    check_rows(contract, len(array), _ROWS)
    matrix = array.reshape(len(array), -1)
    if matrix.shape[1] != width:
        raise BadInput.of("body", f"{width} values in a row", f"shape {list(array.shape)}")
    columns: dict[str, Array] = {}
    at = 0
    for name, feature, size in fields:
        part = matrix[:, at : at + size]
        columns[name] = part.reshape(len(part), *(feature.shape if feature else ()))
        at += size
    return from_arrays(contract, columns, {})


#: what numpy raises for an invalid header
_BROKEN_HEADER = (
    ValueError,
    SyntaxError,
    TypeError,
    RecursionError,
    MemoryError,
    EOFError,
    OverflowError,
    tokenize.TokenError,
)


def _read_npy(body: bytes) -> Array:
    """Read an npy file's array. Its header is checked against the body's size before allocation."""
    file = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    except _BROKEN_HEADER:
        raise BadInput.of("body", "an npy file", "other bytes") from None
    if dtype.kind not in "biuf":  # never objects: they are pickles
        raise BadInput.of("body", "an array of numbers", f"one of {dtype.kind!r}")
    if len(shape) > _MAX_DIMENSIONS or any(type(size) is bool or size < 0 for size in shape):
        raise BadInput.of("body", "an npy file", "other bytes")
    if 0 in shape:  # next to a 0, a size may be any number, even one too large for numpy
        raise BadInput.of(_ROWS, "at least one row", "none")
    left = len(body) - file.tell()
    if math.prod(shape) * dtype.itemsize != left:
        got = f"{left} bytes for the shape {list(shape)[:8]}"
        raise BadInput.of("body", "as many values as the npy header says", got)
    flat = np.frombuffer(body, dtype, offset=file.tell()).astype(dtype.newbyteorder("="))
    return flat.reshape(shape, order="F" if fortran else "C")
