"""Captures of a stream's records, put beside their predictions.

A record's event has its shard and sequence number, so that a record that is delivered again has the
same: readers take each of its rows once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.captures.delivery import put_rows
from quintet.captures.events import taken
from quintet.captures.lines import beginning
from quintet.captures.plans import CapturePlan, Seal
from quintet.captures.reading import Hour
from quintet.captures.store import CaptureSink, RolloutFeed
from quintet.captures.tables import concat, moments, refused, refused_of, scored
from quintet.errors import Refusal
from quintet.serving import Prediction
from quintet.serving.router import Part, TakenOut
from quintet.streaming.model_rows import ModelRows, ShardBatch

__all__ = ["event_ids", "put_captures", "put_taken_out", "tell_begun"]


def tell_begun(
    feed: RolloutFeed,
    shard_batch: ShardBatch,
    model_rows: ModelRows,
    part: Part,
    *,
    due: NDArray[np.bool_],
    now: float,
) -> None:
    """Tell that a version begins to answer rows that a canary's share has given it, by record.

    `due` (rows,) marks rows that will have captures. `now` is in epoch seconds. Raises Transient.
    """
    capture = part.route.model.contract.capture
    if capture is None or not part.route.mark:
        return
    events, entities = event_ids(shard_batch), model_rows.batch.entities
    rows = part.rows[due[part.rows]]
    records, firsts = np.unique(model_rows.record[rows], return_index=True)
    told = [
        beginning(
            {"event": events[record], "event_time": now},
            part.route,
            None if entities is None else [entities[row]],
        )
        for record, row in zip(records.tolist(), rows[firsts].tolist(), strict=True)
        if taken(events[record], capture.rate)
    ]
    if told:
        feed.begun(told)


def put_captures(
    sink: CaptureSink,
    feed: RolloutFeed,
    shard_batch: ShardBatch,
    model_rows: ModelRows,
    prediction: Prediction,
    *,
    kept: NDArray[np.bool_],
    rejected: NDArray[np.bool_],
    seal: Seal | None = None,
) -> None:
    """Put the captures of the rows that one version answered, by the hour when they arrived.

    `kept` and `rejected` (rows,) mark rows of `model_rows` that are in the sink, or refused. `feed`
    hears of rows that a rollout has routed. Without `seal`, no sensitive feature is captured.

    Raises:
        Transient: not all could be put, or announced to `feed`; repeat, as evidence that lacks the
            end of a request is evidence of a crash.
    """
    capture = prediction.contract.capture
    if capture is None:
        return
    plan: CapturePlan = prediction.contract.compiled[CapturePlan]
    events = event_ids(shard_batch)
    chosen = np.array([taken(event, capture.rate) for event in events], dtype=np.bool_)
    hours = (shard_batch.arrived // 3600).astype(np.int64) * 3600
    record, index = model_rows.record, prediction.rows[prediction.scores.index]
    sizes = np.bincount(record, minlength=len(events))
    reasons = _reasons(prediction)

    def fixed(rows: NDArray[np.int64]) -> dict[str, Any]:
        """The columns of some rows of the batch that their records give."""
        of = record[rows]
        return {
            "event": [events[one] for one in of.tolist()],
            "row": model_rows.row[rows],
            "event_time": moments(shard_batch.arrived[of]),
            "served_at": moments(prediction.now),
            "path": "stream",
            "route": prediction.route,
            "rollout": prediction.rollout or None,
            "rows": sizes[of],
            "record": [shard_batch.sequences[one] for one in of.tolist()],
            **prediction.took,
        }

    own = np.zeros(len(record), dtype=np.bool_)
    own[prediction.rows] = True
    for start in np.unique(hours[record[own & chosen[record]]]).tolist():
        there = (chosen & (hours == start))[record]
        some = np.flatnonzero((kept & there)[index])
        bad = np.flatnonzero(rejected & own & there)
        tables = []
        if len(some):
            tables.append(scored(plan, prediction, some, fixed(index[some]), seal=seal))
        if len(bad):
            why = [reasons.get(row, ()) for row in bad.tolist()]
            if prediction.rollout:
                tables.append(refused_of(plan, prediction, bad, why, fixed, seal=seal))
            else:
                tables.append(refused(plan, why, fixed(bad)))
        if tables:
            of = [events[one] for one in record[np.concatenate([index[some], bad])].tolist()]
            about = plan.about
            hour = Hour(about.model, about.version, about.days, start)
            put_rows(sink, hour, concat(tables), min(of), max(of), feed=feed)


def put_taken_out(
    sink: CaptureSink,
    feed: RolloutFeed,
    shard_batch: ShardBatch,
    model_rows: ModelRows,
    taken_out: Sequence[TakenOut],
    *,
    now: float,
) -> None:
    """Put a failure of each version that was taken out, for each record with rows of it.

    `now` is in epoch seconds. Raises Transient.
    """
    events = event_ids(shard_batch)
    for one in taken_out:
        capture = one.contract.capture
        if capture is None:
            continue
        plan: CapturePlan = one.contract.compiled[CapturePlan]
        records, firsts = np.unique(model_rows.record[one.rows], return_index=True)
        first = dict(zip(records.tolist(), firsts.tolist(), strict=True))
        hours = (shard_batch.arrived // 3600).astype(np.int64) * 3600
        sampled = np.array([taken(events[record], capture.rate) for record in records.tolist()])
        for start in np.unique(hours[records[sampled]]).tolist():
            some = records[sampled & (hours[records] == start)]
            of = [events[record] for record in some.tolist()]
            fixed = {
                "event": of,
                "event_time": moments(shard_batch.arrived[some]),
                "served_at": moments(now),
                "path": "stream",
                "route": one.choice.route,
                "rollout": one.choice.mark or None,
                "rows": np.bincount(model_rows.record, minlength=len(events))[some],
                "record": [shard_batch.sequences[record] for record in some.tolist()],
                "entity": [
                    (one.entities and one.entities[first[record]]) or None
                    for record in some.tolist()
                ],
                "outcome": "failed",
                "failure": type(one.error).__name__,
                "refusals": None,
            }
            about = plan.about
            hour = Hour(about.model, about.version, about.days, start)
            rows = refused(plan, [()] * len(some), fixed)
            put_rows(sink, hour, rows, min(of), max(of), feed=feed)


def event_ids(shard_batch: ShardBatch) -> list[str]:
    """The event of each record: its shard and sequence number, the same for each delivery of it."""
    stem = shard_batch.shard.replace("/", ".")
    return [f"{stem}.{sequence}" for sequence in shard_batch.sequences]


def _reasons(prediction: Prediction) -> dict[int, list[Refusal]]:
    found: dict[int, list[Refusal]] = {}
    for refusal in prediction.scores.refusals:
        if refusal.row is not None:
            found.setdefault(int(prediction.rows[refusal.row]), []).append(refusal)
    return found
