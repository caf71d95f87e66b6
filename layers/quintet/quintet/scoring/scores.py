"""Scoring: validate, assemble, run the model once, check. Pure: arrays in, arrays out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from quintet.columns import (
    FALSE,
    TRUE,
    Array,
    Batch,
    drop_empty_texts,
    empty_output,
    no_rows,
    numpy_dtype,
    positions,
)
from quintet.contract import Contract, Feature, Input, Output
from quintet.errors import ModelFailure, Refusal
from quintet.scoring.fallback import fallback_outputs
from quintet.scoring.free import FreePlan, in_groups, rows_of
from quintet.scoring.refusals import bounds, refuse_categories, refuse_outputs, refuse_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Model", "Scores", "joined_scores", "score"]


class Model(Protocol):
    """A loaded model of some version."""

    @property
    def contract(self) -> Contract: ...

    @property
    def run(self) -> Callable[[Sequence[str], dict[str, Array]], list[Array]]:
        """Gives the named outputs for the feeds, both by the graph's names.

        It may raise any exception; scoring turns it into a ModelFailure.
        """
        ...


@dataclass(slots=True, eq=False, repr=False)
class Scores:
    """The result of a batch.

    `index` holds the positions of the scored rows, ascending; row i of every output belongs
    to row `index[i]` of the batch. `fallback[i]` is True if the contract's fallback rule answered
    instead of the model. Every other row of the batch is in `refusals`.
    """

    index: NDArray[np.int64]
    outputs: dict[str, Array]
    fallback: NDArray[np.bool_]
    refusals: list[Refusal]


def score(
    model: Model,
    batch: Batch,
    *,
    fallback: NDArray[np.bool_] | None = None,
    outputs: Sequence[str] | None = None,
) -> Scores:
    """Score the good rows of a batch in one run of the model, or in one for each of their shapes.

    `fallback` marks the rows (of the whole batch) that the fallback rule answers. A row
    whose output is not finite is refused, with the output's name as its field, unless the contract
    says `finite: false`.

    Raises:
        ModelFailure: the model raised, or an output's shape or dtype is not the contract's.
    """
    contract = model.contract
    wanted: Sequence[Output] = contract.outputs
    if outputs is not None:
        wanted = [output for output in wanted if output.name in outputs]
    by_rule = fallback if fallback is not None and TRUE in fallback.tobytes() else None
    if features := contract.compiled[_never_empty]:
        drop_empty_texts(batch, features)
    plans: list[_InputPlan | FreePlan] = contract.compiled[_input_plans]
    feeds = {plan.name: plan.feed(batch, by_rule) for plan in plans}
    if by_rule is None and batch.marks is None:
        index = positions(batch.rows)
    else:
        index = np.flatnonzero(batch.good if by_rule is None else batch.good & ~by_rule)
        if len(index) < batch.rows:
            feeds = {name: tensor[index] for name, tensor in feeds.items()}
    if contract.grouped:
        run = partial(_run, model, batch, wanted)
        run_index, run_results = in_groups(contract, plans, run, feeds, index)
    else:
        run_index, run_results = _run(model, batch, wanted, feeds, index)
    if by_rule is None:
        return Scores(run_index, run_results, no_rows(len(run_index)), batch.refusals)
    rule_index = np.flatnonzero(batch.good & by_rule)
    rule_results = fallback_outputs(contract, batch, wanted, rule_index)
    order = np.argsort(np.concatenate([run_index, rule_index]), kind="stable")
    return Scores(
        np.concatenate([run_index, rule_index])[order],
        {
            name: np.concatenate([values, rule_results[name]])[order]
            for name, values in run_results.items()
        },
        np.repeat([False, True], [len(run_index), len(rule_index)])[order],
        batch.refusals,
    )


def joined_scores(parts: Sequence[Scores]) -> Scores:
    """Merge scores of different rows of one batch, in the order of its rows."""
    index = np.concatenate([part.index for part in parts])
    order = np.argsort(index, kind="stable")
    refusals = {id(refusal): refusal for part in parts for refusal in part.refusals}
    return Scores(
        index[order],
        {
            name: np.concatenate([part.outputs[name] for part in parts])[order]
            for name in parts[0].outputs
        },
        np.concatenate([part.fallback for part in parts])[order],
        [*refusals.values()],
    )


# ---- assemble and validate -----------------------------------------------------------------


def _never_empty(contract: Contract) -> list[Feature]:
    """The features for which an empty text is a missing value."""
    return [feature for feature in contract.requested if feature.empty == "missing"]


def _input_plans(contract: Contract) -> list[_InputPlan | FreePlan]:
    return [
        (FreePlan if contract.by_name[graph_input.names[0]].free else _InputPlan)(
            contract, graph_input
        )
        for graph_input in contract.inputs
    ]


class _InputPlan:
    """How one input tensor is assembled and checked.

    `low` and `high` (features,) are the allowed values, always finite; None for texts and booleans.
    `finite` says that every finite value is allowed, and none may be missing.
    `gaps` (features,) marks those that may be missing, as NaN; None if none may.
    `categories` are positions and their allowed values. `groups` are the names that a batch may
    store stacked.
    """

    def __init__(self, contract: Contract, graph_input: Input) -> None:
        self.name = graph_input.name
        self.names = graph_input.names
        self.scalar = graph_input.row_shape == (1,)
        self.dtype = numpy_dtype(graph_input.dtype)
        self.features = tuple(contract.by_name[name] for name in self.names)
        self.low, self.high = bounds(self.features)
        gaps = np.array([feature.missing is not None for feature in self.features])
        self.gaps = gaps if gaps.any() else None
        ranged = any(feature.range is not None for feature in self.features)
        self.finite = self.dtype.kind == "f" and self.gaps is None and not ranged
        self.categories = [
            (position, feature, frozenset(feature.categories))
            for position, feature in enumerate(self.features)
            if feature.categories is not None
        ]
        self.groups = {
            group: _GroupPlan(self.names, group) for group in contract.scalar_groups.values()
        }

    def feed(self, batch: Batch, by_rule: NDArray[np.bool_] | None) -> Array:
        """The tensor of all rows, its values checked; rows with bad values are refused."""
        if len(self.names) == 1:
            column = batch.columns[self.names[0]]
            tensor = column.reshape(batch.rows, 1) if self.scalar else column
            # not -1 columns: without rows, their number is undefined
            values = column.reshape(batch.rows, math.prod(column.shape[1:]))
        else:
            stacked = batch.stacked.get(self.names)
            tensor = values = self._stack(batch, self.names) if stacked is None else stacked
        if self.low is not None:
            if self.finite:
                fine = np.isfinite(values).tobytes()
            elif self.gaps is None:  # comparisons are False for NaN
                fine = (values >= self.low).tobytes() + (values <= self.high).tobytes()
            else:
                fine = FALSE  # NaN may be allowed
            if FALSE in fine:
                self._refuse(batch, values, by_rule)
        for position, feature, allowed in self.categories:
            column = values[:, position].tolist()
            if not allowed.issuperset(column):
                refuse_categories(batch, feature, column, by_rule)
        return tensor

    def _refuse(self, batch: Batch, values: Array, by_rule: NDArray[np.bool_] | None) -> None:
        """Refuse the rows with a value out of bounds, or missing where none may be."""
        fine = (values >= self.low) & (values <= self.high)
        if self.gaps is not None:
            fine |= np.isnan(values) & self.gaps
        if not fine.all():
            refuse_values(batch, self.features, values, ~fine, by_rule)

    def _stack(self, batch: Batch, names: tuple[str, ...]) -> Array:
        """The columns that the input names, side by side: (rows, features)."""
        tensor = np.empty((batch.rows, len(names)), dtype=self.dtype)
        held = 0
        for stacked, matrix in batch.stacked.items():
            if group := self.groups.get(stacked):
                tensor[:, group.into] = matrix[:, group.of]
                held += group.size
        if held < len(names):  # the others one by one
            in_groups = set().union(*batch.stacked.keys() & self.groups.keys())
            columns = batch.columns
            for position, name in enumerate(names):
                if name not in in_groups:
                    tensor[:, position] = columns[name]
        return tensor


class _GroupPlan:
    """The positions of stacked features in a tensor (`into`) and in their group."""

    def __init__(self, names: Sequence[str], group: Sequence[str]) -> None:
        taken = [name for name in names if name in group]
        self.size = len(taken)
        self.into = _run_of([names.index(name) for name in taken])
        self.of = _run_of([group.index(name) for name in taken])


def _run_of(positions: list[int]) -> list[int] | slice:
    """Positions as a slice where they follow each other: numpy copies it in one go."""
    first, count = (positions or [0])[0], len(positions)
    return slice(first, first + count) if positions == [*range(first, first + count)] else positions


# ---- run and check ---------------------------------------------------------------------------


def _run(
    model: Model,
    batch: Batch,
    wanted: Sequence[Output],
    feeds: dict[str, Array],
    index: NDArray[np.int64],
) -> tuple[NDArray[np.int64], dict[str, Array]]:
    """Run the rows `index` of the batch, and check the outputs against the contract.

    The rows that have an output that is not finite, or too large, are left out.
    """
    if len(index) == 0:
        return index, {o.name: empty_output(o, 0) for o in wanted}
    names = [output.name for output in wanted]
    try:
        arrays = model.run(names, feeds)
    except ModelFailure:
        raise
    except Exception as error:
        raise _failure(model.contract, feeds, error) from error
    results = dict(zip(names, arrays, strict=True))
    refused = len(batch.refusals)
    for output in wanted:
        values, shape = results[output.name], (len(index), *output.row_shape)
        fits, dtype = values.shape == shape or output.free, values.dtype
        if not fits or dtype != numpy_dtype(output.dtype):
            raise ModelFailure(
                f"the model's output {output.name} is {dtype} {list(values.shape)}; "
                f"its contract says {output.dtype} {list(shape)}"
            )
        if output.free:
            results[output.name] = rows_of(batch, output, index, values)
        if output.finite and dtype.kind == "f" and FALSE in np.isfinite(values).tobytes():
            refuse_outputs(batch, output, index, values)
    if len(batch.refusals) == refused:
        return index, results
    keep = batch.good[index]
    return index[keep], {name: values[keep] for name, values in results.items()}


def _failure(contract: Contract, feeds: dict[str, Array], error: Exception) -> ModelFailure:
    """The failure of a run. The error's text may hold paths of the build, or values: only its kind
    is told."""
    sizes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in feeds.items())
    given = f" on {sizes}" if contract.grouped else ""
    return ModelFailure(
        f"model {contract.name} version {contract.version} failed{given} ({type(error).__name__})"
    )
