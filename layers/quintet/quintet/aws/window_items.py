"""Convert parts of windows to items of the stream table, in DynamoDB's JSON, and back.

A part is split into chunks, because it may be larger than an item; each holds their number.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import orjson

from quintet.aws.dynamodb import Item, attributes, text
from quintet.contract import Aggregate, Stream
from quintet.streaming.aggregates import Partials, concatenate, pack, select, statistics, unpack
from quintet.streaming.parts import Counters, Part
from quintet.streaming.sequences import padded

__all__ = ["Item", "index_key", "moment_text", "part_items", "parts_of", "window_key"]


#: bytes of a chunk before compression; an item is limited to 400 KB
MAX_CHUNK = 300 * 1024


def window_key(model: str, start: float) -> str:
    """The key of a window's parts."""
    return f"window#{model}#{moment_text(start)}"


def index_key(model: str) -> str:
    """The key of the index of a model's windows, which sorts by their starts."""
    return f"windows#{model}"


def moment_text(at: float) -> str:
    """Epoch seconds, to the millisecond, as a string that sorts by time."""
    return f"{at:015.3f}"


def part_items(part: Part, retention: float) -> Iterator[Item]:
    """The chunks of a part, and the window's entry in the index.

    They expire `retention` seconds after the window's end or the part's arrival (the later one).
    """
    chunks = list(_chunks(part.partials))
    expires = math.ceil(max(part.end, part.arrival) + retention)
    first, last = padded(part.first), padded(part.last)
    prefix = f"{part.shard}#{moment_text(part.arrival)}#{first}#{last}"
    common = {
        "key": window_key(part.model, part.start),
        "expires": expires,
        "chunks": len(chunks),
        "last": last,
    }
    head = {
        "start": part.start,
        "length": part.length,
        "entity": part.entity,
        "stream": orjson.dumps(asdict(part.stream)).decode(),
        **part.counters._asdict(),
    }
    for number, chunk in enumerate(chunks):
        yield {
            **attributes(common),
            **attributes(head if number == 0 else {}),
            "part": text(f"{prefix}#{number:04}"),
            "data": {"B": base64.b64encode(chunk).decode()},
        }
    index = {"key": index_key(part.model), "part": moment_text(part.start)}
    yield attributes({**index, "expires": expires})


def parts_of(model: str, items: Iterable[Item]) -> list[Part]:
    """Return the complete parts among the items of one window, which are ordered by key."""
    chunks: dict[str, list[Item]] = {}
    for item in items:
        chunks.setdefault(item["part"]["S"].rpartition("#")[0], []).append(item)
    found = []
    for prefix, some in chunks.items():
        head = some[0]
        if "stream" in head and len(some) == int(head["chunks"]["N"]):
            found.append(_part(model, prefix, head, some))
    return found


def _part(model: str, prefix: str, head: Item, chunks: Iterable[Item]) -> Part:
    shard, arrival, first, *_ = prefix.split("#")
    spec: Mapping[str, Any] = orjson.loads(head["stream"]["S"])
    stream = Stream(**{**spec, "aggregates": tuple(Aggregate(**a) for a in spec["aggregates"])})
    start = float(head["start"]["N"])
    partials = concatenate([_partials(stream, start, chunk["data"]["B"]) for chunk in chunks])
    return Part(
        model,
        head["entity"]["S"],
        stream,
        start,
        float(head["length"]["N"]),
        shard,
        float(arrival),
        str(int(first)),
        str(int(head["last"]["S"])),
        partials,
        Counters(*(int(head[name]["N"]) for name in Counters._fields)),
    )


def _chunks(partials: Partials) -> Iterator[bytes]:
    """Yield the partials as compressed JSON, halved until each chunk is small enough."""
    content = orjson.dumps({"entities": partials.entities, "columns": pack(partials.columns)})
    rows = len(partials)
    if len(content) <= MAX_CHUNK or rows == 1:
        yield zlib.compress(content, 1)
        return
    yield from _chunks(select(partials, np.arange(rows // 2)))
    yield from _chunks(select(partials, np.arange(rows // 2, rows)))


def _partials(stream: Stream, start: float, data: str) -> Partials:
    found = orjson.loads(zlib.decompress(base64.b64decode(data)))
    entities = found["entities"]
    columns = unpack(stream.compiled[statistics], found["columns"], len(entities))
    return Partials(np.full(len(entities), start), entities, columns)
