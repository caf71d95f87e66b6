"""Follow a stream: predictions, refusals, alerts and windows since the last poll."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from quintet.columns import column_names, numpy_dtype
from quintet.contract import Contract, Output
from quintet.replay.stream_objects import PREDICTIONS, QUARANTINE
from quintet.streaming.alert import Alert, bounded
from quintet.streaming.windows import Window
from quintet_cli.stream_reader import Cursor, Scored, StreamReader

__all__ = ["Refused", "Seen", "Tail", "past"]

#: an alert is raised after its prediction is stored
ALERT_SECONDS = 30.0
#: how many of the newest windows to check
WINDOWS = 3


@dataclass(frozen=True, slots=True)
class Refused:
    """A quarantine object: its lines."""

    key: str
    lines: list[dict[str, Any]]


Seen = Scored | Refused | Alert | Window


def past(contract: Contract, scored: Scored) -> list[int]:
    """Return the rows of predictions that are past the contract's threshold."""
    rule = contract.alert
    output = next((o for o in contract.outputs if rule is not None and o.name == rule.output), None)
    if rule is None or output is None:
        return []
    values = np.array(scored.columns[_last_column(output)], dtype=numpy_dtype(output.dtype))
    above = values > rule.above if rule.above is not None else False
    below = values < rule.below if rule.below is not None else False
    found: list[int] = np.flatnonzero(above | below).tolist()
    return found


def _last_column(output: Output) -> str:
    """Return the column of predictions that holds the last of an output's values."""
    return column_names(output)[-1]


class Tail:
    """Follows one model of a stream, or all; the first look has the `last` objects before it."""

    def __init__(self, reader: StreamReader, model: str | None, now: float, last: int = 0) -> None:
        self._reader = reader
        self._model = model
        self._contracts: dict[str, Contract] = {}
        self._cursors: dict[tuple[str, str], Cursor] = {}
        #: entities with predictions past the threshold, and when they were seen
        self._flagged: dict[tuple[str, str], float] = {}
        self._alerts: dict[tuple[str, str], str] = {}
        self._windows: dict[tuple[str, float], tuple[int, int]] = {}
        self._begun = now
        # skip what exists already, but for the last predictions: by hour, then by their number
        there = [place for place in self._objects(now) if place[0] != QUARANTINE]
        there.sort(key=lambda place: place[1].split("/", 2)[2])
        self._recent = deque(there, last)
        for _ in self._grown():
            pass

    @property
    def awaits_alerts(self) -> bool:
        """Whether a prediction was seen whose alert was not, and may still come."""
        return bool(self._flagged)

    def look(self, now: float) -> Iterator[Seen]:
        """Return what is new since the last call."""
        recent, self._recent = self._recent, deque()
        for folder, key in chain(recent, self._objects(now)):
            if folder == QUARANTINE:
                yield Refused(key, self._reader.refused(key))
                continue
            scored = self._reader.scored(key)
            contract = self.contract(scored.model)
            entities = scored.columns.get(contract.entity or "", [])
            for row in past(contract, scored) if entities else ():
                self._flagged[scored.model, bounded(entities[row] or "")] = now
            yield scored
        yield from self._raised(now)
        yield from self._grown()

    def contract(self, model: str) -> Contract:
        """Return the contract of a model, as of the first request for it."""
        if model not in self._contracts:
            self._contracts[model] = self._reader.contract(model)
        return self._contracts[model]

    def _models(self) -> list[str]:
        return [self._model] if self._model is not None else self._reader.models()

    def _objects(self, now: float) -> Iterator[tuple[str, str]]:
        """Yield new objects: the folder, and the key."""
        folders = [*(f"{PREDICTIONS}{model}/" for model in self._models()), QUARANTINE]
        for shard in self._reader.shards():
            for folder in folders:
                place = folder, shard["ShardId"]
                if place not in self._cursors:
                    self._cursors[place] = self._reader.cursor(*place)
                for key in self._cursors[place].new(now):
                    yield folder, key

    def _raised(self, now: float) -> Iterator[Alert]:
        for (model, entity), seen in list(self._flagged.items()):
            last = self._reader.alerts.last(model, entity)
            if last is not None and last.alert.at >= self._begun:
                if self._alerts.get((model, entity)) != last.alert.id:
                    self._alerts[model, entity] = last.alert.id
                    yield last.alert
                del self._flagged[model, entity]
            elif now > seen + ALERT_SECONDS:  # suppressed by a cool-down
                del self._flagged[model, entity]

    def _grown(self) -> Iterator[Window]:
        """Return windows with more parts or records than at the last call."""
        for model in self._models():
            stream = self.contract(model).stream
            if stream is None or not stream.aggregates:
                continue
            for window in self._reader.windows(model, WINDOWS):
                size = window.parts, sum(window.counters)
                if self._windows.get((model, window.start)) != size:
                    self._windows[model, window.start] = size
                    yield window
