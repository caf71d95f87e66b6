"""Two runs over one input, compared row by row: what another version would have answered.

The keys, scores and labels of both runs are in memory at once, some 25 bytes a row of each.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from arro3 import core
from arro3 import io as arrow_io
from numpy.typing import NDArray

from quintet.batch.outputs import FILE
from quintet.batch.plans import Plan, RunPaths
from quintet.batch.stores import ObjectStore
from quintet.columns import Array, column_names, numpy_dtype
from quintet.contract import Contract
from quintet.rollouts.measures import Measures
from quintet_cli.run_reader import parquet_plan
from quintet_cli.stage import StageError

__all__ = ["comparable_plans", "compare_runs"]

#: changes of label that are named
CHANGES = 10
#: the bits of a key that are the row in its file; the others are the file
_ROW_BITS = 40


@dataclass(frozen=True, slots=True)
class _Answers:
    """The scored rows of a run, in ascending order of their keys; each array is (rows,).

    `score` is NaN, and `label` None, for models without one.
    """

    key: NDArray[np.int64]
    score: NDArray[np.float64]
    label: Array | None


def comparable_plans(store: ObjectStore, model: str, first: str, second: str) -> tuple[Plan, Plan]:
    """The plans of two runs that can be compared.

    Raises:
        StageError: a run has not succeeded, its scores are not Parquet, or the inputs differ.
    """
    plans = (
        parquet_plan(store, RunPaths(model, first)),
        parquet_plan(store, RunPaths(model, second)),
    )
    inputs = [
        (one.input.bucket, one.input.key, one.input.version_id, one.input.etag) for one in plans
    ]
    if inputs[0] != inputs[1]:
        of = [f"{one.input.key} (version {one.input.version_id})" for one in plans]
        raise StageError(
            f"run {first} scored {of[0]}, and run {second} {of[1]}: expected runs over one "
            f"input; `quintet runs start` scores an input again, with --version by another version",
            command=f"quintet runs ls {model}",
        )
    return plans


def compare_runs(
    store: ObjectStore, first: Plan, second: Plan, contract: Contract
) -> dict[str, Any]:
    """What differs between the scores of two runs; `contract` is of the first run's version.

    JSON-ready. `score` has the shift from the first to the second, also in standard deviations of
    the first; None for models without a score, `labels` None for those without a label.

    Raises:
        StageError: the scores of a run lack an output of the contract.
    """
    files: dict[str, int] = {}
    one, other = (_answers(store, plan, contract, files) for plan in (first, second))
    _, here, there = np.intersect1d(one.key, other.key, assume_unique=True, return_indices=True)
    return {
        "model": first.model,
        "runs": [first.run, second.run],
        "versions": [first.version, second.version],
        "rows": {
            "both": len(here),
            "only_first": len(one.key) - len(here),
            "only_second": len(other.key) - len(here),
        },
        "labels": _labels(contract, one, other, here, there),
        "score": _scores(one.score[here], other.score[there]),
    }


def _answers(store: ObjectStore, plan: Plan, contract: Contract, files: dict[str, int]) -> _Answers:
    """The scored rows of a run; `files` numbers the files of both."""
    measures: Measures = contract.compiled[Measures]
    keys, scores, labels = [], [], []
    for name in store.keys(f"{plan.folder.root}scores/"):
        table = arrow_io.read_parquet(io.BytesIO(store.get(name) or b"")).read_all()
        outputs = _outputs(table, contract, plan.run)
        rows = table["row"].combine_chunks().to_numpy().astype(np.int64)
        if FILE in table.column_names:
            of = [files.setdefault(one, len(files)) for one in table[FILE].to_pylist()]
            rows = rows + (np.array(of, dtype=np.int64) << _ROW_BITS)
        keys.append(rows)
        scores.append(measures.score(outputs, len(rows)))
        labels.append(measures.label(outputs))
    key = np.concatenate([np.empty(0, np.int64), *keys])
    order = np.argsort(key, kind="stable")
    label = None
    if labels and labels[0] is not None:
        label = np.concatenate([one for one in labels if one is not None])[order]
    return _Answers(key[order], np.concatenate([np.empty(0), *scores])[order], label)


def _outputs(table: core.Table, contract: Contract, run: str) -> dict[str, Array]:
    """The outputs with one shape, reassembled from the columns that they were written as."""
    found: dict[str, Array] = {}
    for output in contract.outputs:
        if output.free:
            continue
        names, dtype = column_names(output), numpy_dtype(output.dtype)
        if missing := [name for name in names if name not in table.column_names]:
            raise StageError(
                f"the scores of run {run} have no column {missing[0]}: the runs' versions answer "
                "with different outputs and cannot be compared",
                command=f"quintet runs ls {contract.name}",
            )
        flat = [np.array(table[name].to_pylist(), dtype=dtype) for name in names]
        found[output.name] = np.stack(flat, axis=1)
    return found


def _labels(
    contract: Contract,
    one: _Answers,
    other: _Answers,
    here: NDArray[np.int64],
    there: NDArray[np.int64],
) -> dict[str, Any] | None:
    if one.label is None or other.label is None:
        return None
    before, after = one.label[here], other.label[there]
    changed = np.asarray(before != after, dtype=np.bool_)
    name = contract.compiled[Measures].name
    pairs = Counter(zip(before[changed].tolist(), after[changed].tolist(), strict=True))
    return {
        "compared": len(changed),
        "changed": int(changed.sum()),
        "agreement": 1 - float(changed.mean()) if len(changed) else None,
        "changes": [
            {"from": name(first), "to": name(second), "rows": rows}
            for (first, second), rows in pairs.most_common(CHANGES)
        ],
    }


def _scores(one: NDArray[np.float64], other: NDArray[np.float64]) -> dict[str, Any] | None:
    both = np.isfinite(one) & np.isfinite(other)
    if not both.any():
        return None
    before, after = one[both], other[both]
    shift, sd = float((after - before).mean()), float(before.std())
    return {
        "compared": int(both.sum()),
        "mean": [float(before.mean()), float(after.mean())],
        "shift": shift,
        "shift_sd": shift / sd if sd > 0 and math.isfinite(sd) else None,
        "largest": float(np.abs(after - before).max()),
    }
