"""What is counted of a day's captures: rows by outcome, reasons of refusals, and samples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from arro3 import core
from numpy.typing import NDArray

from quintet.captures.features import by_outputs, feature_columns, output_columns
from quintet.captures.tables import predictions, take
from quintet.monitoring.outputs import output_values
from quintet.monitoring.samples import Reference, Sample

__all__ = ["DayCounts"]

#: reasons and senders that a report names; the rest are counted together
MOST = 50
OTHERS = "others"


class DayCounts:
    """The counts of a day, hour by hour.

    `reference` gives the contract and the baseline of a version; None if the version was deleted.
    """

    def __init__(self, reference: Callable[[int], Reference | None]) -> None:
        self._reference = reference
        self._outcomes: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._senders: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._units: defaultdict[int, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        self._seen: defaultdict[int, set[str]] = defaultdict(set)

    def add(self, rows: core.Table) -> None:
        """Add an hour of one version; the hours in their order.

        Of a candidate's rows in shadow, nobody got an answer: they are not counted. Impressions
        are no predictions.
        """
        rows = predictions(rows)
        routes = _texts(rows, "route")
        if "shadow" in routes:
            rows = take(rows, np.flatnonzero([route != "shadow" for route in routes]))
        if not rows.num_rows:
            return
        outcomes = [outcome or "" for outcome in _texts(rows, "outcome")]
        self._outcomes.update(outcomes)
        paths, callers = _texts(rows, "path"), _texts(rows, "caller")
        records, refusals = _texts(rows, "record"), _texts(rows, "refusals")
        for outcome, path, caller, record, reasons in zip(
            outcomes, paths, callers, records, refusals, strict=True
        ):
            sender = record if path == "batch" else caller
            self._senders[path or "", sender or ""][outcome] += 1
            if reasons:
                self._reasons.update(set(reasons.split("; ")))
        fallback = np.array([bool(one) for one in rows["fallback"].to_pylist()], dtype=np.bool_)
        self._outcomes["fallback"] += int(fallback.sum())
        without = np.array([bool(one) for one in rows["without_features"].to_pylist()])
        scored = np.array([one == "scored" for one in outcomes], dtype=np.bool_)
        self._sample(rows, np.flatnonzero(scored & ~fallback & ~without))

    def _sample(self, rows: core.Table, index: NDArray[np.int64]) -> None:
        if not len(index):
            return
        version = int(rows["version"][0].as_py())
        reference = self._reference(version)
        sample: dict[str, Any] = {"rows": 0, "features": {}, "entities": None}
        if reference is not None:
            times = rows["event_time"].combine_chunks().cast(core.DataType.int64()).to_numpy()
            index = index[np.argsort(times[index], kind="stable")]
            columns = feature_columns(reference.contract, rows, index)
            known = _texts(rows, "entity")
            entities = [known[row] for row in index.tolist()]
            drawn = Sample(reference, len(index), seen=self._seen[version])
            for some in by_outputs(reference.contract, rows, index):
                outputs = output_columns(reference.contract, rows, index[some])
                drawn.add(columns, some, entities, output_values(reference.contract, outputs))
            sample = drawn.document()
        self._units[version].append((len(index), sample))

    def versions(self) -> dict[int, list[tuple[int, dict[str, Any]]]]:
        """For each version, its rows and sample by the hour, as `drift_of` takes them."""
        return dict(self._units)

    def document(self) -> dict[str, Any]:
        """The counts of rows as JSON."""
        return {
            "rows": {name: self._outcomes[name] for name in ("scored", "refused", "failed")},
            "fallback": self._outcomes["fallback"],
            "reasons": [
                {"reason": reason, "rows": rows} for reason, rows in _most(self._reasons).items()
            ],
            "senders": self._document_of_senders(),
        }

    def _document_of_senders(self) -> list[dict[str, Any]]:
        def order(item: tuple[tuple[str, str], Counter[str]]) -> tuple[int, int, tuple[str, str]]:
            (path, sender), counts = item
            return (-counts["refused"], -counts.total(), (path, sender))

        found = sorted(self._senders.items(), key=order)
        rest: Counter[str] = Counter()
        for _, counts in found[MOST:]:
            rest.update(counts)
        kept = [*found[:MOST], *([(("", OTHERS), rest)] if rest else [])]
        return [
            {"path": path, "sender": sender, "rows": n.total(), "refused": n["refused"]}
            for (path, sender), n in kept
        ]


def _texts(rows: core.Table, name: str) -> list[str | None]:
    return list(rows[name].to_pylist())


def _most(counts: Counter[str]) -> dict[str, int]:
    """The most common, in order, and the others as one."""
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(number for _, number in order[MOST:])
    return {**dict(order[:MOST]), **({OTHERS: rest} if rest else {})}
