"""Rows of a rehearsal drawn at random: what quantiles, histograms and segments are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from arro3 import core
from numpy.typing import NDArray

from quintet.columns import Array
from quintet.contract import Contract
from quintet.labels.quality import segments

__all__ = ["DRAWN", "Drawn", "in_sd"]

#: rows that are held; of more, so many
DRAWN = 100_000
BINS = 30
#: rows of a segment from which it is shown
FEWEST = 30

Floats = NDArray[np.float64]


def in_sd(value: float, sd: float) -> float | None:
    """A difference in standard deviations; None where the live version's score is constant."""
    if value == 0:
        return 0.0
    return value / sd if sd > 0 else None


class Drawn:
    """Rows drawn at random, each with the same chance: what is not a sum is made of them."""

    def __init__(self, contract: Contract) -> None:
        self._features = [f.name for f in contract.features if not f.shape and not f.sensitive]
        self._random = np.random.default_rng(1)
        self._chance: Floats = np.empty(0)
        self._columns: dict[str, list[Array]] = {}

    def add(self, rows: core.Table, index: NDArray[np.int64], figures: Mapping[str, Array]) -> None:
        """Add rows of a table, and figures of them, (rows,) each."""
        columns = dict(figures)
        for name in ("path", *(f"feature_{one}" for one in self._features)):
            columns[name] = _values(rows[name].combine_chunks().take(index))
        for name, values in columns.items():
            self._columns.setdefault(name, []).append(values)
        self._chance = np.concatenate([self._chance, self._random.random(len(index))])
        if len(self._chance) > 2 * DRAWN:
            self._trim()

    def _trim(self) -> None:
        kept = np.argpartition(self._chance, DRAWN)[:DRAWN] if self.rows > DRAWN else slice(None)
        self._chance = self._chance[kept]
        self._columns = {name: [_joined(some)[kept]] for name, some in self._columns.items()}

    @property
    def rows(self) -> int:
        """How many are held."""
        return len(self._chance)

    def _column(self, name: str) -> Array:
        if len(self._columns[name]) > 1 or self.rows > DRAWN:
            self._trim()
        return self._columns[name][0]

    def scores(self, sd: float) -> dict[str, Any]:
        """Quantiles of how far scores lie apart, in sd, and the histograms of both scores."""
        live, difference = self._column("live"), self._column("difference")
        there = np.isfinite(difference)
        live, difference = live[there], difference[there]
        candidate = live + difference
        low, high = (float(f(np.concatenate([live, candidate]))) for f in (np.min, np.max))
        edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
        quantiles = np.quantile(np.abs(difference), (0.5, 0.95, 0.99))
        return {
            "quantiles": {
                name: in_sd(float(value), sd)
                for name, value in zip(("p50", "p95", "p99"), quantiles, strict=True)
            },
            "histogram": {
                "edges": edges.tolist(),
                "live": np.histogram(live, edges)[0].tolist(),
                "candidate": np.histogram(candidate, edges)[0].tolist(),
            },
        }

    def segments(self, sd: float) -> list[dict[str, Any]]:
        """The figures of each value of a feature, or of each of its quarters; by how much they
        differ from those of all rows, in standard errors."""
        difference = self._column("difference")
        changed, failed = self._column("changed"), self._column("failed")
        noise = float(np.nanstd(difference)) if np.isfinite(difference).any() else 0.0
        overall = float(np.nanmean(difference)) if noise else 0.0
        found = []
        for name in ("path", *(f"feature_{one}" for one in self._features)):
            parts = segments(self._column(name))
            for value, some in parts if len(parts) > 1 else ():
                if len(some) < FEWEST:
                    continue
                own = difference[some]
                shift = float(np.nanmean(own)) if np.isfinite(own).any() else None
                errors = 0.0
                if shift is not None and noise:
                    errors = abs(shift - overall) / noise * float(np.sqrt(len(own)))
                found.append(
                    {
                        "by": name.removeprefix("feature_"),
                        "value": value,
                        "rows": len(some),
                        "shift": None if shift is None else in_sd(shift, sd),
                        "changed": float(changed[some].mean()),
                        "failed": float(failed[some].mean()),
                        "standard_errors": round(errors, 2),
                    }
                )
        return sorted(found, key=lambda one: (-one["failed"], -one["standard_errors"]))


def _values(array: core.Array) -> Array:
    """A column as `segments` takes it: numbers, or texts as UTF-8."""
    if core.DataType.is_string(array.type):
        return np.array([(one or "").encode() for one in array.to_pylist()])
    if core.DataType.is_boolean(array.type):
        return np.array(array.to_pylist(), dtype=np.float64)
    return array.to_numpy().astype(np.float64)


def _joined(parts: Sequence[Array]) -> Array:
    return np.concatenate(parts) if len(parts) > 1 else parts[0]
