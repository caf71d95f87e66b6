"""What labels of a model are, from its contract: classes, or numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array, column_names
from quintet.contract import Contract, Output
from quintet.labels.ids import Ids, groups

__all__ = ["Kind", "Target"]

Kind = Literal["classes", "number"]

_WORDS = {"false": 0, "no": 0, "true": 1, "yes": 1}
#: how many classes a message names
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class _Decision:
    """The output that says which class was predicted, and the class of each of its values."""

    output: Output
    classes: Mapping[str, int]


class Target:
    """How labels and captured outputs of a version become classes or numbers.

    Of a model with classes, `probabilities` are the columns of their probabilities, or the one of
    the last class; `score` is a column that ranks rows by the last of two classes, and `decision`
    the column of the predicted class. Of one with a `value`, `number` is its column.
    """

    def __init__(self, contract: Contract) -> None:
        of: dict[str, Output] = {}
        for output in contract.outputs:
            if not output.free:
                of.setdefault(output.meaning, output)
        label, columns, score = of.get("label"), of.get("probabilities"), of.get("score")
        value = of.get("value")
        self.probabilities = _captured(columns) if columns else []
        self.names: tuple[str, ...] = ()
        for one in (columns, label):
            if one is not None and not self.names:
                self.names = one.class_names or ()
        if not self.names and len(self.probabilities) > 1:
            self.names = tuple(map(str, range(len(self.probabilities))))
        if not self.names and (columns or (score and not value)):
            self.names = ("0", "1")
        self.score = _captured(score)[0] if score and len(self.names) == 2 else None
        self.decision = None if label is None or not self.names else f"output_{label.name}"
        self.number = None
        if not self.names and value is not None and len(_captured(value)) == 1:
            self.number = _captured(value)[0]
        self._aliases = self._of_truth(label, columns)
        self._decisions = self._of_decisions(label)

    @property
    def kind(self) -> Kind | None:
        """What a label is; None if the model has nothing that labels can be compared with."""
        if self.names:
            return "classes"
        return "number" if self.number is not None else None

    @property
    def columns(self) -> list[str]:
        """The columns of captures that are needed."""
        some = (self.score, self.decision, self.number)
        return self.probabilities + [name for name in some if name is not None]

    @property
    def expected(self) -> str:
        """What a label is, for messages."""
        if self.kind == "number":
            return "a finite number"
        known = list(dict.fromkeys(self.names))
        more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
        return f"one of {', '.join(known[:_SHOWN])}{more}, or a class's number"

    def truth(self, values: Ids) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Labels as numbers, of classes their positions, and which of them are labels at all."""
        if self.kind == "number":
            found = _numbers(values)
            return found, np.isfinite(found)
        found = _mapped(values, self._aliases)
        return found, ~np.isnan(found)

    def values(self, values: Ids) -> tuple[Array, NDArray[np.bool_]]:
        """Labels as drift compares them, names of classes or numbers, and which are labels."""
        found, is_label = self.truth(values)
        if self.kind == "number":
            return found, is_label
        names = np.array(self.names, dtype=object)
        return names[np.nan_to_num(found).astype(np.int64)], is_label

    def decided(self, values: Array) -> NDArray[np.int64]:
        """The positions of predicted classes, from the captured label; -1 of unknown ones."""
        return np.nan_to_num(_mapped(values, self._decisions), nan=-1).astype(np.int64)

    def _of_truth(self, label: Output | None, columns: Output | None) -> dict[str, int]:
        """The class of each text that may stand for it; names go before numbers and words."""
        known = dict(_WORDS) if len(self.names) == 2 else {}
        known |= {str(at): at for at in range(len(self.names))}
        for output in (label, columns):
            names = output.class_names if output is not None else None
            if output is not None and names and len(names) == len(self.names):
                known |= {text: at for at, text in enumerate(output.labels)}
                known |= {name: at for at, name in enumerate(names)}
        return known

    def _of_decisions(self, label: Output | None) -> dict[str, int]:
        """The class of each value of the label."""
        texts = label.labels if label is not None else ()
        if label is not None and label.dtype == "string" and isinstance(label.classes, tuple):
            texts = label.classes
        return {text: at for at, text in enumerate(texts or map(str, range(len(self.names))))}


def _captured(output: Output) -> list[str]:
    return [f"output_{name}" for name in column_names(output)]


def _mapped(values: Array, known: Mapping[str, int]) -> NDArray[np.float64]:
    """Texts or numbers by a mapping, (rows,); NaN where it has none. 1.0 is 1."""
    if values.dtype.kind == "S":
        numbers = groups(values)
        _, first = np.unique(numbers, return_index=True)
        texts = [one.decode("utf-8", "replace") for one in values[first].tolist()]
    else:
        unique, numbers = np.unique(values, return_inverse=True)
        texts = [str(one) for one in unique.tolist()]
    found = [known.get(text, known.get(_plain(text), np.nan)) for text in texts]
    return np.array(found, dtype=np.float64)[numbers]


def _plain(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return text.lower() if text.lower() in _WORDS else text
    return str(int(number)) if number.is_integer() else text


def _numbers(values: Ids) -> NDArray[np.float64]:
    """Texts as numbers, (rows,); NaN of those that are none."""
    try:
        return values.astype(np.float64)
    except ValueError:  # some are none: of each text once
        numbers = groups(values)
        _, first = np.unique(numbers, return_index=True)
        found = [_number(one) for one in values[first].tolist()]
        return np.array(found, dtype=np.float64)[numbers]


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
