"""An event as log lines, which a subscription filter of the log group picks: `{ $.capture = 1 }`.

A line is a JSON object: what is the same for all rows by name, and the values of rows as columns.
It says itself what its columns are (`about`), so that its reader needs no contract.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from quintet.captures.plans import CapturePlan, Rows, Seal
from quintet.columns import Array, Batch, shared
from quintet.errors import BadInput, ModelFailure, Refusal
from quintet.serving import ModelRoute, Prediction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quintet.serving.router import TakenOut

__all__ = [
    "MAX_BYTES",
    "beginning",
    "begun_line",
    "failure_line",
    "impression_line",
    "prediction_lines",
    "taken_out_line",
    "write_lines",
]

#: the bytes of a line; CloudWatch Logs takes more, Lambda cuts lines of 256 KB
MAX_BYTES = 200_000
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


def prediction_lines(
    plan: CapturePlan,
    event: Mapping[str, Any],
    prediction: Prediction,
    *,
    seal: Seal | None = None,
) -> list[bytes]:
    """The lines of an answered event: one, or several of consecutive rows if it is large.

    `event` has the fields that are the same for all rows, JSON-ready; its `rows` are the event's if
    the prediction is of some of them alone. A row that is too large by itself is captured without
    its features. Sensitive features are sealed if a rollout has routed the rows, by `seal` if that
    is given.
    """
    rows = prediction.batch.rows
    if not prediction.rollout:  # nobody would open them
        seal = None
    line = _line(plan, event, prediction, 0, rows, seal=seal)
    if len(line) <= MAX_BYTES:
        return [line]
    lines, start = [], 0
    size = max(1, int(rows * MAX_BYTES * 0.9 / len(line)))
    while start < rows:
        count = min(size, rows - start)
        line = _line(plan, event, prediction, start, start + count, seal=seal)
        if len(line) > MAX_BYTES:
            if count > 1:
                size = max(1, count // 2)
                continue
            line = _line(plan, event, prediction, start, start + 1, features=False)
        lines.append(line)
        start += count
    return lines


def failure_line(
    plan: CapturePlan,
    event: Mapping[str, Any],
    error: Exception,
    rows: int,
    asked: tuple[Batch, NDArray[np.int64] | None] | None = None,
    *,
    seal: Seal | None = None,
) -> bytes:
    """The line of an event that was refused, or failed: its reasons, and no values.

    While a rollout runs, `asked` are the rows that the version was asked about, and their positions
    in the event if they are known: the line has their first entity, and the rows that the version
    failed on with their features, which the other version is asked about.
    """
    line = {"capture": 1, **event, "about": plan.json, "rows": rows}
    if asked is not None and asked[0].entities:
        line["entity"] = asked[0].entities[0] or None
    if isinstance(error, BadInput):
        line["refused"] = plan.refusal(error.refusals)
        return orjson.dumps(line)
    line["failure"] = type(error).__name__
    if asked is not None and isinstance(error, ModelFailure):
        batch, places = asked
        # rows whose outputs are not finite fail the others of their request
        own = {one.row for one in batch.refusals if one.row is not None and plan.is_models(one)}
        good = np.array(sorted(own)) if own else np.flatnonzero(batch.good)
        if places is not None and plan.names <= batch.columns.keys() and len(good):
            told = _features(plan, event, batch, good, places[good], seal=seal)
            told["index"] = places[good]
            if batch.entities is not None:
                told["entities"] = [batch.entities[row] for row in good.tolist()]
            whole = orjson.dumps(line | told, option=_OPTIONS)
            if len(whole) <= MAX_BYTES:
                return whole
    return orjson.dumps(line)


def impression_line(
    plan: CapturePlan, event: Mapping[str, Any], impression: Mapping[str, Any], rows: int
) -> bytes:
    """The line of what a recommendation showed to a user (docs/captures.md lists its fields).

    `rows` are the candidates that were scored; their lines are those of a prediction.
    """
    line = {"capture": 1, **event, "about": plan.json, "rows": rows, "impression": impression}
    return orjson.dumps(line, option=_OPTIONS)


def begun_line(
    event: Mapping[str, Any], route: ModelRoute, entities: Sequence[str] | None
) -> bytes:
    """The line that a version writes before it runs for a canary's event; see `beginning`."""
    return orjson.dumps({"capture": 1, "begun": 1, **beginning(event, route, entities)})


def beginning(
    event: Mapping[str, Any], route: ModelRoute, entities: Sequence[str] | None
) -> dict[str, Any]:
    """What is told before a version runs for a canary's event: its end is a capture.

    A process that dies writes no capture, so one that began without an end is a crash of the
    version. `event` has the event's id and time. `entity` is the hash of the first row's entity, of
    the event without one, as 16 hexadecimal digits.
    """
    from quintet.serving.routing import entity_hash  # most models have no rollout

    contract = route.model.contract
    entity: str = entities[0] if entities and entities[0] else event["event"]
    told = {**event, "model": contract.name, "version": contract.version}
    told |= {"route": route.name, "rollout": route.mark}
    return told | {"entity": f"{entity_hash(contract.name, entity):016x}"}


def taken_out_line(event: Mapping[str, Any], one: TakenOut) -> bytes:
    """The line of a version that should have answered rows of an event and was taken out."""
    plan: CapturePlan = one.contract.compiled[CapturePlan]
    line = {**event, "route": one.choice.route}
    if one.choice.mark:
        line["rollout"] = one.choice.mark
    if one.entities:
        line["entity"] = one.entities[0] or None
    return failure_line(plan, line, one.error, len(one.rows))


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
    seal: Seal | None = None,
) -> bytes:
    """The rows from `start` to `end` of the batch."""
    batch, scores, places = prediction.batch, prediction.scores, prediction.rows
    line: dict[str, Any] = {"capture": 1, **event, "about": plan.json}
    whole = line.setdefault("rows", batch.rows)  # of the event: other versions may have the others
    if prediction.rollout:
        line["rollout"] = prediction.rollout
    if prediction.now != event["event_time"]:
        line["served_at"] = prediction.now
    index, fallback, entities, ids = scores.index, scores.fallback, batch.entities, batch.ids
    ages, outputs = prediction.ages, scores.outputs
    rows: Rows | None = None
    if end - start < whole or len(index) < batch.rows:  # not all rows: those that were scored
        some = slice(*np.searchsorted(index, (start, end)).tolist())
        rows = index = index[some]
        line["index"] = places[index]
        line["refusals"] = _refusals(plan, prediction, start, end)
        if prediction.rollout and line["refusals"]:
            line |= _without_answer(plan, event, prediction, start, end, seal=seal)
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
        line |= _features(plan, event, batch, rows, places[index], seal=seal)
    if plan.about.ages:
        # 24 bits are enough for an age, and half the digits
        line["ages"] = ages.astype(np.float32)
        if batch.known is not None:
            line["known"] = batch.known if rows is None else batch.known[rows]
    line["outputs"] = {name: _json(array) for name, array in outputs.items()}
    if np.count_nonzero(fallback):
        by_rule = index[fallback]
        line["fallback"] = dict(
            zip(
                map(str, places[by_rule].tolist()),
                plan.fallback_reasons(prediction, by_rule),
                strict=True,
            )
        )
    return orjson.dumps(line, option=_OPTIONS)


def _refusals(plan: CapturePlan, prediction: Prediction, start: int, end: int) -> dict[str, str]:
    """The reasons of the refused rows from `start` to `end`, by row of the event."""
    reasons: dict[int, list[Refusal]] = {}
    for refusal in prediction.scores.refusals:
        if refusal.row is not None and start <= refusal.row < end:
            reasons.setdefault(int(prediction.rows[refusal.row]), []).append(refusal)
    return {str(row): plan.refusal(why) for row, why in reasons.items()}


def _without_answer(
    plan: CapturePlan,
    event: Mapping[str, Any],
    prediction: Prediction,
    start: int,
    end: int,
    *,
    seal: Seal | None,
) -> dict[str, Any]:
    """What a rollout needs of refused rows: the entities of all, in the order of the refusals, and
    the features of those that the model failed on."""
    batch, places = prediction.batch, prediction.rows
    refusals = [
        refusal
        for refusal in prediction.scores.refusals
        if refusal.row is not None and start <= refusal.row < end
    ]
    rows = list(dict.fromkeys(refusal.row for refusal in refusals if refusal.row is not None))
    found: dict[str, Any] = {}
    if batch.entities is not None:
        found["refused_entities"] = [batch.entities[row] for row in rows]
    by_model = {refusal.row for refusal in refusals if plan.is_models(refusal)}
    if by_model and plan.names <= batch.columns.keys():
        index = np.array([row for row in rows if row in by_model])
        features = _features(plan, event, batch, index, places[index], seal=seal)
        found |= {f"failed_{name}": values for name, values in features.items()}
        found["failed_index"] = places[index]
    return found


def _features(
    plan: CapturePlan,
    event: Mapping[str, Any],
    batch: Batch,
    rows: Rows | None,
    numbers: NDArray[np.int64],
    *,
    seal: Seal | None,
) -> dict[str, Any]:
    """The features of some rows of a batch, which have these numbers in the event."""
    found: dict[str, Any] = {"features": [_json(array) for array in plan.features(batch, rows)]}
    if plan.sealed and seal is not None:
        sealed = seal(plan, batch, rows, event["event"], numbers)
        if sealed is not None:
            found |= {"sealed": sealed.rows, "sealed_key": sealed.key}
    return found


def _json(array: Array) -> Any:
    """What orjson writes as nested lists: objects and odd layouts it does not take as they are."""
    if array.dtype.kind == "O":
        if len(array) and isinstance(array[0], np.ndarray) and shared(array) is not None:
            return [_json(array[0])] * len(array)
        # texts, or an array a row
        return [_json(v) if isinstance(v, np.ndarray) else v for v in array.tolist()]
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)
