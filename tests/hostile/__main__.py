"""Hostile packages are refused or contained: python -m tests.hostile [--cases 300] [--seed 1]

Each package is checked as `quintet publish` checks it: read in a child process under limits, then
loaded and run in another. It must be refused with the reason of its kind, or stopped by a limit;
nothing outside may be read into the answer or written, the reason has no traceback, and the
publisher goes on: valid packages among them must pass. To the drawn ones come those of published
defects of onnx and onnxruntime. `--kind` makes those of one kind only. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter

from rich.console import Console
from rich.table import Table
from tests.hostile.campaign import Outcome, run
from tests.hostile.cases import KINDS, Case, drawn

ENDS = ("accepted", "refused", "stopped", "crashed", "error")


def main() -> int:
    """Run a campaign and print the outcomes of each kind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=300, help="packages to draw")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS, help="draw packages of this kind only")
    parser.add_argument("--workers", type=int, default=2, help="packages at the same time")
    asked = parser.parse_args()
    cases = drawn(asked.cases, asked.seed)
    if asked.kind:
        cases = [Case(asked.kind, f"{asked.seed}:{at}") for at in range(asked.cases)]
    outcomes = list(run(cases, asked.workers))
    _show(outcomes)
    failures = [outcome for outcome in outcomes if outcome.wrong]
    for one in failures[:20]:
        print(f"{one.case.kind} ({one.case.seed}): {one.wrong}; {one.end}: {one.reason}")
    told = {
        "name": "hostile",
        "cases": len(outcomes),
        "failures": len(failures),
        "seed": asked.seed,
    }
    print(json.dumps(told))
    return 1 if failures else 0


def _show(outcomes: list[Outcome]) -> None:
    """Print counts by kind and end, the longest CPU time and the largest memory."""
    counts = Counter((outcome.case.kind, outcome.end) for outcome in outcomes)
    table = Table("kind", *ENDS, "most CPU s")
    for kind in dict.fromkeys(outcome.case.kind for outcome in outcomes):
        most = max(outcome.cpu for outcome in outcomes if outcome.case.kind == kind)
        table.add_row(kind, *(str(counts[kind, end] or "") for end in ENDS), f"{most:.1f}")
    Console().print(table)
    largest = max((outcome.memory for outcome in outcomes), default=0)
    print(f"largest child: {largest / 1e9:.2f} GB")


if __name__ == "__main__":
    sys.exit(main())
