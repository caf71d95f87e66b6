"""Checking a package and building its release: the files to store."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quintet.contract import Contract, to_dict
from quintet.manifest import BASELINE, GRAPH
from quintet.monitoring.baseline import baseline_of
from quintet_publish.graph_checks import check_graph
from quintet_publish.load_check import load_check
from quintet_publish.package import CONTRACT, GOLDEN, Package, read_package
from quintet_publish.problems import PackageError
from quintet_publish.safety import read_graph
from quintet_publish.training_data import read_training_data

__all__ = ["GOLDEN_AT_LOAD", "Release", "prepare"]

GOLDEN_AT_LOAD = 8  # rows checked at every load


@dataclass(frozen=True, slots=True)
class Release:
    """A package that passed its checks.

    `files` are those to store, by their names in the registry.
    """

    contract: Contract
    digest: str
    sources: dict[str, str]
    files: dict[str, bytes]
    golden: dict[str, Any]


def prepare(folder: Path, tick: Callable[[str, str], None]) -> Release:
    """Check a package and make its release; `tick` is called after each check with its result.

    Raises:
        PackageError: the package cannot be published.
    """
    package = read_package(folder)
    contract = package.contract
    tick("contract", f"{contract.name} version {contract.version}")
    model = read_graph(package.graph)
    tick("safety", f"{len(package.graph):,} bytes, {len(model.graph.node)} nodes")
    check_graph(contract, model)
    tick("graph", f"{len(contract.inputs)} in, {len(contract.outputs)} out, as the contract says")
    checked = load_check(package.graph, contract, package.golden)
    tick(
        "golden vectors",
        f"{package.golden.rows} rows agree, {checked.full_rows:,} at once; "
        f"loads in {checked.load_ms:.1f} ms, {checked.memory / 1e6:.0f} MB",
    )
    files = {
        CONTRACT: package.files[CONTRACT],
        GRAPH: package.graph,
        GOLDEN: package.files[GOLDEN],
        "contract.json": _json(to_dict(contract)),
        BASELINE: _json(_baseline(package)),
    }
    rows = "no training data" if contract.training_data is None else contract.training_data
    tick("baseline", rows)
    golden = package.golden.head(GOLDEN_AT_LOAD).to_dict()
    return Release(contract, package.digest, package.sources, files, golden)


def _baseline(package: Package) -> dict[str, Any]:
    path = package.contract.training_data
    if path is None:
        return baseline_of(package.contract, {})
    columns = read_training_data(package.contract, path, package.files[path])
    try:
        return baseline_of(package.contract, columns)
    except ValueError as error:
        raise PackageError.of(path, str(error)) from error


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1, allow_nan=False).encode()
