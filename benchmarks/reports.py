"""What benchmarks share: their options, the machine they ran on, and results, printed and kept."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

__all__ = ["RESULTS", "machine", "milliseconds", "options", "report", "shown", "spread"]

RESULTS = Path(__file__).parent / "results"
VERSIONS = ("onnxruntime", "numpy", "arro3-io", "pysimdjson")


def options(doc: str | None, module: str) -> argparse.ArgumentParser:
    """A parser of a benchmark's options, all of which have `--write`."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{module}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--write", action="store_true", help="write benchmarks/results, too: nothing else does"
    )
    return parser


def machine() -> dict[str, Any]:
    """The machine, its load of now, and the versions of what the figures depend on."""
    model = "unknown"
    if (info := Path("/proc/cpuinfo")).exists():
        found = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = found[0].partition(":")[2].strip() if found else model
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "processor": model,
        "load": round(os.getloadavg()[0], 1),
        "versions": {name: version(name) for name in VERSIONS},
    }


def spread(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    """The median of several runs, and the least and most of them."""
    found = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, digits) for name, value in found.items()}


def milliseconds(seconds: Sequence[float], *percentiles: float) -> dict[str, float]:
    """Return percentiles of the times."""
    import numpy as np

    found = np.percentile(np.array(seconds) * 1000, percentiles).tolist()
    return {f"p{p:g}_ms": round(v, 4) for p, v in zip(percentiles, found, strict=True)}


def shown(value: Any) -> str:
    """A figure as text; a spread as its median with its extremes."""
    if isinstance(value, dict):
        return f"{value['median']:g} ({value['min']:g} to {value['max']:g})"
    return f"{value:,}" if isinstance(value, int) else str(value)


def report(name: str, rows: Sequence[dict[str, Any]], note: str, *, write: bool) -> None:
    """Print a table; with `write`, store it as benchmarks/results/<name>.json."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0], title=name)
    for row in rows:
        table.add_row(*map(shown, row.values()))
    console, where = Console(file=sys.__stdout__, width=140), machine()
    console.print(table)
    console.print(f"{note}; load {where['load']} on {where['cores']} cores")
    if write:
        RESULTS.mkdir(exist_ok=True)
        document = {"name": name, "machine": where, "note": note, "rows": list(rows)}
        (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
