"""An event as log lines, which a subscription filter of the log group picks: `{ $.capture = 1 }`.

A line is a JSON object: what is the same for all rows by name, and the values of rows as columns.
It says itself what its columns are (`about`), so that its reader needs no contract.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from quintet.captures.plans import CapturePlan, Rows
from quintet.columns import Array
from quintet.errors import BadInput, Refusal
from quintet.serving import Prediction

__all__ = ["MAX_BYTES", "failure_line", "prediction_lines", "write_lines"]

#: the bytes of a line; CloudWatch Logs takes more, Lambda cuts lines of 256 KB
MAX_BYTES = 200_000
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


def prediction_lines(
    plan: CapturePlan, event: Mapping[str, Any], prediction: Prediction
) -> list[bytes]:
    """The lines of an answered event: one, or several of consecutive rows if it is large.

    `event` has the fields that are the same for all rows, JSON-ready. A row that is too large by
    itself is captured without its features.
    """
    rows = prediction.batch.rows
    line = _line(plan, event, prediction, 0, rows)
    if len(line) <= MAX_BYTES:
        return [line]
    lines, start = [], 0
    size = max(1, int(rows * MAX_BYTES * 0.9 / len(line)))
    while start < rows:
        count = min(size, rows - start)
        line = _line(plan, event, prediction, start, start + count)
        if len(line) > MAX_BYTES:
            if count > 1:
                size = max(1, count // 2)
                continue
            line = _line(plan, event, prediction, start, start + 1, features=False)
        lines.append(line)
        start += count
    return lines


def failure_line(plan: CapturePlan, event: Mapping[str, Any], error: Exception, rows: int) -> bytes:
    """The line of an event that was refused, or failed: its reasons, and no values."""
    line = {"capture": 1, **event, "about": plan.json, "rows": rows}
    if isinstance(error, BadInput):
        line["refused"] = plan.refusal(error.refusals)
    else:
        line["failure"] = type(error).__name__
    return orjson.dumps(line)


def write_lines(lines: Sequence[bytes]) -> None:
    """Write lines to the function's log, in one call."""
    sys.stdout.write(b"".join([line + b"\n" for line in lines]).decode())
    sys.stdout.flush()


def _line(
    plan: CapturePlan,
    event: Mapping[str, Any],
    prediction: Prediction,
    start: int,
    end: int,
    *,
    features: bool = True,
) -> bytes:
    """The rows from `start` to `end` of the batch."""
    batch, scores = prediction.batch, prediction.scores
    line: dict[str, Any] = {"capture": 1, **event, "about": plan.json, "rows": batch.rows}
    if prediction.now != event["event_time"]:
        line["served_at"] = prediction.now
    index, fallback, entities, ids = scores.index, scores.fallback, batch.entities, batch.ids
    ages, outputs = prediction.ages, scores.outputs
    rows: Rows | None = None
    if end - start < batch.rows or len(index) < batch.rows:  # not all rows: those that were scored
        some = slice(*np.searchsorted(index, (start, end)).tolist())
        line["index"] = rows = index = index[some]
        line["refusals"] = _refusals(plan, scores.refusals, start, end)
        fallback, ages = fallback[some], ages[index]
        outputs = {name: array[some] for name, array in outputs.items()}
        if entities is not None:
            entities = [entities[row] for row in index.tolist()]
        if ids is not None:
            ids = [ids[row] for row in index.tolist()]
    if entities is not None:
        line["entities"] = entities
    if ids is not None:
        line["ids"] = ids
    if features:
        line["features"] = [_json(array) for array in plan.features(batch, rows)]
    if plan.about.ages:
        # 24 bits are enough for an age, and half the digits
        line["ages"] = ages.astype(np.float32)
    line["outputs"] = {name: _json(array) for name, array in outputs.items()}
    if np.count_nonzero(fallback):
        by_rule = index[fallback]
        line["fallback"] = dict(
            zip(map(str, by_rule.tolist()), plan.fallback_reasons(prediction, by_rule), strict=True)
        )
    return orjson.dumps(line, option=_OPTIONS)


def _refusals(
    plan: CapturePlan, refusals: Sequence[Refusal], start: int, end: int
) -> dict[str, str]:
    """The reasons of the refused rows from `start` to `end`, by row."""
    reasons: dict[int, list[Refusal]] = {}
    for refusal in refusals:
        if refusal.row is not None and start <= refusal.row < end:
            reasons.setdefault(refusal.row, []).append(refusal)
    return {str(row): plan.refusal(why) for row, why in reasons.items()}


def _json(array: Array) -> Any:
    """What orjson writes as nested lists: objects and odd layouts it does not take as they are."""
    if array.dtype.kind == "O":
        # texts, or an array a row
        return [_json(v) if isinstance(v, np.ndarray) else v for v in array.tolist()]
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)
