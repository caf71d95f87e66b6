"""Answers of two versions to the same rows: one as it was captured, the other asked now.

The other version gets the features as they were used, so that nothing but the version differs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
from quintet.contract import Contract, Output
from quintet.errors import ModelFailure
from quintet.scoring import Model, Scores, score
from quintet.serving.isolation import score_isolating_failures

__all__ = ["Answers", "Asked", "Measures", "all_failed", "ask", "asked", "captured_answers"]

#: rows of a batch among which those that a model fails on are searched
BLOCK = 200
#: the meanings of outputs that have a score, the first that a contract has decides
_SCORES = ("score", "probabilities", "value")


class Measures:
    """What of a contract's outputs two versions are compared by: `contract.compiled[Measures]`.

    The score is the last column of a score, of the probabilities of two classes, or of a value;
    of more classes, it is the probability of the likeliest. Embeddings have none. The label is the
    output with that meaning, or else the likeliest class.
    """

    def __init__(self, contract: Contract) -> None:
        of: dict[str, Output] = {}
        for output in contract.outputs:
            if not output.free:
                of.setdefault(output.meaning, output)
        numbers = [of[name] for name in _SCORES if name in of and _is_number(of[name])]
        self._score = numbers[0] if numbers else None
        self._label = of.get("label")
        self._classes = of.get("probabilities")

    def score(self, outputs: Mapping[str, Array], rows: int) -> NDArray[np.float64]:
        """The score of each row, (rows,); NaN without one."""
        output = self._score
        if output is None or output.name not in outputs:
            return np.full(rows, np.nan)
        values: NDArray[np.float64] = _flat(outputs[output.name]).astype(np.float64)
        if output.meaning == "probabilities" and values.shape[1] > 2:
            values = values.max(axis=1, keepdims=True)
        return values[:, -1]

    def label(self, outputs: Mapping[str, Array]) -> Array | None:
        """The label of each row, (rows,); None without one."""
        if self._label is not None:
            found = outputs.get(self._label.name)
            return None if found is None else _flat(found)[:, 0]
        if self._classes is None or self._classes.name not in outputs:
            return None
        values = _flat(outputs[self._classes.name])
        return values.argmax(axis=1) if values.shape[1] > 1 else values[:, 0] > 0.5

    def name(self, label: Any) -> str:
        """The name of a label's class, or the label as text."""
        if self._label is not None:
            return str(self._label.class_of.get(label, label))
        names = None if self._classes is None else self._classes.class_names
        return str(label) if names is None or label >= len(names) else names[int(label)]


def _flat(values: Array) -> Array:
    """The values of each row side by side, (rows, values)."""
    return values.reshape(len(values), math.prod(values.shape[1:]))


def _is_number(output: Output) -> bool:
    return numpy_dtype(output.dtype).kind in "fiu"


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


def asked(
    contract: Contract, answered: Contract, rows: core.Table, index: NDArray[np.int64]
) -> Asked:
    """Those of some captured rows that have all features of a version's contract.

    Features that the contract of the version that `answered` does not have get their default, or
    NaN if the graph takes that. There are no such rows if one that it has was not captured, as
    sensitive features are not.
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
    found = _answers(model, Batch(count, columns, np.ones(count, dtype=np.bool_)))
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
