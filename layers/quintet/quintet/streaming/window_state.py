"""The state that an event source passes from one invocation of a window to the next."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import orjson

from quintet.columns import TRUE
from quintet.contract import Aggregate, Stream
from quintet.streaming.aggregates import (
    Partials,
    concatenate,
    pack,
    reduce,
    select,
    statistics,
    unpack,
)
from quintet.streaming.parts import Counters, Part

__all__ = ["OpenPart", "closed", "joined", "read", "write"]

FORM = 1
#: deflated, half as large; it also spares Lambda's runtime, which parses and writes it as JSON
DEFLATED_FORM = 2
DEFLATED = 16_384  # bytes of JSON from which a state is


@dataclass(slots=True)
class OpenPart:
    """One shard's aggregates of one model since it last closed a part.

    See `quintet.streaming.parts.Part`; `greatest` is the newest time so far. The state contains
    everything needed to close the part, so the last invocation of a window needs no records.
    """

    entity: str
    stream: Stream
    length: float
    first: str
    last: str
    greatest: float
    partials: Partials
    counters: dict[float, Counters] = field(default_factory=dict)

    def alike(self, other: OpenPart) -> bool:
        """Whether the two can be merged: a model's contract may change within a window."""
        mine, theirs = (self.entity, self.length), (other.entity, other.length)
        return mine == theirs and self.stream == other.stream


def joined(before: OpenPart, after: OpenPart) -> OpenPart:
    """Merge earlier and later aggregates."""
    counters = dict(before.counters)
    for start, more in after.counters.items():
        counters[start] = counters.get(start, Counters()).plus(more)
    return OpenPart(
        after.entity,
        after.stream,
        after.length,
        before.first,
        after.last,
        max(before.greatest, after.greatest),
        reduce(concatenate([before.partials, after.partials])),
        counters,
    )


def closed(model: str, found: OpenPart, shard: str, arrival: float) -> list[Part]:
    """The parts of the aggregates, one for each window, entities in order."""
    partials = found.partials
    rank = sorted(range(len(partials)), key=partials.entities.__getitem__)
    partials = select(partials, np.array(rank, dtype=np.int64))
    starts = sorted({*np.unique(partials.starts).tolist(), *found.counters})
    return [
        Part(
            model,
            found.entity,
            found.stream,
            start,
            found.length,
            shard,
            arrival,
            found.first,
            found.last,
            select(partials, partials.starts == start),
            found.counters.get(start, Counters()),
        )
        for start in starts
    ]


def write(gathered: Mapping[str, OpenPart]) -> tuple[dict[str, Any], int]:
    """The state, JSON-ready, and its bytes as compact JSON; {} if it is empty."""
    if not gathered:
        return {}, 2
    models = {model: _write(found) for model, found in gathered.items()}
    content = orjson.dumps(models)
    if len(content) < DEFLATED:
        return {"form": FORM, "models": models}, len('{"form":1,"models":}') + len(content)
    deflated = base64.b64encode(zlib.compress(content, 1)).decode()
    return {"form": DEFLATED_FORM, "deflated": deflated}, len('{"form":2,"deflated":""}') + len(
        deflated
    )


def read(state: Any) -> dict[str, OpenPart]:
    """Parse the output of `write`.

    Raises:
        ValueError: it is not an output of `write`.
    """
    if state == {} and isinstance(state, dict):
        return {}
    try:
        if state["form"] == DEFLATED_FORM:
            models = orjson.loads(zlib.decompress(base64.b64decode(state["deflated"])))
        elif state["form"] == FORM:
            models = state["models"]
        else:
            raise ValueError("another form of state")
        return {str(model): _read(found) for model, found in models.items()}
    except (ArithmeticError, AttributeError, LookupError, TypeError, zlib.error) as error:
        raise ValueError("no state of these windows") from error


def _write(found: OpenPart) -> dict[str, Any]:
    partials = found.partials
    starts, which = partials.starts[:1], None
    if TRUE in (partials.starts != starts).tobytes():
        starts, which = np.unique(partials.starts, return_inverse=True)
    return {
        "entity": found.entity,
        "stream": found.stream.compiled[_spec],
        "length": found.length,
        "first": found.first,
        "last": found.last,
        "greatest": found.greatest if math.isfinite(found.greatest) else None,
        "counters": [[start, *counters] for start, counters in found.counters.items()],
        "starts": starts.tolist(),
        "which": None if which is None else which.tolist(),
        "entities": list(partials.entities),
        "columns": pack(partials.columns),
    }


def _spec(stream: Stream) -> dict[str, Any]:
    return asdict(stream)


def _read(state: Mapping[str, Any]) -> OpenPart:
    stream = state["stream"]
    stream = Stream(**{**stream, "aggregates": tuple(Aggregate(**a) for a in stream["aggregates"])})
    entities = state["entities"]
    if type(entities) is not list or not set(map(type, entities)) <= {str}:
        raise ValueError("entities are texts")
    which = np.zeros(len(entities), np.int64) if state["which"] is None else state["which"]
    starts = np.array(state["starts"], dtype=np.float64)[which]
    if starts.shape != (len(entities),):
        raise ValueError("each entity has a window")
    first, last = str(state["first"]), str(state["last"])
    if not (first.isdecimal() and last.isdecimal()):
        raise ValueError("a sequence number has digits alone")
    greatest = state["greatest"]
    return OpenPart(
        str(state["entity"]),
        stream,
        float(state["length"]),
        first,
        last,
        -np.inf if greatest is None else float(greatest),
        Partials(
            starts, entities, unpack(stream.compiled[statistics], state["columns"], len(entities))
        ),
        {float(start): Counters(*map(int, counts)) for start, *counts in state["counters"]},
    )
