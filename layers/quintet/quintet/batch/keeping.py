"""Columns of the input that scores keep beside them: which, under which names, and their values.

Batch Transform calls this a join with the input. Kept values are text, as CSV and JSONL hold
them, whatever the format: a column has one type over all files and runs. What is missing, an
empty cell, a null and a NaN, is null.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import date, time
from decimal import Decimal
from math import isnan
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from quintet.batch.chunks import Chunk
from quintet.batch.inputs import Source
from quintet.batch.outputs import score_names
from quintet.batch.plans import Plan
from quintet.batch.requests import ALL
from quintet.contract import Contract
from quintet.errors import BadInput, Refusal

__all__ = ["kept_columns", "kept_values"]


def kept_columns(
    asked: Any, contract: Contract, sources: Sequence[Source], *, many: bool
) -> tuple[tuple[str, str], ...]:
    """The columns to keep and their new names, each checked to be in every file.

    All of them are those of any file; the entity key is in the scores already.

    Raises:
        BadInput: a column is not in a file, or has the name of a column of the scores.
    """
    if not asked:
        return ()
    if asked == ALL:
        if sources[0].format == "jsonl":
            raise BadInput.of("keep", "the names of columns, as JSONL has no header", "all")
        every = dict.fromkeys(name for source in sources for name in source.columns)
        columns = [(name, name) for name in every if name != contract.entity]
    else:
        pairs = asked.items() if isinstance(asked, dict) else zip(asked, asked, strict=True)
        columns = list(pairs)
        _check_there(columns, sources)
    taken = set(score_names(contract, many=many))
    for _, name in columns:
        if name in taken:
            raise BadInput.of("keep", "names that no column of the scores has", repr(name)[:60])
        taken.add(name)
    return tuple(columns)


def _check_there(columns: Sequence[tuple[str, str]], sources: Sequence[Source]) -> None:
    refusals = []
    for source in sources:
        if source.format == "jsonl":
            continue
        for column, _ in columns:
            if (times := source.columns.count(column)) != 1:
                field = f"keep: {column[:60]}"
                refusals.append(
                    Refusal(None, field, f"one such column in {source.input.key}", f"{times}")
                )
    if refusals:
        raise BadInput(refusals)


def kept_values(plan: Plan, chunk: Chunk, rows: NDArray[np.int64]) -> dict[str, list[str | None]]:
    """The kept columns of some rows of a file, under their new names; `plan` is the file's own."""
    if not plan.keep:
        return {}
    places = (rows - chunk.first).tolist()
    if chunk.column is not None:
        found = {}
        for column, name in plan.keep:
            values = chunk.column(column) if column in plan.columns else [None] * chunk.size
            found[name] = [_text(values[place]) for place in places]
        return found
    texts = [chunk.original(place)["text"] for place in places]
    if plan.format == "jsonl":
        records = [orjson.loads(text) for text in texts]
        return {
            name: [_text(record.get(column)) for record in records] for column, name in plan.keep
        }
    cells = list(csv.reader(texts, delimiter=plan.delimiter or ","))
    found = {}
    for column, name in plan.keep:
        at = plan.columns.index(column) if column in plan.columns else None
        found[name] = [None if at is None else row[at] or None for row in cells]
    return found


def _text(value: Any) -> str | None:
    """A value as JSONL would hold it, texts without their quotes."""
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    if isinstance(value, str | Decimal):
        return str(value)
    if isinstance(value, date | time):
        return value.isoformat()
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
