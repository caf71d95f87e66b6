"""Impressions as they were captured: what was shown to whom, and the rows that were ranked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from arro3 import core
from numpy.typing import NDArray

from quintet.captures.queries import find, hourly
from quintet.captures.store import CaptureObjects
from quintet.captures.tables import RECOMMENDED, take
from quintet.columns import MAX_ID_BYTES
from quintet.contract import Contract
from quintet.formats.arrow import text_bytes
from quintet.labels.ids import Ids, Index
from quintet_cli.impressions.pairs import Pairs

__all__ = ["Logged", "Shown", "logged", "shown_in"]

DAY = 86_400.0

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shown:
    """Impressions, (impressions,) each, and the items that they showed, (shown,) each.

    `events` are their ids, `times` epoch seconds, `closes` when feedback no longer counts, and
    `users` UTF-8. `answer` is the number of an item's impression, `position` counts from 1.
    """

    events: Ids
    times: Floats
    closes: Floats
    users: Ids
    answer: Ints
    item: Ints
    position: Ints
    propensity: Floats

    @classmethod
    def joined(cls, parts: Sequence[Shown]) -> Shown:
        """All impressions of several parts, numbered on."""
        columns = {
            name: np.concatenate([getattr(part, name) for part in (_NONE, *parts)])
            for name in cls.__slots__
        }
        starts = np.cumsum([0, *(len(part.events) for part in parts)])
        numbered = [part.answer + start for part, start in zip(parts, starts, strict=False)]
        return cls(**columns | {"answer": np.concatenate([_NONE.answer, *numbered])})


_INTS, _FLOATS = np.empty(0, np.int64), np.empty(0)
_NONE = Shown(np.empty(0, "S1"), _FLOATS, _FLOATS, np.empty(0, "S1"), _INTS, _INTS, _INTS, _FLOATS)


@dataclass(frozen=True, slots=True)
class Logged:
    """The impressions of one version within an hour.

    `documents` are as docs/captures.md says, and `candidates` how many were to be ranked for each.
    `rows` are the features of the version's predictions of these answers, as captured, `ranked` the
    number of each row's impression, and `items` its item, (rows,) each.
    """

    contract: Contract
    shown: Shown
    documents: Sequence[Mapping[str, Any]]
    candidates: Ints
    rows: core.Table
    ranked: Ints
    items: Ints

    def rows_of(self, answer: Ints, item: Ints) -> Ints:
        """The row in which an item was ranked for an impression, (wanted,); -1 without one."""
        return Pairs(self.ranked, self.items).find(answer, item)


def logged(
    objects: CaptureObjects,
    model: str,
    since: float,
    until: float,
    contract_of: Callable[[int], Contract | None],
) -> Iterator[Logged]:
    """The impressions of a model from `since` to before `until`, in epoch seconds, each once.

    `contract_of` is that of a version, None if it does not exist any more: its impressions, whose
    contract is not known, are left out.

    Raises:
        BadInput: an object of captures is damaged.
        Transient: captures could not be read.
    """
    contracts: dict[int, Contract | None] = {}
    for rows in hourly(objects, find(objects, model, since, until)):
        version = rows["version"][0].as_py()
        if version not in contracts:
            contracts[version] = contract_of(version)
        contract = contracts[version]
        if contract is not None and contract.recommend is not None:
            found = _logged(contract, rows, since, until)
            if found.documents:
                yield found


def _logged(contract: Contract, rows: core.Table, since: float, until: float) -> Logged:
    rule = contract.recommend
    assert rule is not None
    outcome = text_bytes(rows["outcome"].combine_chunks(), 16)
    times = rows["event_time"].combine_chunks().cast(core.DataType.int64()).to_numpy() / 1e6
    inside = (times >= since) & (times < until) & (outcome == RECOMMENDED.encode())
    at = np.flatnonzero(inside)
    events = text_bytes(rows["event"].combine_chunks(), MAX_ID_BYTES)
    documents = [
        orjson.loads(text) for text in rows["impression"].combine_chunks().take(at).to_pylist()
    ]
    scored = (outcome == b"scored") & ~_flags(rows, "without_features")
    name = f"feature_{rule.item}"
    if name not in rows.column_names:
        scored[:] = False
    ranked = Index(events[at]).find(events)
    kept = np.flatnonzero(scored & (ranked >= 0))
    items = _INTS
    if len(kept):
        items = rows[name].combine_chunks().take(kept).to_numpy().astype(np.int64)
    shown = shown_in(events[at], times[at], documents, rule.feedback_days * DAY)
    return Logged(
        contract=contract,
        shown=shown,
        documents=documents,
        candidates=rows["rows"].combine_chunks().take(at).to_numpy(),
        rows=_features(rows, kept),
        ranked=ranked[kept],
        items=items,
    )


def _features(rows: core.Table, index: Ints) -> core.Table:
    names = [name for name in rows.column_names if name.startswith("feature_")]
    return take(rows.select(names), index)


def shown_in(
    events: Ids, times: Floats, documents: Sequence[Mapping[str, Any]], window: float
) -> Shown:
    """What impressions showed; feedback counts for `window` seconds."""
    sizes = np.array([len(one["items"]) for one in documents], dtype=np.int64)
    ends = np.cumsum(sizes)
    return Shown(
        events=events,
        times=times,
        closes=times + window,
        users=np.array([one["user"].encode() for one in documents], dtype=np.bytes_),
        answer=np.repeat(np.arange(len(sizes)), sizes),
        item=_flat(documents, "items", np.int64),
        position=np.arange(sizes.sum()) - np.repeat(ends - sizes, sizes) + 1,
        propensity=_flat(documents, "propensity", np.float64),
    )


def _flat(documents: Sequence[Mapping[str, Any]], name: str, dtype: Any) -> NDArray[Any]:
    return np.array([value for one in documents for value in one[name]], dtype=dtype)


def _flags(rows: core.Table, name: str) -> NDArray[np.bool_]:
    return np.array([bool(flag) for flag in rows[name].to_pylist()], dtype=np.bool_)
