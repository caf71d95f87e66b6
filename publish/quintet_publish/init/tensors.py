"""The features and inputs of a contract, by the shapes of a sample's rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from quintet_publish.init.draft import Draft
from quintet_publish.init.fed import Fed
from quintet_publish.init.guess import Guess
from quintet_publish.init.layout import Layout
from quintet_publish.problems import PackageError

__all__ = ["take_tensors"]

SLACK = 2  # how many times as long as the sample's rows a row may be


def take_tensors(draft: Draft, feds: Mapping[str, list[Fed]], layout: Layout) -> None:
    """Add the features and inputs to the draft's contract.

    Raises:
        PackageError: the rows of a column have different numbers of dimensions.
    """
    features, inputs = [], []
    for name, parts in feds.items():
        tensor, axis = parts[0].tensor, layout.axes[name]
        for fed in parts:
            shape, most = _shape([np.shape(v) for v in fed.values if v is not None])
            feature: dict[str, Any] = {"name": fed.name, "dtype": tensor.dtype}
            if shape:
                feature["shape"] = shape
            if most:
                feature["max"] = most[0] if len(most) == 1 else most
                reason = f"rows differ in shape; {SLACK} times the largest of the sample"
                path = ("features", fed.name, "max")
                draft.guesses.append(Guess.of(path, feature["max"], reason))
            features.append(feature)
        row = features[-1].get("shape", [])
        if len(parts) > 1:
            row = [len(parts)]
        elif not row and not (tensor.dims is not None and len(tensor.dims) == 1):
            row = [1]
        inputs.append(
            {
                "name": name,
                "dtype": tensor.dtype,
                "shape": [*row[:axis], -1, *row[axis:]],
                **({"batch_axis": axis} if axis else {}),
                "features": [fed.name for fed in parts],
            }
        )
    draft.contract["features"], draft.contract["inputs"] = features, inputs


def _shape(shapes: Sequence[tuple[int, ...]]) -> tuple[list[int], list[int]]:
    """The shape of a row, -1 where rows differ, and the largest sizes there."""
    if len({len(shape) for shape in shapes}) != 1:
        raise PackageError.of("sample", "rows of one column have different numbers of dimensions")
    sizes = [sorted(set(axis)) for axis in zip(*shapes, strict=True)]
    free = [at for at, found in enumerate(sizes) if len(found) > 1]
    return (
        [-1 if at in free else found[0] for at, found in enumerate(sizes)],
        [SLACK * sizes[at][-1] for at in free],
    )
