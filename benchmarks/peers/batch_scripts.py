"""The usual scripts of other tools: batch_scripts.py NAME FORM FOLDER THREADS

Each reads a file, scores all rows and writes them as Parquet, and prints its times as JSON. Runs in
the peer's environment, which has nothing of Quintet.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

CHUNK = 8192


def session(folder: Path, threads: int) -> Any:
    """A session of the model, as Quintet's own: waiting threads do not spin."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, ["CPUExecutionProvider"]
    )


def score(model: Any, matrix: Any) -> Any:
    """The second probability of every row."""
    parts = range(0, len(matrix), CHUNK)
    runs = [model.run(["probabilities"], {"x": matrix[at : at + CHUNK]})[0][:, 1] for at in parts]
    return np.concatenate(runs)


def pandas_script(folder: Path, form: str, threads: int) -> int:
    """pandas."""
    import pandas

    readers: dict[str, Callable[[Path], Any]] = {
        "parquet": pandas.read_parquet,
        "csv": pandas.read_csv,
        "jsonl": lambda path: pandas.read_json(path, lines=True),
    }
    frame = readers[form](folder / f"rows.{form}")
    scores = score(session(folder, threads), frame.to_numpy("float32"))
    out = pandas.DataFrame({"row": np.arange(len(frame)), "score": scores})
    out.to_parquet(folder / "out.parquet", index=False)
    return len(frame)


def polars_script(folder: Path, form: str, threads: int) -> int:
    """polars."""
    import polars

    readers = {
        "parquet": polars.read_parquet,
        "csv": polars.read_csv,
        "jsonl": polars.read_ndjson,
    }
    frame = readers[form](folder / f"rows.{form}").cast(polars.Float32)
    matrix = np.ascontiguousarray(frame.to_numpy())
    scores = score(session(folder, threads), matrix)
    out = polars.DataFrame({"row": np.arange(len(frame)), "score": scores})
    out.write_parquet(folder / "out.parquet")
    return len(frame)


def duckdb_script(folder: Path, form: str, threads: int) -> int:
    """DuckDB."""
    import duckdb

    base = duckdb.connect(config={"threads": threads})
    reader = {"parquet": "read_parquet", "csv": "read_csv", "jsonl": "read_ndjson"}[form]
    columns = base.sql(f"select * from {reader}('{folder}/rows.{form}')").fetchnumpy()
    matrix = np.empty((len(next(iter(columns.values()))), len(columns)), dtype=np.float32)
    for place, values in enumerate(columns.values()):
        matrix[:, place] = values
    out = {"row": np.arange(len(matrix)), "score": score(session(folder, threads), matrix)}
    base.sql(f"copy (select * from out) to '{folder}/out.parquet' (format parquet)")
    return len(out["row"])


def spark_script(folder: Path, form: str, threads: int) -> int:
    """Spark, by mapInPandas; its start is not counted."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(f"local[{threads}]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.driver.memory", "2g").getOrCreate()
    spark.range(1).count()
    graph = str(folder)

    def scored(frames: Iterator[Any]) -> Iterator[Any]:
        import pandas

        model = session(Path(graph), 1)
        for frame in frames:
            yield pandas.DataFrame({"score": score(model, frame.to_numpy("float32"))})

    begin()
    path = str(folder / f"rows.{form}")
    if form == "parquet":
        frame = spark.read.parquet(path)
    elif form == "csv":
        names = (folder / "rows.csv").open().readline().strip().split(",")
        schema = ", ".join(f"{name} float" for name in names)
        frame = spark.read.csv(path, header=True, schema=schema)
    else:
        frame = spark.read.json(path)
    out = frame.mapInPandas(scored, "score float")
    out.write.mode("overwrite").parquet(str(folder / "out.spark"))
    rows: int = spark.read.parquet(str(folder / "out.spark")).count()
    return rows


def ray_script(folder: Path, form: str, threads: int) -> int:
    """Ray Data; its start is not counted."""
    import ray

    ray.init(num_cpus=threads, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    graph = str(folder)

    def scored(batch: dict[str, Any]) -> dict[str, Any]:
        # tasks, since an actor would hold the only core that readers need, too
        if not hasattr(ray, "kept"):
            ray.kept = session(Path(graph), 1)
        matrix = np.column_stack(list(batch.values())).astype(np.float32)
        return {"score": score(ray.kept, matrix)}

    begin()
    readers = {
        "parquet": ray.data.read_parquet,
        "csv": ray.data.read_csv,
        "jsonl": ray.data.read_json,
    }
    rows = readers[form](str(folder / f"rows.{form}"))
    out = rows.map_batches(scored, batch_size=CHUNK)
    out.write_parquet(str(folder / "out.ray"))
    return int(ray.data.read_parquet(str(folder / "out.ray")).count())


SCRIPTS = {
    "pandas": pandas_script,
    "polars": polars_script,
    "DuckDB": duckdb_script,
    "Spark": spark_script,
    "Ray Data": ray_script,
}
_begun = (0.0, 0.0)


def begin() -> None:
    """Start the watch."""
    global _begun  # noqa: PLW0603
    _begun = time.perf_counter(), _processor()


def _processor() -> float:
    """The processor time of this process and of all below it, in seconds."""
    import psutil

    here = psutil.Process()
    found = 0.0
    for process in [here, *here.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        found += times.user + times.system
    return found


def main() -> None:
    """Run one script."""
    name, form, folder, threads = sys.argv[1:]
    begin()
    rows = SCRIPTS[name](Path(folder), form, int(threads))
    seconds, cpu = time.perf_counter() - _begun[0], _processor() - _begun[1]
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "rows": rows, "mb": peak}), flush=True)


if __name__ == "__main__":
    main()
