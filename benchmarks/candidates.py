"""Candidates of many users through score_unit: python -m benchmarks.candidates 10000 30000 100000

The package `candidates` over a Parquet file of its committed customers, repeated, as one unit, each
number of users in a process of its own. The sets are packed and counted, and not stored. Prints
processor time and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import orjson
from arro3.core import Array, DataType, Table, list_array
from arro3.io import write_parquet

from quintet.batch.candidates import CandidateSet
from quintet.batch.memory import peak_mb
from quintet.batch.planning import MemoryCatalog, Pinned, plan_run
from quintet.batch.plans import Plan, Snapshot, unit_from
from quintet.batch.requests import request_from
from quintet.batch.stores import Listed, MemoryConditionalObjects, MemoryObjectStore
from quintet.batch.units import score_unit
from quintet.features import MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet_local.template import load
from quintet_publish.kit import contract_of, read_table

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "models/candidates"
UNIT_BYTES = 1 << 40


class Discarded:
    """Counts the bytes of sets."""

    def __init__(self) -> None:
        self.bytes = 0

    def put(self, model: str, run: str, sets: Sequence[CandidateSet], expires: int) -> None:
        """See `CandidateSets.put`."""
        self.bytes += sum(len(one.body) for one in sets)

    def get(self, model: str, run: str, user: str, now: float) -> CandidateSet | None:
        """See `CandidateSets.get`."""
        return None


def users_file(users: int) -> bytes:
    """A file of that many users with the histories of the committed customers."""
    columns = read_table(PACKAGE / "data" / "customers.parquet")
    chosen = np.arange(users) % len(columns["customer_id"])
    lists = {}
    for name in ("items", "days"):
        rows = [columns[name][row] for row in chosen.tolist()]
        offsets = np.cumsum([0, *map(len, rows)]).astype(np.int32)
        values = Array.from_numpy(np.concatenate(rows))
        lists[name] = list_array(Array.from_numpy(offsets), values)
    names = Array([f"u{row}" for row in range(users)], DataType.utf8())
    table = Table.from_arrays([names, *lists.values()], names=["customer_id", *lists])
    out = io.BytesIO()
    write_parquet(table, out, compression="zstd(1)", max_row_group_size=10_000)
    return out.getvalue()


def measure(file: Path) -> str:
    """A line of the table: users, seconds of processor time, users a second, peak memory."""
    contract = contract_of(PACKAGE)
    model = OnnxModel(contract, (PACKAGE / "model.onnx").read_bytes(), digest="d" * 64)
    inbox, store, sets = FileBucket(file), MemoryObjectStore(), Discarded()
    asked = {"bucket": "inbox", "key": "candidates/users.parquet"}
    plan = plan_run(
        request_from(asked, run="benchmark", started="2026-11-20T08:00:00.000Z"),
        catalog=MemoryCatalog(Pinned(1, "d" * 64, "s" * 64, contract)),
        inbox=inbox,
        store=store,
        cells=MemoryConditionalObjects(store.objects),
        unit_bytes=UNIT_BYTES,
    )
    assert isinstance(plan, Plan), plan
    before, begun = peak_mb(), time.process_time()
    for item in orjson.loads(store.get(plan.units_key) or b"[]"):
        score_unit(
            unit_from(item),
            plan,
            model=lambda: model,
            inbox=inbox,
            store=Written(store),
            cells=MemoryConditionalObjects(store.objects),
            features=MemoryFeatures(),
            clock=time.perf_counter,
            candidates=sets,
        )
    took, users = time.process_time() - begun, plan.rows
    held = f"{before:.0f} MB before, {peak_mb():.0f} MB at most"
    return f"{users:>9,} users  {took:7.1f} s of processor  {users / took:7,.0f} users/s  {held}"


class FileBucket:
    """A bucket with one file, whose ranges are read from disk."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def keys(self, bucket: str, prefix: str) -> Iterator[Listed]:
        """See `InputBucket.keys`."""
        yield Listed(prefix, self._file.stat().st_size)

    def snapshot(self, bucket: str, key: str, version_id: str | None) -> Snapshot:
        """See `InputBucket.snapshot`."""
        size = self._file.stat().st_size
        return Snapshot(bucket=bucket, key=key, version_id="v1", etag="e" * 32, size=size)

    def read(self, snapshot: Snapshot, start: int, end: int) -> bytes:
        """See `InputBucket.read`."""
        with self._file.open("rb") as body:
            body.seek(start)
            return body.read(end - start)


class Written:
    """A store that forgets files of scores, as a bucket holds them elsewhere."""

    def __init__(self, inner: MemoryObjectStore) -> None:
        self._inner = inner

    def get(self, key: str) -> bytes | None:
        """See `ObjectStore.get`."""
        return self._inner.get(key)

    def put(self, key: str, body: bytes) -> None:
        """See `ObjectStore.put`."""
        if "/scores/" not in key:
            self._inner.put(key, body)

    def keys(self, prefix: str) -> list[str]:
        """See `ObjectStore.keys`."""
        return self._inner.keys(prefix)


def main() -> None:
    """Measure each number of users in a process with the settings of score_unit's memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("users", type=int, nargs="*", default=[10_000, 30_000, 100_000])
    parser.add_argument("--file", type=Path, help="measure this file, in this process")
    asked = parser.parse_args()
    if asked.file:
        print(measure(asked.file))
        return
    variables = load(ROOT / "template.yaml").resources["ScoreUnit"]["Properties"]["Environment"]
    malloc = {k: str(v) for k, v in variables["Variables"].items() if k.startswith("MALLOC")}
    for users in asked.users:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "users.parquet"
            file.write_bytes(users_file(users))
            command = [sys.executable, "-m", "benchmarks.candidates", "--file", str(file)]
            subprocess.run(command, check=True, env={**os.environ, **malloc})


if __name__ == "__main__":
    main()
