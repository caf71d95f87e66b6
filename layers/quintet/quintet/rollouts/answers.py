"""Answers of two versions to the same rows: one as it was captured, the other asked now.

The other version gets the features as they were used, so that nothing but the version differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from arro3 import core
from numpy.typing import NDArray

from quintet.captures.features import (
    by_outputs,
    complete_rows,
    feature_columns,
    output_columns,
)
from quintet.columns import Array, Batch, empty_output, numpy_dtype
from quintet.contract import Contract
from quintet.errors import ModelFailure
from quintet.rollouts.measures import Measures
from quintet.scoring import Model, Scores, score
from quintet.serving.isolation import score_isolating_failures

__all__ = ["Answers", "Asked", "all_failed", "ask", "asked", "captured_answers"]

#: rows of a batch among which those that a model fails on are searched
BLOCK = 200


@dataclass(frozen=True, slots=True)
class Answers:
    """What a version answers to rows; all arrays are (rows,), outputs (rows, ...).

    Of rows that it `failed` on, the score is NaN, and the label and the outputs are arbitrary.
    """

    failed: NDArray[np.bool_]
    score: NDArray[np.float64]
    label: Array | None
    outputs: Mapping[str, Array]

    def part(self, some: slice) -> Answers:
        """The answers to some of the rows."""
        label = None if self.label is None else self.label[some]
        outputs = {name: values[some] for name, values in self.outputs.items()}
        return Answers(self.failed[some], self.score[some], label, outputs)


def captured_answers(
    contract: Contract, rows: core.Table, index: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """The scores and the labels of some scored rows as they were captured, (rows,) each.

    A score is NaN, and a label None, where the output was not asked for.
    """
    measures: Measures = contract.compiled[Measures]
    scores, labels = np.full(len(index), np.nan), np.full(len(index), None)
    for places in by_outputs(contract, rows, index):
        outputs = output_columns(contract, rows, index[places])
        scores[places] = measures.score(outputs, len(places))
        label = measures.label(outputs)
        if label is not None:
            labels[places] = label
    return scores, labels


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows that another version can be asked about: their positions, and its features for them."""

    index: NDArray[np.int64]
    columns: Mapping[str, Array]

    def part(self, some: slice) -> Asked:
        """Some of the rows."""
        columns = {name: values[some] for name, values in self.columns.items()}
        return Asked(self.index[some], columns)


def asked(
    contract: Contract, answered: Contract, rows: core.Table, index: NDArray[np.int64]
) -> Asked:
    """Those of some captured rows that have all features of a version's contract.

    Features that the contract of the version that `answered` does not have get their default, or
    NaN if the graph takes that. There are no such rows if one that it has was not captured, as
    sensitive features are not, unless encrypted and opened.
    """
    index = complete_rows(contract, rows, index)
    columns = feature_columns(contract, rows, index)
    for feature in contract.features:
        if feature.name not in columns:
            if feature.name in answered.by_name or feature.fill is None:
                return Asked(np.empty(0, dtype=np.int64), {})
            shape = (len(index), *feature.shape)
            columns[feature.name] = np.full(shape, feature.fill, numpy_dtype(feature.dtype))
    return Asked(index, columns)


def ask(model: Model, parts: Sequence[Asked]) -> list[Answers]:
    """Ask a version about rows of several objects, in one run; its answers, part by part.

    A row that it refuses, that its output is not finite for, or that it fails on, is failed. Rows
    that it fails on are found one by one.
    """
    sizes = [len(part.index) for part in parts]
    count, ends = sum(sizes), np.cumsum([0, *sizes])
    contract = model.contract
    if not count:
        return [all_failed(contract, 0) for _ in parts]
    held = [part.columns for part, size in zip(parts, sizes, strict=True) if size]
    columns = {
        feature.name: np.concatenate([one[feature.name] for one in held])
        for feature in contract.features
    }
    found = _answers(model, Batch(count, columns))
    places = zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    return [found.part(slice(start, end)) for start, end in places]


def all_failed(contract: Contract, rows: int) -> Answers:
    """The answers of a version that fails on all rows, as one that does not load."""
    outputs = {output.name: empty_output(output, rows) for output in contract.outputs}
    return Answers(np.ones(rows, dtype=np.bool_), np.full(rows, np.nan), None, outputs)


def _answers(model: Model, batch: Batch) -> Answers:
    try:
        return _answers_from(model.contract, score(model, batch), batch.rows)
    except ModelFailure as error:
        if batch.rows <= BLOCK:
            alone = [1] * batch.rows
            none = np.zeros(batch.rows, dtype=np.bool_)
            scores, _ = score_isolating_failures(score, model, batch, error, alone, fallback=none)
            return _answers_from(model.contract, scores, batch.rows)
    blocks = []
    for start in range(0, batch.rows, BLOCK):
        some = slice(start, start + BLOCK)
        columns = {name: values[some] for name, values in batch.columns.items()}
        good = np.ones(min(BLOCK, batch.rows - start), dtype=np.bool_)
        blocks.append(_answers(model, Batch(len(good), columns, good)))
    return _joined(blocks)


def _answers_from(contract: Contract, scores: Scores, rows: int) -> Answers:
    failed = np.ones(rows, dtype=np.bool_)
    failed[scores.index] = False
    outputs = {}
    for output in contract.outputs:
        outputs[output.name] = empty_output(output, rows)
        outputs[output.name][scores.index] = scores.outputs[output.name]
    measures: Measures = contract.compiled[Measures]
    values = measures.score(outputs, rows)
    values[failed] = np.nan
    return Answers(failed, values, measures.label(outputs), outputs)


def _joined(parts: Sequence[Answers]) -> Answers:
    labels = [part.label for part in parts if part.label is not None]
    return Answers(
        np.concatenate([part.failed for part in parts]),
        np.concatenate([part.score for part in parts]),
        np.concatenate(labels) if labels else None,
        {name: np.concatenate([part.outputs[name] for part in parts]) for name in parts[0].outputs},
    )
