"""What of a model's outputs the gates of a rollout compare: a score and a label of each row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array, numpy_dtype
from quintet.contract import Contract, Output, RolloutRule

__all__ = ["Measures", "rule_of"]

#: the meanings of outputs that have a score, the first that a contract has decides
_SCORES = ("score", "probabilities", "value")


def rule_of(contract: Contract) -> RolloutRule:
    """The contract's rule for rollouts, without gates on a score or label that its outputs lack.

    Such a gate would never have evidence, or nothing to compare.
    """
    measures: Measures = contract.compiled[Measures]
    off: dict[str, Any] = {} if measures.has_score else {"score": "off"}
    if not measures.has_label:
        off["labels"] = "off"
    rule = contract.rollout
    return replace(rule, gates=replace(rule.gates, **off))


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

    @property
    def has_score(self) -> bool:
        """Whether rows have a score."""
        return self._score is not None

    @property
    def has_label(self) -> bool:
        """Whether rows have a label."""
        return self._label is not None or self._classes is not None

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
