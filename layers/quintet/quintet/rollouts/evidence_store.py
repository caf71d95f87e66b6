"""The evidence of rollouts as objects: one for each object of captures, and step, that it is of."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Any, Protocol

import numpy as np
from arro3 import core

from quintet.captures.store import CaptureObjects, CaptureSink
from quintet.captures.tables import read_parquet, write_parquet
from quintet.rollouts.evidence import Evidence, once

__all__ = [
    "EVIDENCE",
    "EvidenceObjects",
    "EvidenceStore",
    "MemoryEvidence",
    "evidence_key",
    "from_parquet",
    "to_parquet",
]

#: where evidence is in the captures' bucket
EVIDENCE = "rollouts/"
#: objects that are read at once
THREADS = 16


class EvidenceStore(Protocol):
    """The evidence of all rollouts."""

    def put(self, model: str, rollout: str, step: int, key: str, evidence: Evidence) -> None:
        """Keep evidence of a rollout's step. `key` is what it was made of, such as the key of an
        object of captures: the same again replaces it. Raises Transient."""
        ...

    def read(self, model: str, rollout: str) -> Evidence:
        """All evidence of a rollout, of every step, each element once. Raises Transient."""
        ...


def evidence_key(model: str, rollout: str, step: int, key: str) -> str:
    """The key of the evidence that was made of `key`."""
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"{EVIDENCE}{model}/{rollout}/{step}/{name}.parquet"


def to_parquet(evidence: Evidence) -> bytes:
    """Evidence as a file of one column for each of its fields."""
    columns: dict[str, Any] = {}
    for column in fields(Evidence):
        values = getattr(evidence, column.name)
        columns[column.name] = (
            core.Array(values.tolist(), core.DataType.string())
            if column.name == "event"
            else core.Array.from_numpy(np.ascontiguousarray(values))
        )
    return write_parquet(core.Table.from_pydict(columns))


def from_parquet(body: bytes) -> Evidence:
    """The evidence in a file. Raises BadInput if it is damaged."""
    table = read_parquet(body)
    events = np.array(table["event"].to_pylist(), dtype=np.str_)
    others = [column.name for column in fields(Evidence)][1:]
    return Evidence(events, *(table[name].combine_chunks().to_numpy() for name in others))


class EvidenceObjects:
    """Evidence beside captures. What was read is kept, since objects are made once: a process that
    reads again lists them, and gets what is new."""

    def __init__(self, objects: CaptureObjects, sink: CaptureSink) -> None:
        self._objects = objects
        self._sink = sink
        self._of: tuple[str, str] = ("", "")
        self._known: dict[str, Evidence] = {}

    def put(self, model: str, rollout: str, step: int, key: str, evidence: Evidence) -> None:
        """See `EvidenceStore.put`."""
        place = evidence_key(model, rollout, step, key)
        self._sink.put(place, to_parquet(evidence))
        if (model, rollout) == self._of:
            self._known[place] = evidence

    def read(self, model: str, rollout: str) -> Evidence:
        """See `EvidenceStore.read`."""
        if (model, rollout) != self._of:
            self._of, self._known = (model, rollout), {}
        keys = self._objects.keys(f"{EVIDENCE}{model}/{rollout}/")
        new = [key for key in keys if key not in self._known]
        with ThreadPoolExecutor(THREADS) as pool:
            for key, stored in zip(new, pool.map(self._objects.get, new), strict=True):
                if stored is not None:
                    self._known[key] = from_parquet(stored.body)
        return once(self._known[key] for key in keys if key in self._known)


class MemoryEvidence:
    """Evidence in memory."""

    def __init__(self) -> None:
        self.stored: defaultdict[tuple[str, str], dict[str, Evidence]] = defaultdict(dict)

    def put(self, model: str, rollout: str, step: int, key: str, evidence: Evidence) -> None:
        """See `EvidenceStore.put`."""
        self.stored[model, rollout][evidence_key(model, rollout, step, key)] = evidence

    def read(self, model: str, rollout: str) -> Evidence:
        """See `EvidenceStore.read`."""
        return once(self.stored[model, rollout].values())
