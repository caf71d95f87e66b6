"""What a stream's records leave behind in memory, and an adversary around every call of a port."""

from __future__ import annotations

import base64
import io
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from arro3 import io as arrow_io
from tests.kits import models
from tests.kits.streams import METER, NOW, cache_of, data, reading, sequence, shard_batch

from quintet.captures.store import MemoryCaptures
from quintet.contract import Capture
from quintet.errors import Transient
from quintet.features import MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.streaming.alerts import AlertNotifier, MemoryAlertChannel, MemoryAlertState
from quintet.streaming.checkpoints import MemoryCheckpoints
from quintet.streaming.commit_log import MemorySink
from quintet.streaming.decoding import decode
from quintet.streaming.latest import MemoryLatest
from quintet.streaming.model_rows import ShardBatch
from quintet.streaming.record_ids import MemoryScoredIds
from quintet.streaming.scorer import Scorer
from quintet.streaming.windows import MemoryWindows

__all__ = ["CAPTURED", "Adversary", "Crash", "Records", "World", "check"]

MODEL = OnnxModel(METER, models.log_graph())
CAPTURED = OnnxModel(replace(METER, capture=Capture()), models.log_graph())


class Crash(BaseException):
    """The invocation ended here."""


class Adversary:
    """Decides at every call of a port what becomes of it; `turn` lets another invocation go on."""

    def __init__(self, seed: int, rate: float) -> None:
        self.random = random.Random(seed)
        self.rate = rate
        self.turn: Callable[[], None] = lambda: None

    def strike(self, after: bool) -> None:
        """Raise, or not."""
        self.turn()
        draw = self.random.random()
        if draw < self.rate / 2:
            raise Crash
        if draw < self.rate:
            raise Transient("struck " + ("after" if after else "before"))


class Struck:
    """A port with the adversary around its calls."""

    def __init__(self, port: Any, adversary: Adversary) -> None:
        self._port = port
        self._adversary = adversary

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._port, name)

        def struck(*given: Any) -> Any:
            self._adversary.strike(after=False)
            found = call(*given)
            self._adversary.strike(after=True)
            return found

        return struck


@dataclass
class World:
    """What outlives invocations."""

    model: OnnxModel = MODEL
    sink: MemorySink = field(default_factory=MemorySink)
    checkpoints: MemoryCheckpoints = field(default_factory=MemoryCheckpoints)
    ids: MemoryScoredIds = field(default_factory=MemoryScoredIds)
    latest: MemoryLatest = field(default_factory=MemoryLatest)
    alert_state: MemoryAlertState = field(default_factory=MemoryAlertState)
    alert_channel: MemoryAlertChannel = field(default_factory=MemoryAlertChannel)
    windows: MemoryWindows = field(default_factory=MemoryWindows)
    captures: MemoryCaptures = field(default_factory=MemoryCaptures)

    def scorer(self, adversary: Adversary | None = None) -> Scorer:
        """A scorer on its ports, each with the adversary around it."""
        ports: list[Any] = [
            self.sink,
            self.checkpoints,
            self.ids,
            self.latest,
            self.alert_state,
            self.alert_channel,
            self.windows,
            self.captures,
        ]
        if adversary is not None:
            ports = [Struck(port, adversary) for port in ports]
        sink, checkpoints, ids, latest, alert_state, alert_channel, windows, captures = ports
        return Scorer(
            decode=lambda found: decode(found, lambda name: self.model, "log"),
            models=cache_of(self.model),
            features=MemoryFeatures(),
            sink=sink,
            checkpoints=checkpoints,
            ids=ids,
            latest=latest,
            alerts=AlertNotifier(alert_state, [alert_channel]),
            windows=windows,
            captures=captures,
            clock=lambda: NOW + 1,
        )

    def predictions(self) -> Counter[tuple[str, int]]:
        """Sequence and row of all rows in the sink."""
        found: Counter[tuple[str, int]] = Counter()
        for key, stored in self.sink.objects.items():
            if key.startswith("predictions/"):
                table = arrow_io.read_parquet(io.BytesIO(stored.body)).read_all()
                places = (table["sequence"].to_pylist(), table["row"].to_pylist())
                found.update(zip(*places, strict=True))
        return found

    def quarantine(self) -> list[dict[str, Any]]:
        """All lines of the quarantine."""
        return [
            json.loads(line)
            for key, stored in self.sink.objects.items()
            if key.startswith("quarantine/")
            for line in stored.body.splitlines()
        ]


@dataclass
class Records:
    """The records of a shard, and what they are to come to."""

    data: list[bytes] = field(default_factory=list)
    good: Counter[tuple[str, int]] = field(default_factory=Counter)
    bad: dict[tuple[str, int | None], bytes] = field(default_factory=dict)
    sums: dict[str, tuple[int, float]] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)

    @classmethod
    def made(cls, count: int, seed: int) -> Records:
        """Records of one to three rows, one in ten of them poison, one row in ten refused."""
        draw = random.Random(seed)
        found = cls()
        for number in range(count):
            if draw.random() < 0.1:
                found.data.append(draw.choice([b"", b"{", b"\xff\xfe", b'"text"', b"[]"]))
                found.bad[sequence(number), None] = found.data[-1]
                continue
            rows = []
            for _ in range(draw.choice([1, 1, 1, 3])):
                x = 0.0 if draw.random() < 0.1 else float(draw.randint(1, 30))
                rows.append(reading(f"m{draw.randint(1, 4)}", x, cost=float(draw.randint(1, 9))))
            found.data.append(data(*rows))
            for place, row in enumerate(rows):
                found._row(sequence(number), place, row)
        return found

    @classmethod
    def sent_again(cls, count: int, seed: int) -> Records:
        """Records of which some have ids and come three times, among others without."""
        draw = random.Random(seed)
        found, again = cls(), list[tuple[int, bytes]]()
        for number in range(count):
            due = [entry for entry in again if entry[0] <= number]
            if due:
                again.remove(due[0])
                found.data.append(due[0][1])
                continue
            rows = []
            for place in range(draw.choice([1, 1, 3])):
                row = reading(f"m{draw.randint(1, 4)}", float(draw.randint(1, 30)))
                rows.append({**row, "cost": float(draw.randint(1, 9)), "id": f"{number}/{place}"})
            form = draw.choice(["rows", "whole", "alone", "none"])
            if form in ("whole", "none"):
                rows = [{k: v for k, v in row.items() if k != "id"} for row in rows]
            if form == "whole":
                body = json.dumps({"id": number, "model": "log", "records": rows}).encode()
            elif form == "alone":  # a bare object, of the stream's default model
                rows = rows[:1]
                body = json.dumps(rows[0]).encode()
            else:
                body = data(*rows)
            found.data.append(body)
            for place, row in enumerate(rows):
                found._row(sequence(number), place, row)
            if form != "none":
                again += [(number + draw.randint(1, 20), body) for _ in range(2)]
        return found

    def _row(self, at: str, place: int, row: dict[str, Any]) -> None:
        meter = row["meter"]
        count, total = self.sums.get(meter, (0, 0.0))
        self.sums[meter] = (count + 1, total + row["cost"])
        if row["x"] == 0.0:  # the logarithm of zero is no answer, but the row is aggregated
            self.bad[at, place] = self.data[-1]
        else:
            self.good[at, place] += 1
            self.last[meter] = at

    def shard_batch(self, start: int, end: int) -> ShardBatch:
        """Some of them."""
        return shard_batch(*self.data[start:end], first=start)


def check(world: World, records: Records) -> None:
    """Hold what is there to what is to be there."""
    assert world.predictions() == records.good
    lines = world.quarantine()
    assert Counter((line["sequence"], line["row"]) for line in lines) == Counter(
        dict.fromkeys(records.bad, 1)
    )
    for line in lines:
        if line["data"] is not None:
            kept = base64.b64decode(line["data"])
            assert kept == records.bad[line["sequence"], line["row"]]
    with_bytes = {line["sequence"] for line in lines if line["data"] is not None}
    assert with_bytes == {line["sequence"] for line in lines}
    sums: dict[str, tuple[Any, ...]] = {}
    for start in world.windows.starts("log"):
        window = world.windows.read("log", start)
        assert window is not None
        for entity, values in window.entities.items():
            before = sums.get(entity, (0, 0.0))
            sums[entity] = before[0] + values["readings"], before[1] + values["spent"]
    assert sums == records.sums
    assert {key[2]: one.sequence for key, one in world.latest.stored.items()} == records.last
    told = {alert.entity for alert in world.alert_channel.alerts}
    assert told == {raised.alert.entity for raised in world.alert_state.stored.values()}
    assert all(raised.sent for raised in world.alert_state.stored.values())
