"""Would the fast tests notice a changed line? python -m tests.mutation [--only SUBJECT ...]

mutmut changes an operator, a number, a text, an argument or an assignment at a time in the modules
of `subjects.py`, and runs the tests that are named beside them. Prints what each module's tests
killed; the last line is JSON. It fails if a module has no mutants, if less than 90 % are killed (a
time-out is no kill), and if tests/mutation/survivors.toml does not list just those that survive,
each with its reason. Of large modules some mutants run, the same ones each time; `--sample N` runs
every Nth of each function, from `--seed`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from tests.mutation.judging import LIST, Score, listed, scored
from tests.mutation.running import Broken, Mutant, mutants
from tests.mutation.subjects import MODULES, SUBJECTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [subject.name for subject in SUBJECTS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="SUBJECT")
    parser.add_argument("--sample", type=int, help="run every Nth; default: see subjects.py")
    parser.add_argument("--seed", type=int, default=0, help="of a sample")
    asked = parser.parse_args(arguments)
    reasons = listed(LIST.read_text(encoding="utf-8"), MODULES)
    print(
        f"{'module':38}{'of':>6}{'mutants':>8}{'killed':>8}{'timeouts':>9}{'survivors':>10}{'score':>9}"
    )
    scores: list[Score] = []
    broken: list[str] = []
    for subject in SUBJECTS:
        if subject.name not in asked.only:
            continue
        found: list[Mutant] = []
        try:
            found = mutants(subject, asked.sample or subject.every, asked.seed)
        except Broken as error:
            broken.append(subject.name)
            print(error)
        for module in subject.imported:
            score = scored(module, found, reasons, whole=asked.sample is None)
            scores.append(score)
            print(_row(score), flush=True)
    for score in scores:
        print("".join(f"\n{line}" for line in score.wrong), end="")
    told = {
        "name": "mutation",
        "of": sum(one.of for one in scores),
        "mutants": sum(one.mutants for one in scores),
        "killed": sum(one.killed for one in scores),
        "timeouts": sum(one.timeouts for one in scores),
        "survivors": sum(one.survivors for one in scores),
        "scores": [f"{one.module.removeprefix('quintet.')} {one.percent:.1f} %" for one in scores],
        "failures": sum(len(one.wrong) for one in scores) + len(broken),
    }
    print(f"\n{json.dumps(told)}")
    return 1 if told["failures"] else 0


def _row(one: Score) -> str:
    counts = f"{one.of:>6}{one.mutants:>8}{one.killed:>8}{one.timeouts:>9}{one.survivors:>10}"
    return f"{one.module:38}{counts}{one.percent:>8.1f} %"


if __name__ == "__main__":
    sys.exit(main())
