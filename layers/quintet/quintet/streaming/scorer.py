"""Score the records of an invocation into the sink; then latest scores, alerts and windows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quintet.captures.delivery import NO_ROLLOUTS
from quintet.captures.plans import Seal
from quintet.captures.store import CaptureSink, RolloutFeed
from quintet.columns import Batch, copied
from quintet.errors import Transient
from quintet.features import FeatureSource
from quintet.serving import Prediction, Steps
from quintet.serving.model_cache import ModelCache, PublishedModel
from quintet.serving.router import Part, TakenOut
from quintet.streaming.alerts import AlertCounts, AlertNotifier
from quintet.streaming.captures import put_captures, put_taken_out, tell_begun
from quintet.streaming.checkpoints import Checkpoint, Checkpoints
from quintet.streaming.commit_log import CommitLog, ObjectChain, Sink
from quintet.streaming.latest import LatestScores, latest
from quintet.streaming.model_rows import Decoded, ModelRows, ShardBatch, TumblingWindow
from quintet.streaming.objects import predictions, versions_of
from quintet.streaming.quarantine import ShardQuarantine
from quintet.streaming.record_ids import RepeatedRows, ScoredIds
from quintet.streaming.sequences import padded
from quintet.streaming.thresholds import past_threshold
from quintet.streaming.versions import Versions
from quintet.streaming.windows import Advanced, WindowStore, advance

__all__ = ["Scorer", "ShardOutcome", "Step"]

#: the steps that `predict` times
_TIMED: tuple[Literal["features_ms"], Literal["score_ms"]] = ("features_ms", "score_ms")
Step = Literal["decode_ms", "features_ms", "score_ms", "sink_ms", "windows_ms"]


@dataclass(slots=True)
class Scored:
    """The rows of one model with their scores.

    `given` is their batch before it was scored. `kept` are the positions of the scores in the sink.
    `repeated` (rows,) are rows with the id of another one that was scored. `stored` (rows,) are the
    versions of the rows that another invocation has put into the sink, 0 for the others. `took` are
    the times of the steps in milliseconds.
    """

    model_rows: ModelRows
    given: Batch
    prediction: Prediction
    kept: NDArray[np.int64]
    repeated: NDArray[np.bool_]
    stored: NDArray[np.int64]
    took: Mapping[str, float]
    taken_out: Sequence[TakenOut] = ()

    @property
    def versions(self) -> NDArray[np.int64]:
        """The version that answered each row, (rows,)."""
        return np.where(self.stored > 0, self.stored, self.prediction.versions)


@dataclass(slots=True)
class ShardOutcome:
    """The result of an invocation: counts and times, never values.

    `failed` is the first record to retry, `error` why. `state` is the window's, None if the source
    has no windows. `rows`, `refused` and `fallback` are by (model, version); `skipped` records were
    processed before; `repeated` rows have the id of a row that was scored, and are left out.
    """

    shard: str
    records: int = 0
    undecodable: int = 0
    skipped: int = 0
    repeated: int = 0
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
    """The dependencies of an invocation of the stream's function.

    `decode` reads a shard batch (see `streaming.decoding`) by the live versions of `models`;
    `clock` is seconds since the epoch.
    """

    decode: Callable[[ShardBatch], Decoded]
    models: ModelCache
    features: FeatureSource
    sink: Sink
    checkpoints: Checkpoints
    ids: ScoredIds
    latest: LatestScores
    alerts: AlertNotifier
    windows: WindowStore
    captures: CaptureSink
    clock: Callable[[], float]
    timer: Callable[[], float] = time.perf_counter
    feed: RolloutFeed = NO_ROLLOUTS
    seal: Seal | None = None

    def take(self, shard_batch: ShardBatch, tumbling: TumblingWindow | None) -> ShardOutcome:
        """Score the records and aggregate them in windows. Idempotent.

        A repeat keeps the results of the first run. After a transient error, all records are
        retried, and the state is returned as received.

        Raises:
            Transient: there are no records to retry.
        """
        outcome = ShardOutcome(shard_batch.shard, len(shard_batch.sequences))
        if tumbling is not None:
            outcome.state = tumbling.state if isinstance(tumbling.state, dict) else {}
        try:
            self._take(shard_batch, tumbling, outcome)
        except Transient as error:
            if not shard_batch.sequences:
                raise
            outcome.failed, outcome.error = shard_batch.sequences[0], error
        return outcome

    def _take(
        self, shard_batch: ShardBatch, tumbling: TumblingWindow | None, outcome: ShardOutcome
    ) -> None:
        all_rows: list[ModelRows] = []
        if shard_batch.sequences:
            outcome.oldest_seconds = self.clock() - float(shard_batch.arrived.min())
            begun = self.timer()
            decoded = self.decode(shard_batch)
            begun = self._lap(outcome, "decode_ms", begun)
            checkpoint = self.checkpoints.read(shard_batch.shard)
            repeats = RepeatedRows.read(self.ids, shard_batch, decoded, checkpoint.done)
            if padded(shard_batch.sequences[-1]) > checkpoint.done:
                self._settle(shard_batch, decoded, checkpoint, repeats, outcome)
            else:
                outcome.skipped = outcome.records
            all_rows = [model_rows for _, model_rows in decoded.by_model]
            for model_rows in all_rows:
                model_rows.counted &= ~repeats.of(model_rows)
        if tumbling is not None:
            begun = self.timer()
            outcome.windows = advance(tumbling, shard_batch, all_rows, self.windows)
            outcome.state = outcome.windows.state
            self._lap(outcome, "windows_ms", begun)

    def _settle(
        self,
        shard_batch: ShardBatch,
        decoded: Decoded,
        checkpoint: Checkpoint,
        repeats: RepeatedRows,
        outcome: ShardOutcome,
    ) -> None:
        """Put all records after the checkpoint into the sink, publish them, then advance it."""
        new = np.array([padded(s) > checkpoint.done for s in shard_batch.sequences], dtype=np.bool_)
        outcome.skipped = int((~new).sum())
        scored = [
            self._score(model, model_rows, shard_batch, new, repeats)
            for model, model_rows in decoded.by_model
        ]
        for step in _TIMED:
            outcome.times[step] = sum(one.took[step] for one in scored)
        begun = self.timer()
        quarantine = ShardQuarantine(shard_batch)
        quarantine.add_undecodable(item for item in decoded.undecodable if new[item.record])
        outcome.undecodable = len(quarantine.records)
        commit_log = CommitLog(self.sink, checkpoint, shard_batch, outcome.oldest_seconds)
        for one in scored:
            refused = self._store(one, new, commit_log, outcome)
            self._capture(one, shard_batch, refused)
            rows = np.flatnonzero(refused)
            quarantine.add_rows(one.model_rows, rows, one.prediction.scores.refusals)
        commit_log.settle(ObjectChain("quarantine", "jsonl"), quarantine.records, quarantine.encode)
        for one in scored:
            self._publish(one, shard_batch, outcome)
            repeats.add(one.model_rows, one.prediction.scores.index[one.kept])
        repeats.store(self.ids)
        self.checkpoints.advance(shard_batch.shard, commit_log.checkpoint_after(), checkpoint)
        self._lap(outcome, "sink_ms", begun)

    def _score(
        self,
        model: PublishedModel,
        model_rows: ModelRows,
        shard_batch: ShardBatch,
        new: NDArray[np.bool_],
        repeats: RepeatedRows,
    ) -> Scored:
        """Score the new rows of one model in one run of each version."""
        batch, steps = model_rows.batch, Steps(self.timer, self.timer())
        if not new.all():
            batch.good &= new[model_rows.record]
        repeated = repeats.of(model_rows) & batch.good
        batch.good &= ~repeated
        given, to = copied(batch), (self.feed, shard_batch, model_rows)

        def begin(part: Part) -> None:
            due, index = given.good.copy(), np.flatnonzero(given.good)
            due[index[repeats.within(model_rows, index)]] = False
            tell_begun(*to, part, due=due, now=self.clock())

        prediction, taken_out = self._versions.score(model, model_rows, shard_batch, steps, begin)
        index = prediction.scores.index
        repeated[index[repeats.within(model_rows, index)]] = True
        kept, stored = np.arange(len(index)), np.zeros(batch.rows, dtype=np.int64)
        took = steps.milliseconds()
        return Scored(model_rows, given, prediction, kept, repeated, stored, took, taken_out)

    def _capture(self, one: Scored, shard_batch: ShardBatch, refused: NDArray[np.bool_]) -> None:
        """Put the captures of the rows in the sink, and of those that are `refused`."""
        kept = np.zeros(len(refused), dtype=np.bool_)
        kept[one.prediction.scores.index[one.kept]] = True
        to = (self.captures, self.feed, shard_batch, one.model_rows)
        for part in one.prediction.parts:
            put_captures(*to, part, kept=kept, rejected=refused, seal=self.seal)
        put_taken_out(*to, one.taken_out, now=self.clock())

    def _publish(self, one: Scored, shard_batch: ShardBatch, outcome: ShardOutcome) -> None:
        """Publish the latest scores and the alerts of the rows in the sink."""
        contract, scores = one.model_rows.contract, one.prediction.scores
        if len(one.kept) < len(scores.index):
            scores = replace(
                scores,
                index=scores.index[one.kept],
                outputs={name: values[one.kept] for name, values in scores.outputs.items()},
                fallback=scores.fallback[one.kept],
            )
        versions = one.versions
        self.latest.put(latest(contract, versions, one.model_rows, scores, shard_batch))
        past = past_threshold(contract, versions, one.model_rows, scores, shard_batch)
        outcome.alerts = outcome.alerts + self.alerts.raise_all(past)

    def _store(
        self,
        one: Scored,
        new: NDArray[np.bool_],
        commit_log: CommitLog,
        outcome: ShardOutcome,
    ) -> NDArray[np.bool_]:
        """Put the predictions of one model into the sink; which rows are refused, (rows,)."""
        model_rows, scores, contract = (
            one.model_rows,
            one.prediction.scores,
            one.model_rows.contract,
        )
        shard_batch, records = commit_log.shard_batch, model_rows.record[scores.index]
        repeated, stored = one.repeated, one.stored
        refused = new[model_rows.record] & ~repeated
        refused[scores.index] = False

        def encode(left: Sequence[int]) -> bytes:
            chosen = np.flatnonzero((records >= left[0]) & ~repeated[scores.index])
            return predictions(model_rows, scores, chosen, shard_batch, one.prediction.versions)

        def taken(decided: Sequence[int], body: bytes) -> None:
            there = versions_of(body)
            for row in np.flatnonzero(np.isin(model_rows.record, decided)).tolist():
                place = shard_batch.sequences[model_rows.record[row]], int(model_rows.row[row])
                stored[row] = there.get(place, 0)
                repeated[row] &= place not in there
                refused[row] = place not in there and not repeated[row]

        chain = ObjectChain(f"predictions/{contract.name}", "parquet")
        # with repeats: an invocation that does not know them must use the same keys
        commit_log.settle(chain, np.unique(model_rows.record).tolist(), encode, taken)
        one.prediction = self._versions.as_stored(contract, one.prediction, one.given, stored)
        scores, versions = one.prediction.scores, one.versions
        one.kept = np.flatnonzero(~(refused | repeated)[scores.index])
        counted = new[model_rows.record] & ~repeated
        by_rule = np.zeros(len(refused), dtype=np.bool_)
        by_rule[scores.index[one.kept]] = scores.fallback[one.kept]
        for version in np.unique(versions[counted]).tolist() or [contract.version]:
            own, key = versions == version, (contract.name, version)
            outcome.rows[key] = int((counted & own).sum())
            outcome.refused[key] = int((refused & own).sum())
            outcome.fallback[key] = int((by_rule & own).sum())
        outcome.repeated += int(repeated.sum())
        return refused

    @cached_property
    def _versions(self) -> Versions:
        return Versions(self.models, self.features, self.clock)

    def _lap(self, outcome: ShardOutcome, step: Step, begun: float) -> float:
        """Add the time since `begun` to `step`; the time now."""
        now = self.timer()
        outcome.times[step] = outcome.times.get(step, 0.0) + (now - begun) * 1000
        return now
