"""Mutated inputs: python -m tests.fuzz --cases 100000

Makes inputs of every kind from a seed and hands them to what reads them. No input may raise, get a
5xx, take long, or make an answer or a log line tell a secret, a path, an ARN or a trace. Prints
the outcomes of each kind, and each failure with the command that runs it again; the last line is
JSON. Exits with 1 if a case failed.

`--kind K --number N` runs one case of the seed and prints its input.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

from tests.fuzz.campaign import case_of, check, run
from tests.fuzz.kinds import HTTP, KINDS
from tests.fuzz.world import world

#: MB that the process may grow by over all cases
GROWTH_MB = 600
SHOWN = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    asked = _parser().parse_args(arguments)
    every = [*HTTP, *KINDS]
    kinds = asked.kind or every
    if asked.number is not None:
        case = case_of(asked.seed, kinds[0], asked.number)
        print(case)
        with world() as found:
            print(check(found, kinds[0], case))
        return 0
    began = time.monotonic()
    with world() as found:
        totals = run(found, asked.seed, kinds, -(-asked.cases // len(kinds)))
    for kind, outcomes in totals.outcomes.items():
        parts = ", ".join(f"{outcome} {count:,}" for outcome, count in sorted(outcomes.items()))
        print(f"{kind:16} {outcomes.total():>7,}  {parts}")
    for failure in totals.failures[:SHOWN]:
        print(f"python -m tests.fuzz --seed {asked.seed} --kind {failure.kind}", end=" ")
        print(f"--number {failure.number}: {failure.why}")
    failures = len(totals.failures)
    if totals.grown_mb > GROWTH_MB:
        failures += 1
        print(f"the process grew by {totals.grown_mb} MB; at most {GROWTH_MB} are allowed")
    summary = {
        "name": "fuzz",
        "cases": totals.cases,
        "failures": failures,
        "seed": asked.seed,
        "grown_mb": totals.grown_mb,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(summary))
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000, help="inputs of all kinds together")
    parser.add_argument("--seed", type=int, default=1, help="what makes the inputs")
    parser.add_argument("--kind", action="append", choices=[*HTTP, *KINDS], help="only these kinds")
    parser.add_argument("--number", type=int, help="run this case of the kind alone")
    return parser


if __name__ == "__main__":
    sys.exit(main())
