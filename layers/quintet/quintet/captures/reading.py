"""Lines of captures back to rows: what `capture` does with what CloudWatch Logs delivers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import orjson
from arro3 import core

from quintet.captures.arrays import array_of
from quintet.captures.plans import About, about_from
from quintet.captures.tables import (
    RECOMMENDED,
    SEALED,
    concat,
    moments,
    table_of,
    value_columns,
)

__all__ = ["Hour", "Read", "begun_apart", "read_lines"]

#: the fields of a line that are columns as they are
_PLAIN = ("event", "path", "route", "request_id", "trace_id", "caller", "job", "record", "rollout")
_STEPS = ("load_ms", "decode_ms", "features_ms", "score_ms", "total_ms")


#: where a line that tells a beginning says so: before anything that its caller chose
BEGUN_WITHIN = 40


class Hour(NamedTuple):
    """What the rows of one object have in common; `start` is epoch seconds of the full hour.

    `days` is how long they are kept.
    """

    model: str
    version: int
    days: int
    start: int


class Read(NamedTuple):
    """Rows of one hour, and their first and last event."""

    rows: core.Table
    first: str
    last: str


def begun_apart(lines: Iterable[str]) -> tuple[list[str], list[Mapping[str, Any]]]:
    """Lines of captures, and apart from them what those say that tell the beginning of a request
    while a rollout runs (`begun`)."""
    others, begun = [], []
    for text in lines:
        if '"begun":' in text[:BEGUN_WITHIN]:
            with suppress(ValueError):
                line = orjson.loads(text)
                if line.get("begun") == 1:
                    begun.append(line)
                    continue
        others.append(text)
    return others, begun


def read_lines(lines: Iterable[str]) -> tuple[dict[Hour, Read], int]:
    """The rows of lines by hour of the event, and how many lines are no captures."""
    blocks: dict[Hour, dict[Any, _Block]] = defaultdict(dict)
    events: dict[Hour, list[str]] = defaultdict(list)
    unreadable = 0
    for text in lines:
        try:
            line = orjson.loads(text)
            about = about_from(line["about"])
            start = int(line["event_time"] // 3600) * 3600
            hour = Hour(about.model, about.version, about.days, start)
            for block in _parts(line):
                shape = (about.digest, about.rate, block.shape)
                blocks[hour].setdefault(shape, _Block(about, block.shape)).add(line, block)
            events[hour].append(str(line["event"]))
        except (ValueError, TypeError, KeyError):
            unreadable += 1
    found = {}
    for hour, some in blocks.items():
        rows = concat([block.table() for block in some.values()])
        found[hour] = Read(rows, min(events[hour]), max(events[hour]))
    return found, unreadable


class _Part(NamedTuple):
    """Rows of a line with the same columns: their numbers, and what differs between them.

    `shape` is how they ended, "features" if their features are known, and their outputs.
    """

    shape: tuple[str, ...]
    rows: list[int | None]
    fixed: Mapping[str, Any]
    features: Sequence[Any] = ()


def _parts(line: Mapping[str, Any]) -> Iterable[_Part]:
    """The scored rows of a line, its refused rows, its impression, or the event as a whole."""
    if "impression" in line:
        shown = line["impression"]
        text = orjson.dumps(shown).decode()
        fixed = {"outcome": RECOMMENDED, "impression": text, "entity": shown["user"]}
        yield _Part((RECOMMENDED, ""), [None], fixed)
        return
    if "refused" in line:
        fixed = {"outcome": "refused", "refusals": line["refused"], "entity": line.get("entity")}
        yield _Part(("refused", ""), [None], fixed)
        return
    if "failure" in line:
        fixed = {"outcome": "failed", "failure": line["failure"], "entity": line.get("entity")}
        if "features" not in line:
            yield _Part(("failed", ""), [None], fixed)
            return
        index = line["index"]
        fixed["entity"] = [one or None for one in line.get("entities") or [None] * len(index)]
        fixed |= _sealed(line)
        yield _Part(("failed", "features"), index, fixed, line["features"])
        return
    index = line.get("index")
    if index is None:
        index = list(range(line["rows"]))
    if index:
        without = "features" not in line
        shape = ("scored", "" if without else "features", *line["outputs"])
        reasons = line.get("fallback", {})
        fixed = {
            "outcome": "scored",
            "without_features": without,
            "entity": [entity or None for entity in line.get("entities") or [None] * len(index)],
            "row_id": line.get("ids") or [None] * len(index),
            "fallback": [str(row) in reasons for row in index],
            "fallback_reason": [reasons.get(str(row)) for row in index],
            **_sealed(line),
        }
        yield _Part(shape, index, fixed, line.get("features", ()))
    if refusals := line.get("refusals"):
        yield from _refused(line, refusals)


def _refused(line: Mapping[str, Any], refusals: Mapping[str, str]) -> Iterable[_Part]:
    """The refused rows of a line: those that the model failed on may have their features."""
    numbers = [int(row) for row in refusals]
    entities = line.get("refused_entities") or [None] * len(numbers)
    of = dict(zip(numbers, entities, strict=True))
    failed = line.get("failed_index", ())
    others = [row for row in numbers if row not in set(failed)]
    for rows, features in ((others, None), (failed, line.get("failed_features"))):
        if rows:
            fixed = {
                "outcome": "refused",
                "refusals": [refusals[str(row)] for row in rows],
                "entity": [of[row] or None for row in rows],
            }
            if features is not None:
                fixed |= _sealed(line, "failed_")
            shape = ("refused", "" if features is None else "features")
            yield _Part(shape, list(rows), fixed, features or ())


def _sealed(line: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The encrypted features of rows, if a line has such."""
    if f"{prefix}sealed" not in line:
        return {}
    return {name: line[f"{prefix}{name}"] for name in SEALED}


class _Block:
    """Rows of several lines with the same columns."""

    def __init__(self, about: About, shape: tuple[str, ...]) -> None:
        self._about = about
        self._shape = shape
        self._count = 0
        self._fixed: dict[str, list[Any]] = defaultdict(list)
        self._features: list[list[Any]] = [[] for _ in (*about.groups, *about.shaped)]
        self._ages: list[Any] = []
        self._known: list[Any] = []
        self._outputs: dict[str, list[Any]] = {name: [] for name in shape[2:]}

    def add(self, line: Mapping[str, Any], part: _Part) -> None:
        """Add the rows of a line."""
        count, took = len(part.rows), line.get("ms", {})
        fixed = {
            "row": part.rows,
            "event_time": line["event_time"],
            "served_at": line.get("served_at", line["event_time"]),
            "rows": line["rows"],
            "cold": line.get("cold", False),
            **{name: line.get(name) for name in _PLAIN},
            **{step: took.get(step) for step in _STEPS},
            **dict.fromkeys(SEALED),
            **part.fixed,
        }
        for name, value in fixed.items():
            self._fixed[name] += value if isinstance(value, list) else [value] * count
        self._count += count
        for held, values in zip(self._features, part.features, strict=False):
            held.extend(values)
        if self._shape[0] != "scored":
            self._ages += [[float("nan")] * len(self._about.ages)] * count
            self._known += [[0.0] * len(self._about.ages)] * count
            return
        self._ages += line.get("ages", ())
        self._known += line.get("known") or [[0.0] * len(self._about.ages)] * count
        for name, known in self._outputs.items():
            known.extend(line["outputs"][name])

    def table(self) -> core.Table:
        """All rows added."""
        about, columns = self._about, {}
        fixed: dict[str, Any] = {**self._fixed, "model": about.model, "version": about.version}
        fixed |= {"digest": about.digest, "rate": about.rate}
        for name in ("event_time", "served_at"):
            fixed[name] = moments(np.array(fixed[name]))
        if "scored" in self._shape or "features" in self._shape[:2]:
            kinds = [(dtype, False) for _, dtype in about.groups]
            kinds += [(dtype, -1 in shape) for _, dtype, shape in about.shaped]
            features = None
            if "features" in self._shape[:2]:
                features = [
                    array_of(values, dtype, free=free)
                    for values, (dtype, free) in zip(self._features, kinds, strict=True)
                ]
            shape = (self._count, len(about.ages))
            ages = np.array(self._ages, dtype=np.float32).reshape(shape)
            known = np.array(self._known, dtype=np.float64).reshape(shape)
            of = {name: (dtype, parts is None) for name, dtype, parts in about.outputs}
            outputs = {}
            for name, values in self._outputs.items():
                dtype, free = of[name]
                outputs[name] = array_of(values, dtype, free=free)
            columns = value_columns(about, features, ages, outputs, known)
            for name in SEALED:
                if any(self._fixed[name]):
                    columns[name] = np.array(self._fixed[name], dtype=object)
        return table_of(self._count, fixed, columns)
