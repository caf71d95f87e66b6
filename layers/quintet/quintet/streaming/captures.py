"""Captures of a stream's records, put beside their predictions.

A record's event has its shard and sequence number, so that a record that is delivered again has the
same: readers take each of its rows once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.captures.delivery import put_rows, routed
from quintet.captures.events import taken
from quintet.captures.plans import CapturePlan
from quintet.captures.reading import Hour
from quintet.captures.store import CaptureSink, RolloutFeed
from quintet.captures.tables import concat, moments, refused, scored
from quintet.errors import Refusal, Transient
from quintet.serving import Prediction
from quintet.streaming.model_rows import ModelRows, ShardBatch

__all__ = ["put_captures"]


def put_captures(
    sink: CaptureSink,
    feed: RolloutFeed,
    shard_batch: ShardBatch,
    model_rows: ModelRows,
    prediction: Prediction,
    *,
    kept: NDArray[np.int64],
    rejected: NDArray[np.int64],
    took: Mapping[str, float],
) -> None:
    """Put the captures of one model's rows, by the hour of their records' arrival.

    `kept` are positions in the scores, `rejected` those of refused rows in the batch; `took` has
    the times of the steps, in milliseconds. `feed` hears of rows that a rollout has routed.

    Raises:
        Transient: not all could be put; repeat.
    """
    capture = prediction.contract.capture
    if capture is None:
        return
    plan: CapturePlan = prediction.contract.compiled[CapturePlan]
    stem = shard_batch.shard.replace("/", ".")
    events = [f"{stem}.{sequence}" for sequence in shard_batch.sequences]
    chosen = np.array([taken(event, capture.rate) for event in events], dtype=np.bool_)
    hours = (shard_batch.arrived // 3600).astype(np.int64) * 3600
    record, index = model_rows.record, prediction.scores.index
    sizes = np.bincount(record, minlength=len(events))
    reasons = _reasons(prediction.scores.refusals)

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
            "rows": sizes[of],
            "record": [shard_batch.sequences[one] for one in of.tolist()],
            **{step: took.get(step) for step in ("features_ms", "score_ms", "total_ms")},
        }

    for start in np.unique(hours[record][chosen[record]]).tolist():
        there = chosen & (hours == start)
        some = kept[there[record[index[kept]]]]
        bad = rejected[there[record[rejected]]]
        tables = []
        if len(some):
            tables.append(scored(plan, prediction, some, fixed(index[some])))
        if len(bad):
            tables.append(refused(plan, [reasons.get(r, ()) for r in bad.tolist()], fixed(bad)))
        if tables:
            of = [events[one] for one in record[np.concatenate([index[some], bad])].tolist()]
            about = plan.about
            hour = Hour(about.model, about.version, about.days, start)
            rows = concat(tables)
            key = put_rows(sink, hour, rows, min(of), max(of))
            if routed(rows):
                with suppress(Transient):  # a rollout must not hold up the stream
                    feed.announce(key)


def _reasons(refusals: Sequence[Refusal]) -> dict[int, list[Refusal]]:
    found: dict[int, list[Refusal]] = {}
    for refusal in refusals:
        if refusal.row is not None:
            found.setdefault(refusal.row, []).append(refusal)
    return found
