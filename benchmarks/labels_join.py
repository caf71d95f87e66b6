"""A million labels joined with a million captured predictions: python -m benchmarks.labels_join

Predictions of three days in hourly objects, in memory, of a model with two classes. A third of the
labels has the event's id, a third its row's too, and a third the row's own id; one in a hundred
comes twice, and one in a hundred is of an unknown prediction. Timed are reading the labels from
Parquet and putting them, and then all that `quintet quality` computes: reading captures and labels,
taking each once, joining them, and the statistics of each day. More than ten seconds of processor
time fails: a machine that is busy with other work takes longer by the clock.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from arro3 import core
from arro3 import io as arrow_io

from quintet.captures.places import hourly_key
from quintet.captures.reading import Hour
from quintet.captures.store import MemoryCaptures
from quintet.captures.tables import moments, table_of, write_parquet
from quintet.contract import Contract, Output
from quintet.labels.intake import checked
from quintet.labels.table import put
from quintet.labels.targets import Target
from quintet.labels.window import quality
from quintet_cli.label_files import read_labels

ROWS = 1_000_000
START, DAYS, DAY = 1_767_225_600, 3, 86_400
MOST_SECONDS = 10.0

CONTRACT = Contract(
    name="risk",
    version=1,
    task="binary-classification",
    features=(),
    inputs=(),
    outputs=(
        Output(
            name="p", dtype="float32", shape=(-1, 2), meaning="probabilities", classes=("a", "b")
        ),
    ),
)


def captures() -> tuple[MemoryCaptures, list[str], Any]:
    """Captured predictions, an id of each for its label, and what came true."""
    random = np.random.default_rng(0)
    times = np.sort(random.uniform(START, START + DAYS * DAY, ROWS))
    p = random.beta(2, 5, ROWS).astype(np.float32)
    events = [f"{int(at * 1000):012x}{row:020x}" for row, at in enumerate(times.tolist())]
    own = [f"order-{row}" for row in range(ROWS)]
    objects = MemoryCaptures()
    hours = (times // 3600).astype(np.int64) * 3600
    for hour in np.unique(hours).tolist():
        some = np.flatnonzero(hours == hour)
        fixed = {
            "event": [events[row] for row in some],
            "row": np.zeros(len(some), dtype=np.int64),
            "row_id": [own[row] for row in some],
            "rows": 1,
            "event_time": moments(times[some]),
            "served_at": moments(times[some]),
            "outcome": "scored",
            "fallback": False,
            "model": "risk",
            "version": 1,
        }
        rows = table_of(len(some), fixed, {"output_p_a": 1 - p[some], "output_p_b": p[some]})
        objects.put(hourly_key(Hour("risk", 1, 30, hour)), write_parquet(rows))
    ids = [(e, f"{e}.0", o)[row % 3] for row, (e, o) in enumerate(zip(events, own, strict=True))]
    for row in range(0, ROWS, 100):
        ids[row] = ids[row + 1]  # twice
        ids[row + 2] = f"unknown-{row}"
    return objects, ids, (random.random(ROWS) < p).astype(np.int64)


def timed(what: str, work: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and its processor time in seconds; both times are printed."""
    wall, processor = time.perf_counter(), time.process_time()
    found = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{what:<40}{wall:>7.1f} s{processor:>7.1f} s of processor time")
    return found, processor


def main() -> int:
    """Print the times; 1 if the join took too long."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    objects, ids, truth = captures()
    target = Target(CONTRACT)
    now = START + (DAYS + 1) * DAY

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "labels.parquet"
        columns: dict[str, Any] = {
            "id": core.Array(ids, core.DataType.string()),
            "label": core.Array.from_numpy(truth),
            "time": core.Array.from_numpy(moments(np.full(ROWS, now - DAY, dtype=np.float64))),
        }
        arrow_io.write_parquet(core.Table.from_pydict(columns), str(file))

        def load() -> None:
            labels, refusals = checked(target, *read_labels(file), now)
            assert not refusals
            put(objects, "risk", labels)

        timed(f"{ROWS:,} labels loaded from Parquet", load)
    found, took = timed(
        f"{ROWS:,} labels joined, with statistics",
        lambda: quality(objects, "risk", START, START + DAYS * DAY, lambda version: target),
    )
    print({name: count for name, count in found["labels"].items() if count})
    return int(took > MOST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
