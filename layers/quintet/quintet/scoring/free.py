"""Inputs and outputs with free axes, and models that take one row at a time.

The columns of such features hold an array a row. Rows of one shape run together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from quintet.columns import (
    Array,
    Batch,
    fits,
    numpy_dtype,
    ragged,
    shape_text,
    shared,
    shown,
    values_of,
)
from quintet.contract import Contract, Input, Output
from quintet.errors import ModelFailure
from quintet.scoring.refusals import blamed, bounds, expected_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FreePlan", "Run", "in_groups", "rows_of"]

#: runs rows (their positions in the batch) on their feeds; gives those with fine outputs
Run = Callable[
    [dict[str, Array], "NDArray[np.int64]"], tuple["NDArray[np.int64]", dict[str, Array]]
]


class FreePlan:
    """How an input of a feature with free axes is checked: see `quintet.scoring.scores`."""

    def __init__(self, contract: Contract, graph_input: Input) -> None:
        (feature,) = (contract.by_name[name] for name in graph_input.names)
        self.name = graph_input.name
        self.feature = feature
        self.low, self.high = bounds([feature])
        self.pad = feature.pad

    def feed(self, batch: Batch, by_rule: NDArray[np.bool_] | None) -> Array:
        """The rows' arrays, (rows,), their values checked; rows with bad values are refused."""
        column = batch.columns[self.feature.name]
        if self.low is not None:
            row = shared(column)
            if row is not None and self._fine(row).all():  # once for all rows
                return column
            values, rows = values_of(column)
            fine = self._fine(values)
            if not fine.all():
                bad = np.zeros(batch.rows, dtype=np.bool_)
                bad[rows[~fine]] = True
                self._refuse(batch, bad, by_rule)
        return column

    def _fine(self, values: Array) -> NDArray[np.bool_]:
        """Which values are in the feature's range; NaN is where a missing value is."""
        fine: NDArray[np.bool_] = (values >= self.low) & (values <= self.high)
        return fine | np.isnan(values) if self.feature.missing else fine

    def _refuse(
        self, batch: Batch, bad: NDArray[np.bool_], by_rule: NDArray[np.bool_] | None
    ) -> None:
        """Refuse rows, each with its first value out of range."""
        for row in blamed(batch, self.feature, bad, by_rule):
            values = batch.columns[self.feature.name][row]
            place = np.argwhere(~self._fine(values))[0].tolist()
            batch.refuse(
                row,
                f"{self.feature.key}{place}",
                expected_range(self.feature),
                shown(values[tuple(place)], self.feature),
            )


def in_groups(
    contract: Contract,
    plans: Sequence[object],
    run: Run,
    feeds: dict[str, Array],
    index: NDArray[np.int64],
) -> tuple[NDArray[np.int64], dict[str, Array]]:
    """Run rows of one shape together, or each row alone if the contract says so.

    A run has at most as many rows as a request may have: publishing has tried so many of the
    largest. Its rows of features with `pad` are filled up to the longest, and so have one shape.
    The results are in the order of `index`, the rows' positions in the batch.
    """
    free = {plan.name: plan for plan in plans if isinstance(plan, FreePlan)}
    apart = [feeds[name] for name, plan in free.items() if plan.pad is None]
    most = 1 if contract.rows == "one" else contract.limits.rows
    if not apart and 0 < len(index) <= most:
        return run({name: _together(rows, free.get(name)) for name, rows in feeds.items()}, index)
    groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for place in range(len(index)):
        groups.setdefault(tuple(rows[place].shape for rows in apart), []).append(place)
    parts = []
    for group in groups.values() or ([],):
        for start in range(0, len(group) or 1, most):
            some = group[start : start + most]
            tensors = {name: _together(rows[some], free.get(name)) for name, rows in feeds.items()}
            parts.append(run(tensors, index[some]))
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate([found for found, _ in parts]), kind="stable")
    return np.concatenate([found for found, _ in parts])[order], {
        name: np.concatenate([results[name] for _, results in parts])[order] for name in parts[0][1]
    }


def _together(rows: Array, plan: FreePlan | None) -> Array:
    """Rows as one tensor, (rows, *shape)."""
    if plan is None or not len(rows):
        return rows
    if (row := shared(rows)) is not None:
        return np.repeat(row[np.newaxis], len(rows), axis=0)
    return np.stack(rows.tolist()) if plan.pad is None else _padded(plan, rows)


def _padded(plan: FreePlan, rows: Array) -> Array:
    """Rows filled up at the end of each axis to the longest, (rows, *shape)."""
    longest = np.max([row.shape for row in rows], axis=0)
    tensor = np.full((len(rows), *longest), plan.pad, dtype=numpy_dtype(plan.feature.dtype))
    for place, row in enumerate(rows):
        corner = tuple(slice(size) for size in row.shape)
        tensor[place][corner] = row
    return tensor


def rows_of(batch: Batch, output: Output, index: NDArray[np.int64], values: Array) -> Array:
    """An output with free axes as an array a row, (rows,).

    The rows are refused if they are larger than the contract allows.

    Raises:
        ModelFailure: the output does not have the contract's fixed dimensions.
    """
    allowed, shape = output.row_shape, values.shape[1:]
    if len(values) != len(index) or not _like(shape, allowed):
        raise ModelFailure(
            f"the model's output {output.name} is {values.dtype} {list(values.shape)}; "
            f"its contract says {output.dtype} {[len(index), *allowed]}"
        )
    if not fits(shape, output):
        for row in index.tolist():
            expected = f"an output of shape {shape_text(output)}"
            batch.refuse(row, output.name, expected, f"shape {list(shape)}")
    return ragged(list(np.ascontiguousarray(values)))


def _like(shape: Sequence[int], allowed: Sequence[int]) -> bool:
    """Whether a shape has the fixed dimensions of another."""
    return len(shape) == len(allowed) and all(
        want in (-1, have) for have, want in zip(shape, allowed, strict=True)
    )
