"""The columns of a run's scores, from the contract alone: report_run has no arro3."""

from __future__ import annotations

from quintet.columns import column_names
from quintet.contract import Contract

__all__ = ["FILE", "score_names"]

#: the column that names a row's file, in a run over many files
FILE = "file"


def score_names(contract: Contract, *, many: bool) -> list[str]:
    """The columns of the scores, without passthrough columns."""
    outputs = [name for output in contract.outputs for name in column_names(output)]
    file, entity = [FILE] * many, [contract.entity] if contract.entity else []
    fallback = ["fallback"] if contract.fallback else []
    return [*file, "row", *entity, *outputs, *fallback, "model_version"]
