"""Histories from outside: python -m tests.histories [--minutes 30] [--seed 1] [--keep FOLDER]

Clients use a local AWS while environments and the server itself are killed, its disk fills and its
clock jumps, and record what they asked and were told. Then a checker finds what may not be. With
`--steady` nothing goes wrong, and what the server and its environments use is measured: it may not
grow. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.histories.campaign import Outcome, run, run_steadily


def main() -> int:
    """Run a campaign and print what was done and found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="of faults, or of steady work")
    parser.add_argument("--steady", action="store_true", help="no faults: measure what is used")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the history, logs and samples")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        campaign = run_steadily if asked.steady else run
        outcome = campaign(folder, asked.minutes * 60, asked.seed)
    show(outcome)
    told = {"name": "histories", "seed": asked.seed, "minutes": asked.minutes}
    told |= {"operations": len(outcome.operations), **outcome.faults}
    if asked.steady:
        told |= {one.name: round(one.growth, 1) for one in outcome.trends}
    else:
        told |= {"skipped": sorted(outcome.skipped)}
        told |= {"most_lost_seconds": round(max(outcome.lost, default=0.0), 1)}
    told["failures"] = len(outcome.anomalies)
    print(json.dumps(told))
    return 1 if outcome.anomalies else 0


def show(outcome: Outcome) -> None:
    """Print the operations by kind and status, what was used, and the anomalies."""
    counts = Counter((one.does, one.status or 0) for one in outcome.operations)
    table = Table("operation", "status", "times")
    for (does, status), many in sorted(counts.items()):
        table.add_row(does, str(status or "-"), f"{many:,}")
    Console().print(table)
    if outcome.trends:
        table = Table("used", "at first", "at last", "growth", "bound")
        for trend in outcome.trends:
            row = (trend.first, trend.last, trend.growth, trend.bound)
            table.add_row(trend.name, *(f"{value:,.1f}" for value in row))
        Console().print(table)
    for name, reason in outcome.skipped.items():
        print(f"!! {name} was NOT MADE: {reason}")
    for one in outcome.anomalies[:50]:
        print(f"{one.rule}: {one.text}")


if __name__ == "__main__":
    sys.exit(main())
