"""The content of the sink's objects: predictions as Parquet."""

from __future__ import annotations

import io

import numpy as np
from arro3 import core
from arro3 import io as arrow_io
from numpy.typing import NDArray

from quintet.columns import Array
from quintet.formats.writers import output_columns, text_column, write_table
from quintet.scoring import Scores
from quintet.streaming.model_rows import ModelRows, ShardBatch

__all__ = ["predictions", "versions_of"]


def predictions(
    model_rows: ModelRows,
    scores: Scores,
    chosen: NDArray[np.int64],
    shard_batch: ShardBatch,
    versions: NDArray[np.int64],
) -> bytes:
    """The scores at the positions `chosen`, one row each: its origin and the outputs.

    `versions` (rows,) are those that answered each row.
    """
    contract, rows = model_rows.contract, scores.index[chosen]
    records = model_rows.record[rows]
    origin: dict[str, Array | core.Array] = {
        "sequence": text_column([shard_batch.sequences[record] for record in records.tolist()]),
        "row": model_rows.row[rows],
        "arrived": shard_batch.arrived[records],
    }
    columns: dict[str, Array | core.Array] = {}
    if contract.entity is not None and model_rows.batch.entities is not None:
        entities = model_rows.batch.entities
        columns[contract.entity] = text_column([entities[row] or None for row in rows.tolist()])
    outputs = {name: values[chosen] for name, values in scores.outputs.items()}
    columns |= output_columns(contract, outputs, scores.fallback[chosen])
    columns["model_version"] = versions[rows]
    # an output of the same name must not replace the columns that identify rows
    return write_table(origin | {n: column for n, column in columns.items() if n not in origin})


def versions_of(body: bytes) -> dict[tuple[str, int], int]:
    """The version of every prediction in an object, by its sequence and row."""
    found = arrow_io.read_parquet(io.BytesIO(body)).read_all()
    places = (found["sequence"].to_pylist(), found["row"].to_pylist())
    return dict(zip(zip(*places, strict=True), found["model_version"].to_pylist(), strict=True))
