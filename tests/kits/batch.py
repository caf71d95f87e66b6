"""What the tests of the batch path share: a tiny model, files of its rows, a run in memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx
import orjson
from arro3 import core
from arro3 import io as arrow_io
from onnx import TensorProto, helper

from quintet.batch.candidates import CandidateSets, MemoryCandidateSets
from quintet.batch.planning import OUTPUT, MemoryCatalog, Pinned, plan_run
from quintet.batch.plans import Plan, RefusedPlan, RunPaths, Unit, run_name, unit_from
from quintet.batch.requests import RunRequest, request_from
from quintet.batch.stores import MemoryConditionalObjects, MemoryInputBucket, MemoryObjectStore
from quintet.batch.units import score_unit
from quintet.captures.store import MemoryCaptures
from quintet.contract import Contract, Feature, Input, Output, to_dict
from quintet.features import MemoryFeatures
from quintet.formats import parquet
from quintet.formats.crashes import first_crash
from quintet.formats.inspection import inspect
from quintet.formats.readers import read_slice
from quintet.formats.sources import Slice
from quintet.manifest import digest_of, sha256
from quintet.onnx_model import OnnxModel
from quintet.scoring import Model
from quintet_publish.publisher import Publisher
from quintet_publish.release import Release

STARTED = "2026-11-20T08:00:00.000Z"
BUCKET = "inbox"

CONTRACT = Contract(
    name="tiny",
    version=3,
    task="regression",
    entity="customer",
    features=(
        Feature(name="amount", dtype="float32", range=(-1000.0, 1000.0)),
        Feature(name="visits", dtype="int64", range=(0.0, None)),
        Feature(name="country", dtype="string", categories=("de", "fr")),
        Feature(name="rate", dtype="float32", default=0.5),
    ),
    inputs=(
        Input(name="amount", dtype="float32", shape=(-1, 1)),
        Input(name="visits", dtype="int64", shape=(-1, 1)),
        Input(name="country", dtype="string", shape=(-1, 1)),
        Input(name="rate", dtype="float32", shape=(-1, 1)),
    ),
    outputs=(
        Output(name="score", dtype="float32", shape=(-1,), meaning="score"),
        Output(
            name="parts",
            dtype="float32",
            shape=(-1, 2),
            meaning="probabilities",
            classes=("amount", "visits"),
        ),
        Output(name="country_seen", dtype="string", shape=(-1, 1), meaning="label"),
    ),
)


def tiny_graph() -> bytes:
    """score = sigmoid(amount * rate + visits); parts = [amount, visits]; and the country."""
    column = [None, 1]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["visits"], ["visits_float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["amount", "rate"], ["product"]),
            helper.make_node("Add", ["product", "visits_float"], ["sum"]),
            helper.make_node("Sigmoid", ["sum"], ["sigmoid"]),
            helper.make_node("Flatten", ["sigmoid"], ["flat"]),
            helper.make_node("Squeeze", ["flat", "one"], ["score"]),
            helper.make_node("Concat", ["amount", "visits_float"], ["parts"], axis=1),
            helper.make_node("Identity", ["country"], ["country_seen"]),
        ],
        "tiny",
        [
            helper.make_tensor_value_info("amount", TensorProto.FLOAT, column),
            helper.make_tensor_value_info("visits", TensorProto.INT64, column),
            helper.make_tensor_value_info("country", TensorProto.STRING, column),
            helper.make_tensor_value_info("rate", TensorProto.FLOAT, column),
        ],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, [None]),
            helper.make_tensor_value_info("parts", TensorProto.FLOAT, [None, 2]),
            helper.make_tensor_value_info("country_seen", TensorProto.STRING, column),
        ],
        [helper.make_tensor("one", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    graph_bytes: bytes = model.SerializeToString()
    return graph_bytes


def publish(publisher: Publisher) -> None:
    """Publish the tiny model."""
    files = {"contract.json": orjson.dumps(to_dict(CONTRACT)), "model.onnx": tiny_graph()}
    sources = {name: sha256(content) for name, content in files.items()}
    columns = {"amount": [1.0], "visits": [2], "country": ["de"], "rate": [0.5]}
    golden = {"columns": columns, "outputs": {}, "tolerance": 1e-6}
    release = Release(CONTRACT, digest_of(sources), sources, files, golden)
    publisher.publish(release, "2026-01-01T00:00:00+00:00")


MODEL = OnnxModel(CONTRACT, tiny_graph(), digest="d" * 64)
CATALOG = MemoryCatalog(Pinned(3, "d" * 64, "s" * 64, CONTRACT))


def row(number: int, **other: Any) -> dict[str, Any]:
    """A good row."""
    good = {
        "customer": f"c{number}",
        "amount": number * 0.25,
        "visits": number % 7,
        "country": "fr" if number % 3 else "de",
        "rate": 0.5 if number % 2 else 0.75,
    }
    return {**good, **other}


def csv_bytes(rows: list[dict[str, Any]], newline: str = "\n") -> bytes:
    """Rows as CSV; quotes only where a text needs them."""
    import csv

    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), lineterminator=newline)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def jsonl_bytes(rows: list[Any]) -> bytes:
    """Rows as JSONL."""
    return b"".join(orjson.dumps(item) + b"\n" for item in rows)


KINDS: dict[str, core.DataType] = {
    "customer": core.DataType.string(),
    "amount": core.DataType.float32(),
    "visits": core.DataType.int64(),
    "country": core.DataType.string(),
    "rate": core.DataType.float64(),
}


def parquet_bytes(
    rows: list[dict[str, Any]],
    group: int = 1000,
    kinds: Mapping[str, core.DataType] = KINDS,
    **given: core.Array,
) -> bytes:
    """Rows as Parquet in row groups of `group`; some columns may be given as they are."""
    table = core.Table.from_pydict(
        {
            name: given.get(name) or _array([r.get(name) for r in rows], kind)
            for name, kind in kinds.items()
        }
    )
    out = io.BytesIO()
    arrow_io.write_parquet(table, out, max_row_group_size=group)
    return out.getvalue()


def crashing_parquet(
    rows: list[dict[str, Any]],
    group: int,
    kinds: Mapping[str, core.DataType] = KINDS,
    *,
    contract: Contract = CONTRACT,
    whole: bool = False,
) -> bytes:
    """A Parquet file with a byte changed in row group 1, which aborts the reader's process."""
    body = parquet_bytes(rows, group, kinds)
    found = inspect(contract, BytesSource(body), "a.parquet")
    assert found.footer is not None
    start, end = found.footer.groups[1].start, found.footer.groups[1].end
    changes = [
        body[:at] + bytes([new]) + body[at + 1 :] for at in range(start, end) for new in b"\0("
    ]

    def read(step: int) -> None:
        part, source = Slice(1, 2, 0, group), BytesSource(changes[step])
        for piece in read_slice(contract, source, found.layout, part, group):
            piece()

    if whole:
        return body
    crash = first_crash(read, len(changes))
    assert crash is not None
    return changes[crash.step]


@dataclass(frozen=True)
class BytesSource:
    """Bytes as a file."""

    body: bytes

    @property
    def size(self) -> int:
        """See `ByteSource.size`."""
        return len(self.body)

    def read(self, start: int, end: int) -> bytes:
        """See `ByteSource.read`."""
        return self.body[start:end]


def without_rows(body: bytes, group: int) -> bytes:
    """A Parquet file of fewer than 64 rows as if a row group had none, as pandas writes one."""
    start = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
    fields, _ = parquet._struct(body[start:-8], 0)
    total, rows = fields[parquet.NUM_ROWS], fields[parquet.ROW_GROUPS].value[group].value
    rows = rows[parquet.GROUP_ROWS]
    found = bytearray(body)
    found[start + rows.start] = 0
    found[start + total.start] = (total.value - rows.value) << 1  # Thrift's zigzag
    return bytes(found)


def _array(values: list[Any], kind: core.DataType) -> core.Array:
    try:
        return core.Array(values, kind)
    except NotImplementedError:  # of timestamps and decimals
        return core.Array(values, core.DataType.int64()).cast(kind)


class Bench:
    """A run in memory, step by step."""

    def __init__(self, catalog: MemoryCatalog = CATALOG, model: OnnxModel = MODEL) -> None:
        self.model = model
        self.inbox = MemoryInputBucket()
        self.store = MemoryObjectStore()
        self.features = MemoryFeatures()
        self.captures = MemoryCaptures()
        self.candidates: CandidateSets = MemoryCandidateSets()
        self.catalog = catalog
        self.baseline: dict[str, Any] = {}

    @property
    def cells(self) -> MemoryConditionalObjects:
        """The objects of the store, to be replaced conditionally."""
        return MemoryConditionalObjects(self.store.objects)

    def plan(
        self, key: str, body: bytes, unit_bytes: int = 1 << 20, output: str | None = None
    ) -> Plan | RefusedPlan:
        """Drop a file and plan its run."""
        metadata = {OUTPUT: output} if output else {}
        snapshot = self.inbox.put(BUCKET, key, body, metadata)
        assert snapshot.version_id is not None
        request = RunRequest(
            run=run_name(BUCKET, key, snapshot.version_id),
            bucket=BUCKET,
            key=key,
            version_id=snapshot.version_id,
            started=STARTED,
        )
        return plan_run(
            request,
            catalog=self.catalog,
            inbox=self.inbox,
            store=self.store,
            cells=self.cells,
            unit_bytes=unit_bytes,
        )

    def plan_many(self, unit_bytes: int = 1 << 20, **asked: Any) -> Plan | RefusedPlan:
        """Plan a run over many files that were put into the inbox."""
        data = {"bucket": BUCKET, "model": "tiny", **asked}
        return plan_run(
            request_from(data, run="tiny-many", started=STARTED),
            catalog=self.catalog,
            inbox=self.inbox,
            store=self.store,
            cells=self.cells,
            unit_bytes=unit_bytes,
        )

    def units(self, plan: Plan) -> list[Unit]:
        """The units of a planned run."""
        return [unit_from(item) for item in orjson.loads(self.store.objects[plan.units_key])]

    def score(
        self,
        plan: Plan | RefusedPlan,
        threads: int = 1,
        model: Callable[[], Model] | None = None,
    ) -> list[dict[str, Any]]:
        """Score every unit of a run, with the bench's model or with what `model` loads."""
        assert isinstance(plan, Plan), plan
        return [
            score_unit(
                unit,
                plan,
                model=model or (lambda: self.model),
                inbox=self.inbox,
                store=self.store,
                cells=self.cells,
                features=self.features,
                clock=lambda: 0.0,
                baseline=lambda: self.baseline,
                captures=self.captures,
                candidates=self.candidates,
                threads=threads,
            )
            for unit in self.units(plan)
        ]

    def scores(self, folder: RunPaths) -> list[dict[str, Any]]:
        """All scored rows of a run (Parquet), as dicts."""
        rows: list[dict[str, Any]] = []
        for key in self.store.keys(f"{folder.root}scores/"):
            table = arrow_io.read_parquet(self.store.objects[key]).read_all()
            columns = {n: table.column(n).to_pylist() for n in table.schema.names}
            rows += [
                dict(zip(columns, v, strict=True)) for v in zip(*columns.values(), strict=True)
            ]
        return rows

    def quarantine(self, folder: RunPaths) -> list[dict[str, Any]]:
        """All quarantined rows of a run."""
        found: list[dict[str, Any]] = []
        for key in self.store.keys(f"{folder.root}quarantine/"):
            found += map(orjson.loads, self.store.objects[key].splitlines())
        return found
