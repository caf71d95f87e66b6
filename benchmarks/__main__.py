"""Every benchmark in sequence, or some: python -m benchmarks [NAME...] [--write]

Each also has a command of its own, python -m benchmarks.NAME, with more options. Nothing in the
repository is written without `--write`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

#: about how many minutes each takes on a quiet machine of two cores
MINUTES = {
    "handler": 1.0,
    "predict_overhead": 2.0,
    "rollout_overhead": 1.0,
    "cold_start": 1.0,
    "http_load": 1.0,
    "proxy": 2.0,
    "score_unit": 5.0,
    "score_stream": 1.0,
    "growth": 3.0,
    "batch_rows": 1.0,
    "candidates": 1.0,
    "sessions": 0.5,
    "large_model": 1.0,
    "s3_get": 0.5,
    "async_work": 1.0,
    "async_queue": 2.0,
    "stream_alert": 1.0,
    "labels_join": 0.5,
}
#: those that store their figures
WRITES = {
    "predict_overhead",
    "rollout_overhead",
    "cold_start",
    "http_load",
    "proxy",
    "score_unit",
    "growth",
    "batch_rows",
    "async_work",
    "async_queue",
    "stream_alert",
}


#: other options with which some run, too
VARIANTS = {"score_unit": [["--features", "500", "--rows", "30000", "--cores", "1"]]}


def main() -> int:
    """Run them; return the number that failed."""
    lines = (f"  {name:<18}{minutes:>4g} min" for name, minutes in MINUTES.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__ + "\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of these; default: all")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results, too")
    given = parser.parse_args()
    if unknown := set(given.names) - MINUTES.keys():
        parser.error(f"expected names of the list, got {', '.join(sorted(unknown))}")
    failed = 0
    for name in given.names or MINUTES:
        for more in ([], *VARIANTS.get(name, [])):
            command = [sys.executable, "-m", f"benchmarks.{name}", *more]
            command += ["--write"] * (given.write and name in WRITES)
            print(f"\n== {' '.join(command[1:])}", flush=True)
            failed += bool(subprocess.call(command))
    return failed


if __name__ == "__main__":
    sys.exit(main())
