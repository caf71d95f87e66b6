"""Drift: which features, outputs and labels have another distribution than the training data.

A column has moved if one of its tests is significant after Holm's correction over all tests of the
report, and its effect is above the contract's floor. Without the first, every run finds something;
without the second, every large run does. docs/monitoring.md has the power of the tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from quintet.contract import DriftRule
from quintet.monitoring import statistics
from quintet.monitoring.bins import OTHERS, Bins
from quintet.monitoring.outputs import output_columns
from quintet.monitoring.samples import SECTIONS, Reference
from quintet.monitoring.statistics import Counts

__all__ = ["FEWEST", "compared", "drift_of"]

#: the number of rows (or entities) below which a report says too few, and nothing has moved
FEWEST = 200
#: rows that units scored, and what they counted of them
Units = Sequence[tuple[int, Mapping[str, Any]]]


def drift_of(
    reference: Reference,
    units: Iterable[tuple[int, Mapping[str, Any]]],
    before: Iterable[tuple[int, Mapping[str, Any]]] | None = None,
) -> dict[str, Any] | None:
    """Compute the drift of a run or day, movers first; None without rows or without a baseline.

    `units` are the number of rows that each unit scored, and its `Sample.document`; of labels,
    their number and what `count_labels` gives. With an entity in the contract the tests count
    entities, and `by_rows` has what they give for rows. With other units `before`, these are what
    is compared with, in place of the training data.
    """
    known, earlier = _with_rows(units), None if before is None else _with_rows(before)
    bins = reference.rows()
    if not known or not bins:
        return None
    rule = reference.contract.drift
    by_rows = _View(_instead(bins, earlier), known, rule)
    view = by_rows
    if reference.contract.entity:
        first = None if earlier is None else _first(earlier)
        view = _View(_instead(reference.entities(), first), _first(known), rule)
    columns = [one.document() for one in view.columns]
    if view is not by_rows:
        other = {one.bins.title: one.document() for one in by_rows.columns}
        for one, document in zip(view.columns, columns, strict=True):
            if counted := other.get(one.bins.title):
                names = ("moved", "effect", "p")
                document["by_rows"] = {name: counted[name] for name in names}
    parts = {part: _movers_first(one for one in columns if part in one) for part in SECTIONS}
    known_names = {one.bins.title for one in view.columns}
    return {
        "rows": by_rows.rows,
        "entities": view.rows if view is not by_rows else None,
        "baseline_rows": int(reference.baseline["rows"]),
        "too_few": view.rows < FEWEST,
        "false_alarms": rule.false_alarms,
        "floor": rule.floor,
        "moved": sum(one["moved"] for one in columns),
        **{SECTIONS[part]: found for part, found in parts.items()},
        "not_compared": [name for name in _titles(reference) if name not in known_names],
        "notes": list(_notes(reference)),
    }


def compared(drift: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """All columns of a report with their titles, movers first; also of one from before outputs."""
    found = [one for section in SECTIONS.values() for one in drift.get(section, ())]
    return [(_title(one), one) for one in _movers_first(found)]


def _movers_first(columns: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(columns, key=lambda one: (not one["moved"], -one["effect"], _title(one)))


def _title(column: Mapping[str, Any]) -> str:
    if "label" in column:
        return "labels"
    return column["feature"] if "feature" in column else f"output {column['output']}"


def _titles(reference: Reference) -> Iterator[str]:
    """All that could be compared, but for labels."""
    yield from (feature.name for feature in reference.contract.features)
    if "outputs" in reference.baseline:
        yield from (f"output {one.feature.name}" for one in output_columns(reference.contract))


def _notes(reference: Reference) -> Iterator[str]:
    if reference.contract.outputs and "outputs" not in reference.baseline:
        yield (
            "no baseline for outputs: raise `version` in model.yaml, and publish again with "
            "training data that have a column for each feature"
        )


def _with_rows(units: Iterable[tuple[int, Mapping[str, Any]]]) -> Units:
    return [(rows, found) for rows, found in units if found["rows"]]


def _first(units: Units) -> Units:
    """What units counted of entities, each once."""
    parts = [part for _, found in units if (part := found["entities"])]
    return [(part["rows"], part) for part in parts if part["rows"]]


def _instead(bins: Sequence[Bins], units: Units | None) -> Sequence[Bins]:
    """The bins with the counts of units for those of the training data."""
    if units is None:
        return bins
    totals = [(one, _total(one, units)) for one in bins]
    return [replace(one, expected=t.counts, outside=t.outside) for one, t in totals if t]


class _View:
    """All tests of the rows, or of the entities: significant only together."""

    def __init__(self, bins: Sequence[Bins], units: Units, rule: DriftRule) -> None:
        self.rows = sum(found["rows"] for _, found in units if "features" in found)
        self.columns = [one for one in (_compared(b, units) for b in bins) if one is not None]
        tests = [(one, test) for one in self.columns for test in one.tests]
        adjusted = statistics.holm([test.p for _, test in tests])
        for (one, test), p in zip(tests, adjusted, strict=True):
            test.p = p
            enough = (one.labels or self.rows) >= FEWEST
            test.fires = enough and p <= rule.false_alarms and test.effect > rule.floor


@dataclass(slots=True)
class _Test:
    """One test: its p-value, in the end adjusted, and the size of what it found, from 0 to 1."""

    name: str
    effect: float
    p: float
    fires: bool = False


@dataclass(slots=True)
class _Column:
    """A column, its counts in the training data and now, and its tests; of labels, how many."""

    bins: Bins
    now: Counts
    tests: list[_Test]
    labels: int

    def document(self) -> dict[str, Any]:
        """The column in a report; effect and p are those of the test that says most."""
        most = min(self.tests, key=lambda test: (not test.fires, test.p, -test.effect))
        before = self.bins.expected
        return {
            self.bins.part: self.bins.feature.name,
            **({"rows": self.labels} if self.labels else {}),
            "kind": self.bins.kind,
            "moved": most.fires,
            "effect": round(most.effect, 4),
            "p": float(f"{most.p:.4g}"),
            "tests": [
                {
                    "test": test.name,
                    "effect": round(test.effect, 4),
                    "p": float(f"{test.p:.4g}"),
                    "fires": test.fires,
                }
                for test in self.tests
            ],
            "stability_index": round(statistics.stability_index(self.now, before), 4),
            "jensen_shannon": round(statistics.jensen_shannon(self.now, before), 4),
            "bins": self.bins.labels(),
            "expected": np.round(statistics.smooth(before), 5).tolist(),
            "actual": np.round(statistics.smooth(self.now), 5).tolist(),
        }


def _compared(bins: Bins, units: Units) -> _Column | None:
    """A column with its tests; None if no row has it, as in captures without its column."""
    total = _total(bins, units)
    if total is None:
        return None
    tests = list(_tests(bins, total.counts, total.outside, total.alike))
    labels = sum(found["rows"] for _, found in units if "labels" in found)
    return _Column(bins, total.counts, tests, labels if bins.part == "label" else 0)


class _Total(NamedTuple):
    """The counts of all units, as of rows of equal weight, and whether all numbers are alike."""

    counts: Counts
    outside: float
    alike: bool


def _total(bins: Bins, units: Units) -> _Total | None:
    section, name = SECTIONS[bins.part], bins.feature.name
    total, weights, squares = np.zeros(len(bins.expected)), 0.0, 0.0
    outside, low, high = 0.0, np.inf, -np.inf
    for rows, found in units:
        counted = found.get(section, {}).get(name)
        if counted is None:
            continue
        weight = rows / found["rows"]  # each unit counts by its scored rows
        counts = np.array(counted["counts"], dtype=np.float64)
        total += counts * weight
        weights += counts.sum() * weight
        squares += counts.sum() * weight**2
        outside += counted["outside"] * weight
        if counted["span"] is not None:
            low, high = min(low, counted["span"][0]), max(high, counted["span"][1])
    if not weights:
        return None
    # the number of rows of equal weight that would say as much (Kish)
    scale = weights / squares
    return _Total(total * scale, outside * scale, low == high)


def _tests(bins: Bins, now: Counts, outside: float, alike: bool) -> Iterable[_Test]:
    """The tests of a feature. Those of an occurrence (missing, ...) are made where it occurs."""
    before = bins.expected
    if bins.feature.missing:
        now, before, gone = now[:-1], before[:-1], (now[-1], before[-1])
        if any(gone):
            yield _share("missing", gone[0], now.sum(), gone[1], before.sum())
    n, m = float(now.sum()), float(before.sum())
    if not n or not m:
        if not bins.feature.missing:
            yield _Test("distribution", 0.0, 1.0)
        elif not any(gone):
            yield _Test("missing", 0.0, 1.0)
        return
    if bins.kind == "category":
        yield _Test("distribution", *statistics.chi_square(*statistics.pooled(now, before)))
        place = bins.names.index(OTHERS) if before[-1] == 0 and now[-1] else None
        if place is not None:
            yield _share("unseen category", now[-1], n - now[-1], 0.0, m)
        alike = np.count_nonzero(now) == 1 and now[-1] == 0
    else:
        yield _Test("distribution", *statistics.kolmogorov_smirnov(now, before))
        if outside or bins.outside:
            yield _share("out of range", outside, n - outside, bins.outside, m - bins.outside)
    if alike:
        # all values were one: in the training data at most the share of the largest bin is
        largest = float(before.max() + 1) / (m + 1)
        yield _Test("frozen", max(0.0, 1 - largest), largest ** (n - 1))


def _share(name: str, yes: float, no: float, yes_before: float, no_before: float) -> _Test:
    """The test of a share of the rows."""
    counts = np.array([yes, no]), np.array([yes_before, no_before])
    return _Test(name, *statistics.chi_square(*counts))
