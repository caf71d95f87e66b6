"""What Quintet claims, shown from seeds: python -m tests.proof [--quick] [--write]

Runs each part, prints one table and fails if a part failed. `--write` writes docs/proof.md with the
commands, the commit and the versions. `make proof` is all of it, `make proof QUICK=1` the short
one, which is part of CI.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.kits.aws import ROOT
from tests.proof.parts import PARTS, Part

PAGE = ROOT / "docs/proof.md"
PACKAGES = ("onnxruntime", "numpy", "moto", "boto3", "pydantic")
#: what is in a part's row by other columns
BESIDE = ("name", "failures")


@dataclass(frozen=True)
class Result:
    """What a part showed; `told` is its last line."""

    part: Part
    words: tuple[str, ...]
    told: dict[str, Any]
    seconds: float

    @property
    def command(self) -> str:
        return " ".join(["python -m", self.part.module, *self.words])

    @property
    def figures(self) -> str:
        """The counts that the part told, in words."""
        return ", ".join(
            _figure(name, value) for name, value in self.told.items() if name not in BESIDE
        )


def main() -> int:
    """Run the parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer seeds and cases")
    parser.add_argument("--write", action="store_true", help="write docs/proof.md")
    asked = parser.parse_args()
    commit = _git("rev-parse", "HEAD")
    results = [run(part, part.quick if asked.quick else part.whole) for part in PARTS]
    Console().print(table(results))
    failed = [one.part.module for one in results if one.told["failures"]]
    if asked.write and not failed:
        PAGE.write_text("\n".join(page(results, commit)) + "\n")
    told = {"name": "proof", "parts": len(results), "failures": len(failed), "failed": failed}
    print(json.dumps(told))
    return 1 if failed else 0


def run(part: Part, words: tuple[str, ...]) -> Result:
    """Run a part; its output goes to the screen if it fails."""
    print(f"{part.module} {' '.join(words)} ...", file=sys.stderr, flush=True)
    begun = time.monotonic()
    command = [sys.executable, "-m", part.module, *words]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    told = last_line(ran.stdout)
    if ran.returncode != 0 or told["failures"]:
        print(ran.stdout)
        told = {**told, "failures": told["failures"] or 1}
    return Result(part, words, told, time.monotonic() - begun)


def last_line(output: str) -> dict[str, Any]:
    """What a part told; one that ended without it has failed."""
    try:
        found = json.loads(output.rstrip().rsplit("\n", 1)[-1])
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("failures"), int):
        return {"failures": 1, "ended": "without a last line of JSON"}
    return found


def table(results: Sequence[Result]) -> Table:
    """The table of the terminal."""
    found = Table("claim", "command", "figures", "failures", "seconds")
    for one in results:
        row = (one.part.claim, one.command, one.figures, str(one.told["failures"]))
        found.add_row(*row, f"{one.seconds:,.0f}", style="red" if one.told["failures"] else "")
    return found


def page(results: Sequence[Result], commit: str) -> list[str]:
    """docs/proof.md."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return [
        "# Proof",
        "",
        "`make proof` runs what is claimed here from seeds, and writes this page. A run with the",
        "same seed on the same commit reads the same, but for what goes by the clock (histories).",
        "Times are of the machine below.",
        "",
        "| Claim | Command | Figures | Failures | Seconds |",
        "|---|---|---|---|---|",
        *(
            f"| {one.part.claim} | `{one.command}` | {one.figures} | {one.told['failures']} | "
            f"{one.seconds:,.0f} |"
            for one in results
        ),
        "",
        f"Commit: `{commit}`.",
        "",
        f"Python {platform.python_version()}, {versions}; {os.cpu_count()} cores, "
        f"{platform.system()} {platform.machine()}.",
    ]


def _figure(name: str, value: Any) -> str:
    words = name.replace("_", " ")
    if isinstance(value, dict):
        return f"{words}: {len(value)}, the least {min(value.values(), default=0):,} times"
    if isinstance(value, list):
        return f"{words}: {', '.join(map(str, value)) or 'none'}"
    return (
        f"{words}: {value:,}" if isinstance(value, int) and name != "seed" else f"{words}: {value}"
    )


def _git(*words: str) -> str:
    ran = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
