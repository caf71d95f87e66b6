"""Load a graph and run its golden vectors in a child process, under limits.

A small graph can allocate terabytes or run forever, which only running it shows.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from quintet.contract import Contract, to_dict
from quintet_publish.child import Limits, run_child
from quintet_publish.problems import PackageError, first_problems

__all__ = ["Checked", "Limits", "load_check"]


@dataclass(frozen=True, slots=True)
class Checked:
    """The cost of loading and scoring a graph, and how many rows were scored at once."""

    load_ms: float
    full_rows: int
    memory: int


LIMITS = Limits()


def load_check(graph: bytes, contract: Contract, golden: bytes, limits: Limits = LIMITS) -> Checked:
    """Load the graph and score the golden vectors: together, alone, and in a full request.

    `golden` is the content of golden.json.

    Raises:
        PackageError: the graph does not load, goes over a limit, or gives other outputs.
    """
    with tempfile.TemporaryDirectory(prefix="quintet-check-") as folder:
        task = {"contract": to_dict(contract), "limits": asdict(limits)}
        Path(folder, "task.json").write_text(json.dumps(task), encoding="utf-8")
        Path(folder, "model.onnx").write_bytes(graph)
        Path(folder, "golden.json").write_bytes(golden)
        ended = run_child("quintet_publish.load_check_child", [folder], limits)
    found = ended.last
    if ended.error:
        raise PackageError.of("model.onnx", f"loading or running it {ended.error}")
    if "error" in found:
        raise PackageError.of("model.onnx", found["error"])
    if differences := found["differences"]:
        raise PackageError(first_problems("golden.json", differences))
    return Checked(found["load_ms"], found["full_rows"], found["memory"])
