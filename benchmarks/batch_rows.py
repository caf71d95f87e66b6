"""Millions of rows through the local AWS: python -m benchmarks.batch_rows --rows 10000000

Writes Parquet files of 100,000 rows with 30 float features, uploads them to the inbox and scores
them in one run. Then it compares each file's scores, bit for bit, with those of one process that
only calls `session.run` on the same rows. With `--disturbed`, one invocation in ten of score_unit
is killed, the run is stopped when some units are done, and it is redriven until it is complete.
Exits with 1 if a row is missing, scored twice or scored differently.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from arro3 import core
from arro3 import io as arrow_io
from benchmarks.reports import options, report
from numpy.typing import NDArray
from onnx import helper
from tests.kits.local_aws import FREE_PORTS, LocalAws, start_local_aws
from typer.testing import CliRunner, Result

from quintet.batch.plans import Plan, RunPaths
from quintet.onnx_model import session_options
from quintet_cli.app import app
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import Stage
from quintet_publish.kit import contract_of, save

MODEL = "forest"
FEATURES = [f"feature_{number}" for number in range(30)]
PREFIX = "_data/forest/"
FILE_ROWS, GROUP_ROWS = 100_000, 20_000
CHUNK = 8192
TREES, DEPTH = 100, 5
KILLED = 0.1
REDRIVES = 20
NOTE = "peak_mb is the most that an environment of score_unit has ever held"

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """The outcome of the rows. `attempts` counts executions: the first, and redrives."""

    rows: int
    scored: int
    quarantined: int
    seconds: float
    units: int
    attempts: int
    killed: int
    peak_mb: float
    scores: str
    reference: str

    @property
    def good(self) -> bool:
        """Whether every row was scored once, with the reference's score."""
        return self.rows == self.scored and self.scores == self.reference


# ---- a model, rows, and the reference scores ---------------------------------------------------


def forest(seed: int) -> onnx.ModelProto:
    """Build an ensemble of complete trees with random splits, of 2**DEPTH leaves each."""
    random = np.random.default_rng(seed)
    inner, nodes = 2**DEPTH - 1, 2 ** (DEPTH + 1) - 1
    ids = np.arange(nodes)
    leaf = ids >= inner
    many = TREES * nodes
    leaves = TREES * (nodes - inner)
    trees = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["score"],
        domain="ai.onnx.ml",
        n_targets=1,
        post_transform="LOGISTIC",
        nodes_treeids=np.repeat(np.arange(TREES), nodes).tolist(),
        nodes_nodeids=np.tile(ids, TREES).tolist(),
        nodes_featureids=random.integers(0, len(FEATURES), many).tolist(),
        nodes_values=random.normal(size=many).astype(np.float32).tolist(),
        nodes_modes=np.tile(np.where(leaf, "LEAF", "BRANCH_LEQ"), TREES).tolist(),
        nodes_truenodeids=np.tile(np.where(leaf, 0, 2 * ids + 1), TREES).tolist(),
        nodes_falsenodeids=np.tile(np.where(leaf, 0, 2 * ids + 2), TREES).tolist(),
        target_treeids=np.repeat(np.arange(TREES), nodes - inner).tolist(),
        target_nodeids=np.tile(ids[leaf], TREES).tolist(),
        target_ids=[0] * leaves,
        target_weights=random.normal(scale=0.1, size=leaves).astype(np.float32).tolist(),
    )
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [trees],
        MODEL,
        [helper.make_tensor_value_info("x", kind, ["rows", len(FEATURES)])],
        [helper.make_tensor_value_info("score", kind, ["rows", 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def package(folder: Path, model: onnx.ModelProto, seed: int) -> None:
    """Write the model as a package that can be published."""
    folder.mkdir()
    features = [{"name": name, "dtype": "float32"} for name in FEATURES]
    shape = {"shape": [-1, len(FEATURES)], "features": FEATURES}
    document = {
        "name": MODEL,
        "version": 1,
        "task": "regression",
        "features": features,
        "inputs": [{"name": "x", "dtype": "float32", **shape}],
        "outputs": [{"name": "score", "dtype": "float32", "shape": [-1, 1], "meaning": "score"}],
    }
    (folder / "model.yaml").write_text(json.dumps(document))  # JSON is YAML
    golden = dict(zip(FEATURES, rows_of(seed, 0, 20).T, strict=True))
    with contextlib.redirect_stdout(io.StringIO()):
        save(folder, contract_of(folder), model, golden=golden, metrics={})


def rows_of(seed: int, number: int, count: int) -> Rows:
    """Return the rows of a file, (count, features)."""
    random = np.random.default_rng((seed, number))
    return random.normal(size=(count, len(FEATURES))).astype(np.float32)


def parquet(rows: Rows) -> bytes:
    """Write rows as a Parquet file."""
    arrays = [core.Array.from_numpy(np.ascontiguousarray(column)) for column in rows.T]
    out = io.BytesIO()
    table = core.Table.from_arrays(arrays, names=FEATURES)
    options: dict[str, Any] = {"compression": "snappy", "dictionary_enabled": False}
    arrow_io.write_parquet(table, out, max_row_group_size=GROUP_ROWS, **options)
    return out.getvalue()


def key_of(number: int) -> str:
    """Return the key of a file in the inbox."""
    return f"{PREFIX}part-{number:05d}.parquet"


def sizes(rows: int) -> list[int]:
    """Return the row count of each file."""
    return [min(FILE_ROWS, rows - at) for at in range(0, rows, FILE_ROWS)]


def digest(files: Iterator[tuple[str, NDArray[np.int64], Rows]]) -> str:
    """Hash all scores: each file's key, its row numbers and its scores, in order."""
    whole = hashlib.sha256()
    for key, numbers, scores in files:
        whole.update(key.encode() + numbers.tobytes() + scores.tobytes())
    return whole.hexdigest()


def reference(model: onnx.ModelProto, rows: int, seed: int) -> str:
    """Return the digest of the model's own scores for the same rows, computed in this process."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(1), ["CPUExecutionProvider"]
    )

    def files() -> Iterator[tuple[str, NDArray[np.int64], Rows]]:
        for number, count in enumerate(sizes(rows)):
            matrix = rows_of(seed, number, count)
            parts = [
                session.run(["score"], {"x": matrix[at : at + CHUNK]})[0]
                for at in range(0, count, CHUNK)
            ]
            yield key_of(number), np.arange(count), np.concatenate(parts)[:, 0]

    return digest(files())


# ---- the run -----------------------------------------------------------------------------------


def run(
    rows: int, seed: int, state: Path, *, disturbed: bool = False, unit_bytes: int = 64 << 20
) -> Found:
    """Score the rows in one run on the local AWS, and compare."""
    state.mkdir(parents=True, exist_ok=True)
    options: tuple[str, ...] = FREE_PORTS
    if disturbed:
        plan = state / "faults.json"
        kills = {"share": KILLED, "functions": ["ScoreUnit"]}
        plan.write_text(json.dumps({"seed": seed, "kills": kills}))
        options = (*FREE_PORTS, "--faults", str(plan))
    model = forest(seed)
    package(state / MODEL, model, seed)
    local = start_local_aws(state, parameters={"UnitTargetBytes": str(unit_bytes)}, options=options)
    try:
        done = _quintet(local, "publish", str(state / MODEL))
        assert done.exit_code == 0, done.output
        for number, count in enumerate(sizes(rows)):
            body = parquet(rows_of(seed, number, count))
            bucket = local.outputs["InboxBucketName"]
            local.client("s3").put_object(Bucket=bucket, Key=key_of(number), Body=body)
        return _scored(local, disturbed, reference(model, rows, seed), rows)
    finally:
        local.stop()


def _quintet(local: LocalAws, *arguments: str) -> Result:
    """Run the `quintet` command."""
    return CliRunner().invoke(app, [*arguments, "--state", str(local.state)])


def _scored(local: LocalAws, disturbed: bool, expected: str, rows: int) -> Found:
    reader = RunReader(Stage.open("local", local.state))
    begun = time.monotonic()
    attempts = 1
    if disturbed:
        done = _quintet(local, "runs", "start", MODEL, "--prefix", PREFIX, "--no-wait")
        _stop_halfway(local, reader)
    else:
        done = _quintet(local, "runs", "start", MODEL, "--prefix", PREFIX)
    while disturbed and _status(reader) != "succeeded" and attempts <= REDRIVES:
        done = _quintet(local, "runs", "redrive", MODEL)
        attempts += 1
    seconds = time.monotonic() - begun
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    folder = reader.newest(MODEL)
    counts = (reader.report(folder) or {})["counts"]
    results = [
        json.loads(reader.store.get(key) or b"") for key in reader.store.keys(folder.results)
    ]
    return Found(
        rows=rows,
        scored=counts["scored"],
        quarantined=counts["quarantined"],
        seconds=round(seconds, 1),
        units=len(results),
        attempts=attempts,
        killed=_killed(local),
        peak_mb=max(result["peak_mb"] for result in results),
        scores=digest(_files(reader, folder)),
        reference=expected,
    )


def _status(reader: RunReader) -> str:
    found: dict[str, Any] = reader.report(reader.newest(MODEL)) or {}
    return str(found.get("status"))


def _stop_halfway(local: LocalAws, reader: RunReader) -> None:
    """Stop the run's execution when a third of its units are done."""
    folder: RunPaths | None = None
    while folder is None:
        names = reader.names(MODEL)
        folder = RunPaths(MODEL, names[0]) if names else None
        time.sleep(0.05)
    while not isinstance(plan := reader.plan(folder), Plan):
        time.sleep(0.05)
    wanted = plan.units // 3
    while len(reader.store.keys(folder.results)) < wanted and reader.ended(folder) is None:
        time.sleep(0.05)
    _quintet(local, "runs", "stop", MODEL)


def _killed(local: LocalAws) -> int:
    with urllib.request.urlopen(f"{local.endpoint_url}/_quintet/health") as answer:
        faults: dict[str, Any] = json.load(answer)["faults"] or {"happened": {}}
    return int(faults["happened"].get("kill", 0))


def _files(reader: RunReader, folder: RunPaths) -> Iterator[tuple[str, NDArray[np.int64], Rows]]:
    """Yield the scores of each file, whose parts are consecutive."""
    parts = (
        part
        for key in reader.store.keys(f"{folder.root}scores/")
        for part in _parts(reader.store.get(key) or b"")
    )
    for file, some in itertools.groupby(parts, key=lambda part: part[0]):
        _, numbers, scores = zip(*some, strict=True)
        yield file, np.concatenate(numbers), np.concatenate(scores)


def _parts(body: bytes) -> Iterator[tuple[str, NDArray[np.int64], Rows]]:
    """Yield the rows of a part of the scores, file by file."""
    table = arrow_io.read_parquet(body).read_all()
    columns = [table.column(name).combine_chunks() for name in ("row", "score")]
    numbers, scores = (column.to_numpy() for column in columns)
    at = 0
    for file, some in itertools.groupby(table.column("file").to_pylist()):
        end = at + sum(1 for _ in some)
        yield file, numbers[at:end], scores[at:end]
        at = end


def main() -> int:
    """Run the benchmark and report."""
    parser = options(__doc__, "batch_rows")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--disturbed", action="store_true", help="kills, a stop, and redrives")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(given.rows, given.seed, Path(folder), disturbed=given.disturbed)
    result = {**asdict(found), "rows/s": round(found.rows / found.seconds), "same": found.good}
    name = "batch_rows_disturbed" if given.disturbed else "batch_rows"
    report(
        name, [{"figure": k, "value": str(v)} for k, v in result.items()], NOTE, write=given.write
    )
    return 0 if found.good else 1


if __name__ == "__main__":
    sys.exit(main())
