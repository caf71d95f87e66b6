"""A batch as named numpy arrays, made from records, tensors, text cells or typed arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.contract import Contract
from quintet.errors import Refusal

__all__ = ["Array", "Batch", "from_arrays", "from_records", "from_tensors", "from_text"]

Array = NDArray[Any]


@dataclass(slots=True)
class Batch:
    """Rows to score, as columns.

    `columns` holds arrays of shape (rows, *feature.shape) in the feature's dtype; strings
    are object arrays of `str`. `entities` is the entity key of each row, where the contract
    has one. Refused rows stay in place (with filler values) so that positions keep their
    meaning; `good` is False for them.
    """

    rows: int
    columns: dict[str, Array]
    good: NDArray[np.bool_]
    entities: list[str] | None = None
    refusals: list[Refusal] = field(default_factory=list)

    def refuse(self, rows: Array, field_name: str, expected: str, got: Sequence[str]) -> None:
        """Mark `rows` (positions) refused for `field_name`; `got` tells what came in each."""
        raise NotImplementedError


def from_records(contract: Contract, records: Sequence[Any]) -> Batch:
    """Records (dicts of JSON values by feature name, and the entity key) as a batch."""
    raise NotImplementedError


def from_tensors(contract: Contract, tensors: Mapping[str, Array]) -> Batch:
    """OIP tensors as a batch: graph inputs whole, or one (rows,) or (rows, 1) tensor a feature.

    Raises:
        BadInput: a name, dtype, shape or row count is not the contract's.
    """
    raise NotImplementedError


def from_text(contract: Contract, cells: Mapping[str, Sequence[str | None]]) -> Batch:
    """Text cells (of a CSV) by column name as a batch; None or an empty cell is missing.

    Raises:
        BadInput: a required column is missing, or a column is unknown.
    """
    raise NotImplementedError


def from_arrays(
    contract: Contract, arrays: Mapping[str, Array], nulls: Mapping[str, Array]
) -> Batch:
    """Typed columns (of Parquet) as a batch; `nulls` marks the missing values of a column.

    Raises:
        BadInput: a required column is missing, a column is unknown or of another kind.
    """
    raise NotImplementedError
