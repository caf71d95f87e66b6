"""Clients that send feedback, labels and records of a stream until each is acknowledged."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from tests.histories.clients import Client, World
from tests.histories.history import Operation
from tests.kits import models
from tests.kits.aws import environ
from tests.kits.streams import METER

from quintet.aws.captures import CaptureBucket
from quintet.aws.client import AwsClient
from quintet.contract import Capture
from quintet.feedback import reading
from quintet.labels import table, window
from quintet_cli.stage import Stage
from quintet_cli.stream_reader import StreamReader

__all__ = ["FED", "LABELLED", "STREAMED", "Compacting", "Feedback", "Labels", "Records", "Sender"]

FED = replace(models.SHELF, name="fed")
STREAMED = replace(METER, name="streamed", version=1, alert=None)
LABELLED = replace(
    models.SHOP,
    name="labelled",
    version=1,
    features=tuple(replace(one, source="request", max_age=None) for one in models.SHOP.features),
    fallback=None,
    capture=Capture(days=30),
)


class Sender(Client):
    """Sends some ids until that is acknowledged, and some again; `count` tells which are there."""

    kind = ""
    pause = 0.4

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.number = 0
        #: what has not been acknowledged: ids, and their time
        self.due: list[tuple[list[str], float]] = []
        self.done: list[tuple[list[str], float]] = []

    def step(self) -> None:
        """Send what is due, something new, or something again."""
        if self.due:
            chosen = self.due.pop(0)
        elif self.done and self.draw.random() < 0.2:
            chosen = self.draw.choice(self.done)
        else:
            first, self.number = self.number, self.number + self.draw.randrange(1, 4)
            ids = [f"{self.name}-{number}" for number in range(first, self.number)]
            chosen = (ids, time.time())
        done = self.send(*chosen)
        (self.done if done.status == 200 else self.due).append(chosen)

    def send(self, ids: list[str], at: float) -> Operation:
        """Send some, with the time that they had first."""
        raise NotImplementedError

    def counts(self) -> Iterable[str]:
        """Every id that a reader counts, as often as it does."""
        raise NotImplementedError

    def count(self) -> Operation:
        """Count what is there."""
        action = lambda: {"counts": dict(Counter(self.counts()))}  # noqa: E731
        return self.call(f"count_{self.kind}", action)

    @property
    def captures(self) -> CaptureBucket:
        """The bucket of captures, labels and feedback."""
        local = self.world.stage.local
        client = AwsClient("s3", environ=environ(local.endpoint_url))
        return CaptureBucket(client, local.outputs["CapturesBucketName"])


class Feedback(Sender):
    """Sends feedback on impressions."""

    kind = "feedback"

    def send(self, ids: list[str], at: float) -> Operation:
        """See `Sender.send`."""
        rows = [{"impression": id, "item": 1, "type": "view", "time": at} for id in ids]
        body = {"model": FED.name, "feedback": rows}
        return self.ask("send_feedback", "POST", "/feedback", body, ids=ids)

    def counts(self) -> list[str]:
        """See `Sender.counts`."""
        known = reading.read(self.captures, FED.name, 0, time.time() + 3_600)
        assert not known.damaged, known.damaged
        return [id.decode() for id in known.feedback.impressions.tolist()]


class Labels(Sender):
    """Sends labels of predictions."""

    kind = "labels"

    def send(self, ids: list[str], at: float) -> Operation:
        """See `Sender.send`."""
        rows = [{"id": id, "label": "kept", "time": at} for id in ids]
        body = {"model": LABELLED.name, "labels": rows}
        return self.ask("send_labels", "POST", "/labels", body, ids=ids)

    def counts(self) -> list[str]:
        """See `Sender.counts`."""
        found, damaged = window.labels_since(self.captures, LABELLED.name, 0)
        assert not damaged, damaged
        return [id.decode() for id in table.settle(found).labels.ids.tolist()]


class Records(Sender):
    """Puts records on the stream; each row has an id, so that one that comes again counts once."""

    kind = "records"

    def send(self, ids: list[str], at: float) -> Operation:
        """See `Sender.send`."""
        local = self.world.stage.local
        rows = [
            {"id": id, "meter": id, "x": 2.0, "y": 1.0, "cost": 1.0, "state": "on"} for id in ids
        ]
        data = orjson.dumps({"model": STREAMED.name, "records": rows})
        put = {"StreamName": local.outputs["EventsStreamName"], "Data": data}
        kinesis = local.client("kinesis")
        return self.call(
            "send_records", lambda: kinesis.put_record(**put, PartitionKey=ids[0]), ids=ids
        )

    def counts(self) -> list[str]:
        """See `Sender.counts`."""
        reader = StreamReader(Stage.open("local", Path(self.world.stage.state)))
        prefix = f"predictions/{STREAMED.name}/"
        return [id for key in reader.keys(prefix) for id in reader.scored(key).columns["meter"]]


class Compacting(Client):
    """Has small objects of captures, labels and feedback merged, as a schedule does every hour."""

    pause = 8.0

    def step(self) -> None:
        """Merge once."""
        local = self.world.stage.local
        client = local.client("lambda")
        name = "quintet-local-Compact"
        self.call("compact", lambda: _check(client.invoke(FunctionName=name, Payload=b"{}")))


def _check(answer: Any) -> None:
    assert "FunctionError" not in answer, answer["Payload"].read()
