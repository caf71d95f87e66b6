"""Rows a second of score_unit compared with raw session.run on the same rows, and its peak memory.

    python -m benchmarks.score_unit [--rows 500000] [--features 30] [--rounds 5] [--cores 1 2]
        [--keep]

A gradient-boosted tree model (100 trees of 31 leaves, float features) scores the same rows
from an array (`session.run`, 8,192 rows a call: the upper bound), from Parquet, CSV and
JSONL by score_unit (64 MiB a unit, one after the other, Parquet out), and by the plain pandas
script (from Parquet if pyarrow is installed). Every measurement runs in its own process, on one
core and on two, with the template's memory settings for `score_unit`. The rounds interleave
them; shares are those within a round. Other load affects wall time
more than CPU time, so both shares are shown: on an idle single core they are equal. `--keep` makes
both keep all columns beside the scores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # a child runs the file: its folder is not the packages'
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.reports import options, report, spread

CHUNK = 8192
UNIT_BYTES = 64 << 20
FORMATS = ("parquet", "csv", "jsonl")

#: what every other path is compared with
RAW = "raw session.run"

Measured = dict[str, float]


def feature_names(width: int) -> list[str]:
    """The names of so many features."""
    return [f"feature_{number}" for number in range(width)]


class Watch:
    """Wall and CPU seconds since it was created."""

    def __init__(self) -> None:
        self._begun = time.perf_counter(), time.process_time()

    def spent(self, rows: int) -> Measured:
        """Return the seconds that these rows took."""
        wall, cpu = self._begun
        return {
            "seconds": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "rows": rows,
        }


# ---- the measurements, each in its own process ---------------------------------------------


def raw(folder: Path, threads: int, keep: bool) -> Measured:
    """Call session.run over an array in memory and discard the results."""
    import numpy as np
    import onnxruntime

    from quintet.onnx_model import session_options

    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), session_options(threads), ["CPUExecutionProvider"]
    )
    rows = np.load(folder / "rows.npy")
    session.run(None, {"x": rows[:CHUNK]})
    watch = Watch()
    for start in range(0, len(rows), CHUNK):
        session.run(["probabilities"], {"x": rows[start : start + CHUNK]})
    return watch.spent(len(rows))


def reader(folder: Path, threads: int, form: str, keep: bool) -> Measured:
    """Read a file with arro3, and discard it: what no path through it can be faster than."""
    from arro3 import io as arrow_io

    rows, path = 0, folder / f"rows.{form}"
    watch = Watch()
    if form == "parquet":
        batches = arrow_io.read_parquet(path, batch_size=CHUNK)
    else:
        schema = arrow_io.infer_csv_schema(path, has_header=True)
        batches = arrow_io.read_csv(path, schema, has_header=True, batch_size=CHUNK)
    for batch in batches:
        rows += batch.num_rows
    return watch.spent(rows)


def unit(folder: Path, threads: int, form: str, keep: bool) -> Measured:
    """Run score_unit over a file, all units one after the other."""
    import dataclasses

    from quintet.batch.planning import MemoryCatalog, Pinned, plan_run
    from quintet.batch.plans import Plan, Snapshot, unit_from
    from quintet.batch.requests import RunRequest
    from quintet.batch.stores import Listed, MemoryConditionalObjects, MemoryObjectStore
    from quintet.batch.units import score_unit
    from quintet.features import MemoryFeatures
    from quintet.onnx_model import OnnxModel

    class FileInbox:
        """An inbox in a local folder."""

        def keys(self, bucket: str, prefix: str) -> Iterator[Listed]:
            names = sorted(path.name for path in folder.iterdir())
            return (Listed(f"{prefix}{name}", (folder / name).stat().st_size) for name in names)

        def snapshot(self, bucket: str, key: str, version_id: str | None) -> Snapshot:
            size = (folder / Path(key).name).stat().st_size
            return Snapshot(bucket=bucket, key=key, version_id="1", etag="e", size=size)

        def read(self, snapshot: Snapshot, start: int, end: int) -> bytes:
            with (folder / Path(snapshot.key).name).open("rb") as file:
                return os.pread(file.fileno(), end - start, start)

    class NullStore(MemoryObjectStore):
        """Keeps the plans, and only measures the size of everything else."""

        def put(self, key: str, body: bytes) -> None:
            super().put(key, body if "scores/" not in key else b"")

    names = _names_in(folder)
    contract = contract_of(len(names))
    model = OnnxModel(contract, (folder / "model.onnx").read_bytes())
    inbox, store = FileInbox(), NullStore()
    request = RunRequest(
        run="bench",
        bucket="b",
        key=f"bench/rows.{form}",
        version_id=None,
        started="2026-01-01T00:00:00Z",
        keep=(names if form == "jsonl" else "*") if keep else None,
    )
    catalog = MemoryCatalog(Pinned(1, "d", "s", contract))
    plan = plan_run(
        request,
        catalog=catalog,
        inbox=inbox,
        store=store,
        cells=MemoryConditionalObjects(store.objects),
        unit_bytes=UNIT_BYTES,
    )
    assert isinstance(plan, Plan), plan
    items = json.loads(store.objects[plan.units_key])
    watch = Watch()
    scored = 0
    for item in items:
        result = score_unit(
            unit_from(item),
            dataclasses.replace(plan),
            model=lambda: model,
            inbox=inbox,
            store=store,
            cells=MemoryConditionalObjects(store.objects),
            features=MemoryFeatures(),
            clock=time.perf_counter,
            threads=threads,
        )
        assert result["status"] == "done", result
        scored += result["scored"]
    return watch.spent(scored)


def pandas_script(folder: Path, threads: int, form: str, keep: bool) -> Measured:
    """The usual script: read everything, score it in one call, write everything."""
    import onnxruntime
    import pandas

    from quintet.onnx_model import session_options

    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), session_options(threads), ["CPUExecutionProvider"]
    )
    path = folder / f"rows.{form}"
    watch = Watch()
    if form == "parquet":
        frame = pandas.read_parquet(path)
    elif form == "csv":
        frame = pandas.read_csv(path)
    else:
        frame = pandas.read_json(path, lines=True)
    matrix = frame[_names_in(folder)].to_numpy("float32")
    scores = session.run(["probabilities"], {"x": matrix})[0]
    out = pandas.DataFrame({"row": range(len(frame)), "score": scores[:, 1]})
    if keep:
        out = pandas.concat([frame, out], axis=1)
    if form == "parquet":
        out.to_parquet(folder / "scores.parquet", index=False)
    else:
        out.to_csv(folder / "scores.csv", index=False)
    return watch.spent(len(frame))


def _names_in(folder: Path) -> list[str]:
    import numpy as np

    return feature_names(np.load(folder / "rows.npy", mmap_mode="r").shape[1])


def contract_of(width: int) -> Any:
    """The contract of the model that `make` writes for so many features."""
    from quintet.contract import Contract, Feature, Input, Output

    names = tuple(feature_names(width))
    probabilities = Output(
        name="probabilities", dtype="float32", shape=(-1, 2), meaning="probabilities"
    )
    return Contract(
        name="bench",
        version=1,
        task="binary-classification",
        features=tuple(Feature(name=name, dtype="float32") for name in names),
        inputs=(Input(name="x", dtype="float32", shape=(-1, width), features=names),),
        outputs=(probabilities,),
    )


MEASURED: dict[str, Any] = {
    RAW: raw,
    **{f"the reader alone, {form}": partial(reader, form=form) for form in ("parquet", "csv")},
    **{f"score_unit {form}": partial(unit, form=form) for form in FORMATS},
    **{f"pandas {form}": partial(pandas_script, form=form) for form in FORMATS},
}


def child(name: str, folder: Path, threads: int, keep: bool) -> None:
    """Run one measurement, and print its times and the peak memory in MB."""
    measured = MEASURED[name](folder, threads, keep=keep)
    # for this program alone: getrusage would include the parent's memory at the fork
    status = Path("/proc/self/status").read_text()
    measured["mb"] = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps(measured))


# ---- the data, and the table ---------------------------------------------------------------------


def make(folder: Path, rows: int, width: int = 30) -> None:
    """Write a model of `width` features, and rows in every form, to `folder`."""
    import lightgbm
    import numpy as np
    from arro3 import io as arrow_io
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    from quintet.formats.writers import table

    random = np.random.default_rng(7)
    few = random.normal(size=(4000, width)).astype(np.float32)
    label = (few[:, 0] * few[:, 1] + few[:, 2] > 0.3).astype(int)
    booster = lightgbm.LGBMClassifier(n_estimators=100, num_leaves=31, verbose=-1, n_jobs=1)
    booster.fit(few, label)
    types = [("x", FloatTensorType([None, width]))]
    graph = convert_lightgbm(booster, initial_types=types, target_opset=15, zipmap=False)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    data = random.normal(size=(rows, width)).astype(np.float32)
    np.save(folder / "rows.npy", data)
    columns = table({name: data[:, place] for place, name in enumerate(feature_names(width))})
    arrow_io.write_parquet(
        columns, folder / "rows.parquet", compression="snappy", max_row_group_size=100_000
    )
    arrow_io.write_csv(columns, folder / "rows.csv")
    arrow_io.write_ndjson(columns, folder / "rows.jsonl")


def environment() -> dict[str, str]:
    """The variables of a measurement: the template's settings of memory for `score_unit`."""
    from quintet_local.template import read

    function = read(Path(__file__).parents[1] / "template.yaml")["Resources"]["ScoreUnit"]
    variables = function["Properties"]["Environment"]["Variables"]
    return dict(os.environ) | {n: v for n, v in variables.items() if n.startswith("MALLOC_")}


#: a command that prints a measurement as JSON, and its environment's variables
Command = tuple[list[str], dict[str, str]]


def command_of(name: str, folder: Path, cores: int, keep: bool = False) -> Command:
    """The command of one measurement."""
    command = [sys.executable, __file__, "--child", name, "--folder", str(folder)]
    return [*command, "--cores", str(cores), *["--keep"] * keep], environment()


def measure(
    commands: Mapping[str, Callable[[int], Command]], rounds: int, cores: list[int]
) -> dict[tuple[str, int], list[Measured]]:
    """Run every command in every round; return results by measurement and number of cores."""
    from rich.console import Console  # not in the children, whose memory is measured
    from rich.progress import Progress

    found: dict[tuple[str, int], list[Measured]] = {}
    available = sorted(os.sched_getaffinity(0))
    runs = [(count, name) for _ in range(rounds) for count in cores for name in commands]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=len(runs))
        for count, name in runs:
            progress.update(task, description=name)
            words, variables = commands[name](count)
            done = subprocess.run(
                words,
                env=variables,
                check=False,
                capture_output=True,
                preexec_fn=partial(os.sched_setaffinity, 0, available[:count]),
            )
            if done.returncode:
                sys.exit(f"{name} failed:\n{done.stderr.decode(errors='replace')}")
            measured = json.loads(done.stdout.splitlines()[-1])
            found.setdefault((name, count), []).append(measured)
            progress.advance(task)
    return found


def table(found: dict[tuple[str, int], list[Measured]]) -> list[dict[str, Any]]:
    """Each path's share of raw `session.run` in the same round: the median, least and most."""
    rows = []
    for (name, count), runs in found.items():
        base = found[RAW, count]
        row: dict[str, Any] = {"path": name, "cores": count}
        row["rows/s"] = round(statistics.median(run["rows"] / run["seconds"] for run in runs))
        for unit, words in (("cpu", "processor time"), ("seconds", "wall time")):
            shares = [100 * b[unit] / r[unit] for b, r in zip(base, runs, strict=True)]
            row[f"{words}, % of raw"] = spread(shares, 0)
        rows.append({**row, "peak MB": round(max(run["mb"] for run in runs))})
    return rows


def main() -> None:
    """Parse the command line and run."""
    parser = options(__doc__, "score_unit")
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--features", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.folder, given.cores[0], given.keep)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make(folder, given.rows, given.features)
        names = [name for name in MEASURED if name != "pandas parquet" or find_spec("pyarrow")]
        commands = {name: partial(command_of, name, folder, keep=given.keep) for name in names}
        found = table(measure(commands, given.rounds, given.cores))
    note = f"{given.rounds} rounds of {given.rows:,} rows of {given.features} features"
    name = "score_unit" if given.features == 30 else f"score_unit_{given.features}"
    report(name + "_keep" * given.keep, found, note, write=given.write)


if __name__ == "__main__":
    main()
