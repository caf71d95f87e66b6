"""Count the instructions of warm calls and of a cold start: python -m benchmarks.instructions

Valgrind counts them, so they hold on a busy machine, and a change of some per cent shows. The model
is the example `fraud`, its ports are in memory. With `--check`, a count that is above the stored
one of this Python by more than `MARGIN` is an error; with `--write` the counts are stored.
`--floors` counts what no cold start can do without instead.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.instructions_child import REQUESTS

__all__ = ["MARGIN", "main", "write_model"]

ROOT = Path(__file__).parents[1]
STORED = Path(__file__).parent / "results" / "instructions.json"
#: how far a count may be above the stored one: Python's patch releases differ by some per cent
MARGIN = 0.08


def write_model(folder: Path) -> None:
    """Write what `benchmarks.instructions_child` loads beside the graph into a folder."""
    from quintet.contract import to_dict
    from quintet_publish.kit import contract_of

    package = ROOT / "models/fraud"
    (folder / "contract.json").write_text(json.dumps(to_dict(contract_of(package))))
    (folder / "golden.json").write_text((package / "golden.json").read_text())


def count() -> dict[str, int]:
    """The instructions of each part: of a call, or of a process up to its first answer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder)
        child = [sys.executable, "-m", "benchmarks.instructions_child", name]
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "layers/quintet")]),
            "PYTHONHASHSEED": "0",
            "OPENBLAS_NUM_THREADS": "1",
        }
        subprocess.run(child, env=environ, check=True, stdout=subprocess.DEVNULL)  # makes the .pyc
        # the child calls getppid, which nothing else does, before and after each part
        tool = ["--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={name}/counts"]
        subprocess.run(
            ["valgrind", "--quiet", *tool, *child],
            env=environ,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        parts = json.loads((folder / "parts.json").read_text())
        found = {}
        for number, part in enumerate(parts, start=1):
            lines = (folder / f"counts.{number}").read_text().splitlines()
            total = next(int(line.split()[1]) for line in lines if line.startswith("summary:"))
            if part is not None:
                found[part] = total if part == "cold start" else total // REQUESTS
        return found


#: what reading a bucket loads at least, of the standard library
READS = "import hashlib, hmac, json, socket, threading, urllib.parse"


def count_floors() -> None:
    """Print the instructions of processes that load less than `predict`, from start to end."""
    from benchmarks.cold_start import FLOOR  # which loads the local AWS

    floors = {
        "python, nothing": "pass",
        "numpy + onnxruntime + session + run": FLOOR,
        "the same + sockets, JSON, hashes": FLOOR + READS,
    }
    environ = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        for name, script in floors.items():
            child = [sys.executable, "-c", script]
            subprocess.run(child, env=environ, check=True)  # makes the .pyc
            counts = Path(folder) / "counts"
            tool = ["--tool=callgrind", f"--callgrind-out-file={counts}"]
            subprocess.run(["valgrind", "--quiet", *tool, *child], env=environ, check=True)
            lines = counts.read_text().splitlines()
            total = next(int(line.split()[1]) for line in lines if line.startswith("totals:"))
            print(f"{name:40} {total:>13,}", flush=True)


def main() -> None:
    """Count, show, and compare or store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--floors", action="store_true")
    asked = parser.parse_args()
    if asked.floors:
        count_floors()
        return
    python = ".".join(platform.python_version_tuple()[:2])
    stored: dict[str, dict[str, int]] = json.loads(STORED.read_text()) if STORED.exists() else {}
    known, found = stored.get(python, {}), count()
    more = []
    for part, instructions in found.items():
        ratio = instructions / known[part] if part in known else None
        change = "" if ratio is None else f"  {ratio - 1:+.1%}"
        print(f"{part:24} {instructions:>13,}{change}")
        if ratio is not None and ratio > 1 + MARGIN:
            more.append(part)
    if asked.write:
        STORED.write_text(json.dumps({**stored, python: found}, indent=1, sort_keys=True) + "\n")
    if asked.check and not known:
        print(f"nothing was checked: {STORED.relative_to(ROOT)} has no counts of Python {python}")
    if asked.check and more:
        sys.exit(
            f"more instructions than {STORED.relative_to(ROOT)} allows: {', '.join(more)}. Find "
            "out which calls were added, or store the new counts with --write and say why"
        )


if __name__ == "__main__":
    main()
