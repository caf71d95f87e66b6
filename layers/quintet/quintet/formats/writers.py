"""Write columns as Arrow tables and as the bytes of a file: Parquet, CSV or JSONL."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from functools import partial

import numpy as np
import orjson
from arro3 import core
from arro3 import io as arrow_io
from numpy.typing import NDArray

from quintet.columns import Array, flat_columns, numpy_dtype, values_of
from quintet.contract import Contract
from quintet.formats.arrow import is_list, is_text
from quintet.formats.sources import FileFormat

__all__ = [
    "list_column",
    "output_columns",
    "spreadsheet_texts",
    "table",
    "text_column",
    "write_table",
]

#: what a text begins with that a spreadsheet takes for a formula
FORMULA = "=+-@\t\r"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
#: how many texts of a column are sampled for repetition
SAMPLE_ROWS = 1000


def write_table(columns: Mapping[str, Array | core.Array], form: FileFormat = "parquet") -> bytes:
    """Columns, (rows,) each, as a file of that format; the same values give the same bytes."""
    out = io.BytesIO()
    if form == "parquet":
        _write_parquet(columns, out)
    elif form == "csv":
        arrow_io.write_csv(table(columns), out)
    else:
        arrow_io.write_ndjson(table(columns), out, explicit_nulls=True)
    return out.getvalue()


def output_columns(
    contract: Contract, outputs: Mapping[str, Array], fallback: NDArray[np.bool_]
) -> dict[str, Array | core.Array]:
    """All outputs as columns of a file, (rows,) each: see `quintet.columns.flat_columns`.

    Texts, and the lists of outputs with free axes, are Arrow arrays.
    """
    columns: dict[str, Array | core.Array] = {}
    free = {output.name: output for output in contract.outputs if output.free}
    for name, values in flat_columns(contract, outputs, fallback).items():
        if name in free:
            output = free[name]
            columns[name] = list_column(values, output.dtype, len(output.row_shape))
        else:
            columns[name] = text_column(values.tolist()) if values.dtype.kind == "O" else values
    return columns


def list_column(rows: Array, dtype: str, axes: int) -> core.Array:
    """An array a row, of so many axes, as nested lists."""
    flat = values_of(rows)[0].astype(numpy_dtype(dtype), copy=False)
    text = dtype == "string"
    column = text_column(flat.tolist()) if text else core.Array.from_numpy(flat)
    # an empty array that was read from JSON has lost its inner sizes
    shapes = [(*row.shape, *[0] * (axes - row.ndim)) for row in rows.tolist()]
    for axis in reversed(range(axes)):
        sizes = [shape[axis] for shape in shapes]
        lists = [math.prod(shape[:axis]) for shape in shapes]
        ends = np.cumsum(np.repeat(sizes, lists), dtype=np.int32)
        offsets = core.Array.from_numpy(np.concatenate([np.zeros(1, np.int32), ends]))
        kind = core.DataType.list(core.Field("element", column.type))
        column = core.list_array(offsets, column, type=kind)
    return column


def _list_texts(lists: core.Array) -> core.Array:
    """Lists as JSON, for a file that has no lists."""
    values = lists
    while is_list(values.type):
        values = core.list_flatten(values)
    dtype = object if is_text(values.type) else values.to_numpy().dtype
    # an array of float32 is written as 0.1 and not 0.10000000149011612
    rows = (v if dtype is object else np.array(v, dtype) for v in lists.to_pylist())
    dump = partial(orjson.dumps, option=orjson.OPT_SERIALIZE_NUMPY)
    return text_column([dump(row).decode() for row in rows])


def spreadsheet_texts(texts: core.Array) -> core.Array:
    """Texts as a spreadsheet shows them: what it would take for a formula has a quote in front.

    Lists become texts, in JSON.

    Numbers stay as they are: https://owasp.org/www-community/attacks/CSV_Injection
    """
    if is_list(texts.type):
        return _list_texts(texts)
    values = texts.to_pylist()
    if not any(value and value[0] in FORMULA for value in values):
        return texts
    return text_column([_shown(value) for value in values])


def _shown(text: str | None) -> str | None:
    if not text or text[0] not in FORMULA or NUMBER.fullmatch(text):
        return text
    return f"'{text}"


def text_column(texts: list[str | None]) -> core.Array:
    """Texts as an Arrow array: Python objects take several times their length."""
    return core.Array(texts, core.DataType.string())


def _write_parquet(columns: Mapping[str, Array | core.Array], out: io.BytesIO) -> None:
    """Scores rarely repeat: a dictionary of them is expensive and saves nothing.

    Row numbers grow by one and versions are constant: deltas are small.
    """
    kinds = {n: c.dtype.kind for n, c in columns.items() if not isinstance(c, core.Array)}
    arrays = {n: c for n, c in columns.items() if isinstance(c, core.Array)}
    texts = {n: core.DataType.is_string(c.type) and _repeats(c) for n, c in arrays.items()}
    arrow_io.write_parquet(
        table(columns),
        out,
        compression="snappy",
        column_dictionary_enabled={name: texts.get(name, False) for name in columns},
        column_encoding={n: "delta_binary_packed" for n, kind in kinds.items() if kind in "iu"},
    )


def _repeats(texts: core.Array) -> bool:
    """Whether the first texts of a column repeat, as categories do."""
    some = texts.slice(0, min(SAMPLE_ROWS, len(texts))).to_pylist()
    return 2 * len(set(some)) <= len(some)


def table(columns: Mapping[str, Array | core.Array | list[str | None]]) -> core.Table:
    """Named one-dimensional arrays, and lists of text, as a table."""
    return core.Table.from_pydict(
        {
            name: values if isinstance(values, core.Array) else _array(values)
            for name, values in columns.items()
        }
    )


def _array(values: Array | list[str | None]) -> core.Array:
    if isinstance(values, list):
        return core.Array(values, core.DataType.string())
    return core.Array.from_numpy(np.ascontiguousarray(values))
