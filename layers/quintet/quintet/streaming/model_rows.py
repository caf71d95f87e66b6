"""The input of one invocation: the records as received, and their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array, Batch
from quintet.contract import Contract
from quintet.errors import Refusal
from quintet.serving.model_cache import PublishedModel

__all__ = ["AHEAD_SECONDS", "Decoded", "ModelRows", "ShardBatch", "TumblingWindow", "Undecodable"]

#: how far a row's own time may be ahead of its arrival, in seconds: clocks differ
AHEAD_SECONDS = 300.0


@dataclass(slots=True)
class ShardBatch:
    """The records of one shard in one invocation, in the shard's order.

    `shard` is "<stream>/<shard id>". `sequences` are the sequence numbers as received (digits),
    `data` the producers' bytes, `keys` the partition keys, `arrived` the approximate arrival in
    epoch seconds, (records,).
    """

    shard: str
    sequences: Sequence[str]
    keys: Sequence[str]
    data: Sequence[bytes]
    arrived: NDArray[np.float64]


@dataclass(slots=True)  # not frozen: that takes a call for each field
class TumblingWindow:
    """The tumbling window that an invocation is in: epoch seconds, and the state so far.

    `state` is what the last invocation of the window returned, {} for the first. `final` is the
    last invocation of the window. `early` is one that ends before the window does, because the
    state is too large for the event source; the window has further parts then.
    """

    start: float
    end: float
    state: Any
    final: bool
    early: bool


@dataclass(slots=True)
class ModelRows:
    """The rows of one model in one invocation.

    `record` (rows,) is the position of each row's record in the shard's batch, ascending; `row`
    (rows,) its number within that record. `fields` holds, (rows,), the fields that the contract's
    aggregates read, by name: float64, or an object array of str. `times` (rows,) is when each row
    happened, in epoch seconds: its own time if the contract names a field for it, else its record's
    arrival. `counted` (rows,) is False for rows that cannot be aggregated (no entity, an invalid
    field or time); the batch refuses them.
    """

    contract: Contract
    batch: Batch
    record: NDArray[np.int64]
    row: NDArray[np.int64]
    fields: dict[str, Array]
    times: NDArray[np.float64]
    counted: NDArray[np.bool_]


@dataclass(slots=True)
class Undecodable:
    """An unreadable record, by its position; `model` if it names one."""

    record: int
    reasons: Sequence[Refusal]
    model: str | None = None


@dataclass(slots=True)
class Decoded:
    """A decoded batch: the rows of each model, and the unreadable records."""

    by_model: Sequence[tuple[PublishedModel, ModelRows]]
    undecodable: Sequence[Undecodable]
