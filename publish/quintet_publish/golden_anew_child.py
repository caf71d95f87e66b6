"""The child of `golden_anew`: runs the golden rows of a package, prints its findings as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from quintet.columns import shown
from quintet.contract import Contract, to_dict
from quintet.errors import ModelFailure
from quintet.manifest import GRAPH, sha256
from quintet.onnx_model import OnnxModel
from quintet.serving.golden import Difference, Golden, compare, score_columns
from quintet_publish.child_limits import limit_process
from quintet_publish.golden_files import (
    GOLDEN_BYTES,
    golden_name,
    read_golden,
    read_rows,
    with_outputs,
)
from quintet_publish.graph_checks import check_graph
from quintet_publish.init.chosen import plain
from quintet_publish.load_check_child import failure
from quintet_publish.model_yaml import MAX_BYTES, read_contract
from quintet_publish.package import CONTRACT, read_file
from quintet_publish.problems import MAX_PROBLEMS, PackageError, Problem
from quintet_publish.safety import CAPS, read_graph

__all__ = ["findings"]


def main(folder: str, memory: str, cpu_seconds: str) -> None:
    """Read, run, compare, print."""
    limit_process(int(memory), int(cpu_seconds))
    try:
        found = findings(Path(folder))
    except PackageError as error:
        found = {"problems": [asdict(problem) for problem in error.problems[: MAX_PROBLEMS + 1]]}
    except (ModelFailure, MemoryError) as error:
        found = failure(error)
    print(json.dumps(found), flush=True)


def findings(folder: Path) -> dict[str, Any]:
    """Run the rows; the file with the new outputs is in base64, or None if they agree.

    Raises:
        PackageError: a file is missing or wrong, or rows or outputs do not fit the contract.
        ModelFailure: the graph failed.
    """
    if not folder.is_dir():
        raise PackageError.of(str(folder), "expected a folder with model.yaml and model.onnx")
    files = {CONTRACT: read_file(folder, CONTRACT, MAX_BYTES)}
    contract = read_contract(files[CONTRACT])
    files[GRAPH] = read_file(folder, GRAPH, CAPS.bytes)
    name = golden_name(folder)
    files[name] = read_file(folder, name, GOLDEN_BYTES[name])
    rows = read_rows(contract, name, files[name])
    check_graph(contract, read_graph(files[GRAPH]))
    scored = _scored(contract, files[GRAPH], name, rows)
    outputs = {output: [plain(value) for value in values] for output, values in scored.items()}
    content = with_outputs(contract, name, files[name], outputs)
    _check_fit(contract, name, content)
    try:
        before, unread = read_golden(contract, name, files[name]).outputs, ""
    except PackageError as error:
        before, unread = None, str(error.problems[0])
    changes = list(_changes(contract, before, scored, rows.tolerance))
    return {
        "file": name,
        "rows": rows.rows,
        "tolerance": rows.tolerance,
        "changes": changes,
        "content": base64.b64encode(content).decode() if changes else None,
        "unread": unread,
        "sources": {name: sha256(content) for name, content in files.items()},
        "contract": to_dict(contract),
    }


def _scored(contract: Contract, graph: bytes, name: str, rows: Golden) -> dict[str, list[Any]]:
    """Score all rows together, as a request's; a value of each row by output.

    Raises:
        PackageError: a row is refused.
        ModelFailure: the graph failed, or broke its contract's shapes.
    """
    scores = score_columns(OnnxModel(contract, graph), rows.columns)
    if scores.refusals:
        refused = (Difference(r.row or 0, r.field, r.expected, r.got) for r in scores.refusals)
        raise PackageError([Problem(name, str(difference)) for difference in refused])
    places = {int(row): place for place, row in enumerate(scores.index)}
    return {
        output.name: [scores.outputs[output.name][places[row]] for row in range(rows.rows)]
        for output in contract.outputs
    }


def _check_fit(contract: Contract, name: str, content: bytes) -> None:
    """Read the new outputs as publishing does; what does not fit is the graph's."""
    try:
        read_golden(contract, name, content)
    except PackageError as error:
        raise PackageError([replace(problem, file=GRAPH) for problem in error.problems]) from error


def _changes(
    contract: Contract,
    before: dict[str, list[Any]] | None,
    scored: dict[str, list[Any]],
    tolerance: float,
) -> Iterator[dict[str, Any]]:
    """What differs by more than the tolerance, by output; without earlier outputs all of it."""
    for output in contract.outputs:
        values = scored[output.name]
        if before is None:
            first = {"row": 0, "before": None, "now": shown(values[0]), "apart": None}
            yield {"output": output.name, "rows": len(values), **first}
            continue
        found = [
            difference
            for row, (want, have) in enumerate(zip(before[output.name], values, strict=True))
            for difference in compare(output, row, want, have, tolerance)
        ]
        if found:
            top = max(found, key=lambda difference: difference.relative)
            most = {"row": top.row, "before": top.expected, "now": top.got, "apart": top.apart}
            yield {"output": output.name, "rows": len(found), **most}
