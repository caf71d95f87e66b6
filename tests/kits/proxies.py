"""The API in memory as the proxy's upstream, and requests of its clients."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import orjson
from tests.kits.canary import routes_of
from tests.kits.models import CONTRACTS, GRAPHS, Clock, event, shop_features
from tests.kits.models import Answer as KitAnswer

from quintet.api import gateway
from quintet.api.telemetry import RequestTelemetry, StdoutTelemetry
from quintet.columns import Array
from quintet.contract import Contract
from quintet.onnx_model import OnnxModel
from quintet.protocols import tensors
from quintet.serving import Online, PredictionCache
from quintet.serving.model_cache import ModelCache
from quintet.serving.routes import MemoryRoutes, Route, Version
from quintet_cli.proxy.batcher import Batcher
from quintet_cli.proxy.messages import Answer, Asked

__all__ = ["MemoryApi", "oip", "oip_raw", "posted", "records", "row_by_row", "together"]

_LENGTH = "inference-header-content-length"


class RowByRow:
    """A model whose answer to a row does not depend on the rows beside it, to the last bit.

    onnxruntime's vectorised functions differ in the last bit by the size of the batch.
    """

    def __init__(self, contract: Contract) -> None:
        self._model = OnnxModel(contract, GRAPHS[contract.name]())
        self.contract, self.digest, self.due = contract, "d", None

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        """See `quintet.scoring.Model.run`."""
        rows = len(next(iter(feeds.values())))
        runs = [
            self._model.run(outputs, {name: feed[row : row + 1] for name, feed in feeds.items()})
            for row in range(rows)
        ]
        return [np.concatenate(found) for found in zip(*runs, strict=True)]


@dataclass(frozen=True)
class _Loader:
    contracts: Mapping[str, Contract]

    def load(self, model: str, version: int, seal: str | None = None) -> Any:
        return RowByRow(self.contracts[model])


def row_by_row(*contracts: Contract) -> Online:
    """Online scoring of the kit's models in memory, or of others of the same graphs, each row by
    itself."""
    known = {c.name: c for c in contracts or CONTRACTS.values()}
    routes = [
        Route(c.name, c.version, 1, {c.version: Version(c.version, "d", "s", 1000, "now")})
        for c in known.values()
    ]
    clock = Clock()
    models = ModelCache(MemoryRoutes(routes), _Loader(known), memory=10**9, clock=clock)
    cache = PredictionCache(clock=clock)
    return Online(models, dict, shop_features(), cache, clock)


@dataclass
class MemoryApi:
    """Answers as `predict` does; `sent` are the requests that it got. `down` answers in its place.

    Each request gets an id of its own, and is answered only after a turn of the event loop.
    """

    online: Online = field(default_factory=row_by_row)
    sent: list[Asked] = field(default_factory=list)
    down: Answer | None = None
    ids: count[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self._routes = routes_of(self.online)
        self._telemetry = RequestTelemetry(StdoutTelemetry("test", {}, Clock()))

    async def send(self, asked: Asked) -> Answer:
        """Answer a request."""
        self.sent.append(asked)
        await asyncio.sleep(0)
        if self.down is not None:
            return self.down
        sent = event(asked.method, asked.path, asked.body, asked.headers)
        sent["requestContext"]["requestId"] = f"api-{next(self.ids)}"
        with contextlib.redirect_stdout(io.StringIO()):
            found = KitAnswer.of(
                gateway.respond(sent, self._routes, lambda: self._telemetry, lambda: "none")
            )
        headers = {name.lower(): value for name, value in found.headers.items()}
        return Answer(found.status, found.body, headers)


def together(
    api: MemoryApi, asked: Sequence[Asked], *, rows: int = 64, seconds: float = 0.001
) -> list[Answer]:
    """The answers to requests that arrive at once."""

    async def run() -> list[Answer]:
        batcher = Batcher(api.send, seconds=seconds, rows=rows)
        return await asyncio.gather(*(batcher.answer(one) for one in asked))

    return asyncio.run(run())


def posted(path: str, body: Any) -> Asked:
    """A request of JSON."""
    return Asked("POST", path, {"content-type": "application/json"}, orjson.dumps(body))


def records(model: str, rows: Sequence[Any], **options: Any) -> Asked:
    """A request of records; options are members of its body."""
    return posted(f"/models/{model}/predict", {"records": rows, **options})


def oip(model: str, inputs: Mapping[str, Array], **options: Any) -> Asked:
    """An inference request in JSON; options are members of its body."""
    members = [
        {**_about(name, array), "data": array.ravel().tolist()} for name, array in inputs.items()
    ]
    return posted(f"/v2/models/{model}/infer", {"inputs": members, **options})


def oip_raw(model: str, inputs: Mapping[str, Array], **options: Any) -> Asked:
    """The same with raw tensors."""
    raw = {name: tensors.to_bytes(array) for name, array in inputs.items()}
    members = [
        {**_about(name, array), "parameters": {"binary_data_size": len(raw[name])}}
        for name, array in inputs.items()
    ]
    text = orjson.dumps({"inputs": members, **options})
    headers = {_LENGTH: str(len(text))}
    return Asked("POST", f"/v2/models/{model}/infer", headers, text + b"".join(raw.values()))


def _about(name: str, array: Array) -> dict[str, Any]:
    datatype = tensors.datatype_of(np.asarray(array))
    return {"name": name, "shape": list(array.shape), "datatype": datatype}
