"""Vectors in CSV, whose cells are single values: a feature `x` of 3 values is `x[0]` to `x[2]`.

A file's columns are read as scalar features, which are put together afterwards.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np

from quintet.columns import Batch
from quintet.contract import Contract, Feature
from quintet.errors import BadInput

__all__ = ["base_of", "positions", "spread", "together"]

_VALUE = re.compile(r"(.+)\[\d+\]")


def spread(contract: Contract) -> Contract:
    """The contract with a scalar feature for each value of a vector, in row-major order.

    Raises:
        BadInput: the lists of a feature may have several lengths.
    """
    if not any(feature.shape for feature in contract.requested):
        return contract
    found: Contract = contract.compiled[_spread]
    return found


def _spread(contract: Contract) -> Contract:
    features: list[Feature] = []
    for feature in contract.features:
        if feature.source != "request" or not feature.shape:
            features.append(feature)
            continue
        features += [
            replace(feature, name=name, column=_of(feature.column, place), shape=())
            for place, name in enumerate(_names(feature))
        ]
    return replace(contract, features=tuple(features))


def _names(feature: Feature) -> tuple[str, ...]:
    if min(feature.shape) < 1:
        expected = "JSONL or Parquet, as its lists may have any length"
        raise BadInput.of(feature.key, expected, "CSV")
    return tuple(f"{feature.name}[{place}]" for place in range(math.prod(feature.shape)))


def _of(column: str | None, place: int) -> str | None:
    return f"{column}[{place}]" if column else None


def base_of(column: str) -> str | None:
    """The feature whose value a column has, if it is named like one of a vector's values."""
    found = _VALUE.fullmatch(column)
    return found[1] if found else None


def positions(contract: Contract, given: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The columns of a CSV without a header: the contract's order, without `given` features.

    First the entity key, if the model joins stored features, as in rows without names of the API.
    """
    known = spread(contract)
    key = [known.entity] if known.entity and known.needs_entity else []
    names = [*key, *(f.key for f in known.requested if f.name not in given)]
    return tuple(dict.fromkeys(names))


def together(contract: Contract, batch: Batch) -> Batch:
    """A batch of `spread(contract)` as one of the contract; refusals keep the single names."""
    columns, absent = {}, set()
    for feature in contract.requested:
        if not feature.shape:
            columns[feature.name] = batch.columns[feature.name]
            continue
        names = _names(feature)
        matrix = np.stack([batch.columns[name] for name in names], axis=1)
        columns[feature.name] = matrix.reshape(batch.rows, *feature.shape)
        if batch.absent.issuperset(names):
            absent.add(feature.name)
    absent |= batch.absent & columns.keys()
    stacked = {n: matrix for n, matrix in batch.stacked.items() if columns.keys() >= set(n)}
    return batch.with_(columns=columns, absent=absent, stacked=stacked)
