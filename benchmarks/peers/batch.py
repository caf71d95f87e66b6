"""A batch unit beside other tools: python -m benchmarks.peers.batch [--rows 300000] [--rounds 3]

The rows and the model of `benchmarks.score_unit`: each tool's usual script, which checks nothing,
in turn with `score_unit` and raw `session.run`. Of Spark and Ray Data, the time of the start is
left out; their memory is that of the driver alone.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.peers.environments import SkippedPeer, python_of, variables_of
from benchmarks.reports import options, report
from benchmarks.score_unit import FORMATS, RAW, Command, command_of, make, measure, table

SCRIPTS = Path(__file__).parent / "batch_scripts.py"
#: how long a peer may take to start and score a few rows
START_SECONDS = 240
#: the environment of each script
ENVIRONMENTS = {
    "pandas": "frames",
    "polars": "frames",
    "DuckDB": "frames",
    "Spark": "spark",
    "Ray Data": "ray",
}


def command_of_peer(name: str, form: str, folder: Path, cores: int) -> Command:
    """The command of a peer's script in its environment."""
    environment = ENVIRONMENTS[name]
    script = [str(SCRIPTS), name, form, str(folder), str(cores)]
    return [str(python_of(environment)), *script], variables_of(environment)


def works(name: str, folder: Path) -> bool:
    """Whether a peer runs here; if not, the reason is printed."""
    try:
        command, variables = command_of_peer(name, "parquet", folder, 1)
        done = subprocess.run(
            command,
            env=variables,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"skipped {name}: it did not score 2,000 rows within {START_SECONDS} s")
        return False
    except SkippedPeer as error:
        print(f"skipped {name}: {error}")
        return False
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        print(f"skipped {name}: {last[:200]}")
    return not done.returncode


def main() -> None:
    """Measure and report."""
    parser = options(__doc__, "peers.batch")
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--features", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, nargs="+", default=[1])
    parser.add_argument("--only", nargs="+", choices=ENVIRONMENTS, default=list(ENVIRONMENTS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        small, folder = Path(place) / "small", Path(place) / "rows"
        for some, rows in ((small, 2000), (folder, given.rows)):
            some.mkdir()
            make(some, rows, given.features)
        peers = [name for name in given.only if works(name, small)]
        commands: dict[str, Callable[[int], Command]] = {RAW: partial(command_of, RAW, folder)}
        for form in FORMATS:
            ours = f"score_unit {form}"
            commands[ours] = partial(command_of, ours, folder)
            for name in peers:
                commands[f"{name} {form}"] = partial(command_of_peer, name, form, folder)
        rows_found = table(measure(commands, given.rounds, given.cores))
    note = f"{given.rounds} rounds of {given.rows:,} rows of {given.features} features"
    name = "peers_batch" if given.features == 30 else f"peers_batch_{given.features}"
    report(name, rows_found, note, write=given.write)


if __name__ == "__main__":
    main()
