"""Passthrough: columns of the input that are written beside the scores, their names and values.

Batch Transform calls this a join with the input. In every format the values are text, as in CSV
and JSONL, so that a column has one type across all files and runs. A missing value (no cell, an
empty cell, null or NaN) becomes null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from types import NoneType
from typing import Any

import numpy as np
import orjson
from arro3 import core
from numpy.typing import NDArray

from quintet.batch.inputs import InputFile
from quintet.batch.outputs import score_names
from quintet.batch.requests import ALL
from quintet.contract import Contract
from quintet.errors import BadInput, Refusal
from quintet.formats.arrow import column as column_of
from quintet.formats.arrow import csv_table, is_text
from quintet.formats.arrow_values import plain_values
from quintet.formats.chunks import Chunk
from quintet.formats.csv_rows import csv_cells
from quintet.formats.quarantined import text_of
from quintet.formats.sources import Layout

__all__ = ["check_names", "passthrough_columns", "passthrough_values"]

#: columns of the input, each with its name in the scores
Names = Sequence[tuple[str, str]]


def passthrough_columns(
    asked: Any, contract: Contract, sources: Sequence[InputFile], *, many: bool
) -> tuple[tuple[str, str], ...]:
    """The columns to keep and their new names, each checked to exist in every file.

    "*" keeps all columns of any file, except the entity key, which the scores already have.

    Raises:
        BadInput: a file lacks a column, or its new name is already a column of the scores.
    """
    if not asked:
        return ()
    if asked == ALL:
        if sources[0].layout.format == "jsonl":
            raise BadInput.of("keep", "the names of columns, as JSONL has no header", "all")
        every = dict.fromkeys(name for source in sources for name in source.layout.columns)
        columns = [(name, name) for name in every if name != contract.entity]
    else:
        pairs = asked.items() if isinstance(asked, dict) else zip(asked, asked, strict=True)
        columns = list(pairs)
        _check_there(columns, sources)
    check_names(columns, contract, many=many)
    return tuple(columns)


def check_names(columns: Sequence[tuple[str, str]], contract: Contract, *, many: bool) -> None:
    """Check that the new names of kept columns differ from each other and from the scores'.

    Raises:
        BadInput: a name is a column of the scores already, or is given twice.
    """
    taken = set(score_names(contract, many=many))
    for _, name in columns:
        if name in taken:
            raise BadInput.of("keep", "names that no column of the scores has", repr(name)[:60])
        taken.add(name)


def _check_there(columns: Sequence[tuple[str, str]], sources: Sequence[InputFile]) -> None:
    refusals = []
    for source in sources:
        if source.layout.format == "jsonl":
            continue
        for column, _ in columns:
            if (times := source.layout.columns.count(column)) != 1:
                field = f"keep: {column[:60]}"
                refusals.append(
                    Refusal(None, field, f"one such column in {source.input.key}", f"{times}")
                )
    if refusals:
        raise BadInput(refusals)


def passthrough_values(
    keep: Names, layout: Layout, chunk: Chunk, rows: NDArray[np.int64]
) -> dict[str, core.Array]:
    """The kept columns of some rows of a file, under their new names."""
    if not keep:
        return {}
    places = rows - chunk.first
    known = [column for column, _ in keep if column in layout.columns]
    whole: Mapping[str, core.Array] | None = None
    if chunk.column is not None:
        whole = {column: _texts_of(chunk.column(column)) for column in known}
    elif layout.format == "csv":
        whole = _csv_columns(layout, chunk, known)
    if whole is None:
        originals = map(chunk.original, places.tolist())
        texts = [text_of(original) for original in originals if isinstance(original, bytes)]
        if layout.format == "jsonl":
            return _from_records(keep, texts)
        return _from_cells(keep, layout, texts)
    arrays = {
        name: whole[column] if column in whole else _array([None] * chunk.size)
        for column, name in keep
    }
    if len(rows) == chunk.size:
        return arrays
    chosen = core.Array.from_numpy(places.astype(np.uint64))
    return {name: array.take(chosen) for name, array in arrays.items()}


def _array(texts: Sequence[str | None]) -> core.Array:
    return core.Array(texts, core.DataType.string())


def _texts_of(array: core.Array) -> core.Array:
    """A Parquet column as text; numbers have as many digits as their type needs."""
    types, kind = core.DataType, array.type
    if is_text(kind) or types.is_integer(kind) or types.is_boolean(kind):
        return array.cast(types.string())
    if types.is_floating(kind):
        texts = array.cast(types.string())
        if np.isnan(column_of("", array, ())[0]).any():
            return _array([None if text == "NaN" else text for text in texts.to_pylist()])
        return texts
    return _array([_text(value) for value in plain_values(array)])


def _csv_columns(
    layout: Layout, chunk: Chunk, columns: Sequence[str]
) -> dict[str, core.Array] | None:
    """Columns of a chunk of CSV; None if it must be read row by row."""
    text = chunk.text() if chunk.text is not None else b""
    if chunk.broken or b'"' in text:  # the readers treat quotes differently
        return None
    kinds = [core.DataType.string()] * len(layout.columns)
    table = csv_table(text, kinds, layout.delimiter or ",", chunk.size)
    if table is None:
        return None
    places = {column: layout.columns.index(column) for column in columns}
    return {column: table.column(place).combine_chunks() for column, place in places.items()}


def _from_cells(keep: Names, layout: Layout, texts: Sequence[str]) -> dict[str, core.Array]:
    cells = [csv_cells(text, layout.delimiter or ",") for text in texts]
    found: dict[str, core.Array] = {}
    for column, name in keep:
        at = layout.columns.index(column) if column in layout.columns else None
        found[name] = _array([None if at is None else row[at] for row in cells])
    return found


def _from_records(keep: Names, texts: Sequence[str]) -> dict[str, core.Array]:
    records = [orjson.loads(text) for text in texts]
    return {name: _json_texts([r.get(column) for r in records]) for column, name in keep}


def _json_texts(values: Sequence[Any]) -> core.Array:
    """The values of a JSON field as text; values of a single type are converted together."""
    kinds = set(map(type, values)) - {NoneType}
    if kinds == {str}:
        return _array(values)
    if kinds == {float}:
        return core.Array(values, core.DataType.float64()).cast(core.DataType.string())
    return _array([_text(value) for value in values])


def _text(value: Any) -> str | None:
    """A value as in JSONL, with strings unquoted."""
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    if isinstance(value, str):
        return value
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
