"""Captures of records, beside their predictions."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from tests.kits.captures import records, table
from tests.kits.stream_world import CAPTURED, World
from tests.kits.streams import METER, NOW, SHARD, STREAM, data, reading, sequence, shard_batch

from quintet.captures.places import place_of
from quintet.captures.reading import Hour
from quintet.contract import Capture
from quintet.onnx_model import OnnxModel

HOUR = int(NOW // 3600) * 3600


def with_rate(rate: float) -> OnnxModel:
    capture = Capture(rate=rate, days=7)
    model = OnnxModel.__new__(OnnxModel)
    model.__dict__.update(CAPTURED.__dict__)
    model.contract = dataclasses.replace(METER, capture=capture)
    return model


def test_rows_are_captured_with_their_record() -> None:
    world = World(CAPTURED)
    batch = shard_batch(
        data(reading(x=2.0), reading(x=0.0)), b"{", data(reading("m2", x=3.0, id="r-7"))
    )
    world.scorer().take(batch, None)
    rows = table(world.captures)
    event = f"{STREAM}.{SHARD}.{{}}".format
    names = ("event", "row", "rows", "record", "outcome", "entity", "feature_x", "refusals")
    assert records(rows, *names) == [
        (event(sequence(0)), 0, 2, sequence(0), "scored", "m1", 2.0, None),
        (
            event(sequence(0)),
            1,
            2,
            sequence(0),
            "refused",
            None,
            None,
            "logs: expected a finite output",
        ),
        (event(sequence(2)), 0, 1, sequence(2), "scored", "m2", 3.0, None),
    ]
    arrived, served = (np.datetime64(int(at), "s").item() for at in (NOW, NOW + 1))
    assert set(records(rows, "event_time", "served_at", "path", "route", "model", "version")) == {
        (arrived, served, "stream", "live", "log", 1)
    }
    assert records(rows, "row_id") == [(None,), (None,), ("r-7",)]
    outputs = dict(records(rows, "row", "output_logs_0"))
    assert outputs[1] is None
    (key,) = world.captures.objects
    place = place_of(key)
    assert place is not None
    assert place.hour == Hour("log", 1, 30, HOUR)


def test_a_batch_over_the_end_of_an_hour_has_two_objects() -> None:
    world = World(CAPTURED)
    batch = shard_batch(data(reading()), data(reading()))
    batch.arrived[1] = HOUR + 3600
    world.scorer().take(batch, None)
    hours = sorted(place.hour.start for place in map(place_of, world.captures.objects) if place)
    assert hours == [HOUR, HOUR + 3600]


def test_a_rate_takes_whole_records_and_a_contract_without_capture_none() -> None:
    sent = [data(reading(), reading()) for _ in range(200)]
    world = World(with_rate(0.25))
    world.scorer().take(shard_batch(*sent), None)
    found: dict[Any, int] = {}
    for (event,) in records(table(world.captures), "event"):
        found[event] = found.get(event, 0) + 1
    assert set(found.values()) == {2}
    assert 30 < len(found) < 70
    plain = World()
    plain.scorer().take(shard_batch(*sent), None)
    assert plain.captures.objects == {}
