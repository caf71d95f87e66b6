"""The features of a model, and the input and output tensors of its graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from quintet.contract.parts import DType, Empty, Meaning, Missing, Part, Scalar, Source, WhenStale

__all__ = ["Feature", "Input", "Output"]


class Feature(Part):
    """One column of a record.

    Records, files and tensors have it under `column`, by default its `name`.
    `shape` is that of one row: () is a scalar, (64,) a vector of 64, (-1,) a vector of any length
    up to `max`, which bounds the free axes (-1) in order. With `pad`, all rows of a run are filled
    up with that value to the longest of them. A feature without a
    `default` is required. `max_age` is in seconds and applies to stored features;
    `when_stale` says what happens if the value is older or missing: serve (use the
    old value; if it is missing, the default, else refuse), default, fallback (the
    contract's fallback rule answers) or refuse. `empty` says how to read an empty text: as text,
    or as missing, for tools that write missing values as empty text. With `missing: nan`, the graph
    gets NaN for a missing value or element, and the feature is not required.
    """

    name: str
    column: str | None = None
    dtype: DType
    shape: tuple[int, ...] = ()
    max: int | tuple[int, ...] | None = None
    pad: Scalar | None = None
    source: Source = "request"
    range: tuple[float | None, float | None] | None = None
    categories: tuple[str | int, ...] | None = None
    default: Scalar | None = None
    missing: Missing | None = None
    empty: Empty = "text"
    max_age: float | None = None
    when_stale: WhenStale = "refuse"
    sensitive: bool = False
    description: str = ""

    @cached_property
    def key(self) -> str:
        """Its name in records, files and tensors, and in refusals of them."""
        return self.column or self.name

    @cached_property
    def fill(self) -> Scalar | None:
        """What a missing value becomes: NaN, or the default; None: the value is required.

        A row with free axes has no length if it is missing, so it is required.
        """
        return math.nan if self.missing and not self.free else self.default

    @cached_property
    def free(self) -> bool:
        """Whether rows may differ in shape."""
        return -1 in self.shape

    @cached_property
    def largest(self) -> tuple[int, ...]:
        """The shape of the largest row."""
        return _bounded(self.shape, self.max)


class Input(Part):
    """One input tensor of the graph; its dimension `batch_axis` is the rows (-1).

    `features` names one feature, of any shape, or the scalar features stacked into
    (rows, len(features)); without it, the input takes the feature of the same name.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    features: tuple[str, ...] | None = None
    batch_axis: int = 0

    @cached_property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return _without(self.shape, self.batch_axis)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The features that feed it: one, or several scalars side by side."""
        return self.features or (self.name,)


class Output(Part):
    """One output tensor of the graph and its meaning; the dimension `batch_axis` is the rows.

    `max` bounds its free axes, as those of a feature.

    `classes` names the classes: a list in the order of the label's numbers (0, 1, ...) or of
    the columns of the probabilities, or a mapping from the graph's labels, as text, to names;
    with a mapping, the columns are in ascending order of the labels. A row whose output is not
    finite is refused unless `finite` is false.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    meaning: Meaning
    max: int | tuple[int, ...] | None = None
    classes: tuple[str, ...] | dict[str, str] | None = None
    finite: bool = True
    description: str = ""
    batch_axis: int = 0

    @cached_property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return _without(self.shape, self.batch_axis)

    @cached_property
    def free(self) -> bool:
        """Whether rows may differ in shape."""
        return -1 in self.row_shape

    @cached_property
    def largest(self) -> tuple[int, ...]:
        """The shape of the largest row."""
        return _bounded(self.row_shape, self.max)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels that have a name, as text, in column order."""
        if isinstance(self.classes, dict):
            return tuple(sorted(self.classes, key=_label_order))
        return tuple(map(str, range(len(self.classes or ()))))

    @cached_property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes, in column order."""
        if isinstance(self.classes, dict):
            return tuple(self.classes[label] for label in self.labels)
        return self.classes

    @cached_property
    def class_of(self) -> Mapping[Any, str]:
        """The name of each label: an integer, or the text of a string output."""
        if self.dtype == "string":
            return self.classes if isinstance(self.classes, dict) else {}
        names = zip(self.labels, self.class_names or (), strict=True)
        return {int(label): name for label, name in names if _is_int(label)}


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def _bounded(shape: tuple[int, ...], most: int | tuple[int, ...] | None) -> tuple[int, ...]:
    bounds = iter((most,) if isinstance(most, int) else most or ())
    return tuple(next(bounds) if size == -1 else size for size in shape)


def _is_int(label: str) -> bool:
    return label.removeprefix("-").isdecimal()


def _label_order(label: str) -> tuple[bool, int, str]:
    """Sort key: integers by value, before texts."""
    return (False, int(label), "") if _is_int(label) else (True, 0, label)
