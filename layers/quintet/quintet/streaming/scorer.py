"""Score what arrived: once, into the sink; then the latest scores, alerts and windows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quintet.errors import ModelFailure, Transient
from quintet.features import FeatureSource
from quintet.serving import ModelRoute, Prediction
from quintet.serving.model_cache import Model
from quintet.serving.predict import failed_prediction, in_caller_order, predict
from quintet.streaming.alerts import AlertCounts, AlertNotifier
from quintet.streaming.checkpoints import Checkpoint, Checkpoints
from quintet.streaming.commit_log import CommitLog, ObjectChain, Sink
from quintet.streaming.latest import LatestScores, latest
from quintet.streaming.model_rows import Decoded, ModelRows, ShardBatch, TumblingWindow
from quintet.streaming.objects import predictions, rows_of
from quintet.streaming.quarantine import ShardQuarantine
from quintet.streaming.sequences import padded
from quintet.streaming.thresholds import past_threshold
from quintet.streaming.windows import Advanced, WindowStore, advance

__all__ = ["Scorer", "ShardOutcome", "Step"]

Step = Literal["decode_ms", "features_ms", "score_ms", "sink_ms", "windows_ms"]


@dataclass(slots=True)
class Scored:
    """The rows of one model with their scores; `kept` are the positions of those in the sink."""

    flow: ModelRows
    prediction: Prediction
    kept: NDArray[np.int64]


@dataclass(slots=True)
class ShardOutcome:
    """What an invocation came to: counts and times, never values.

    `failed` is the first record that has to come again, `error` why. `state` is the window's,
    None where the source has no windows. `rows`, `refused` and `fallback` are by (model, version);
    `skipped` records were done before.
    """

    shard: str
    records: int = 0
    undecodable: int = 0
    skipped: int = 0
    rows: dict[tuple[str, int], int] = field(default_factory=dict)
    refused: dict[tuple[str, int], int] = field(default_factory=dict)
    fallback: dict[tuple[str, int], int] = field(default_factory=dict)
    alerts: AlertCounts = field(default_factory=AlertCounts)
    windows: Advanced | None = None
    state: Any = None
    failed: str | None = None
    error: Transient | None = None
    oldest_seconds: float = 0.0
    times: dict[Step, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scorer:
    """What an invocation of the stream's function needs.

    `decode` reads the arrivals (see `streaming.decoding`); `clock` is seconds since the epoch.
    """

    decode: Callable[[ShardBatch], Decoded]
    features: FeatureSource
    sink: Sink
    checkpoints: Checkpoints
    latest: LatestScores
    alerts: AlertNotifier
    windows: WindowStore
    clock: Callable[[], float]
    timer: Callable[[], float] = time.perf_counter

    def take(self, arrivals: ShardBatch, tumbling: TumblingWindow | None) -> ShardOutcome:
        """Score the arrivals and gather them into windows. All of it may be repeated.

        What was done for good stays done when it is repeated. Where something is transient, all
        records are to come again, and the state is as it came.

        Raises:
            Transient: there are no records that could come again.
        """
        outcome = ShardOutcome(arrivals.shard, len(arrivals.sequences))
        if tumbling is not None:
            outcome.state = tumbling.state if isinstance(tumbling.state, dict) else {}
        try:
            self._take(arrivals, tumbling, outcome)
        except Transient as error:
            if not arrivals.sequences:
                raise
            outcome.failed, outcome.error = arrivals.sequences[0], error
        return outcome

    def _take(
        self, arrivals: ShardBatch, tumbling: TumblingWindow | None, outcome: ShardOutcome
    ) -> None:
        flows: list[ModelRows] = []
        if arrivals.sequences:
            outcome.oldest_seconds = self.clock() - float(arrivals.arrived.min())
            begun = self.timer()
            decoded = self.decode(arrivals)
            begun = self._lap(outcome, "decode_ms", begun)
            checkpoint = self.checkpoints.read(arrivals.shard)
            if padded(arrivals.sequences[-1]) > checkpoint.done:
                self._settle(arrivals, decoded, checkpoint, outcome)
            else:
                outcome.skipped = outcome.records
            flows = [flow for _, flow in decoded.by_model]
        if tumbling is not None:
            begun = self.timer()
            outcome.windows = advance(tumbling, arrivals, flows, self.windows)
            outcome.state = outcome.windows.state
            self._lap(outcome, "windows_ms", begun)

    def _settle(
        self, arrivals: ShardBatch, decoded: Decoded, checkpoint: Checkpoint, outcome: ShardOutcome
    ) -> None:
        """Put all records behind the checkpoint into the sink, then tell of them, then move it."""
        new = np.array([padded(s) > checkpoint.done for s in arrivals.sequences], dtype=np.bool_)
        outcome.skipped = int((~new).sum())
        scored = [self._score(model, flow, new, outcome) for model, flow in decoded.by_model]
        begun = self.timer()
        quarantine = ShardQuarantine(arrivals)
        quarantine.add_undecodable(item for item in decoded.undecodable if new[item.record])
        outcome.undecodable = len(quarantine.records)
        commit_log = CommitLog(self.sink, checkpoint, arrivals)
        for one in scored:
            rows = _predict(one, new, commit_log, outcome)
            quarantine.add_rows(one.flow, rows, one.prediction.scores.refusals)
        commit_log.settle(ObjectChain("quarantine", "jsonl"), quarantine.records, quarantine.encode)
        for one in scored:
            self._tell(one, arrivals, outcome)
        self.checkpoints.advance(arrivals.shard, commit_log.checkpoint_after(), checkpoint)
        self._lap(outcome, "sink_ms", begun)

    def _score(
        self, model: Model, flow: ModelRows, new: NDArray[np.bool_], outcome: ShardOutcome
    ) -> Scored:
        """The rows of one model that are new, scored in one run."""
        batch, route, begun = flow.batch, ModelRoute(model, "live"), self.timer()
        if not new.all():
            batch.good &= new[flow.record]

        def lap(step: Step) -> None:
            nonlocal begun
            begun = self._lap(outcome, step, begun)

        try:
            found = predict(route, batch, self.features, self.clock(), isolate="rows", lap=lap)
            prediction = in_caller_order(found)
        except ModelFailure as error:
            lap("score_ms")
            prediction = failed_prediction(model.contract, route.name, batch, error)
        return Scored(flow, prediction, np.arange(len(prediction.scores.index)))

    def _tell(self, one: Scored, arrivals: ShardBatch, outcome: ShardOutcome) -> None:
        """The latest scores and the alerts of what is in the sink."""
        contract, scores = one.prediction.contract, one.prediction.scores
        if len(one.kept) < len(scores.index):
            scores = replace(
                scores,
                index=scores.index[one.kept],
                outputs={name: values[one.kept] for name, values in scores.outputs.items()},
                fallback=scores.fallback[one.kept],
            )
        version = contract.version
        self.latest.put(latest(contract, version, one.flow, scores, arrivals))
        past = past_threshold(contract, version, one.flow, scores, arrivals)
        outcome.alerts = outcome.alerts + self.alerts.raise_all(past)

    def _lap(self, outcome: ShardOutcome, step: Step, begun: float) -> float:
        """The time since `begun` went into `step`; now."""
        now = self.timer()
        outcome.times[step] = outcome.times.get(step, 0.0) + (now - begun) * 1000
        return now


def _predict(
    one: Scored, new: NDArray[np.bool_], commit_log: CommitLog, outcome: ShardOutcome
) -> NDArray[np.int64]:
    """The predictions of one model into the sink; the rows that are refused."""
    flow, scores, contract = one.flow, one.prediction.scores, one.prediction.contract
    arrivals, records = commit_log.shard_batch, flow.record[scores.index]
    refused = new[flow.record]
    refused[scores.index] = False

    def encode(left: Sequence[int]) -> bytes:
        chosen = np.flatnonzero(records >= left[0])
        return predictions(flow, scores, chosen, arrivals, contract.version)

    def taken(decided: Sequence[int], body: bytes) -> None:
        there = rows_of(body)
        for row in np.flatnonzero(np.isin(flow.record, decided)).tolist():
            place = arrivals.sequences[flow.record[row]], int(flow.row[row])
            refused[row] = place not in there

    chain = ObjectChain(f"predictions/{contract.name}", "parquet")
    commit_log.settle(chain, np.unique(flow.record).tolist(), encode, taken)
    one.kept = np.flatnonzero(~refused[scores.index])
    rows = np.flatnonzero(refused)
    key = (contract.name, contract.version)
    outcome.rows[key] = int(new[flow.record].sum())
    outcome.refused[key] = len(rows)
    outcome.fallback[key] = int(scores.fallback[one.kept].sum())
    return rows
