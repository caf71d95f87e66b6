"""The fast path for uniform rows of text, which most files have: read straight into columns.

Uniform CSV rows have no quotes; uniform JSONL rows have the same fields in the same order, spaced
and typed as in the first row, and no escapes. So every byte between the values is known and
compared; the values are JSON numbers or plain texts. Any other chunk is left to the readers of
`quintet.formats.text_rows`, which would read a uniform chunk to the same values.

What is not a number is blanked, and simdjson reads the rest as one array: 20 ns a number, where
numpy takes 50 for the digits of a column at once, and orjson or msgspec 40 by way of Python's
floats.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import simdjson
from numpy.typing import NDArray

from quintet.columns import Array, Batch, numpy_dtype
from quintet.columns.batch import EXACT, set_entities, set_ids
from quintet.contract import Contract
from quintet.formats.splitting import Positions

__all__ = [
    "SPACE",
    "Bytes",
    "Cells",
    "blank",
    "is_utf8",
    "named",
    "numbers",
    "texts_of",
    "typed_batch",
]

SPACE = ord(" ")

Bytes = NDArray[np.uint8]


class _Parser(threading.local):
    """A parser for each thread: it keeps its memory, several times the text's, for the next."""

    def __init__(self) -> None:
        self.one: Any = simdjson.Parser()


_parser = _Parser()


@dataclass(frozen=True, slots=True)
class Cells:
    """The values of rows in a text, from `starts` to `ends`, both (rows, columns)."""

    names: Sequence[str]
    text: bytes
    starts: Positions
    ends: Positions


def is_utf8(text: bytes) -> bool:
    try:
        return text.isascii() or str(text, "utf-8") != ""
    except UnicodeDecodeError:
        return False


def texts_of(cells: Cells, columns: list[int]) -> dict[str, list[str]]:
    """The texts of some columns, by name."""
    return {
        cells.names[column]: [
            str(cells.text[start:end], "utf-8")
            for start, end in zip(
                cells.starts[:, column].tolist(), cells.ends[:, column].tolist(), strict=True
            )
        ]
        for column in columns
    }


def named(cells: Cells, columns: list[int]) -> dict[str, int]:
    """Columns by name, by their places among all of these."""
    return {cells.names[column]: place for place, column in enumerate(columns)}


def blank(array: Bytes, starts: Positions, ends: Positions) -> None:
    """Put spaces between all starts and ends."""
    lengths = (ends - starts).reshape(-1)
    offsets = starts.reshape(-1) - np.cumsum(lengths) + lengths
    array[np.repeat(offsets, lengths) + np.arange(lengths.sum())] = SPACE


def numbers(text: bytes, rows: int, columns: int) -> Array | None:
    """A JSON array of numbers, (rows, columns); None if it is not of so many numbers alone.

    Between two commas there is a number or an error, so so many numbers are one for each value.
    """
    if not columns:
        return np.empty((rows, 0))
    if text.find(b"[", 1) >= 0:  # simdjson would flatten it
        return None
    try:
        found = _parser.one.parse(text).as_buffer(of_type="d")
    except (ValueError, TypeError, RuntimeError):  # each for some of its errors
        return None
    values: Array = np.frombuffer(found)
    return values.reshape(rows, columns) if len(values) == rows * columns else None


#: features of one dtype: their names, and those that a file has them under
_Group = tuple[str, tuple[str, ...], list[str]]


def _groups(contract: Contract) -> list[_Group] | None:
    """The features by dtype; None if this module cannot read one of them."""
    if any(feature.shape or feature.dtype == "bool" for feature in contract.requested):
        return None
    groups = contract.scalar_groups.items()
    return [
        (dtype, names, [contract.by_name[name].key for name in names])
        for (stored, dtype), names in groups
        if not stored
    ]


def typed_batch(
    contract: Contract,
    places: dict[str, int],
    values: Array | None,
    texts: dict[str, list[str]],
) -> Batch | None:
    """Numbers by the places of their columns, and texts, as a batch; None if a value is missing."""
    groups: list[_Group] | None = contract.compiled[_groups]
    if values is None or groups is None or (contract.entity and contract.entity not in texts):
        return None
    if not all((texts if t == "string" else places).keys() >= set(keys) for t, _, keys in groups):
        return None
    batch = Batch(len(values), {})
    for dtype, names, keys in groups:
        if dtype == "string":
            columns = (np.array(texts[key], dtype=object) for key in keys)
            batch.columns.update(zip(names, columns, strict=True))
            continue
        chosen = [places[key] for key in keys]
        whole = chosen == list(range(values.shape[1]))
        matrix = _typed(values if whole else values[:, chosen], numpy_dtype(dtype))
        if matrix is None:
            return None
        batch.stacked[names] = matrix
    if contract.entity:
        set_entities(contract, batch, texts[contract.entity])
    if contract.id in texts:
        set_ids(batch, contract.id, texts[contract.id])
    return batch


def _typed(values: Array, dtype: np.dtype[Any]) -> Array | None:
    """Numbers in a dtype, (rows, columns); None if one may not be the value of its text."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(dtype, copy=False)
    info = np.iinfo(dtype)
    fits = (np.abs(values) < EXACT) & (values == np.floor(values))
    fits &= (values >= info.min) & (values <= info.max)
    return values.astype(dtype) if fits.all() else None
