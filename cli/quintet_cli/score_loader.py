"""Loads a run's scores for look-up: from its Parquet files, entity by entity."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import orjson
from arro3 import io as arrow_io

from quintet.aws.latest import LatestTable
from quintet.aws.scores_bucket import S3ConditionalObjects, S3ObjectStore
from quintet.batch.plans import Plan, RunPaths
from quintet.batch.tables import current_run
from quintet.columns import Array, column_names, json_rows, numpy_dtype, ragged
from quintet.contract import Contract, Output
from quintet.streaming.latest import Latest
from quintet_cli.registry import artifacts_of, route_of
from quintet_cli.run_reader import parquet_plan
from quintet_cli.stage import Stage, StageError

__all__ = ["Loaded", "latest_of", "load_scores"]

DAY = 86_400
#: scores of one write
BATCH = 1_000
#: attempts of each write, with half a minute of waits in all on average: a new table accepts 4,000
#: writes a second, and twice as many half an hour later
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
PATIENT = 11


@dataclass(frozen=True, slots=True)
class Loaded:
    """The number of a run's entities, and of those without a later score."""

    run: str
    entities: int
    changed: int


def load_scores(stage: Stage, model: str, run: str | None, days: int) -> Loaded:
    """Load the scores of a run, by default the one that readers see; they expire after `days`.

    Raises:
        StageError: the run has not succeeded or is too old, or its scores cannot be looked up.
        NotFound: no run of the model has succeeded, and it is not published.
    """
    store = S3ObjectStore(stage.signed("s3"), stage.outputs["ScoresBucketName"])
    plan = _plan(stage, store, model, run)
    contract = artifacts_of(stage).contract(plan.model, plan.version, plan.seal)
    if contract.entity is None:
        raise StageError(
            f"model {model} has no entity key to look scores up by", command="quintet models"
        )
    started = datetime.fromisoformat(plan.started).timestamp()
    if started + days * DAY <= time.time():
        raise StageError(
            f"run {plan.run} was started over {days} days ago; keep it --days longer",
            command="quintet scores load --help",
        )
    table = LatestTable(
        stage.signed("dynamodb", attempts=PATIENT),
        stage.outputs["ScoresTableName"],
        kept_seconds=days * DAY,
    )
    keys = store.keys(f"{plan.folder.root}scores/")
    changed = entities = 0
    for part in latest_of(plan, contract, (store.get(key) or b"" for key in keys)):
        for start in range(0, len(part), BATCH):
            changed += table.put(part[start : start + BATCH])
        entities += len(part)
    return Loaded(plan.run, entities, changed)


def _plan(stage: Stage, store: S3ObjectStore, model: str, run: str | None) -> Plan:
    """Return the plan of a complete run whose scores are Parquet."""
    if run is None:
        cells = S3ConditionalObjects(stage.signed("s3"), stage.outputs["ScoresBucketName"])
        pointer = current_run(model, None, cells)
        if pointer is None:
            route_of(stage, model)
            raise StageError(
                f"no run of {model} has succeeded yet", command=f"quintet runs ls {model}"
            )
        run = str(pointer["run"])
    return parquet_plan(store, RunPaths(model, run))


def latest_of(plan: Plan, contract: Contract, parts: Iterable[bytes]) -> Iterator[list[Latest]]:
    """Yield a run's scores by entity, part by part; for a repeated entity the later row wins."""
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
        outputs = {o.name: _values(o, columns, rows) for o in contract.outputs}
        flags = columns.get("fallback")
        fallback = np.array([flags is not None and flags[row] for row in rows], np.bool_)
        yield [
            Latest(
                model=plan.model,
                entity_key=contract.entity,
                entity=entity,
                outputs=values,
                version=plan.version,
                arrived=started,
                sequence=str(first + row),
                source="batch",
            )
            for entity, row, values in zip(
                last, rows, map(orjson.loads, json_rows(contract, outputs, fallback)), strict=True
            )
        ]
        first += len(entities)


def _values(output: Output, columns: Mapping[str, Any], rows: Sequence[int]) -> Array:
    """Return an output of some rows, reassembled from the columns that it was written as."""
    names = column_names(output)
    dtype = numpy_dtype(output.dtype)
    if output.free:
        lists = [columns[output.name][row] for row in rows]
        return ragged([np.array(found, dtype) for found in lists])
    flat = [np.array([columns[name][row] for row in rows], dtype=dtype) for name in names]
    return flat[0] if len(flat) == 1 else np.stack(flat, axis=1)
