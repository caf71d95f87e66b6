"""What the sink's objects hold: predictions as Parquet."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from arro3 import io as arrow_io
from numpy.typing import NDArray

from quintet.batch.outputs import score_columns
from quintet.contract import Contract
from quintet.formats.arrow import table
from quintet.scoring import Scores
from quintet.streaming.model_rows import ModelRows, ShardBatch

__all__ = ["predictions", "rows_of"]


def predictions(
    flow: ModelRows, scores: Scores, chosen: NDArray[np.int64], arrivals: ShardBatch, version: int
) -> bytes:
    """The scores at the positions `chosen`, one row each: where it is from, and the outputs."""
    contract, rows = flow.contract, scores.index[chosen]
    records = flow.record[rows]
    origin: dict[str, Any] = {
        "sequence": [arrivals.sequences[record] for record in records.tolist()],
        "row": flow.row[rows],
        "arrived": arrivals.arrived[records],
    }
    columns: dict[str, Any] = {}
    if contract.entity is not None and flow.batch.entities is not None:
        entities = flow.batch.entities
        columns[contract.entity] = [entities[row] or None for row in rows.tolist()]
    columns |= _outputs(contract, scores, chosen)
    columns["model_version"] = np.full(len(rows), version, dtype=np.int64)
    # what decides about rows must not be hidden by an output of the same name
    columns = origin | {name: column for name, column in columns.items() if name not in origin}
    out = io.BytesIO()
    arrow_io.write_parquet(table(columns), out, compression="snappy")
    return out.getvalue()


def _outputs(contract: Contract, scores: Scores, chosen: NDArray[np.int64]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for output in contract.outputs:
        for name, values in score_columns(output, scores.outputs[output.name][chosen]):
            columns[name] = values.tolist() if values.dtype.kind == "O" else values
    if contract.fallback is not None:
        columns["fallback"] = scores.fallback[chosen]
    return columns


def rows_of(body: bytes) -> set[tuple[str, int]]:
    """The sequence and row of every prediction in an object."""
    found = arrow_io.read_parquet(io.BytesIO(body)).read_all()
    places = (found["sequence"].to_pylist(), found["row"].to_pylist())
    return set(zip(*places, strict=True))
