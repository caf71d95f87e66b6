"""Small real models, and online scoring over them in memory, for the tests of the online path."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import orjson
from onnx import TensorProto, helper, numpy_helper
from tests.kits.registries import publisher_to, registry_at

from quintet.api import gateway
from quintet.api.routing import Routes
from quintet.contract import (
    Contract,
    Fallback,
    FallbackRule,
    Feature,
    Input,
    Limits,
    Output,
    Recommend,
    to_dict,
)
from quintet.features import FeatureSource, MemoryFeatures
from quintet.manifest import digest_of, sha256
from quintet.onnx_model import OnnxModel
from quintet.protocols.http import Request
from quintet.serving import Online, PredictionCache
from quintet.serving.model_cache import ModelCache
from quintet.serving.routes import MemoryRoutes, Route, Version
from quintet_publish.aws_registry import AwsRegistry
from quintet_publish.release import Release

NOW = 1_700_000_000.0

SHOP = Contract(
    name="shop",
    version=3,
    task="classification",
    entity="customer",
    features=(
        Feature(name="amount", dtype="float32", range=(0, 10_000)),
        Feature(name="items", dtype="float32", default=1.0),
        Feature(
            name="orders_90d",
            dtype="float32",
            source="store",
            max_age=3600,
            when_stale="fallback",
        ),
    ),
    inputs=(
        Input(name="X", dtype="float32", shape=(-1, 3), features=("amount", "items", "orders_90d")),
    ),
    outputs=(
        Output(
            name="label", dtype="int64", shape=(-1,), meaning="label", classes=("kept", "cancelled")
        ),
        Output(name="probability", dtype="float32", shape=(-1, 1), meaning="score"),
    ),
    limits=Limits(rows=10, bytes=20_000),
    fallback=Fallback(
        otherwise={"label": 0, "probability": 0.25},
        rules=(
            FallbackRule(feature="amount", above=1000, outputs={"label": 1, "probability": 0.75}),
        ),
    ),
)

#: logarithms: zero and below come out as what no answer may hold
LOG = Contract(
    name="log",
    version=1,
    task="regression",
    features=(Feature(name="x", dtype="float32"), Feature(name="y", dtype="float32", default=0.0)),
    inputs=(Input(name="XY", dtype="float32", shape=(-1, 2), features=("x", "y")),),
    outputs=(Output(name="logs", dtype="float32", shape=(-1, 2), meaning="value"),),
    limits=Limits(rows=10),
)

#: the same as a ranker, which takes feedback on its recommendations
SHELF = replace(
    LOG, name="shelf", recommend=Recommend(candidates="candidates", item="x", rank="logs")
)

_NUMERIC = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
ECHO_DTYPES = (*_NUMERIC, "float16", "float32", "float64", "string")

#: every dtype, as it came
ECHO = Contract(
    name="echo",
    version=1,
    task="embedding",
    features=tuple(Feature(name=f"in_{d}", dtype=d, shape=(2,)) for d in ECHO_DTYPES),  # type: ignore[arg-type]
    inputs=tuple(Input(name=f"in_{d}", dtype=d, shape=(-1, 2)) for d in ECHO_DTYPES),  # type: ignore[arg-type]
    outputs=tuple(
        Output(name=f"out_{d}", dtype=d, shape=(-1, 2), meaning="value")  # type: ignore[arg-type]
        for d in ECHO_DTYPES
    ),
    limits=Limits(rows=10),
)

#: an array for each row: its sum, and how bright it is
PIXELS = Contract(
    name="pixels",
    version=1,
    task="image",
    features=(Feature(name="image", dtype="float32", shape=(2, 3), range=(0, 16)),),
    inputs=(Input(name="image", dtype="float32", shape=(-1, 2, 3)),),
    outputs=(
        Output(
            name="parts",
            dtype="float32",
            shape=(-1, 2),
            meaning="probabilities",
            classes=("dark", "bright"),
        ),
    ),
    limits=Limits(rows=10),
)

#: one text for each row: a department's number
TEXT = Contract(
    name="text",
    version=1,
    task="text",
    features=(Feature(name="text", dtype="string", sensitive=True),),
    inputs=(Input(name="text", dtype="string", shape=(-1,)),),
    outputs=(Output(name="department", dtype="int64", shape=(-1,), meaning="value"),),
    limits=Limits(rows=10),
)


def shop_graph() -> bytes:
    """probability = sigmoid(0.001 * amount - 0.1 * items + 0.2 * orders_90d)."""
    weights = np.array([[0.001], [-0.1], [0.2]], dtype=np.float32)
    nodes = [
        helper.make_node("MatMul", ["X", "weights"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
        helper.make_node("Greater", ["probability", "half"], ["over"]),
        helper.make_node("Cast", ["over"], ["number"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["number", "last"], ["label"]),
    ]
    return graph_of(
        SHOP,
        nodes,
        weights=weights,
        half=np.array(0.5, dtype=np.float32),
        last=np.array([1], dtype=np.int64),
    )


def log_graph() -> bytes:
    """The logarithms of x + y and of x - y."""
    weights = np.array([[1, 1], [1, -1]], dtype=np.float32)
    nodes = [
        helper.make_node("MatMul", ["XY", "weights"], ["both"]),
        helper.make_node("Log", ["both"], ["logs"]),
    ]
    return graph_of(LOG, nodes, weights=weights)


def echo_graph() -> bytes:
    """Every input as it came."""
    nodes = [helper.make_node("Identity", [f"in_{d}"], [f"out_{d}"]) for d in ECHO_DTYPES]
    return graph_of(ECHO, nodes)


def pixels_graph() -> bytes:
    """The sums of the two halves of an image."""
    nodes = [helper.make_node("ReduceSum", ["image", "axis"], ["parts"], keepdims=0)]
    return graph_of(PIXELS, nodes, axis=np.array([2], dtype=np.int64))


def text_graph() -> bytes:
    """1 for shirt, 2 for shoes, else 0."""
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["text"],
            ["department"],
            domain="ai.onnx.ml",
            keys_strings=["shirt", "shoes"],
            values_int64s=[1, 2],
            default_int64=0,
        )
    ]
    return graph_of(TEXT, nodes)


def graph_of(contract: Contract, nodes: Sequence[Any], **constants: Any) -> bytes:
    def info(tensor: Input | Output) -> Any:
        kind = TensorProto.STRING
        if tensor.dtype != "string":
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
        shape = ["rows" if size == -1 else size for size in tensor.shape]
        return helper.make_tensor_value_info(tensor.name, kind, shape)

    graph = helper.make_graph(
        nodes,
        contract.name,
        [info(tensor) for tensor in contract.inputs],
        [info(tensor) for tensor in contract.outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


GRAPHS = {
    "shop": shop_graph,
    "log": log_graph,
    "echo": echo_graph,
    "pixels": pixels_graph,
    "text": text_graph,
}
CONTRACTS = {c.name: c for c in (SHOP, LOG, ECHO, PIXELS, TEXT)}


#: a row of each model's features, stored ones too: its golden vectors
ROWS: dict[str, dict[str, list[Any]]] = {
    "shop": {"customer": ["g"], "amount": [10.0], "items": [1.0], "orders_90d": [2.0]},
    "log": {"x": [2.0, 4.0, 8.0], "y": [1.0, 1.0, 1.0]},
    "echo": {
        f"in_{d}": [{"bool": [True, False], "string": ["a", "b"]}.get(d, [1, 2])]
        for d in ECHO_DTYPES
    },
    "pixels": {"image": [[[1, 2, 3], [4, 5, 6]]]},
    "text": {"text": ["shirt"]},
}


def publish(contract: Contract, s3: Any, dynamodb: Any, bucket: str, table: str) -> None:
    """Publish a model of the kit to a registry, through boto3's clients.

    A contract of another name than the kit's is one of the model "log".
    """
    kind = contract.name if contract.name in GRAPHS else "log"
    registry = registry_at(s3, dynamodb, bucket=bucket, table=table)
    publish_graph(contract, GRAPHS[kind](), ROWS[kind], registry)


def publish_graph(
    contract: Contract,
    graph: bytes,
    rows: Mapping[str, list[Any]],
    registry: AwsRegistry,
) -> None:
    """Publish a graph; `rows` are its golden vectors, by feature."""
    files = {"contract.json": orjson.dumps(to_dict(contract)), "model.onnx": graph}
    sources = {name: sha256(content) for name, content in files.items()}
    golden = {"columns": rows, "outputs": {}, "tolerance": 1e-6}
    release = Release(contract, digest_of(sources), sources, files, golden)
    publisher_to(registry).publish(release, "2026-01-01T00:00:00+00:00")


@dataclass
class Shelf:
    """A loader of models that are in memory already."""

    contracts: Mapping[tuple[str, int], Contract]

    def load(self, model: str, version: int, seal: str | None = None) -> OnnxModel:
        """See `quintet.serving.model_cache.Loader.load`."""
        return OnnxModel(self.contracts[model, version], GRAPHS[model]())


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def online(
    *contracts: Contract, features: FeatureSource | None = None, clock: Clock | None = None
) -> Online:
    """Online scoring of the contracts' models, all of the kit's by default, in memory."""
    clock = clock or Clock()
    known = {(c.name, c.version): c for c in contracts or CONTRACTS.values()}
    routes = {}
    for name in {name for name, _ in known}:
        numbers = sorted(version for other, version in known if other == name)
        versions = {number: Version(number, "d", "s", 1000, "now") for number in numbers}
        routes[name] = Route(name, max(numbers), 1, versions)
    memory = MemoryRoutes(list(routes.values()))
    models = ModelCache(memory, Shelf(known), memory=10**9, clock=clock)
    return Online(
        models,
        lambda: {name: sorted(route.versions) for name, route in sorted(memory.stored.items())},
        features or shop_features(),
        PredictionCache(clock=clock),
        clock,
    )


def shop_features() -> MemoryFeatures:
    """Two customers: one seen ten minutes ago, one a day ago."""
    features = MemoryFeatures()
    features.put("customer", "c1", "orders_90d", 4, NOW - 600)
    features.put("customer", "c2", "orders_90d", 9, NOW - 86_400)
    return features


def shop_probability(amount: float, items: float, orders: float) -> float:
    """What the shop model answers, by hand."""
    return float(1 / (1 + np.exp(-(0.001 * amount - 0.1 * items + 0.2 * orders))))


PREFIXES = ("models", "v1", "v2", "jobs", "runs", "scores", "labels", "feedback")
#: the resources of template.yaml, the more specific ones first
_RESOURCES = (
    (
        re.compile(r"/endpoints/(?P<endpoint>[^/]+)/async-invocations"),
        "/endpoints/{endpoint}/async-invocations",
    ),
    (
        re.compile(r"/endpoints/(?P<endpoint>[^/]+)/(?P<proxy>.+)"),
        "/endpoints/{endpoint}/{proxy+}",
    ),
    (re.compile(r"/endpoints/(?P<endpoint>[^/]+)"), "/endpoints/{endpoint}"),
    *((re.compile(rf"/{name}/(?P<proxy>.+)"), f"/{name}/{{proxy+}}") for name in PREFIXES),
    *(
        (re.compile(rf"/{re.escape(name)}/?"), f"/{name}")
        for name in (*PREFIXES, "endpoints", "openapi.json")
    ),
)


def event(
    method: str,
    path: str,
    body: bytes | str = b"",
    headers: Mapping[str, str] | None = None,
    *,
    query: Mapping[str, str] | None = None,
    caller: str | None = None,
    origins: str = "",
) -> dict[str, Any]:
    """API Gateway's event for a request; with binaryMediaTypes */* the body is in base64."""
    resource, parameters = next(
        (route, match.groupdict())
        for pattern, route in _RESOURCES
        if (match := pattern.fullmatch(path))
    )
    raw = body.encode() if isinstance(body, str) else body
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": dict(headers or {}),
        "queryStringParameters": dict(query) if query else None,
        "pathParameters": parameters or None,
        "stageVariables": {"CorsOrigins": origins} if origins else None,
        "requestContext": {
            "requestId": "gateway-id",
            "stage": "test",
            "path": f"/test{path}",
            "identity": {"userArn": caller, "accountId": None},
        },
        "body": base64.b64encode(raw).decode() if raw else None,
        "isBase64Encoded": bool(raw),
    }


def received(asked: Mapping[str, Any], routes: Routes) -> Request:
    """The request that a function with these routes reads from an event."""
    parameters = tuple((asked.get("pathParameters") or {}).items())
    found = routes.find(asked["httpMethod"], asked["resource"], parameters)
    return gateway.read(asked, found)


@dataclass
class Answer:
    """A proxy response, decoded."""

    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, response: Mapping[str, Any]) -> Answer:
        """Decode what a handler returned."""
        body = response["body"].encode()
        if response["isBase64Encoded"]:
            body = base64.b64decode(body)
        return cls(response["statusCode"], response["headers"], body)

    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)


def renamed(contract: Contract, **changes: Any) -> Contract:
    """A contract with some fields changed."""
    return replace(contract, **changes)
