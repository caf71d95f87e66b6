"""Write columns as Arrow tables and as the bytes of a file: Parquet, CSV or JSONL."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping

import numpy as np
from arro3 import core
from arro3 import io as arrow_io

from quintet.columns import Array
from quintet.formats.sources import FileFormat

__all__ = ["spreadsheet_texts", "table", "text_column", "write_table"]

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


def spreadsheet_texts(texts: core.Array) -> core.Array:
    """Texts as a spreadsheet shows them: what it would take for a formula has a quote in front.

    Numbers stay as they are: https://owasp.org/www-community/attacks/CSV_Injection
    """
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
    texts = {n: _repeats(c) for n, c in columns.items() if isinstance(c, core.Array)}
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
