"""The stored features of captured rows: their freshness, their skew, and their distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from arro3 import core
from numpy.typing import NDArray

from quintet.captures.history import read_history
from quintet.captures.queries import find, load
from quintet.captures.store import CaptureObjects
from quintet.captures.tables import take
from quintet.columns import Array, numpy_dtype
from quintet.contract import Contract, Feature
from quintet.errors import BadInput
from quintet.formats.arrow import column
from quintet.monitoring.drift import drift_of
from quintet.monitoring.freshness import freshness_of
from quintet.monitoring.samples import Reference, Sample
from quintet.monitoring.skew import Served, skew_of

__all__ = ["served_between", "served_features", "stored_features"]


def stored_features(
    objects: CaptureObjects, reference: Reference, since: float, until: float
) -> dict[str, Any]:
    """What captures from `since` to before `until`, in epoch seconds, say of a version's stored
    features: `freshness`, `skew`, and `drift` against the training data, None without a baseline.

    Raises:
        BadInput: the version has no stored features, or is not captured.
        Transient: captures or history could not be read.
    """
    contract = reference.contract
    if contract.entity is None or not contract.stored:
        raise BadInput.of("model", "one with stored features", contract.name)
    if contract.capture is None:
        raise BadInput.of("model", "a version with `capture` in its model.yaml", contract.name)
    served = served_between(objects, contract, since, until)
    entities = served.entities.tolist()
    history = read_history(objects, contract.entity, contract.stored, entities)
    return {
        "model": contract.name,
        "version": contract.version,
        "rows": len(served.at),
        "freshness": freshness_of(contract.stored, served),
        "skew": skew_of(contract.stored, served, history),
        "drift": _drift(reference, served),
    }


def served_between(
    objects: CaptureObjects, contract: Contract, since: float, until: float
) -> Served:
    """The stored features of a version's captures from `since` to before `until`, in epoch seconds.

    Raises Transient.
    """
    places = find(objects, contract.name, since, until)
    tables = load(objects, [one for one in places if one.hour.version == contract.version])
    rows = next(iter(tables), None)
    if rows is None:
        return _NOTHING
    times = rows["event_time"].combine_chunks().cast(core.DataType.int64()).to_numpy() / 1e6
    inside = np.flatnonzero((times >= since) & (times < until))
    return served_features(contract.stored, take(rows, inside))


def served_features(features: Sequence[Feature], rows: core.Table) -> Served:
    """The stored features of the rows that were scored, captured with features and have an entity.

    Sensitive features have ages, and no values.
    """
    entities = rows["entity"].to_pylist()
    without = _flags(rows, "without_features")
    scored = [outcome == "scored" for outcome in rows["outcome"].to_pylist()]
    named = [entity is not None for entity in entities]
    index = np.flatnonzero(np.array(scored, np.bool_) & np.array(named, np.bool_) & ~without)
    values: dict[str, Array] = {}
    ages: dict[str, NDArray[np.float64]] = {}
    for feature in features:
        if f"age_{feature.name}" in rows.column_names:
            found, null = column("age", rows[f"age_{feature.name}"].combine_chunks().take(index))
            known = found.astype(np.float64)
            ages[feature.name] = known if null is None else np.where(null, np.nan, known)
            name = f"feature_{feature.name}"
            if name in rows.column_names:
                taken = rows[name].combine_chunks().take(index)
                values[feature.name] = column(name, taken, (), feature.dtype)[0].astype(
                    numpy_dtype(feature.dtype)
                )
    micros = rows["served_at"].combine_chunks().take(index).cast(core.DataType.int64()).to_numpy()
    return Served(
        np.array([entities[row] for row in index.tolist()], dtype=np.str_),
        micros / 1e6,
        values,
        ages,
        _flags(rows, "fallback")[index],
    )


def _flags(rows: core.Table, name: str) -> NDArray[np.bool_]:
    return np.array([bool(flag) for flag in rows[name].to_pylist()], dtype=np.bool_)


def _drift(reference: Reference, served: Served) -> dict[str, Any] | None:
    """The drift of the rows that the model answered, from the training data."""
    usable = ~served.fallback
    for ages in served.ages.values():
        usable &= ~np.isnan(ages)
    index = np.flatnonzero(usable)
    sample = Sample(reference, len(index))
    sample.add(served.values, index, served.entities.tolist())
    found = drift_of(reference, [(len(index), sample.document())])
    if found is not None:
        for name in ("not_compared", "notes"):  # the features of requests, and outputs
            found.pop(name)
    return found


_NOTHING = Served(np.empty(0, np.str_), np.empty(0), {}, {}, np.empty(0, np.bool_))
