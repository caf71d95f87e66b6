"""Score one unit of a run: read, join, score, write; its result is written last."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from quintet.batch.chunks import Chunk
from quintet.batch.histograms import Histogram, watched
from quintet.batch.inputs import naming, plan_of, sources_from, with_constants
from quintet.batch.isolation import score_apart
from quintet.batch.readers import read_unit
from quintet.batch.runs import Inbox, Plan, Store, Unit, dump
from quintet.batch.sinks import Quarantine, ScoreTable
from quintet.batch.streams import ahead
from quintet.contract import Contract, Output
from quintet.errors import BadInput, ModelFailure, Refusal
from quintet.features import FeatureSource, join
from quintet.scoring import Model, Scores

__all__ = ["score_unit"]

#: a chunk, and the key of its file where the run has many
_Part = tuple[str | None, Chunk]


def score_unit(
    unit: Unit,
    plan: Plan,
    *,
    model: Callable[[], Model],
    inbox: Inbox,
    store: Store,
    features: FeatureSource,
    clock: Callable[[], float],
) -> dict[str, Any]:
    """Score a unit and store its result, unless that was done before; the result.

    What trying again cannot heal (the file is damaged or was changed, the model fails) is a
    result of its own, with status "failed", so that the run's report can name it.

    Raises:
        Transient: a store could not be read.
    """
    key = plan.folder.result(unit.unit)
    if stored := store.get(key):
        done: dict[str, Any] = orjson.loads(stored)
        return done
    begun = clock()
    result: dict[str, Any]
    try:
        loaded = model()
        chunks = _chunks(loaded.contract, plan, unit, inbox, store)
        found = _score(plan, loaded, chunks, features)
        result = {**found.summary(), "files": _write(unit, plan, found, store)}
    except (BadInput, ModelFailure) as error:
        result = {"status": "failed", "reason": str(error), "scored": 0, "quarantined": 0}
    result |= {
        "unit": unit.unit,
        "first_row": unit.first_row,
        "rows": unit.rows,
        "ms": round((clock() - begun) * 1000, 1),
    }
    store.put(key, dump(result))
    return result


@dataclass(slots=True)
class _Found:
    """What the rows of a unit came to."""

    scores: ScoreTable
    quarantine: Quarantine
    output: Output | None
    histogram: Histogram | None
    fallback: int = 0

    def add(self, file: str | None, chunk: Chunk, scores: Scores) -> None:
        entities = chunk.batch.entities
        if entities is not None:
            entities = [entities[position] for position in scores.index.tolist()]
        rows = chunk.rows[scores.index]
        self.scores.add(rows, entities, scores.outputs, scores.fallback, file)
        self.fallback += int(scores.fallback.sum())
        if self.histogram and self.output:
            self.histogram.add(scores.outputs[self.output.name])

    def refuse(self, file: str | None, chunk: Chunk, refusals: list[Refusal]) -> None:
        for row, reasons in _refused(chunk, refusals):
            self.quarantine.add(row, chunk.original(row - chunk.first), reasons, file)

    def summary(self) -> dict[str, Any]:
        return {
            "status": "done",
            "scored": self.scores.rows,
            "quarantined": self.quarantine.rows,
            "fallback": self.fallback,
            "reasons": self.quarantine.reasons,
            "histogram": self.histogram.document() if self.histogram else None,
        }


def _chunks(
    contract: Contract, plan: Plan, unit: Unit, inbox: Inbox, store: Store
) -> Iterator[_Part]:
    """The rows of a unit, each chunk with its file's key where the run has many."""
    if plan.scope == "key":
        for chunk in read_unit(contract, plan, unit, inbox):
            yield None, chunk
        return
    sources = sources_from(store.get(plan.folder.inputs), {part.file for part in unit.slices})
    for part in unit.slices:
        source = sources[part.file]
        known = with_constants(contract, source.constants)
        alone = replace(unit, start=part.start, end=part.end, first_row=part.first_row)
        with naming(source.input.key):
            for chunk in read_unit(known, plan_of(plan, source), alone, inbox):
                yield source.input.key, chunk


def _score(plan: Plan, model: Model, chunks: Iterable[_Part], features: FeatureSource) -> _Found:
    contract = model.contract
    output = watched(contract)
    histogram = Histogram(output) if output else None
    table = ScoreTable(contract, plan.version, many=plan.scope != "key")
    found = _Found(table, Quarantine(), output, histogram)
    # what is stored is taken as of the run's start, so that a retry sees the same ages
    now = datetime.fromisoformat(plan.started).timestamp()
    for file, chunk in ahead(chunks):
        refusals: list[Refusal] = []
        if chunk.batch.rows:
            joined = join(contract, chunk.batch, features, now)
            scores = score_apart(model, joined.batch, joined.fallback)
            found.add(file, chunk, scores)
            refusals = scores.refusals
        found.refuse(file, chunk, refusals)
    return found


def _refused(chunk: Chunk, refusals: list[Refusal]) -> Iterator[tuple[int, list[Refusal]]]:
    """The refused rows of a chunk, by their number in the file, each with all its reasons."""
    by_row: dict[int, list[Refusal]] = {}
    for refusal in refusals:
        if refusal.row is not None:
            by_row.setdefault(int(chunk.rows[refusal.row]), []).append(refusal)
    for refusal in chunk.broken:
        if refusal.row is not None:
            by_row.setdefault(chunk.first + refusal.row, []).append(refusal)
    yield from sorted(by_row.items())


def _write(unit: Unit, plan: Plan, found: _Found, store: Store) -> list[dict[str, Any]]:
    folder, scores, quarantine = plan.folder, found.scores, found.quarantine
    parts = [(folder.scores(unit.unit, plan.output), scores.encode(plan.output), scores.rows)]
    if quarantine.rows:
        parts.append((folder.quarantine(unit.unit), quarantine.encode(), quarantine.rows))
    files = []
    for key, body, rows in parts:
        store.put(key, body)
        sha256 = hashlib.sha256(body).hexdigest()
        files.append({"key": key, "rows": rows, "size": len(body), "sha256": sha256})
    return files
