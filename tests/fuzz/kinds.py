"""What is mutated, and what reads it: each kind makes an input from a seed and hands it on."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from arro3 import core
from arro3 import io as arrow_io
from tests.fuzz.mutations import CANARY, mutated_bytes, mutated_json, mutated_text
from tests.fuzz.world import World
from tests.kits import forms, models, packages, streams
from tests.kits.aws import ROOT
from tests.kits.stream_world import World as StreamWorld
from tests.kits.workers import Bench, logs

from quintet.batch.drops import dropped
from quintet.contract import Contract, Feature
from quintet.errors import BadInput
from quintet.formats import strict_json
from quintet.formats.crashes import first_crash
from quintet.formats.inspection import cut, inspect
from quintet.formats.readers import read_slice
from quintet.jobs.messages import Delivery
from quintet.recommend.plans import RecommendPlan
from quintet.recommend.requests import read_request
from quintet_publish.golden_files import read_golden
from quintet_publish.kit import contract_of
from quintet_publish.model_yaml import read_contract
from quintet_publish.problems import PackageError

__all__ = ["HTTP", "KINDS", "Failure", "Kind"]


class Failure(Exception):
    """What may never come of an input came of it."""


@dataclass(frozen=True)
class Kind:
    """`make` makes an input of a seed; `run` reads it and returns the outcome, in a word.

    An exception of `run` is a failure, and so is what it tells about the inside of the service.
    """

    make: Callable[[Random], bytes]
    run: Callable[[bytes], str]


# ---- HTTP ----------------------------------------------------------------------------------------

JSON = "application/json"
_OCTETS = "application/octet-stream"
_HEADER = "Inference-Header-Content-Length"

#: good bodies in each form, for the kit's models: path, content type, body
_RECORDS: list[tuple[str, Any]] = [
    ("/models/log/predict", {"records": [{"x": 3, "y": 1}, {"x": 2.5}]}),
    ("/models/log/predict", {"records": [{"x": 3}], "partial": True, "outputs": ["logs"]}),
    ("/models/shop/predict", {"records": [{"customer": "c1", "amount": 5, "items": 2}]}),
    ("/models/text/predict", {"records": [{"text": CANARY}, {"text": "shirt"}]}),
    ("/models/pixels/predict", {"records": [{"image": [[1, 2, 3], [4, 5, 6]]}]}),
    (
        "/models/echo/versions/1/predict",
        {"records": [{name: values[0] for name, values in models.ROWS["echo"].items()}]},
    ),
]
_KSERVE: list[tuple[str, Any]] = [
    ("/v1/models/log:predict", {"instances": [[3, 1], [2, 1]]}),
    ("/v1/models/shop:predict", {"instances": [{"customer": "c1", "amount": 5}]}),
    ("/v1/models/text:predict", {"inputs": [CANARY, "shoes"], "signature_name": "s"}),
    ("/v1/models/pixels:predict", {"instances": [[[1, 2, 3], [4, 5, 6]]]}),
]
_SAGEMAKER: list[tuple[str, Any]] = [
    ("/endpoints/log/invocations", {"instances": [[3, 1], {"x": 2}]}),
    ("/endpoints/log/invocations", {"instances": [{"features": [3, 1]}]}),
    ("/endpoints/log/invocations", {"inputs": {"data": {"features": {"values": [3, 1]}}}}),
    ("/endpoints/shop/invocations", [["c1", 5, 2], ["c2", 6, 1]]),
    ("/endpoints/text/invocations", [CANARY]),
]
_LINES = [
    ("/endpoints/log/invocations", '{"x": 3, "y": 1}\n{"x": 2}\n[3, 1]\n'),
    ("/endpoints/shop/invocations", '{"customer": "c1", "amount": 5}\n'),
]
_CSV = [
    ("/endpoints/log/invocations", "x,y\n3,1\n2.5,0.5\n"),
    ("/endpoints/shop/invocations", f'customer,amount,items\n"c1",5,2\n{CANARY},6,\n'),
    ("/endpoints/text/invocations", f'text\n"a, ""b"""\n{CANARY}\n'),
    ("/endpoints/pixels/invocations", "1,2,3,4,5,6\n6,5,4,3,2,1\n"),
]


def _tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


_OIP: list[tuple[str, Any]] = [
    (
        "/v2/models/log/infer",
        {"id": "1", "inputs": [_tensor("XY", "FP32", [2, 2], [[3, 1], [2, 1]])]},
    ),
    (
        "/v2/models/shop/versions/3/infer",
        {
            "inputs": [
                _tensor("customer", "BYTES", [1], ["c1"]),
                _tensor("amount", "FP64", [1, 1], [5]),
            ],
            "outputs": [{"name": "label", "parameters": {"binary_data": True}}],
        },
    ),
    (
        "/v2/models/text/infer",
        {"inputs": [_tensor("text", "BYTES", [2], [CANARY, "shoes"])], "parameters": {"a": 1}},
    ),
    (
        "/v2/models/pixels/infer",
        {
            "model_name": "pixels",
            "inputs": [_tensor("image", "FP32", [1, 2, 3], [1, 2, 3, 4, 5, 6])],
        },
    ),
]


def _packed(path: str, kind: str, body: bytes, **headers: str) -> bytes:
    """A request as bytes that replay: its path, its headers as JSON, its body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    head = json.dumps({"Content-Type": kind, **named})
    return f"{path}\n{head}\n".encode() + body


def _json_form(goods: list[tuple[str, Any]]) -> Callable[[Random], bytes]:
    def make(random: Random) -> bytes:
        path, value = random.choice(goods)
        headers = {}
        if random.random() < 0.05:
            headers["Prefer"] = "respond-async"
        if random.random() < 0.05:
            headers["Content_Encoding"] = random.choice(["gzip", "deflate", "identity", "br"])
        return _packed(path, JSON, mutated_json(random, value), **headers)

    return make


def _text_form(kind: str, goods: list[tuple[str, str]]) -> Callable[[Random], bytes]:
    def make(random: Random) -> bytes:
        path, text = random.choice(goods)
        accept = random.choice(["*/*", "text/csv", "application/x-npy", "application/jsonlines"])
        return _packed(path, kind, mutated_text(random, text), Accept=accept)

    return make


def _oip_binary(random: Random) -> bytes:
    """A request with raw tensors: its JSON, its length or its bytes are changed."""
    path, request = random.choice(_OIP)
    request = json.loads(json.dumps(request))
    raw = []
    for one in request["inputs"]:
        data = one.pop("data")
        if one["datatype"] == "BYTES":
            texts = [text.encode() for text in data]
            piece = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
        else:
            kind = {"FP32": "<f4", "FP64": "<f8"}[one["datatype"]]
            piece = np.array(data, dtype=kind).tobytes()
        one["parameters"] = {"binary_data_size": len(piece)}
        raw.append(piece)
    body = b"".join(raw)
    text = json.dumps(request).encode()
    place = random.randrange(4)
    if place == 0:
        text = mutated_json(random, request)
    elif place == 1:
        body = mutated_bytes(random, body)
    size: Any = len(text)
    if place == 2:
        size = random.choice([0, -1, size - 1, size + 1, 10**9, 10**30, "x", "", "0x10", "\u0661"])
    whole = text + body
    if place == 3:
        whole = mutated_bytes(random, whole)
    return _packed(path, _OCTETS, whole, **{_HEADER: str(size)})


def _npy(random: Random) -> bytes:
    path, array = random.choice(
        [
            ("/endpoints/log/invocations", np.array([[3, 1], [2, 1]], dtype="f4")),
            ("/endpoints/pixels/invocations", np.arange(12, dtype="i8").reshape(2, 2, 3)),
            ("/endpoints/log/invocations", np.array([[1, 2]], dtype="u1", order="F")),
        ]
    )
    file = io.BytesIO()
    np.save(file, array)
    body = bytearray(file.getvalue())
    if random.random() < 0.5:  # in its header, where a shape and a dtype stand
        size = 10 + int.from_bytes(body[8:10], "little")
        head = mutated_text(random, body[10:size].decode())[: size - 10].ljust(size - 10)
        body[10:size] = head
    whole = bytes(body) if random.random() < 0.5 else mutated_bytes(random, bytes(body))
    return _packed(path, "application/x-npy", whole)


def _paths(random: Random) -> bytes:
    """A request whose path or headers are odd."""
    parts = ["models", "v1", "v2", "endpoints", "log", "shop", "predict", "infer", "invocations"]
    odd = ["..", ".", "%00", "%2F", "%ff", "a" * 300, "log:predict", "-1", "1" * 40, "%0d%0a", "é"]
    path = "/" + "/".join(random.choices([*parts, *odd], k=random.randint(1, 6)))
    values = ["", "*", "a" * 5000, "\u00e9", "gzip, deflate", "text/html;q=x", "v1", "-1", CANARY]
    names = [
        "Accept",
        "Accept-Encoding",
        "X-Request-Id",
        "traceparent",
        "Idempotency-Key",
        "Prefer",
    ]
    names += ["X-Amzn-SageMaker-Target-Variant", "X-Amzn-SageMaker-Custom-Attributes", "Origin"]
    headers = {name: random.choice(values) for name in random.choices(names, k=2)}
    if headers.get("X-Request-Id") == CANARY:  # the log names the request by it
        del headers["X-Request-Id"]
    return _packed(path, random.choice([JSON, "", "text/csv", ";;", _OCTETS]), b"{}", **headers)


HTTP: dict[str, Callable[[Random], bytes]] = {
    "records": _json_form(_RECORDS),
    "oip_json": _json_form(_OIP),
    "oip_binary": _oip_binary,
    "kserve": _json_form(_KSERVE),
    "sagemaker_json": _json_form(_SAGEMAKER),
    "sagemaker_jsonl": _text_form("application/jsonlines", _LINES),
    "sagemaker_csv": _text_form("text/csv", _CSV),
    "npy": _npy,
    "paths": _paths,
}


def answered(world: World, case: bytes) -> tuple[str, str]:
    """The status of the answer to a packed request, and all that was told. Raises Failure."""
    path, head, body = case.split(b"\n", 2)
    headers = json.loads(head)
    answer = world.send("POST", path.decode(), body, headers.items())
    told = "\n".join(f"{name}: {value}" for name, value in answer.headers)
    if answer.status >= 500:
        raise Failure(f"{answer.status}: {answer.body[:200]!r}")
    if answer.status >= 400:  # the answer of a model may be any bytes
        told += "\n" + answer.body.decode()
    logged = world.logged()
    if CANARY in logged:
        raise Failure(f"a value of the request is in the log: {logged[:300]}")
    return str(answer.status), f"{told}\n{logged}"


# ---- files, records and messages -----------------------------------------------------------------

TABLE: Contract = forms.contract_of(
    Feature(name="amount", dtype="float32", range=(0, 100)),
    Feature(name="visits", dtype="int64", default=1),
    Feature(name="country", dtype="string", categories=("de", "fr")),
    Feature(name="flag", dtype="bool", default=False),
    Feature(name="gap", dtype="float64", missing="nan"),
)
_ROWS: list[dict[str, Any]] = [
    {"amount": 5.5, "visits": 2, "country": "de", "flag": True, "gap": None},
    {"amount": 7.0, "visits": 3, "country": "fr", "flag": False, "gap": 1.5},
] * 4


def _csv(random: Random) -> bytes:
    lines = [",".join(_ROWS[0])]
    lines += [",".join("" if v is None else str(v) for v in row.values()) for row in _ROWS]
    return mutated_text(random, "\n".join(lines) + "\n")


def _jsonl(random: Random) -> bytes:
    lines = [json.dumps(row) for row in _ROWS]
    if random.random() < 0.5:
        place = random.randrange(len(lines))
        lines[place] = mutated_json(random, _ROWS[place]).decode("utf-8", "replace")
        return "\n".join(lines).encode("utf-8", "surrogatepass")
    return mutated_text(random, "\n".join(lines))


def _file() -> bytes:
    body = io.BytesIO()
    columns = {name: [row[name] for row in _ROWS] for name in _ROWS[0]}
    arrow_io.write_parquet(core.Table.from_pydict(_typed(columns)), body)
    return body.getvalue()


def _typed(columns: dict[str, list[Any]]) -> dict[str, Any]:
    kinds = {
        "amount": core.DataType.float32(),
        "visits": core.DataType.int64(),
        "country": core.DataType.string(),
        "flag": core.DataType.bool(),
        "gap": core.DataType.float64(),
    }
    return {name: core.Array(values, kinds[name]) for name, values in columns.items()}


_PARQUET = _file()


def _read(name: str) -> Callable[[bytes], str]:
    def run(body: bytes) -> str:
        refused = 0
        try:
            found = inspect(TABLE, forms.Source(body), name)
            for piece in cut(found, 1 << 20):
                part = piece.slice
                for read in read_slice(TABLE, found.source, found.layout, part, part.rows):
                    chunk = read()
                    refused += len(chunk.broken) + int((~chunk.batch.good).sum())
        except BadInput:
            return "refused"
        return "rows refused" if refused else "read"

    return run


def _parquet(body: bytes) -> str:
    """In a child process, as a run reads a file that ended a process: the reader may abort."""
    told: list[str] = []
    crash = first_crash(lambda step: told.append(_read("a.parquet")(body)), 1)
    if crash is not None:
        return "contained"
    return _read("a.parquet")(body)


_STREAM = StreamWorld()
_READINGS: list[Any] = [
    {"model": "log", "records": [streams.reading("m1", 3.0, id="r1")]},
    streams.reading("m2", 2.0),
    [streams.reading("m3", 2.0), streams.reading("m4", 1.0)],
    {"model_name": "log", "inputs": [_tensor("XY", "FP32", [1, 2], [3, 1])], "id": "r2"},
]


def _kinesis(body: bytes) -> str:
    outcome = _STREAM.scorer().take(
        streams.shard_batch(streams.data(streams.reading()), body), None
    )
    if outcome.failed is not None:
        raise Failure(f"a record is tried again for ever: {outcome}")
    return "taken"


_BENCH = Bench()
_BENCH.put(logs("j1", 2.0))
_S3 = json.loads((ROOT / "events/drop_put.json").read_text())["Records"][0]["body"]


def _work_message(body: bytes) -> str:
    delivery = Delivery("m-1", "r-1", body.decode("utf-8", "replace"))
    (result,) = _BENCH.worker().work([delivery], lambda: True)
    return result.event


def _drop_message(body: bytes) -> str:
    try:
        found = dropped(body.decode("utf-8", "replace"))
    except BadInput:
        return "refused"
    return "ours" if any(one.ours and one.run for one in found) else "not ours"


_YAML = [
    packages.MODEL_YAML.format(name="small", version=1),
    *(
        (ROOT / "models" / name / "model.yaml").read_text()
        for name in ("fraud", "ranker", "sensor")
    ),
]
_GOLDEN: Any = packages.golden()
_SMALL = packages.contract()
_RANKER: RecommendPlan = contract_of(ROOT / "models/ranker").compiled[RecommendPlan]


def _model_yaml(body: bytes) -> str:
    try:
        read_contract(body)
    except PackageError as error:
        return _told(error)
    return "read"


def _golden(body: bytes) -> str:
    try:
        read_golden(_SMALL, "golden.json", body)
    except PackageError as error:
        return _told(error)
    return "read"


def _told(error: Exception) -> str:
    if "Traceback" in str(error) or len(str(error)) > 100_000:
        raise Failure(f"the refusal is no refusal: {str(error)[:300]}")
    return "refused"


def _recommend(body: bytes) -> str:
    try:
        read_request(_RANKER, "u1", strict_json.parse(body), 1.8e9)
    except BadInput:
        return "refused"
    return "read"


def _of_json(goods: list[Any]) -> Callable[[Random], bytes]:
    return lambda random: mutated_json(random, random.choice(goods))


KINDS: dict[str, Kind] = {
    "csv": Kind(_csv, _read("a.csv")),
    "jsonl": Kind(_jsonl, _read("a.jsonl")),
    "parquet": Kind(lambda random: mutated_bytes(random, _PARQUET), _parquet),
    "kinesis": Kind(_of_json(_READINGS), _kinesis),
    "sqs_work": Kind(_of_json([{"job": "j1", "event": "accepted"}]), _work_message),
    "sqs_drop": Kind(_of_json([json.loads(_S3)]), _drop_message),
    "model_yaml": Kind(lambda random: mutated_text(random, random.choice(_YAML)), _model_yaml),
    "golden_json": Kind(_of_json([_GOLDEN]), _golden),
    "recommendations": Kind(_of_json([{"items": [1, 2], "top": 5, "device": "d"}]), _recommend),
}
