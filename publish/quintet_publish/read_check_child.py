"""The child of `read_check`: reads a package under limits, prints its findings as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quintet.contract import Contract, to_dict
from quintet.manifest import GRAPH
from quintet.monitoring.baseline import baseline_of
from quintet.serving.golden import Golden, packed
from quintet_publish.child_limits import limit_process
from quintet_publish.golden_files import GOLDEN_BYTES
from quintet_publish.graph_checks import check_graph
from quintet_publish.package import Package, read_package
from quintet_publish.problems import MAX_PROBLEMS, PackageError
from quintet_publish.safety import read_graph
from quintet_publish.sample import sample_of
from quintet_publish.training_data import labels_of, read_training_data

__all__ = ["GOLDEN_AT_LOAD", "rows_at_load"]

GOLDEN_AT_LOAD = 8  # rows checked at every load, fewer of large ones
VALUES_AT_LOAD = 200_000
#: values from which one row is enough: twenty of them would take seconds to check
LARGE_ROW = 100_000


def main(folder: str, memory: str, cpu_seconds: str) -> None:
    """Read, compare, print."""
    limit_process(int(memory), int(cpu_seconds))
    try:
        found = _findings(Path(folder), lambda name: _print({"reading": name}))
    except PackageError as error:
        found = {"problems": [asdict(problem) for problem in error.problems[: MAX_PROBLEMS + 1]]}
    except MemoryError:
        found = {"out_of_memory": True}
    _print(found)


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def _findings(folder: Path, reading: Callable[[str], None]) -> dict[str, Any]:
    package = read_package(folder, reading)
    reading(GRAPH)
    model = read_graph(package.graph)
    check_graph(package.contract, model)
    nodes = len(model.graph.node)
    del model
    golden = next(name for name in GOLDEN_BYTES if name in package.files)
    width = _width(package.contract)
    return {
        "contract": to_dict(package.contract),
        "sources": package.sources,
        "golden": packed(package.contract, package.golden.head(rows_at_load(width))),
        "golden_file": golden,
        "golden_rows": package.golden.rows,
        "nodes": nodes,
        "warnings": _warnings(golden, package.golden, width),
        **_training(package, reading),
    }


def _training(package: Package, reading: Callable[[str], None]) -> dict[str, Any]:
    """Return the baseline, and a sample for `load_check`."""
    contract, path = package.contract, package.contract.training_data
    if path is None:
        return {"baseline": baseline_of(contract, {}), "sample": None}
    reading(path)
    columns, target, entities = read_training_data(contract, path, package.files[path])
    try:
        baseline = baseline_of(contract, columns, entities, labels_of(contract, target))
    except ValueError as error:
        raise PackageError.of(path, str(error)) from error
    return {"baseline": baseline, "sample": sample_of(contract, columns, target, entities)}


def rows_at_load(width: int) -> int:
    """Return how many golden rows of so many values every load checks."""
    return max(1, min(GOLDEN_AT_LOAD, VALUES_AT_LOAD // width))


def _width(contract: Contract) -> int:
    """Return the number of values in the largest row, of features and outputs."""
    features = sum(math.prod(feature.largest) for feature in contract.features)
    return features + sum(math.prod(output.largest) for output in contract.outputs)


def _warnings(file: str, golden: Golden, width: int) -> list[str]:
    rows = list(zip(*golden.columns.values(), strict=True))
    if golden.rows == 1:
        text = f"{file} has one row: about twenty, with the edges of each feature, show more"
        return [text] if width < LARGE_ROW else []
    if all(row == rows[0] for row in rows):
        return [f"{file} has {golden.rows} rows, all alike: they show what one row shows"]
    return []
