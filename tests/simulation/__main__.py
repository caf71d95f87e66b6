"""The simulation: python -m tests.simulation --seeds 10000

Runs each pattern on ports in memory and a simulated clock, with faults that a seed draws, and holds
the end to what must be true of it. Prints what was reached and how often each call site failed in
each way; the last line is JSON. Exits with 1 if a seed fails, if a state was never reached, or if,
of 10,000 seeds, a fault happened at a call site fewer than 100 times.

`--seed N` runs one seed, and shrinks it if it fails.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from rich.console import Console
from rich.progress import Progress
from tests.simulation.campaign import SCENARIOS, Outcome, Totals, run, shrunk

#: how often each fault must happen in how many seeds, and from how many on that is checked
LEAST, OF, MANY = 100, 10_000, 2_000
#: seeds that a process runs at a time
CHUNK = 50
#: failing seeds that are shrunk
SHRUNK = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    asked = _parser().parse_args(arguments)
    only = next((one for one in SCENARIOS if asked.scenario == one.NAME), None)
    if asked.seed is not None:
        return _one(run(asked.seed, scenario=only), only)
    seeds = range(asked.first, asked.first + asked.seeds)
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    totals = Totals()
    with (
        ProcessPoolExecutor(asked.processes) as pool,
        Progress(console=Console(stderr=True), transient=True) as progress,
    ):
        founds = pool.map(partial(campaign, only=asked.scenario), chunks)
        for found in progress.track(founds, total=len(chunks), description="seeds"):
            totals.merge(found)
    _table(totals)
    problems = totals.missed() if len(seeds) >= len(SCENARIOS) * 100 else []
    problems = [f"never reached: {state}" for state in problems]
    if len(seeds) >= MANY and only is None:
        problems += [f"seldom: {fault}" for fault in totals.seldom(LEAST * len(seeds) // OF)]
    for seed in sorted(totals.failures)[:SHRUNK]:
        _one(run(seed, scenario=only), only)
    for problem in problems:
        print(problem)
    reach = {f"{name}: {state}": count for (name, state), count in sorted(totals.reach.items())}
    summary = {
        "name": "simulation",
        "seeds": len(seeds),
        "failures": len(totals.failures) + len(problems),
        "failed_seeds": sorted(totals.failures)[:20],
        "simulated_hours": round(totals.seconds / 3600),
        "seconds_per_processor_second": round(totals.seconds / max(totals.busy, 1e-9)),
        "reach": reach,
    }
    print(json.dumps(summary))
    return 1 if summary["failures"] else 0


def campaign(seeds: Sequence[int], only: str | None = None) -> Totals:
    """Run some seeds, of one scenario or of all in turn."""
    kind = next((one for one in SCENARIOS if only == one.NAME), None)
    totals, begun = Totals(), time.process_time()
    for seed in seeds:
        totals.add(run(seed, scenario=kind))
    totals.busy = time.process_time() - begun
    return totals


def _one(found: Outcome, only: type | None) -> int:
    """Print what became of a seed; shrink it if it failed."""
    print(f"seed {found.seed}, {found.scenario}: {len(found.faults)} faults, trace {found.digest}")
    if not found.failures:
        return 0
    small = shrunk(found, only)
    print(f"fails with weather {small.weather}, inputs {list(small.inputs)}, and these faults:")
    for fault in small.faults:
        print(f"  {fault}")
    for failure in small.failures:
        print(f"  -> {failure}")
    return 1


def _table(totals: Totals) -> None:
    """Print how often each call site failed in each way."""
    for name in totals.seeds:
        sites = {site: kinds for (of, site), kinds in sorted(totals.sites.items()) if of == name}
        kinds = list(dict.fromkeys(kind for some in sites.values() for kind in some))
        print(f"\n{name}: faults by call site, of {totals.seeds[name]} seeds")
        print(" ".join([f"{'':28}", *(f"{kind:>13}" for kind in kinds)]))
        for site, some in sites.items():
            counts = (totals.hits[name, site, kind] if kind in some else "" for kind in kinds)
            print(" ".join([f"{site:28}", *(f"{count:>13}" for count in counts)]))
    print()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--scenario", choices=[one.NAME for one in SCENARIOS])
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    return parser


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of what replays
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
