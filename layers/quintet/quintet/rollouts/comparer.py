"""Reads captures that a rollout has routed, asks the other version, and keeps the evidence.

It works on the keys of new objects of captures, which may come more than once: the same key writes
the same evidence again. Of a rollout that has ended, nothing is compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from arro3 import core

from quintet.captures.delivery import put_rows
from quintet.captures.places import Place, place_of
from quintet.captures.store import CaptureObjects, CaptureSink
from quintet.captures.tables import read_parquet
from quintet.contract import Contract
from quintet.errors import BadInput, ModelFailure, NotFound, QuintetError, Transient
from quintet.rollouts.answers import Asked, all_failed, ask, asked
from quintet.rollouts.compare import Seen, pair, rows_of, seen, shadow_rows
from quintet.rollouts.evidence_store import EvidenceStore
from quintet.rollouts.state import Rollout
from quintet.scoring import Model
from quintet.serving.model_cache import ModelCache

__all__ = ["Compared", "Comparer", "Judge", "Paced"]

#: judges a rollout of a model by the evidence so far, and rolls it back if it is bad
Judge = Callable[[str, str], object]
#: rows that a version answered, with their sealed features opened in memory, and how many sealed
#: rows could not be opened: see `quintet.captures.opening`. Raises Transient
Open = Callable[[Contract, core.Table], tuple[core.Table, int]]
#: how many times as long as its last look took a judge waits
PACE = 9


class Paced:
    """A judge that takes a tenth of the time at most: with much evidence, it looks less often.

    `timer` is in seconds. What comes meanwhile is judged at the next look, or by the tick of the
    state machine.
    """

    def __init__(self, judge: Judge, timer: Callable[[], float]) -> None:
        self._judge = judge
        self._timer = timer
        self._next: dict[str, float] = {}

    def __call__(self, model: str, rollout: str) -> None:
        """Judge, unless it is too soon after the last time."""
        begun = self._timer()
        if begun >= self._next.get(rollout, begun):
            self._judge(model, rollout)
            ended = self._timer()
            self._next[rollout] = ended + PACE * (ended - begun)


@dataclass(slots=True)
class Compared:
    """What became of the rows of some objects.

    `rows` are those that the rollout had routed, `pairs` those that both versions answered.
    `dropped` objects are of a rollout that has ended, are gone, or cannot be read. `unopened` rows
    have sealed features that could not be opened. `failed` are the keys to be tried again, each
    with the reason.
    """

    rows: int = 0
    pairs: int = 0
    shadow: int = 0
    dropped: int = 0
    unopened: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def unpaired(self) -> int:
        """The rows that one version alone answered."""
        return self.rows - self.pairs


@dataclass(frozen=True)
class Comparer:
    """Compares the versions of rollouts.

    `rollout_of` gives the rollout of a model, None if none is in progress, `contract_of` the
    contract of a version. `judge` is called for each rollout that has new evidence. Without `open`,
    rows with sealed features are not compared.
    """

    objects: CaptureObjects
    sink: CaptureSink
    evidence: EvidenceStore
    rollout_of: Callable[[str], Rollout | None]
    contract_of: Callable[[str, int], Contract]
    models: ModelCache
    judge: Judge
    open: Open | None = None

    def compare(self, batches: Sequence[Sequence[str]]) -> Compared:
        """Compare the rows of objects of captures, by their keys; those of a batch together.

        Never raises for an object or a model: what failed is in the result.
        """
        done = Compared()
        for keys in batches:
            by_model: defaultdict[str, list[Place]] = defaultdict(list)
            for key in dict.fromkeys(keys):
                place = place_of(key)
                if place is None:
                    done.dropped += 1
                else:
                    by_model[place.hour.model].append(place)
            for model, places in by_model.items():
                try:
                    self._compare(model, places, done)
                except Exception as error:  # one model's failure must not stop the others
                    reason = str(error) if isinstance(error, QuintetError) else type(error).__name__
                    done.failed |= {place.key: reason for place in places}
        return done

    def _compare(self, model: str, places: Sequence[Place], done: Compared) -> None:
        try:
            rollout = self.rollout_of(model)
        except NotFound:  # deleted meanwhile
            rollout = None
        found = {} if rollout is None else dict(self._read(places, rollout, done))
        done.dropped += len(places) - len(found)
        if rollout is None or not found:
            return
        by_version: defaultdict[int | None, dict[Place, Seen]] = defaultdict(dict)
        for place, one in found.items():
            by_version[one.asking][place] = one
        for version, some in by_version.items():
            if version is not None:
                found |= self._ask(rollout, version, some, done)
        for place, one in found.items():
            for step in np.unique(one.evidence.step).tolist():
                evidence = one.evidence.take(one.evidence.step == step)
                self.evidence.put(model, rollout.id, step, place.key, evidence)
            done.rows += len(one.evidence)
            done.pairs += int(one.evidence.paired.sum())
        self.judge(model, rollout.id)

    def _read(
        self, places: Sequence[Place], rollout: Rollout, done: Compared
    ) -> Iterator[tuple[Place, Seen]]:
        """The rows of objects that the rollout has routed; objects without any are left out."""
        for place in places:
            version = place.hour.version
            if version not in (rollout.live, rollout.candidate):
                continue
            stored = self.objects.get(place.key)
            if stored is None:  # erased, or merged long ago
                continue
            try:
                rows = rows_of(read_parquet(stored.body), rollout)
            except BadInput:  # damaged; `compact` counts it
                continue
            if not rows.num_rows:
                continue
            contract = self.contract_of(rollout.model, version)
            if self.open is not None and contract.capture is not None:
                rows, unopened = self.open(contract, rows)
                done.unopened += unopened
            yield place, seen(rows, rollout, contract)

    def _ask(
        self, rollout: Rollout, version: int, found: Mapping[Place, Seen], done: Compared
    ) -> dict[Place, Seen]:
        """The rows with the answers of the version that did not answer their callers."""
        try:
            model = self._model(rollout.model, version)
        except ModelFailure:
            if version == rollout.live:  # says nothing about the candidate
                return dict(found)
            return {place: self._fail(rollout, place, one) for place, one in found.items()}
        answered = self.contract_of(rollout.model, next(iter(found)).hour.version)
        parts = {
            place: asked(model.contract, answered, one.rows, one.where)
            for place, one in found.items()
        }
        with self._running(rollout.model, version):
            answers = dict(zip(parts, ask(model, list(parts.values())), strict=True))
        paired = {}
        for place, one in found.items():
            part, answer = parts[place], answers[place]
            paired[place] = pair(one, rollout, answered, part, answer)
            if version == rollout.candidate and model.contract.capture and len(part.index):
                self._put_shadow(place, shadow_rows(one, model.contract, part, answer))
                done.shadow += len(part.index)
        return paired

    def _fail(self, rollout: Rollout, place: Place, found: Seen) -> Seen:
        """The rows as failures of a candidate that does not load, or kills its process."""
        contract = self.contract_of(rollout.model, place.hour.version)
        part = Asked(found.where, {})
        return pair(found, rollout, contract, part, all_failed(contract, len(found.where)))

    def _put_shadow(self, place: Place, rows: core.Table) -> None:
        """Put shadow captures beside those that they are of, kept for as long."""
        version = int(rows["version"][0].as_py())
        events = rows["event"].to_pylist()
        put_rows(self.sink, place.hour._replace(version=version), rows, min(events), max(events))

    def _model(self, name: str, version: int) -> Model:
        """A version, ready to run.

        Raises:
            ModelFailure: it does not load, or has ended this environment's process often.
            Transient: it could not be read.
        """
        try:
            self.models.crashes.check(name, version)
        except Transient as error:
            raise ModelFailure(str(error)) from error
        return self.models.get(name, version)

    @contextmanager
    def _running(self, model: str, version: int) -> Iterator[None]:
        """Note that a version runs, for the process that comes after one that it ends."""
        crashes = self.models.crashes
        slot = crashes.slot(model, version)
        crashes.running[slot] = 1
        try:
            yield
        finally:
            crashes.running[slot] = 0
