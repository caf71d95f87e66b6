"""Captures as a table: one row of Parquet for each row of an event.

`FIXED` are the columns of every model. After them come a model's own: `feature_<name>` and
`output_<column>`, in the dtypes of its contract, and of stored features `age_<name>` (seconds,
float32) and, where the store says for some row when it took its value, `known_<name>` (time), and
`SEALED` where sensitive features are captured encrypted.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from arro3 import core
from arro3 import io as arrow_io
from numpy.typing import NDArray

from quintet.captures.arrays import INT, TEXT, TIME, column_of
from quintet.captures.plans import About, CapturePlan, Rows, Seal
from quintet.columns import Array, Batch
from quintet.errors import Refusal
from quintet.formats.arrow import arrow_errors
from quintet.serving import Prediction

__all__ = [
    "FIXED",
    "RECOMMENDED",
    "SEALED",
    "concat",
    "moments",
    "predictions",
    "read_parquet",
    "refused",
    "refused_of",
    "scored",
    "table_of",
    "take",
    "value_columns",
    "write_parquet",
]

_FLOAT, _BOOL = core.DataType.float64(), core.DataType.bool()

#: the columns of every capture, in their order; docs/captures.md describes them
FIXED: Mapping[str, core.DataType] = {
    "event": TEXT,
    "row": INT,
    "event_time": TIME,
    "served_at": TIME,
    "outcome": TEXT,
    "model": TEXT,
    "version": INT,
    "digest": TEXT,
    "path": TEXT,
    "route": TEXT,
    "rate": _FLOAT,
    "rows": INT,
    "request_id": TEXT,
    "trace_id": TEXT,
    "caller": TEXT,
    "entity": TEXT,
    "row_id": TEXT,
    "job": TEXT,
    "run": TEXT,
    "record": TEXT,
    "rollout": TEXT,
    "cold": _BOOL,
    "load_ms": _FLOAT,
    "decode_ms": _FLOAT,
    "features_ms": _FLOAT,
    "score_ms": _FLOAT,
    "total_ms": _FLOAT,
    "fallback": _BOOL,
    "fallback_reason": TEXT,
    "refusals": TEXT,
    "failure": TEXT,
    "without_features": _BOOL,
    "impression": TEXT,
}
#: a null of each column; arro3 makes none of every kind
_NOTHING = {name: core.Array([None], INT).cast(kind) for name, kind in FIXED.items()}
#: the encrypted sensitive features of a row, and the wrapped key of them: base64
SEALED = ("sealed", "sealed_key")

#: rows up to which a file is not compressed
FEW = 32

#: the outcome of a row that is an impression, not a prediction: an event has one at most
RECOMMENDED = "recommended"


def moments(seconds: float | NDArray[np.float64]) -> Array:
    """Times in epoch seconds as datetime64 in microseconds, UTC; of one number, (1,)."""
    return np.rint(np.atleast_1d(seconds) * 1e6).astype(np.int64).view("datetime64[us]")


def table_of(rows: int, fixed: Mapping[str, Any], values: Mapping[str, Array]) -> core.Table:
    """A table of so many rows. A fixed column is given as one value for all rows, or as (rows,)
    values; those that are not given are null. `values` are the model's own columns."""
    first = np.zeros(rows, dtype=np.int64)
    columns: dict[str, Any] = {
        name: _fixed(value, kind, first)
        if (value := fixed.get(name)) is not None
        else _NOTHING[name].take(first)
        for name, kind in FIXED.items()
    }
    columns |= {name: column_of(array) for name, array in values.items()}
    return core.Table.from_pydict(columns)


def _fixed(value: Any, kind: core.DataType, first: NDArray[np.int64]) -> core.Array:
    """A value, or values, as a column; `first` has a zero for each row."""
    if isinstance(value, core.Array):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind != "O" and len(value) == len(first):
        return core.Array.from_numpy(np.ascontiguousarray(value)).cast(kind)
    if isinstance(value, list):
        return core.Array(value, kind)
    if isinstance(value, np.ndarray):  # one moment
        return core.Array.from_numpy(value).take(first)
    return core.Array([value], kind).take(first)


def value_columns(
    about: About,
    features: Sequence[Array] | None,
    ages: NDArray[np.float32],
    outputs: Mapping[str, Array],
    known: NDArray[np.float64] | None = None,
) -> dict[str, Array]:
    """A model's own columns, from what `CapturePlan.features` gives, the ages of stored features,
    the outputs, and when the store took the values of stored features (see `Batch.known`)."""
    columns: dict[str, Array] = {}
    if features is not None:
        groups = len(about.groups)
        for (names, _), matrix in zip(about.groups, features[:groups], strict=True):
            columns |= {f"feature_{name}": matrix[:, i] for i, name in enumerate(names)}
        for (name, _, _), array in zip(about.shaped, features[groups:], strict=True):
            columns[f"feature_{name}"] = array
    columns |= {f"age_{name}": ages[:, i] for i, name in enumerate(about.ages)}
    if known is not None:
        for i, name in enumerate(about.ages):
            if known[:, i].any():
                taken = moments(known[:, i])
                taken[known[:, i] == 0] = np.datetime64("NaT", "us")
                columns[f"known_{name}"] = taken
    for name, _, parts in about.outputs:
        if name in outputs:
            if parts is None:
                columns[f"output_{name}"] = outputs[name]
                continue
            flat = outputs[name].reshape(len(outputs[name]), len(parts))
            columns |= {f"output_{column}": flat[:, i] for i, column in enumerate(parts)}
    return columns


def scored(
    plan: CapturePlan,
    prediction: Prediction,
    some: Rows,
    fixed: Mapping[str, Any],
    *,
    seal: Seal | None = None,
) -> core.Table:
    """The scored rows of a prediction, by their positions in its scores; `fixed` are the fields
    that the prediction does not know, each for all rows or for those of `some`. Sensitive features
    are sealed if a rollout has routed the rows, by `seal` if that is given."""
    batch, scores = prediction.batch, prediction.scores
    index, fallback = scores.index[some], scores.fallback[some]
    entities: list[str | None] | None = None
    if batch.entities is not None:
        entities = [batch.entities[row] or None for row in index.tolist()]
    ids = None if batch.ids is None else [batch.ids[row] for row in index.tolist()]
    reasons: list[str | None] | None = None
    if fallback.any():
        reasons = [None] * len(index)
        by_rule = np.flatnonzero(fallback).tolist()
        for row, reason in zip(
            by_rule, plan.fallback_reasons(prediction, index[fallback]), strict=True
        ):
            reasons[row] = reason
    known = _version(plan.about) | {
        "row": prediction.rows[index],
        "served_at": moments(prediction.now),
        "outcome": "scored",
        "route": prediction.route,
        "rollout": prediction.rollout or None,
        "rows": batch.rows,
        "entity": entities,
        "row_id": ids,
        "fallback": fallback,
        "fallback_reason": reasons,
        **fixed,
    }
    ages = prediction.ages[index].astype(np.float32)
    outputs = {name: values[some] for name, values in scores.outputs.items()}
    taken = None if batch.known is None else batch.known[index]
    columns = value_columns(plan.about, plan.features(batch, index), ages, outputs, taken)
    if prediction.rollout:  # otherwise nobody would open them
        columns |= _sealed(plan, batch, index, known, seal)
    return table_of(len(index), known, columns)


def _sealed(
    plan: CapturePlan,
    batch: Batch,
    index: NDArray[np.int64],
    known: Mapping[str, Any],
    seal: Seal | None,
) -> dict[str, Array]:
    """The columns of encrypted features of some rows of a batch, if it has such."""
    if seal is None or not plan.sealed:
        return {}
    found = seal(plan, batch, index, known["event"], known["row"])
    if found is None:
        return {}
    values = found.rows, [found.key] * len(index)
    return {n: np.array(v, dtype=object) for n, v in zip(SEALED, values, strict=True)}


def refused_of(
    plan: CapturePlan,
    prediction: Prediction,
    rows: NDArray[np.int64],
    reasons: Sequence[Sequence[Refusal]],
    fixed: Callable[[NDArray[np.int64]], Mapping[str, Any]],
    *,
    seal: Seal | None = None,
) -> core.Table:
    """Refused rows of a prediction that a rollout has routed: with their entity, and those that the
    model failed on with their features, which the other version is asked about.

    `rows` are ascending positions in the caller's batch, as are those that `fixed` takes.
    """
    batch, index = prediction.batch, np.searchsorted(prediction.rows, rows)
    by_model = np.array([any(map(plan.is_models, some)) for some in reasons], dtype=np.bool_)
    parts = []
    for failed in (False, True):
        places = np.flatnonzero(by_model == failed)
        known = dict(fixed(rows[places]))
        if batch.entities is not None:
            known["entity"] = [batch.entities[row] or None for row in index[places].tolist()]
        values: dict[str, Array] = {}
        if failed and plan.names <= batch.columns.keys():
            features = plan.features(batch, index[places])
            ages = np.full((len(places), len(plan.about.ages)), np.nan, dtype=np.float32)
            values = value_columns(plan.about, features, ages, {})
            values |= _sealed(plan, batch, index[places], known, seal)
        why = [reasons[place] for place in places.tolist()]
        parts.append(refused(plan, why, known, values))
    return concat(parts)


def refused(
    plan: CapturePlan,
    reasons: Sequence[Sequence[Refusal]],
    fixed: Mapping[str, Any],
    values: Mapping[str, Array] = MappingProxyType({}),
) -> core.Table:
    """Refused rows, each with its reasons, by default without values; `fixed` has the other
    fields."""
    known = _version(plan.about) | {
        "outcome": "refused",
        "refusals": [plan.refusal(some) for some in reasons],
        **fixed,
    }
    return table_of(len(reasons), known, values)


def _version(about: About) -> dict[str, Any]:
    return {
        "model": about.model,
        "version": about.version,
        "digest": about.digest,
        "rate": about.rate,
    }


def concat(tables: Sequence[core.Table]) -> core.Table:
    """The rows of tables of one version of a model; a column that one does not have is null."""
    tables = [table for table in tables if table.num_rows] or tables[:1]
    if len(tables) == 1:
        return tables[0]
    samples = {name: table[name].chunks[:1] for table in tables for name in table.column_names}
    parts: dict[str, list[core.Array]] = {name: [] for name in samples}
    for table in tables:
        held = set(table.column_names)
        nothing = core.Array([None], INT).take(np.zeros(table.num_rows, dtype=np.int64))
        for name, sample in samples.items():
            parts[name] += table[name].chunks if name in held else [sample[0].take(nothing)]
    return core.Table.from_pydict({name: core.ChunkedArray(some) for name, some in parts.items()})


def predictions(rows: core.Table) -> core.Table:
    """The rows that are predictions, refused and failed ones included, without impressions."""
    outcomes = rows["outcome"].to_pylist()
    if RECOMMENDED not in outcomes:
        return rows
    return take(rows, np.flatnonzero([one != RECOMMENDED for one in outcomes]))


def take(table: core.Table, index: NDArray[np.int64]) -> core.Table:
    """Some rows of a table, by their positions."""
    return core.Table.from_pydict(
        {name: table[name].combine_chunks().take(index) for name in table.column_names}
    )


def write_parquet(table: core.Table, mark: str = "") -> bytes:
    """A table as a file; the same rows with the same `mark` give the same bytes.

    Numbers of a model's own columns rarely repeat: with dictionaries of them, writing takes twice
    as long, and the file is half as large again. Few rows are as large with zstd as without, and
    take six times as long to write and to read: each column begins anew.
    """
    out = io.BytesIO()
    arrow_io.write_parquet(
        table.combine_chunks(),
        out,
        compression="zstd(1)" if table.num_rows > FEW else "uncompressed",
        column_dictionary_enabled={
            name: name in FIXED or (name != "sealed" and core.DataType.is_string(table[name].type))
            for name in table.column_names
        },
        key_value_metadata={"mark": mark} if mark else None,
    )
    return out.getvalue()


def read_parquet(body: bytes) -> core.Table:
    """The table in a file. Raises BadInput if it is damaged."""
    with arrow_errors("captures", "a Parquet file"):
        return arrow_io.read_parquet(io.BytesIO(body)).read_all()
