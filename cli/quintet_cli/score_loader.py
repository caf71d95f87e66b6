"""The scores of a run, as what is looked up: from its Parquet files, entity by entity."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from arro3 import io as arrow_io

from quintet.batch.outputs import score_columns
from quintet.batch.plans import Plan
from quintet.columns import Array, empty_output, json_columns, numpy_dtype
from quintet.contract import Contract, Output
from quintet.streaming.latest import Latest

__all__ = ["latest_of"]


def latest_of(plan: Plan, contract: Contract, parts: Iterable[bytes]) -> Iterator[list[Latest]]:
    """What a run says of each entity, part by part; of one that is there twice the later row's."""
    assert contract.entity is not None
    started = datetime.fromisoformat(plan.started).timestamp()
    first = 0
    for part in parts:
        table = arrow_io.read_parquet(io.BytesIO(part)).read_all()
        columns: dict[str, Any] = {
            name: table.column(name).to_pylist() for name in table.schema.names
        }
        entities = columns[contract.entity]
        last = {entity: row for row, entity in enumerate(entities) if entity}
        rows = list(last.values())
        outputs: dict[str, Sequence[Any]] = {}
        for output in contract.outputs:
            outputs |= json_columns(output, _values(output, columns, rows))
        if contract.fallback is not None:
            outputs["fallback"] = [columns["fallback"][row] for row in rows]
        yield [
            Latest(
                model=plan.model,
                entity_key=contract.entity,
                entity=entity,
                outputs=dict(zip(outputs, values, strict=True)),
                version=plan.version,
                arrived=started,
                sequence=str(first + row),
                source="batch",
            )
            for entity, row, values in zip(
                last, rows, zip(*outputs.values(), strict=True), strict=True
            )
        ]
        first += len(entities)


def _values(output: Output, columns: Mapping[str, Any], rows: Sequence[int]) -> Array:
    """An output of some rows, put together from the columns that it was written as."""
    names = [name for name, _ in score_columns(output, empty_output(output))]
    dtype = numpy_dtype(output.dtype)
    flat = [np.array([columns[name][row] for row in rows], dtype=dtype) for name in names]
    return flat[0] if len(flat) == 1 else np.stack(flat, axis=1)
