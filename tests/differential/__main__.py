"""The same rows in every form give the same answers: python -m tests.differential [--cases 100000]

Rows of all dtypes, with extremes, empty values and values against their rules, come as records,
instances, JSON lines, CSV, npy, tensors in JSON and in bytes, files of a batch run, and records of
a stream. Each body is read by its form's own reader and answered by the same pipeline and graph;
what the graph gives is computed apart. Bit for bit, a row's outputs are the same, and a row that
is refused is refused for the same features. A job's body is read as the online API reads it. The
last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys

from rich.console import Console
from rich.table import Table
from tests.differential.campaign import run


def main() -> int:
    """Run a campaign and print what it compared."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=100_000, help="bodies to read")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    found = run(asked.cases, asked.seed)
    table = Table("form", "bodies", "not carried")
    for form, bodies in found.bodies.items():
        reasons = [
            f"{count:,} times {key.removeprefix(f'{form}: ')}"
            for key, count in found.cannot.items()
            if key.startswith(f"{form}: ")
        ]
        table.add_row(form, f"{bodies:,}", "\n".join(reasons))
    Console().print(table)
    print("\n\n".join(map(str, found.differences[:20])))
    told = {
        "name": "differential",
        "cases": sum(found.bodies.values()),
        "failures": len(found.differences),
        "seed": asked.seed,
    }
    print(json.dumps(told))
    return 1 if found.differences else 0


if __name__ == "__main__":
    sys.exit(main())
