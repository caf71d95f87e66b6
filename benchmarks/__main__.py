"""Every benchmark in sequence: python -m benchmarks. Each also has a command of its own."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = (
    "predict_overhead",
    "rollout_overhead",
    "cold_start",
    "http_load",
    "proxy",
    "score_unit",
    "score_stream",
    "batch_rows",
    "candidates",
    "sessions",
    "large_model",
    "s3_get",
    "async_work",
    "async_queue",
    "stream_alert",
    "labels_join",
)


def main() -> int:
    """Run them; return the number that failed."""
    failed = 0
    for name in BENCHMARKS:
        print(f"\n== python -m benchmarks.{name}", flush=True)
        failed += bool(subprocess.call([sys.executable, "-m", f"benchmarks.{name}"]))
    return failed


if __name__ == "__main__":
    sys.exit(main())
