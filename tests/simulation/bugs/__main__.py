"""Does the simulation catch anything? python -m tests.simulation.bugs

Plants each bug of the catalogue in turn and counts the seeds until one fails, from several first
seeds. Prints the median and the worst count of each bug; the last line is JSON. Exits with 1 if a
bug is not caught, or does not apply any more.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.bugs.catalogue import BUGS
from tests.simulation.bugs.planting import Bug, caught
from tests.simulation.campaign import SCENARIOS

#: how far apart the first seeds are
APART = 100_000
NAMES = [scenario.NAME for scenario in SCENARIOS]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.bugs")
    parser.add_argument("--seeds", type=int, default=2000, help="the most for each bug")
    parser.add_argument("--times", type=int, default=3, help="first seeds for each bug")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="a part of the names of bugs")
    parser.add_argument("--scenario", nargs="+", choices=NAMES, default=NAMES)
    asked = parser.parse_args(arguments)
    bugs = [bug for bug in BUGS if asked.only in bug.name and bug.scenario in asked.scenario]
    print(f"{'scenario':10}{'bug':62}{'median':>8}{'worst':>8}")
    counts = []
    with ProcessPoolExecutor(asked.processes) as pool:
        found_of = pool.map(partial(_counted, asked.seeds, asked.times), bugs)
        for bug, found in zip(bugs, found_of, strict=True):
            counts.append(found)
            shown = [one or asked.seeds for one in found]
            worst = "-" if 0 in found else max(shown)
            print(
                f"{bug.scenario:10}{bug.name:62}{statistics.median(shown):>8g}{worst:>8}",
                flush=True,
            )
    missed = [bug.name for bug, found in zip(bugs, counts, strict=True) if 0 in found]
    medians = [statistics.median(found) for found in counts if 0 not in found]
    summary = {
        "name": "planted bugs",
        "bugs": len(bugs),
        "seeds": sum(one or asked.seeds for found in counts for one in found),
        "failures": len(missed),
        "missed": missed,
        "median_seeds": statistics.median(medians) if medians else None,
        "worst_seeds": max((max(found) for found in counts if 0 not in found), default=None),
    }
    print(json.dumps(summary))
    return 1 if missed else 0


def _counted(most: int, times: int, bug: Bug) -> list[int]:
    """The seeds that it takes to catch a bug, from each first seed; 0 where it is not caught."""
    return [caught(bug, APART * time, most)[0] for time in range(times)]


if __name__ == "__main__":
    sys.exit(main())
