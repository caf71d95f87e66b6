"""The columns of scores, by the contract alone: report_run has no arro3."""

from __future__ import annotations

import math

from quintet.columns import Array, empty_output
from quintet.contract import Contract, Output

__all__ = ["FILE", "score_columns", "score_names"]

#: the column that says which of many files a row is of
FILE = "file"


def score_names(contract: Contract, *, many: bool) -> list[str]:
    """The columns that scores have, whatever is kept beside them."""
    outputs = [n for o in contract.outputs for n, _ in score_columns(o, empty_output(o))]
    file, entity = [FILE] * many, [contract.entity] if contract.entity else []
    fallback = ["fallback"] if contract.fallback else []
    return [*file, "row", *entity, *outputs, *fallback, "model_version"]


def score_columns(output: Output, values: Array) -> list[tuple[str, Array]]:
    """An output as flat columns: `name`, or `name_<class or number>` where a row has several."""
    if values.ndim == 1:
        return [(output.name, values)]
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    if flat.shape[1] == 1:
        return [(output.name, flat[:, 0])]
    named = output.classes if output.classes and len(output.classes) == flat.shape[1] else None
    names = named or range(flat.shape[1])
    return [(f"{output.name}_{name}", flat[:, i]) for i, name in enumerate(names)]
