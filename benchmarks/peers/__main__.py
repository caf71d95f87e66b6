"""Quintet beside other servers and tools: python -m benchmarks.peers [--write]

Runs `benchmarks.peers.online` and `benchmarks.peers.batch`, each of which has more options. The
first run installs each peer into an environment of its own, below .venv-peers-NAME (about 4 GB);
one that cannot be installed or run here is skipped with the reason.
"""

from __future__ import annotations

import argparse
import subprocess
import sys


def main() -> int:
    """Run both; return the number that failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results, too")
    given = parser.parse_args()
    failed = 0
    for name in ("online", "batch"):
        command = [sys.executable, "-m", f"benchmarks.peers.{name}", *["--write"] * given.write]
        failed += bool(subprocess.call(command))
    return failed


if __name__ == "__main__":
    sys.exit(main())
