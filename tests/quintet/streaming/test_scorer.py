"""The scorer where stores and models fail, and where another invocation was first."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from arro3 import io as arrow_io
from tests.kits import models
from tests.kits.streams import METER, NOW, cache_of, data, reading, sequence, shard_batch, tumbling

from quintet.captures.delivery import NO_ROLLOUTS
from quintet.captures.plans import Seal
from quintet.captures.store import MemoryCaptures, RolloutFeed
from quintet.columns import Array
from quintet.contract import Contract
from quintet.errors import ModelFailure, QuintetError, Transient
from quintet.features import FeatureSource, MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.serving.crashes import CrashLog
from quintet.serving.model_cache import PublishedModel
from quintet.streaming.alerts import AlertNotifier, MemoryAlertChannel, MemoryAlertState
from quintet.streaming.checkpoints import Ahead, Checkpoint, MemoryCheckpoints, furthest
from quintet.streaming.commit_log import GIVEN_UP_SECONDS, MemorySink
from quintet.streaming.decoding import decode
from quintet.streaming.latest import MemoryLatest
from quintet.streaming.model_rows import ShardBatch
from quintet.streaming.record_ids import MemoryScoredIds
from quintet.streaming.scorer import Scorer, ShardOutcome
from quintet.streaming.sequences import padded
from quintet.streaming.windows import MemoryWindows


class Down:
    """A feature store that does not answer."""

    def fetch(self, key: str, entities: Sequence[str], names: Sequence[str]) -> Any:
        raise Transient("the feature store does not answer")


class Fragile:
    """METER's model, which fails on rows with some x."""

    digest = ""
    due = None

    def __init__(self, *fails: float, version: int = 1) -> None:
        self.contract: Contract = replace(METER, version=version)
        self._fails = fails
        self._model = OnnxModel(self.contract, models.log_graph())

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        if np.isin(feeds["XY"][:, 0], self._fails).any():
            raise ModelFailure("model log version 1 failed (Fail)")
        return self._model.run(outputs, feeds)


class Place:
    """A scorer of one model, and what it leaves behind."""

    def __init__(self, model: PublishedModel, features: FeatureSource | None = None) -> None:
        self.model = model
        self.models: list[PublishedModel] = [model]
        self.route: dict[str, Any] = {}
        self.crashes: CrashLog | None = None
        self.missing: dict[int, QuintetError] = {}
        self.captures = MemoryCaptures()
        self.feed: RolloutFeed = NO_ROLLOUTS
        self.seal: Seal | None = None
        self.channel = MemoryAlertChannel()
        self.features = features or MemoryFeatures()
        self.sink = MemorySink()
        self.checkpoints = MemoryCheckpoints()
        self.ids = MemoryScoredIds()
        self.latest = MemoryLatest()

    def take(self, batch: ShardBatch, window: Any = None) -> ShardOutcome:
        scorer = Scorer(
            decode=lambda found: decode(found, lambda name: self.model, "log"),
            models=cache_of(
                self.model, *self.models, missing=self.missing, crashes=self.crashes, **self.route
            ),
            features=self.features,
            sink=self.sink,
            checkpoints=self.checkpoints,
            ids=self.ids,
            latest=self.latest,
            alerts=AlertNotifier(MemoryAlertState(), [self.channel]),
            windows=MemoryWindows(),
            captures=self.captures,
            clock=lambda: NOW + 1,
            feed=self.feed,
            seal=self.seal,
        )
        return scorer.take(batch, window)

    def predictions(self) -> dict[str, list[Any]]:
        """The columns of all predictions."""
        columns: dict[str, list[Any]] = {}
        for key, stored in sorted(self.sink.objects.items()):
            if key.startswith("predictions/"):
                table = arrow_io.read_parquet(io.BytesIO(stored.body)).read_all()
                for name in table.column_names:
                    columns.setdefault(name, []).extend(table[name].to_pylist())
        return columns

    def quarantine(self) -> list[tuple[str, int | None, list[tuple[str, str]]]]:
        """Sequence, row, and the reasons' fields and what they got, of every line."""
        return [
            (
                line["sequence"],
                line["row"],
                [(reason["field"], reason["got"]) for reason in line["reasons"]],
            )
            for key, stored in sorted(self.sink.objects.items())
            if key.startswith("quarantine/")
            for line in map(json.loads, stored.body.splitlines())
        ]


SHOP = OnnxModel(models.SHOP, models.shop_graph())
ORDER = {"customer": "c1", "amount": 10.0, "items": 1.0}


def test_a_feature_store_that_is_down_leaves_it_to_the_fallback_rule() -> None:
    place = Place(SHOP, Down())
    outcome = place.take(shard_batch(data(ORDER), data({**ORDER, "amount": 2000.0})))
    assert outcome.failed is None
    found = place.predictions()
    assert found["probability"] == [0.25, 0.75]
    assert found["fallback"] == [True, True]
    assert outcome.fallback == {("shop", 3): 2}


def test_without_a_rule_all_comes_again_and_the_state_is_as_it_was() -> None:
    place = Place(OnnxModel(replace(models.SHOP, fallback=None), models.shop_graph()), Down())
    outcome = place.take(shard_batch(b"broken", data(ORDER)), tumbling(state={"as": "it was"}))
    assert (outcome.failed, outcome.state) == (sequence(0), {"as": "it was"})
    assert str(outcome.error) == (
        "the feature store cannot be read now, and the model has no fallback rule"
    )
    assert place.sink.objects == {}
    assert place.checkpoints.stored == {}


def test_a_row_that_breaks_the_model_is_refused_alone() -> None:
    place = Place(Fragile(7.0))
    place.take(shard_batch(*(data(reading(x=float(n))) for n in range(5, 10))))
    assert place.predictions()["sequence"] == [sequence(n) for n in (0, 1, 3, 4)]
    failure = "model log version 1 failed (Fail)"
    assert place.quarantine() == [(sequence(2), 0, [("model", failure)])]


def test_a_model_that_fails_on_all_rows_refuses_them() -> None:
    place = Place(Fragile(*range(100)))
    outcome = place.take(shard_batch(*(data(reading(x=float(n))) for n in range(1, 41))))
    assert outcome.failed is None
    assert outcome.refused == {("log", 1): 40}
    assert place.predictions()["sequence"] == []
    assert [line[0] for line in place.quarantine()] == [sequence(n) for n in range(40)]


def test_the_word_of_who_wrote_first_counts() -> None:
    """A repeat with another version of the model, which refuses other rows."""
    records = [data(reading(f"m{n}", x=float(n))) for n in range(4)]
    place = Place(Fragile(1.0))
    place.take(shard_batch(*records))
    place.checkpoints.stored.clear()  # it ended before its checkpoint, and before its quarantine
    place.sink.objects = {
        key: stored for key, stored in place.sink.objects.items() if key.startswith("predictions/")
    }
    place.latest.stored.clear()
    place.model = Fragile(2.0, version=2)
    outcome = place.take(shard_batch(*records))
    assert place.predictions()["sequence"] == [sequence(2), sequence(3)]
    assert place.predictions()["model_version"] == [1, 1]
    assert place.quarantine() == [
        (sequence(0), 0, [("logs", "-inf")]),
        (sequence(1), 0, [("row", "none by the invocation that wrote first")]),
    ]
    assert outcome.refused == {("log", 1): 0, ("log", 2): 2}
    assert {key[2]: one.version for key, one in place.latest.stored.items()} == {"m2": 1, "m3": 1}


@pytest.mark.parametrize("past", [100.0, 0.0], ids=["", "an hour begins after the first"])
@pytest.mark.parametrize("left", [1, 2, 3])
def test_rows_after_records_that_were_given_up_are_in_the_sink_once(left: int, past: float) -> None:
    """An hour after an invocation that put its objects and ended before its checkpoint."""
    records = [data(reading(f"m{n}", x=float(n % 3))) for n in range(5)]
    at = (NOW - GIVEN_UP_SECONDS) // 3600 * 3600 - 3600 + past
    arrived = np.array([at - 2.0, *(at + n for n in range(1, 5))])
    place = Place(OnnxModel(METER, models.log_graph()))
    place.take(replace(shard_batch(*records[:4]), arrived=arrived[:4]))
    place.checkpoints.stored.clear()
    rest = replace(shard_batch(*records[left:], first=left), arrived=arrived[left:])
    assert place.take(rest).failed is None
    assert place.predictions()["sequence"] == [sequence(n) for n in (1, 2, 4)]
    assert [line[0] for line in place.quarantine()] == [sequence(0), sequence(3)]
    assert place.checkpoints.read(rest.shard).done == padded(sequence(4))


def test_columns_that_tell_where_a_row_is_from_are_not_hidden_by_outputs() -> None:
    output = replace(METER.outputs[0], name="logs")
    contract = replace(METER, entity="row", outputs=(output,), stream=None)
    place = Place(OnnxModel(contract, models.log_graph()))
    place.take(shard_batch(data({"row": "m1", "x": 2.0})))
    assert place.predictions()["row"] == [0]


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_checkpoints_the_furthest_counts_with_what_reaches_beyond(order: int) -> None:
    first = Checkpoint("3", {"a": Ahead("a1", "5"), "b": Ahead("b1", "9"), "c": Ahead("c1", "8")})
    second = Checkpoint("6", {"b": Ahead("b2", "8"), "c": Ahead("c2", "9")})
    found = furthest(*[first, second][::order])
    assert found == Checkpoint("6", {"b": Ahead("b1", "9"), "c": Ahead("c2", "9")})


def test_a_mark_never_goes_back() -> None:
    checkpoints = MemoryCheckpoints()
    checkpoints.advance("s", Checkpoint("5"), Checkpoint())
    checkpoints.advance("s", Checkpoint("4", {"a": Ahead("a", "9")}), Checkpoint())
    assert checkpoints.read("s") == Checkpoint("5")
