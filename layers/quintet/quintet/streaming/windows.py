"""Windows: what an invocation adds to them, the state it returns, and the parts it closes.

All of it depends only on the state and the records: a repeated invocation aggregates and closes the
same, whatever its other effects were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quintet.columns import FALSE
from quintet.contract import Stream
from quintet.features import MemoryFeatures
from quintet.streaming import window_state
from quintet.streaming.aggregates import reduce, units
from quintet.streaming.model_rows import AHEAD_SECONDS, ModelRows, ShardBatch, TumblingWindow
from quintet.streaming.parts import Counters, Part, Window, summed
from quintet.streaming.sequences import padded
from quintet.streaming.window_features import WindowFeatures, updated, window_updates
from quintet.streaming.window_state import OpenPart

__all__ = ["Advanced", "MemoryWindows", "Part", "Window", "WindowStore", "advance"]

#: bytes of state: the event source accepts 1 MB, of less compact JSON
MAX_STATE = 256 * 1024
#: characters of an entity: it is a key of the feature store
MAX_ENTITY = 1024


class WindowStore(Protocol):
    """The store of closed parts."""

    def close(self, parts: Sequence[Part]) -> None:
        """Store parts, and their aggregates as features of the entities. Idempotent.

        Raises:
            Transient: not all parts could be stored.
        """
        ...


class MemoryWindows:
    """A window store in memory."""

    def __init__(self) -> None:
        self.parts: dict[tuple[str, float], dict[tuple[str, str, str], Part]] = {}
        self.features = MemoryFeatures()
        self._window_features: dict[tuple[str, str, str], WindowFeatures] = {}

    def close(self, parts: Sequence[Part]) -> None:
        """See `WindowStore.close`."""
        for part in parts:
            of_window = self.parts.setdefault((part.model, part.start), {})
            of_window[part.shard, padded(part.first), padded(part.last)] = part
        for (model, entity), found in window_updates(parts).items():
            for update in found:
                key = (model, update.part.entity, entity)
                features = updated(self._window_features.get(key), update)
                if features is not None:
                    self._window_features[key] = features
                    for name, value in features.values.items():
                        self.features.put(update.part.entity, entity, name, value, features.end)

    def read(self, model: str, start: float) -> Window | None:
        """A window, summed over its parts; None if it has no parts."""
        return summed(model, start, list(self.parts.get((model, start), {}).values()))

    def starts(self, model: str) -> list[float]:
        """The starts of a model's windows that have parts, in order."""
        return sorted(start for name, start in self.parts if name == model)


@dataclass(slots=True)  # not frozen: that takes a call for each field
class Advanced:
    """The result for the windows: the state to return, and the counts.

    `late`, `out_of_order` and `future`: see `Counters`. `parts` were closed. `spilled` says that
    parts were closed because the state grew too large, `state_lost` that the received state was
    invalid.
    """

    state: dict[str, Any]
    counts: Counters
    parts: int
    spilled: bool
    state_lost: bool


def advance(
    tumbling: TumblingWindow,
    shard_batch: ShardBatch,
    rows_by_model: Sequence[ModelRows],
    store: WindowStore,
    *,
    max_state: int = MAX_STATE,
) -> Advanced:
    """Add the rows of an invocation to its windows, and close the parts that are due.

    If the whole would grow too large, the received state is closed by itself: its part is then the
    same, however the records are batched when the call is repeated.

    Raises:
        Transient: parts could not be stored. Repeat the invocation with the same state.
    """
    try:
        before, lost = window_state.read(tumbling.state), False
    except ValueError:
        before, lost = {}, True
    parts: list[Part] = []
    counts = Counters()
    spilled = False
    fresh: dict[str, OpenPart] = {}
    for model_rows in rows_by_model:
        stream = model_rows.contract.stream
        if stream is None or not stream.aggregates or model_rows.batch.entities is None:
            continue
        name = model_rows.contract.name
        came = before.get(name)
        fresh[name] = found = _gathered(
            tumbling, shard_batch, model_rows, stream, -np.inf if came is None else came.greatest
        )
        for counters in found.counters.values():
            counts = counts.plus(counters)
        if came is not None and not came.alike(found):
            parts += window_state.closed(name, before.pop(name), shard_batch.shard, tumbling.start)
    whole = before | fresh
    for name in before.keys() & fresh.keys():
        whole[name] = window_state.joined(before[name], fresh[name])

    def close(gathered: dict[str, OpenPart]) -> None:
        for name, found in gathered.items():
            parts.extend(window_state.closed(name, found, shard_batch.shard, tumbling.start))

    state: dict[str, Any] = {}
    if tumbling.final or tumbling.early:
        close(whole)
    else:
        state, size = window_state.write(whole)
        if size > max_state:
            spilled = True
            close(before)
            state, size = window_state.write(fresh)
            if size > max_state:
                close(fresh)
                state = {}
    if parts:
        store.close(parts)
    return Advanced(state, counts, len(parts), spilled, lost)


def _gathered(
    tumbling: TumblingWindow,
    shard_batch: ShardBatch,
    model_rows: ModelRows,
    stream: Stream,
    greatest: float,
) -> OpenPart:
    """The rows of one model in one invocation, by window and entity."""
    assert model_rows.contract.entity is not None and model_rows.batch.entities is not None
    entities = model_rows.batch.entities
    used, times = model_rows.counted, model_rows.times
    if max(map(len, entities), default=0) > MAX_ENTITY:
        used = used & np.array([len(entity) <= MAX_ENTITY for entity in entities])
    counted: dict[float, dict[str, int]] = {}
    if stream.time is None or stream.window is None:
        length = tumbling.end - tumbling.start
        starts = np.empty(len(times))
        starts.fill(tumbling.start)
    else:
        length = stream.window
        arrived = shard_batch.arrived[model_rows.record]
        starts = np.floor(times / length) * length
        late = used & (arrived > starts + length + stream.allowed_lateness)
        future = ~model_rows.counted & (times > arrived + AHEAD_SECONDS)
        used = used & ~late
        # times before 1970 are invalid: all of them count in one window
        _tally(counted, "late", np.maximum(starts[late], 0.0))
        _tally(counted, "future", np.floor(arrived[future] / length) * length)
    fields, record = model_rows.fields, model_rows.record
    if FALSE in used.tobytes():
        starts, times, record = starts[used], times[used], record[used]
        entities = [entities[row] for row in np.flatnonzero(used).tolist()]
        fields = {name: column[used] for name, column in fields.items()}
    seen = np.maximum.accumulate(times)
    if len(seen) and seen[0] < greatest:  # else it grows from there
        seen = np.maximum(seen, greatest)
    _tally(counted, "records", starts)
    _tally(counted, "out_of_order", starts[times < seen])
    partials = units(
        stream,
        starts=starts,
        entities=entities,
        fields=fields,
        times=times,
        sequences=lambda: np.array(shard_batch.sequences, dtype=object)[record],
    )
    return OpenPart(
        model_rows.contract.entity,
        stream,
        length,
        shard_batch.sequences[0],
        shard_batch.sequences[-1],
        float(seen[-1]) if len(seen) else greatest,
        reduce(partials),
        {start: Counters(**kinds) for start, kinds in counted.items()},
    )


def _tally(counted: dict[float, dict[str, int]], kind: str, starts: NDArray[np.float64]) -> None:
    """Count all rows of one kind, by the start of their window."""
    if len(starts) == 0:
        return
    if len(starts) == 1 or (starts == starts[0]).all():
        found = [(starts[0], len(starts))]
    else:
        found = list(zip(*np.unique(starts, return_counts=True), strict=True))
    for start, rows in found:
        counted.setdefault(float(start), {})[kind] = int(rows)
