"""Score one unit of a run: read, join, score, write; the unit's result is written last."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from arro3 import core

from quintet.batch.candidates import CandidateSets
from quintet.batch.captures import UnitCaptures
from quintet.batch.inputs import naming, sources_from, with_constants
from quintet.batch.memory import give_back
from quintet.batch.offline_features import as_of, read_offline_features
from quintet.batch.passthrough import passthrough_values
from quintet.batch.plans import Plan, Unit, dump
from quintet.batch.sinks import Defaults, QuarantineLines, ScoreTable, Statistics
from quintet.batch.stores import (
    ConditionalObjects,
    InputBucket,
    ObjectStore,
    PinnedSource,
    swapped,
)
from quintet.batch.unit_candidates import UnitCandidates
from quintet.captures.store import CaptureSink
from quintet.contract import Contract
from quintet.errors import BadInput, ModelFailure, Refusal
from quintet.features import FeatureSource
from quintet.formats.byte_streams import side_by_side
from quintet.formats.chunks import Chunk, Piece
from quintet.formats.readers import read_slice
from quintet.formats.sources import Layout, Slice
from quintet.scoring import Model
from quintet.serving import ModelRoute, Prediction
from quintet.serving.predict import predict

__all__ = ["BEAT_SECONDS", "UnitFailed", "score_unit"]

#: the bytes of scores, and of refused rows, above which a unit writes a file of them
MAX_HELD_BYTES = 32 << 20
#: seconds between two heartbeats of a unit
BEAT_SECONDS = 5.0


class UnitFailed(Exception):
    """A unit has failed for good: a retry would fail too, so the state machine does not retry."""


class _Part(NamedTuple):
    """Some rows, the layout of their file, and its key in a run over many files."""

    piece: Piece
    layout: Layout
    file: str | None
    #: the time as of which stored features are taken, in epoch seconds
    moment: float
    #: the features from the folders of the file
    given: Collection[str]


class _Scored(NamedTuple):
    """A part's rows as read, and their results."""

    part: _Part
    chunk: Chunk
    prediction: Prediction | None
    kept: Mapping[str, core.Array]

    @property
    def entities(self) -> list[str | None] | None:
        """The entities of the rows that were scored."""
        entities = self.chunk.batch.entities
        if entities is None or self.prediction is None:
            return None
        return [entities[position] for position in self.prediction.scores.index.tolist()]


def score_unit(
    unit: Unit,
    plan: Plan,
    *,
    model: Callable[[], Model],
    inbox: InputBucket,
    store: ObjectStore,
    cells: ConditionalObjects,
    features: FeatureSource,
    clock: Callable[[], float],
    baseline: Callable[[], Mapping[str, Any]] = dict,
    captures: CaptureSink | None = None,
    candidates: CandidateSets | None = None,
    peak_mb: Callable[[], float] = float,
    threads: int = 1,
) -> dict[str, Any]:
    """Score a unit, store its result and return it; a result that is already stored is returned.

    `baseline` gives the model's baseline for drift, empty if it has none; `captures` is where the
    captures of its rows are put, and `candidates` where the sets of its users are, if the contract
    asks for them; `peak_mb` gives the peak memory of the environment. `threads` is the number of
    threads that read and score. A unit that takes long reports its progress in its `beat`.
    A failure that a retry cannot fix (the file is damaged or has changed, the model fails) is
    stored as a result with the status "failed", so that the run's report can name it, unless
    another attempt stored its result meanwhile: that one is returned.

    Raises:
        Transient: a store could not be read.
    """
    key = plan.folder.result(unit.unit)
    if held := cells.read(key):
        done: dict[str, Any] = orjson.loads(held[0])
        if done["status"] == "done":  # a redrive tries failed units again
            return done
    begun = clock()
    result: dict[str, Any]
    try:
        loaded = model()
        parts = _parts(loaded.contract, plan, unit, inbox, store)
        drawn = Statistics(loaded.contract, baseline, unit.rows, unit.unit, plan.units)
        found = _nothing(loaded.contract, plan, drawn)
        known = _features(loaded.contract, plan, unit, inbox, store) or (lambda _: features)
        beat = begun
        files = _Files(unit, plan, store)
        captured = None
        if captures is not None and loaded.contract.capture is not None:
            captured = UnitCaptures(loaded.contract, plan, unit.unit, captures)
        sets = None
        if candidates is not None and loaded.contract.candidates is not None:
            sets = UnitCandidates(loaded.contract.candidates, plan, candidates)
        for one in side_by_side(_Scorer(ModelRoute(loaded), known, plan.keep), parts, threads):
            rejected = found.add(one)
            if captured is not None:
                part, rows = one.part, one.chunk.rows
                captured.add(part.file, rows, one.prediction, rejected, part.moment)
            if sets is not None and one.prediction is not None:
                sets.add(one.entities, one.prediction)
            files.write(found, MAX_HELD_BYTES)
            if (now := clock()) - beat >= BEAT_SECONDS:
                beat = now
                store.put(plan.folder.beat(unit.unit), dump(found.beat(unit, now - begun)))
        if captured is not None:
            captured.put()
        if sets is not None:
            sets.put()
        counted = {} if sets is None else {"candidates": sets.document()}
        result = {**found.summary(), **counted, "files": files.rest(found)}
    except (BadInput, ModelFailure) as error:
        result = {"status": "failed", "reason": str(error), "scored": 0, "quarantined": 0}
    result |= {
        "unit": unit.unit,
        "first_row": unit.first_row,
        "rows": unit.rows,
        "ms": round((clock() - begun) * 1000, 1),
        "peak_mb": round(peak_mb(), 1),
    }
    if result["status"] == "done":
        store.put(key, dump(result))
        return result
    body = swapped(cells, key, dump(result), None if held is None else held[1])
    stands: dict[str, Any] = orjson.loads(body)
    return stands


@dataclass(slots=True)
class _Found:
    """The collected results of a unit's rows."""

    scores: ScoreTable
    quarantine: QuarantineLines
    statistics: Statistics
    defaults: Defaults
    fallback: int = 0

    def add(self, found: _Scored) -> list[tuple[int, list[Refusal]]]:
        """Add the scores and the refused rows of a part; return the latter with their reasons."""
        part, chunk, prediction, kept = found
        refusals: Sequence[Refusal] = ()
        self.defaults.add(part.file, part.layout, chunk, part.given)
        if prediction is not None:
            scores = prediction.scores
            refusals = scores.refusals
            rows, entities, file = chunk.rows[scores.index], found.entities, part.file
            self.scores.add(rows, entities, scores.outputs, scores.fallback, file=file, kept=kept)
            self.fallback += int(scores.fallback.sum())
            self.statistics.add(prediction)
        rejected = list(_refused(chunk, refusals))
        for row, reasons in rejected:
            self.quarantine.add(row, chunk.original(row - chunk.first), reasons, part.file)
        return rejected

    def beat(self, unit: Unit, seconds: float) -> dict[str, Any]:
        """The unit's heartbeat: it lets an observer tell a slow unit from one that hangs."""
        done = self.scores.rows + self.quarantine.rows
        return {"unit": unit.unit, "rows": done, "of": unit.rows, "seconds": round(seconds, 1)}

    def summary(self) -> dict[str, Any]:
        return {
            "status": "done",
            "scored": self.scores.rows,
            "quarantined": self.quarantine.rows,
            "fallback": self.fallback,
            "reasons": self.quarantine.reasons,
            **self.statistics.documents(),
            "defaults": self.defaults.document(),
        }


def _parts(
    contract: Contract, plan: Plan, unit: Unit, inbox: InputBucket, store: ObjectStore
) -> Iterator[_Part]:
    """The rows of a unit, file by file."""
    # without a history, feature ages count from the run's start, so that a retry sees the same
    started = datetime.fromisoformat(plan.started).timestamp()
    if plan.scope == "key":
        known = with_constants(contract, plan.constants) if plan.constants else contract
        moment = as_of(plan, plan.input.key) if plan.features else started
        file = PinnedSource(inbox, plan.input)
        only = Slice(unit.start, unit.end, unit.first_row, unit.rows, unit.first_line)
        for piece in read_slice(known, file, plan.layout, only, unit.rows, whole=bool(plan.keep)):
            yield _Part(piece, plan.layout, None, moment, plan.constants)
        return
    sources = sources_from(store.get(plan.inputs_key), {part.file for part in unit.slices})
    left = unit.rows
    for some in unit.slices:
        source = sources[some.file]
        known, file = with_constants(contract, source.constants), PinnedSource(inbox, source.input)
        part = Slice(some.start, some.end, some.first_row, some.rows, some.first_line)
        moment = as_of(plan, source.input.key) if plan.features else started
        with naming(source.input.key):
            for piece in read_slice(known, file, source.layout, part, left, whole=bool(plan.keep)):
                yield _Part(piece, source.layout, source.input.key, moment, source.constants)
        left -= some.rows


def _features(
    contract: Contract, plan: Plan, unit: Unit, inbox: InputBucket, store: ObjectStore
) -> Callable[[float], FeatureSource] | None:
    """The stored features of a unit's entities, from files; None without such files.

    The unit is read twice, first for its entities, so that memory holds only their features,
    regardless of the size of the history.
    """
    if plan.features is None:
        return None
    wanted: dict[float, set[str]] = {}
    for part in _parts(replace(contract, features=()), plan, unit, inbox, store):
        entities = part.piece().batch.entities or []
        wanted.setdefault(part.moment, set()).update(filter(None, entities))
    sources = sources_from(store.get(plan.history_key))
    return read_offline_features(contract, wanted, sources.values(), inbox).__getitem__


def _nothing(contract: Contract, plan: Plan, statistics: Statistics) -> _Found:
    """The empty results, before any row is read."""
    names = [name for _, name in plan.keep]
    table = ScoreTable(contract, plan.version, many=plan.scope != "key", kept=names)
    return _Found(table, QuarantineLines(), statistics, Defaults(contract))


@dataclass(frozen=True, slots=True)
class _Scorer:
    """Reads and scores parts, optionally in parallel; `features` takes the time of the features."""

    route: ModelRoute
    features: Callable[[float], FeatureSource]
    keep: Sequence[tuple[str, str]]

    def __call__(self, part: _Part) -> _Scored:
        with naming(part.file) if part.file is not None else nullcontext():
            chunk = part.piece()
        if not chunk.batch.rows:
            return _Scored(part, chunk, None, {})
        source = self.features(part.moment)
        (prediction,) = predict(self.route, chunk.batch, source, part.moment, isolate="rows")
        kept: Mapping[str, core.Array] = {}
        if self.keep:
            rows = chunk.rows[prediction.scores.index]
            kept = passthrough_values(self.keep, part.layout, chunk, rows)
        return _Scored(part, chunk, prediction, kept)


def _refused(chunk: Chunk, refusals: Sequence[Refusal]) -> Iterator[tuple[int, list[Refusal]]]:
    """The refused rows of a chunk, by number in the file, each with all of its reasons."""
    by_row: dict[int, list[Refusal]] = {}
    for refusal in refusals:
        if refusal.row is not None:
            by_row.setdefault(int(chunk.rows[refusal.row]), []).append(refusal)
    for refusal in chunk.broken:
        if refusal.row is not None:
            by_row.setdefault(chunk.first + refusal.row, []).append(refusal)
    yield from sorted(by_row.items())


class _Files:
    """Writes a unit's results, into several files if they are large, and lists the files."""

    def __init__(self, unit: Unit, plan: Plan, store: ObjectStore) -> None:
        self._unit, self._plan, self._store = unit.unit, plan, store
        self._scores: list[dict[str, Any]] = []
        self._quarantine: list[dict[str, Any]] = []

    def write(self, found: _Found, most: int) -> None:
        """Write the scores, and the refused rows, if they are larger than `most` bytes."""
        folder, form = self._plan.folder, self._plan.output
        if found.scores.held > most:
            key = folder.scores(self._unit, form, len(self._scores))
            self._scores.append(self._put(key, *found.scores.take(form)))
        if found.quarantine.held > most:
            key = folder.quarantine(self._unit, len(self._quarantine))
            self._quarantine.append(self._put(key, *found.quarantine.take()))

    def rest(self, found: _Found) -> list[dict[str, Any]]:
        """Write the rest and return all files of the unit; at least one file of scores exists."""
        self.write(found, 0)
        if not self._scores:
            key = self._plan.folder.scores(self._unit, self._plan.output)
            self._scores.append(self._put(key, *found.scores.take(self._plan.output)))
        return [*self._scores, *self._quarantine]

    def _put(self, key: str, body: bytes, rows: int) -> dict[str, Any]:
        self._store.put(key, body)
        sha256 = hashlib.sha256(body).hexdigest()
        give_back()
        return {"key": key, "rows": rows, "size": len(body), "sha256": sha256}
