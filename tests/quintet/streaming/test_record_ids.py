"""Rows with an id of their own: sent three times, they are scored, counted and alerted once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.kits import models
from tests.kits.stream_world import World
from tests.kits.streams import METER, NOW, TIMED, data, reading, sequence, shard_batch, tumbling

from quintet.columns import ID_KIND
from quintet.contract import Aggregate, AlertRule, Contract, Feature, Stream
from quintet.onnx_model import OnnxModel
from quintet.streaming.decoding import decode
from quintet.streaming.model_rows import ModelRows, ShardBatch
from quintet.streaming.record_ids import RETENTION_SECONDS, RepeatedRows
from quintet.streaming.scorer import ShardOutcome

#: every prediction past the threshold is an alert
ALERTING = models.renamed(METER, alert=AlertRule(output="logs", above=2.0, cooldown=0.0))
MODEL = OnnxModel(ALERTING, models.log_graph())


def take(world: World, batch: ShardBatch, state: Any = None) -> ShardOutcome:
    scorer = replace(world.scorer(), decode=lambda found: decode(found, lambda name: MODEL, "log"))
    outcome = scorer.take(batch, tumbling(state=state))
    assert outcome.failed is None
    return outcome


def decoded(contract: Contract, *records: bytes) -> ModelRows:
    model = OnnxModel(contract, models.log_graph())
    found = decode(shard_batch(*records), lambda name: model, "log")
    assert found.undecodable == []
    ((_, model_rows),) = found.by_model
    return model_rows


def ids_of(contract: Contract, *records: bytes) -> Sequence[str | None] | None:
    return decoded(contract, *records).batch.ids


ROW = reading("m1", 20.0)
OIP = {
    "id": "r1",
    "model_name": "log",
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [20.0]},
        {"name": "meter", "datatype": "BYTES", "shape": [1], "data": ["m1"]},
        {"name": "cost", "datatype": "FP64", "shape": [1], "data": [1.5]},
        {"name": "state", "datatype": "BYTES", "shape": [1], "data": ["on"]},
    ],
}
FORMS = {
    "row": data({**ROW, "id": "r1"}),
    "number": data({**ROW, "id": 17}),
    "bare": json.dumps({**ROW, "id": "r1"}).encode(),
    "bare array": json.dumps([{**ROW, "id": "r1"}]).encode(),
    "envelope": json.dumps({"id": "r1", "model": "log", "records": [ROW]}).encode(),
    "OIP": json.dumps(OIP).encode(),
    "OIP, a tensor": json.dumps(
        {
            **OIP,
            "id": "",
            "inputs": [
                *OIP["inputs"],
                {"name": "id", "datatype": "BYTES", "shape": [1], "data": ["r1"]},
            ],
        }
    ).encode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cuts", [[3], [1, 1, 1], [2, 1], [1, 2]], ids=str)
def test_sent_three_times_it_counts_once(form: str, cuts: list[int]) -> None:
    world, state, first, repeated = World(), None, 0, 0
    for count in cuts:
        outcome = take(world, shard_batch(*[FORMS[form]] * count, first=first), state)
        first, state, repeated = first + count, outcome.state, repeated + outcome.repeated
        assert sum(outcome.rows.values()) == (1 if first == count else 0)
        assert outcome.refused == {("log", 1): 0}
    world.scorer().take(shard_batch(), tumbling(state=state, final=True))
    assert repeated == 2
    assert world.predictions() == {(sequence(0), 0): 1}
    assert world.quarantine() == []
    assert [(alert.entity, alert.sequence) for alert in world.alert_channel.alerts] == [
        ("m1", sequence(0))
    ]
    window = world.windows.read("log", NOW)
    assert window is not None
    assert window.entities == {"m1": {"readings": 1, "x_sum": 20.0, "spent": 1.5, "state": "on"}}
    ((latest,)) = world.latest.stored.values()
    assert latest.sequence == sequence(0)


def test_without_an_id_every_record_counts() -> None:
    world = World()
    take(world, shard_batch(*[data(ROW)] * 3))
    take(world, shard_batch(*[data({**ROW, "id": None}), data({**ROW, "id": ""})], first=3))
    assert len(world.predictions()) == 5
    assert world.ids.stored == {}


def test_an_answer_that_is_lost_changes_nothing() -> None:
    """The checkpoint has moved, and the same records come again: the first is no repeat."""
    world = World()
    batch = shard_batch(*[FORMS["row"]] * 3)
    first = take(world, batch)
    again = take(world, batch)
    assert again.skipped == 3
    assert (first.state, first.windows) == (again.state, again.windows)
    assert world.predictions() == {(sequence(0), 0): 1}


def test_a_row_that_was_refused_leaves_its_id_free() -> None:
    world = World()
    refused = data({**ROW, "x": 0.0, "id": "r1"})  # the logarithm of zero is no answer
    take(world, shard_batch(refused, refused))
    take(world, shard_batch(FORMS["row"], first=2))
    assert world.predictions() == {(sequence(2), 0): 1}
    assert [line["sequence"] for line in world.quarantine()] == [sequence(0), sequence(1)]


def test_the_first_that_is_scored_counts_also_within_a_batch() -> None:
    world = World()
    refused = data({**ROW, "x": 0.0, "id": "r1"})
    take(world, shard_batch(refused, FORMS["row"], FORMS["row"], refused))
    assert world.predictions() == {(sequence(1), 0): 1}
    assert [line["sequence"] for line in world.quarantine()] == [sequence(0), sequence(3)]


def test_rows_of_a_record_have_ids_of_their_own() -> None:
    world = World()
    rows = [{**ROW, "id": name} for name in ("a", "b", "a")]
    take(world, shard_batch(data(*rows), data(*rows[1:2])))
    assert sorted(world.predictions()) == [(sequence(0), 0), (sequence(0), 1)]
    whole = json.dumps({"id": "a", "model": "log", "records": [ROW, ROW]}).encode()
    take(world, shard_batch(whole, whole, first=2))  # not the id of a row
    assert sorted(world.predictions())[2:] == [(sequence(2), 0), (sequence(2), 1)]


def test_an_id_is_forgotten_after_the_retention() -> None:
    world = World()
    for number, later in enumerate((0.0, RETENTION_SECONDS, RETENTION_SECONDS + 1)):
        take(world, shard_batch(FORMS["row"], first=number, at=NOW + later))
    assert sorted(world.predictions()) == [(sequence(0), 0), (sequence(2), 0)]
    world = World()
    batch = shard_batch(*[FORMS["row"]] * 3)
    batch.arrived = NOW + np.array([0.0, RETENTION_SECONDS, RETENTION_SECONDS + 1])
    take(world, batch)
    assert sorted(world.predictions()) == [(sequence(0), 0), (sequence(2), 0)]


def test_shards_and_models_have_ids_of_their_own() -> None:
    world = World()
    take(world, shard_batch(FORMS["row"]))
    take(world, shard_batch(FORMS["row"], shard="shardId-000000000001", first=9))
    assert sorted(world.predictions()) == [(sequence(0), 0), (sequence(9), 0)]
    other = decoded(models.renamed(METER, name="other"), data({**ROW, "id": "r1"}, model="other"))
    mine = decoded(METER, FORMS["row"])
    both = RepeatedRows(shard_batch(FORMS["row"]), [mine, other])
    both.add(mine, np.array([0]))
    assert not both.of(other).any()


@pytest.mark.parametrize("value", [1.5, True, ["a"], {"a": 1}])
def test_other_values_are_no_ids(value: Any) -> None:
    world = World()
    whole = json.dumps({"id": value, "model": "log", "records": [ROW]}).encode()
    take(world, shard_batch(data({**ROW, "id": value}), whole, FORMS["row"]))
    assert world.predictions() == {(sequence(2), 0): 1}
    assert [
        (line["row"], line["reasons"][0]["field"], line["reasons"][0]["expected"])
        for line in world.quarantine()
    ] == [(0, "id", ID_KIND), (None, "id", ID_KIND)]


def test_an_id_that_is_something_else_is_none() -> None:
    feature = Feature(name="id", dtype="string", categories=("a",))
    has = models.renamed(METER, features=(*METER.features, feature))
    assert ids_of(has, data({**ROW, "id": "a"})) is None
    key = models.renamed(METER, entity="id")
    assert ids_of(key, data({**{k: v for k, v in ROW.items() if k != "meter"}, "id": "a"})) is None
    counted = models.renamed(
        METER,
        stream=Stream(
            aggregates=(*METER.stream.aggregates, Aggregate(name="n", how="distinct", of="id"))  # type: ignore[union-attr]
        ),
    )
    assert ids_of(counted, data({**ROW, "id": "a"})) is None
    named = models.renamed(counted, id="id")
    model_rows = decoded(named, data({**ROW, "id": "a"}))
    assert model_rows.batch.ids == ["a"]
    assert model_rows.fields["id"].tolist() == ["a"]


def test_the_contract_names_another_field() -> None:
    contract = models.renamed(TIMED, id="event")
    row = {"meter": "m1", "x": 2.0, "at": NOW}
    assert ids_of(contract, data({**row, "event": "e1"}), data({**row, "event": 2})) == ["e1", "2"]
    model_rows = decoded(contract, data({**row, "id": "e1"}))
    assert [refusal.field for refusal in model_rows.batch.refusals] == ["id"]  # an unknown field


@pytest.mark.parametrize("contract", [METER, TIMED, models.LOG], ids=["arrival", "time", "none"])
def test_ids_are_read_the_same_on_both_paths(contract: Contract) -> None:
    rows = [{"x": 2.0, "id": f"r{number}"} for number in range(4)]
    if contract.stream is not None:
        rows = [{**row, "meter": "m", "cost": 1.0, "state": "on", "at": NOW} for row in rows]
        names = {"at"} if contract is METER else {"cost", "state"}
        rows = [{k: v for k, v in row.items() if k not in names} for row in rows]
    straight = [data(row) for row in rows]
    assert ids_of(contract, *straight) == ["r0", "r1", "r2", "r3"]
    mixed = [
        *straight[:3],
        data({**rows[3], "id": 3}),
        data({k: v for k, v in rows[0].items() if k != "id"}),
    ]
    assert ids_of(contract, *mixed) == ["r0", "r1", "r2", "3", None]
