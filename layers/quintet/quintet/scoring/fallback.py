"""The answers of the fallback rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quintet.columns import Array, Batch, empty_output, numpy_dtype
from quintet.contract import Contract, Output
from quintet.errors import ModelFailure

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fallback_outputs"]


def fallback_outputs(
    contract: Contract, batch: Batch, wanted: Sequence[Output], index: NDArray[np.int64]
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
