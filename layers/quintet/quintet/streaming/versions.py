"""Which versions answer the rows of a stream: those of the route, or those that the sink has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Batch, take
from quintet.contract import Contract
from quintet.errors import ModelFailure, NotFound, Transient
from quintet.features import FeatureSource
from quintet.serving import ModelRoute, Prediction, Steps
from quintet.serving.model_cache import ModelCache, PublishedModel
from quintet.serving.predict import predict
from quintet.serving.prediction import failed_prediction, in_caller_order
from quintet.serving.router import Part, Split, TakenOut, adapted, parts_of, running, subset, timed
from quintet.serving.routing import row_keys
from quintet.streaming.captures import event_ids
from quintet.streaming.model_rows import ModelRows, ShardBatch

__all__ = ["Versions"]


@dataclass(frozen=True)
class Versions:
    """Scores rows by the versions of `models`; `clock` is in epoch seconds."""

    models: ModelCache
    features: FeatureSource
    clock: Callable[[], float]

    def score(
        self,
        model: PublishedModel,
        model_rows: ModelRows,
        shard_batch: ShardBatch,
        steps: Steps,
        begin: Callable[[Part], None],
    ) -> tuple[Prediction, list[TakenOut]]:
        """Score rows in one run of each version that the route of the live `model` names.

        Rows without an entity go by their record. While a canary answers, `begin` is called before
        each version runs. Raises Transient.
        """
        batch = model_rows.batch
        route, taken = self.models.route(model.contract.name), list[TakenOut]()
        name, version = "live", model.contract.version
        if route.live != version:  # it was changed since the rows were decoded
            parts = [Part(ModelRoute(model, name), batch, np.arange(batch.rows))]
        elif not route.splits:
            parts = [Part(ModelRoute(model, name, route.mark), batch, np.arange(batch.rows))]
        else:
            events = event_ids(shard_batch)
            of_rows = [events[record] for record in model_rows.record.tolist()]
            keys = row_keys(batch.entities, of_rows)
            parts, taken = parts_of(Split(self.models, route, model), batch, keys)
        if route.canary is None:
            return self._run(parts, batch, steps), taken
        return self._run(parts, batch, steps, begin), taken

    def as_stored(
        self, live: Contract, prediction: Prediction, given: Batch, stored: NDArray[np.int64]
    ) -> Prediction:
        """A prediction in which the rows that the sink has are answered by the versions there.

        `given` is the batch as it was before it was scored, decoded by the contract `live`;
        `stored` (rows,) are the versions, 0 for rows that are not in the sink. Rows of a version
        that does not answer any more are left out.

        Raises:
            Transient: a version or its features could not be read; repeat, as no row may be lost.
        """
        wrong = (stored > 0) & (stored != prediction.versions)
        if not wrong.any():
            return prediction
        route = self.models.route(live.name)
        parts = []
        for version in np.unique(stored[wrong]).tolist():
            rows = np.flatnonzero(wrong & (stored == version))
            try:
                model = self.models.loaded(route, version)
                batch = adapted(take(given, rows), live, model.contract)
            except (ModelFailure, NotFound):
                continue
            name = "live" if version == route.live else "canary"
            parts.append(Part(ModelRoute(model, name), batch, rows))
        again = self._run(parts, given, Steps()).parts if parts else ()
        kept = [subset(part, np.flatnonzero(~wrong[part.rows])) for part in prediction.parts]
        return _merged([*kept, *again], given)

    def _run(
        self,
        parts: Sequence[Part],
        batch: Batch,
        steps: Steps,
        begin: Callable[[Part], None] = lambda part: None,
    ) -> Prediction:
        found, now = list[Prediction](), self.clock()
        for part, own in timed(parts, steps):
            begin(part)
            own.started = own.timer()  # telling it takes none of the version's time
            try:
                with running(self.models.crashes, part):
                    (one,) = predict(
                        part.route, part.batch, self.features, now, isolate="rows", steps=own
                    )
            except ModelFailure as error:
                own.ended["score_ms"] = own.timer()
                one = failed_prediction(part.route, part.batch, error, now)
            except Transient:
                # all comes again: until then the versions that have not run are as unfinished as
                # this one, or a store that is down would be evidence against it
                for other in parts[len(found) + 1 :]:
                    begin(other)
                raise
            found.append(replace(one, rows=part.rows, took=own.milliseconds()))
        return _merged(found, batch)


def _merged(parts: Sequence[Prediction], batch: Batch) -> Prediction:
    """Predictions of parts as one of the batch."""
    return replace(in_caller_order(parts, batch), parts=parts)
