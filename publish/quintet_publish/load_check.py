"""Loads a graph and runs its golden vectors in a child process, under limits.

A small graph can allocate terabytes or run forever; only running it shows this.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from quintet.contract import Contract, to_dict
from quintet.manifest import GRAPH
from quintet_publish.child import Ended, Limits, run_child
from quintet_publish.full_request import GROWTH
from quintet_publish.problems import GoldenDiffers, PackageError, Problem, first_problems
from quintet_publish.tolerance import Noise

__all__ = ["Checked", "Limits", "load_check"]


#: memory available to `predict`: the template's 1769 MB, less an environment before it loads a
#: model
LIMITS = Limits(memory=1_650_000_000)
MEASURED = ("load_ms", "full_rows", "full_ms", "memory", "margin", "sample")
REQUEST_SECONDS = 29  # https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html


@dataclass(frozen=True, slots=True)
class Checked:
    """The cost of loading a graph and of scoring its largest request.

    `memory` is the peak in bytes, above the process's memory before. `margin` is the largest
    difference from the golden outputs, as a share of what the tolerance allows; `noise` is None if
    measuring it exceeded a limit. `sample` is the result of `check_sample` for the training data.
    """

    load_ms: float
    full_rows: int
    full_ms: float
    memory: int
    margin: float
    sample: dict[str, Any] | None
    noise: Noise | None


def load_check(
    graph: bytes,
    contract: Contract,
    golden: bytes,
    limits: Limits = LIMITS,
    *,
    golden_file: str = "golden.json",
    sample: dict[str, Any] | None = None,
    request_seconds: float = REQUEST_SECONDS,
    mapped: Mapping[str, bytes] = MappingProxyType({}),
) -> Checked:
    """Load the graph and score the golden vectors: together, alone, and in a full request.

    `golden` is the content of `golden_file`, `sample` some of the training data.
    `mapped` are the files of `quintet_publish.weights.split`, which a large model is served from.

    Raises:
        PackageError: the graph does not load, exceeds a limit, or gives other outputs.
    """
    with tempfile.TemporaryDirectory(prefix="quintet-check-") as folder:
        task = {
            "contract": to_dict(contract),
            "limits": asdict(limits),
            "golden_file": golden_file,
            "sample": sample,
            "request_seconds": request_seconds,
        }
        Path(folder, "task.json").write_text(json.dumps(task), encoding="utf-8")
        for file, content in {GRAPH: graph, **mapped}.items():
            Path(folder, file).write_bytes(content)
        Path(folder, golden_file).write_bytes(golden)
        ended = run_child("quintet_publish.load_check_child", [folder], limits)
    found = _line(ended, "result")
    if found is None:
        if ended.error:
            raise PackageError([_over(ended, contract)])
        raise PackageError.of("model.onnx", ended.last["error"])
    measured = _line(ended, "noise") or {}
    if differences := found["differences"]:
        problems = first_problems(golden_file, differences)
        if text := ended.last.get("advice"):
            problems.append(Problem(golden_file, text))
        kind = GoldenDiffers if ended.last.get("stale", True) else PackageError
        raise kind(problems)
    if refused := found["contract"]:
        raise PackageError([Problem("model.yaml", text, field=at) for at, text in refused])
    if slow := found["slow"]:
        took = f"{slow['rows']:,} rows take about {slow['ms'] / 1000:.3g} s"
        raise PackageError([_too_many(f"{took}, a request has {request_seconds:g} s", found)])
    noise = Noise(**measured) if measured else None
    return Checked(noise=noise, **{name: found[name] for name in MEASURED})


def _line(ended: Ended, name: str) -> dict[str, Any] | None:
    """Return what the child printed under a name; it may have ended later by a limit."""
    return next((line[name] for line in ended.lines if name in line), None)


def _over(ended: Ended, contract: Contract) -> Problem:
    """Return a limit that the child exceeded: at once, or with more rows than it last reported."""
    steps = [line for line in ended.lines if "rows" in line]
    if not steps:
        return Problem("model.onnx", f"loading or running it {ended.error}")
    fits = {"full_rows": steps[-1]["rows"], "full_ms": steps[-1]["ms"]}
    wanted = min(steps[-1]["rows"] * GROWTH, contract.limits.rows)
    return _too_many(f"{wanted:,} rows {ended.error}", fits)


def _too_many(text: str, fits: dict[str, Any]) -> Problem:
    rows, ms = fits["full_rows"], fits["full_ms"]
    took = f"{ms:.3g} ms" if ms < 1000 else f"{ms / 1000:.3g} s"
    hint = f"{rows:,} rows fit and take {took}: lower it to at most that"
    return Problem("model.yaml", f"{text}; {hint}", field="limits.rows")
