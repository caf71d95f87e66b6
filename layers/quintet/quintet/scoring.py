"""Scoring: validate, assemble, run the model once, check. Pure: arrays in, arrays out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array, Batch, drop_empty_texts, empty_output, numpy_dtype, shown
from quintet.contract import Contract, Feature, Input, Output
from quintet.errors import ModelFailure, Refusal

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


@dataclass(slots=True)
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
    """Score the good rows of a batch in one run of the model.

    `fallback` marks the rows (of the whole batch) that the fallback rule answers. A row
    whose output is not finite is refused, with the output's name as its field, unless the contract
    says `finite: false`.

    Raises:
        ModelFailure: the model raised, or an output's shape or dtype is not the contract's.
    """
    contract = model.contract
    wanted = [o for o in contract.outputs if outputs is None or o.name in outputs]
    by_rule = fallback if fallback is not None and fallback.any() else None
    if features := contract.compiled[_never_empty]:
        drop_empty_texts(batch, features)
    plans: list[_InputPlan] = contract.compiled[_input_plans]
    feeds = {plan.name: plan.feed(batch, by_rule) for plan in plans}
    if by_rule is None:
        index, results = _run(model, batch, feeds, wanted, batch.good)
        return Scores(index, results, np.zeros(len(index), dtype=np.bool_), batch.refusals)
    run_index, run_results = _run(model, batch, feeds, wanted, batch.good & ~by_rule)
    rule_index = np.flatnonzero(batch.good & by_rule)
    rule_results = _fallback(contract, batch, wanted, rule_index)
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


def _input_plans(contract: Contract) -> list[_InputPlan]:
    return [_InputPlan(contract, graph_input) for graph_input in contract.inputs]


class _InputPlan:
    """How one input tensor is assembled and checked.

    `low` and `high` (features,) are the allowed values, always finite; None for texts and booleans.
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
        self.low, self.high = _bounds(self.features)
        gaps = np.array([feature.missing is not None for feature in self.features])
        self.gaps = gaps if gaps.any() else None
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
            fine = (values >= self.low) & (values <= self.high)  # also False for NaN
            if self.gaps is not None:
                fine |= np.isnan(values) & self.gaps
            if not fine.all():
                _refuse_values(batch, self.features, values, ~fine, by_rule)
        for position, feature, allowed in self.categories:
            column = values[:, position].tolist()
            if not allowed.issuperset(column):
                _refuse_categories(batch, feature, column, by_rule)
        return tensor

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
            for position, name in enumerate(names):
                if name not in in_groups:
                    tensor[:, position] = batch.columns[name]
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


def _bounds(features: Sequence[Feature]) -> tuple[Array | None, Array | None]:
    """The lowest and highest allowed value of each feature, (features,), always finite."""
    dtype = numpy_dtype(features[0].dtype)
    if dtype.kind in "bO":
        return None, None
    info: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    low, high = [], []
    for feature in features:
        least, most = feature.range or (None, None)
        low.append(info.min if least is None else max(least, float(info.min)))
        high.append(info.max if most is None else min(most, float(info.max)))
    # bounds of integers stay wide: 64-bit limits do not fit the integer's own dtype as floats
    kept = dtype if dtype.kind == "f" else None
    return np.array(low, dtype=kept), np.array(high, dtype=kept)


def _refuse_values(
    batch: Batch,
    features: tuple[Feature, ...],
    values: Array,
    bad: NDArray[np.bool_],
    by_rule: NDArray[np.bool_] | None,
) -> None:
    """Refuse the rows with a value out of its feature's range, or not finite."""
    vector = len(features) == 1
    for position, feature in enumerate(features):
        marks = bad if vector else bad[:, position : position + 1]
        rows = _blamed(batch, feature, np.asarray(marks.any(axis=1)), by_rule)
        for row in rows:
            offset = int(np.argmax(marks[row])) if vector else position
            value = values[row, offset]
            place = f"{feature.name}[{offset}]" if feature.shape else feature.name
            batch.refuse(row, place, _expected_range(feature), shown(value, feature))


def _blamed(
    batch: Batch,
    feature: Feature,
    bad: NDArray[np.bool_],
    by_rule: NDArray[np.bool_] | None,
) -> list[int]:
    """The rows to refuse: filler values of refused rows and of fallback rows are not errors."""
    if feature.source != "request":
        bad = bad & batch.good if by_rule is None else bad & batch.good & ~by_rule
    refused = {r.row for r in batch.refusals if r.field == feature.name}
    return [row for row in np.flatnonzero(bad).tolist() if row not in refused]


def _expected_range(feature: Feature) -> str:
    least, most = feature.range or (None, None)
    if least is not None and most is not None:
        return f"a number from {least:g} to {most:g}"
    if least is not None:
        return f"a number of at least {least:g}"
    if most is not None:
        return f"a number of at most {most:g}"
    return f"a finite number ({feature.dtype})"


def _refuse_categories(
    batch: Batch, feature: Feature, values: list[Any], by_rule: NDArray[np.bool_] | None
) -> None:
    """Refuse the rows with a value outside its feature's categories."""
    assert feature.categories is not None
    allowed = set(feature.categories)
    if feature.missing:
        allowed.update(value for value in values if math.isnan(value))
    bad = np.fromiter((value not in allowed for value in values), np.bool_, len(values))
    expected = f"one of {', '.join(map(str, feature.categories[:10]))}"
    if len(feature.categories) > 10:
        expected += f" and {len(feature.categories) - 10} more"
    for row in _blamed(batch, feature, bad, by_rule):
        batch.refuse(row, feature.name, expected, shown(values[row], feature))


# ---- run and check ---------------------------------------------------------------------------


def _run(
    model: Model,
    batch: Batch,
    feeds: dict[str, Array],
    wanted: list[Output],
    chosen: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], dict[str, Array]]:
    """Run the chosen rows, and check the outputs against the contract."""
    index = np.flatnonzero(chosen)
    if len(index) == 0:
        return index, {o.name: empty_output(o, 0) for o in wanted}
    if len(index) < batch.rows:
        feeds = {name: tensor[index] for name, tensor in feeds.items()}
    try:
        arrays = model.run([output.name for output in wanted], feeds)
    except ModelFailure:
        raise
    except Exception as error:  # the text may hold paths of the build, or values: only its kind
        contract = model.contract
        raise ModelFailure(
            f"model {contract.name} version {contract.version} failed ({type(error).__name__})"
        ) from error
    results = dict(zip((output.name for output in wanted), arrays, strict=True))
    return _checked(batch, wanted, index, results)


def _checked(
    batch: Batch, wanted: list[Output], index: NDArray[np.int64], results: dict[str, Array]
) -> tuple[NDArray[np.int64], dict[str, Array]]:
    """The results without the rows that have an output that is not finite.

    Raises:
        ModelFailure: an output does not have the contract's shape and dtype.
    """
    keep: NDArray[np.bool_] | None = None
    for output in wanted:
        values, shape = results[output.name], (len(index), *output.row_shape)
        fits = values.shape == shape or (
            values.ndim == len(shape)
            and all(want in (-1, have) for want, have in zip(shape, values.shape, strict=True))
        )
        if not fits or values.dtype != numpy_dtype(output.dtype):
            raise ModelFailure(
                f"the model's output {output.name} is {values.dtype} {list(values.shape)}; "
                f"its contract says {output.dtype} {list(shape)}"
            )
        if output.finite and values.dtype.kind == "f" and not np.isfinite(values).all():
            whole = _refuse_outputs(batch, output, index, values)
            keep = whole if keep is None else keep & whole
    if keep is None:
        return index, results
    return index[keep], {name: values[keep] for name, values in results.items()}


def _refuse_outputs(
    batch: Batch, output: Output, index: NDArray[np.int64], values: Array
) -> NDArray[np.bool_]:
    """Refuse the rows with a value that is not finite; the mask of the other rows, (rows,)."""
    flat = values.reshape(len(index), -1)
    fine = np.isfinite(flat)
    whole = np.asarray(fine.all(axis=1))
    for row in np.flatnonzero(~whole).tolist():
        value = flat[row, int(np.argmin(fine[row]))]
        batch.refuse(int(index[row]), output.name, "a finite output", shown(value))
    return whole


# ---- the fallback rule -------------------------------------------------------------------------


def _fallback(
    contract: Contract, batch: Batch, wanted: list[Output], index: NDArray[np.int64]
) -> dict[str, Array]:
    """The fallback rule's answers for the rows of `index`: the first rule that matches."""
    rule = contract.fallback
    if rule is None:
        raise ModelFailure("rows need a fallback answer, and the contract has no fallback rule")
    results = {}
    for output in wanted:
        values = empty_output(output, len(index))
        values[...] = _constant(rule.otherwise[output.name], output)
        results[output.name] = values
    for case in reversed(rule.rules):
        column = batch.columns[case.feature][index]
        match = np.ones(len(index), dtype=np.bool_)
        if case.above is not None:
            match &= column > case.above
        if case.below is not None:
            match &= column < case.below
        if case.equals is not None:
            match &= column == case.equals
        for output in wanted:
            if output.name in case.outputs:
                results[output.name][match] = _constant(case.outputs[output.name], output)
    return results


def _constant(value: Any, output: Output) -> Any:
    return np.array(value, dtype=numpy_dtype(output.dtype))
