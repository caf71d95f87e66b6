"""A canary of the kit's model `shop` in memory: version 3 is live, version 4 answers opposites."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import orjson
from tests.kits.models import GRAPHS, NOW, SHOP, Answer, Clock, event

from quintet.api import gateway
from quintet.api.telemetry import RequestTelemetry, StdoutTelemetry
from quintet.columns import Array
from quintet.contract import Capture, Contract, Limits
from quintet.errors import QuintetError
from quintet.features import MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.protocols.registry import KSERVE, OIP, RECORDS, SAGEMAKER
from quintet.serving import Online, PredictionCache
from quintet.serving.model_cache import ModelCache
from quintet.serving.routes import MemoryRoutes, Route, Version

__all__ = ["LIVE", "NEW", "ROUTE", "Opposite", "Stage", "Versions", "customers", "routes_of"]

LIVE = replace(SHOP, capture=Capture(), fallback=None, limits=Limits())
NEW = replace(LIVE, version=4)
#: a rollout at its second step, with half of the entities
ROUTE = Route(
    "shop",
    3,
    7,
    {number: Version(number, "d", "s", 1000, "now") for number in (3, 4)},
    canary=4,
    canary_share=0.5,
    rollout="r1",
    step=1,
)


class Opposite:
    """A version of the model whose probability is 1 less that of the live one.

    It fails in a run with an amount of 13.
    """

    due = None

    def __init__(self, contract: Contract) -> None:
        self._model = OnnxModel(contract, GRAPHS["shop"]())
        self.contract, self.digest = contract, "d"

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        """See `quintet.scoring.Model.run`."""
        if (feeds["X"][:, 0] == 13).any():
            raise ValueError("the new version broke")
        found = self._model.run(outputs, feeds)
        return [
            1 - a if name == "probability" else a for name, a in zip(outputs, found, strict=True)
        ]


@dataclass
class Versions:
    """Loads version 3 as it is, and makes the others; `loads` are the numbers it was asked for."""

    others: Mapping[int, Callable[[], Any]]
    loads: list[int] = field(default_factory=list)

    def load(self, model: str, version: int, seal: str | None = None) -> Any:
        """See `quintet.serving.model_cache.Loader.load`."""
        self.loads.append(version)
        if version == 3:
            return OnnxModel(LIVE, GRAPHS["shop"]())
        return self.others[version]()


def routes_of(online: Online) -> gateway.Routes:
    """The routes of predict in each form, answered by `online`."""
    table = {
        ("POST", "/models/{model}/predict"): RECORDS,
        ("POST", "/models/{model}/versions/{version}/predict"): RECORDS,
        ("POST", "/v2/{proxy+}"): OIP,
        ("POST", "/endpoints/{endpoint}/invocations"): SAGEMAKER,
        ("POST", "/v1/models/{model}:predict"): KSERVE,
    }
    return gateway.Routes(
        {key: (partial(one.answer, online), one.failure) for key, one in table.items()}
    )


def customers(many: int) -> tuple[list[str], MemoryFeatures]:
    """So many customers, with their stored features."""
    names, features = [f"c{number}" for number in range(many)], MemoryFeatures()
    for name in names:
        features.put("customer", name, "orders_90d", 4, NOW - 600)
    return names, features


class Stage:
    """The online path over a route that tests change, with what it logs."""

    def __init__(
        self, route: Route = ROUTE, new: Callable[[], Any] = lambda: Opposite(NEW), many: int = 200
    ) -> None:
        self.clock = Clock()
        self.names, features = customers(many)
        self.routes = MemoryRoutes([route])
        self.versions = Versions({4: new})
        self.telemetry = RequestTelemetry(StdoutTelemetry("test", {}, self.clock))
        self.models = ModelCache(
            self.routes,
            self.versions,
            memory=10**9,
            clock=self.clock,
            taken_out=self.telemetry.taken_out,
        )
        self.online = Online(
            self.models,
            lambda: {"shop": [3, 4]},
            features,
            PredictionCache(clock=self.clock),
            self.clock,
            begin=self.telemetry.begin,
        )
        self.table = routes_of(self.online)
        self.log: list[dict[str, Any]] = []

    def set(self, **changes: Any) -> None:
        """Change the route; it is read again by the next request."""
        self.routes.stored["shop"] = replace(self.routes.stored["shop"], **changes)
        self.clock.now += 5

    def ask(self, path: str, body: Any, **headers: str) -> Answer:
        """The answer to a request; `log` gets the lines that it writes."""
        kind = {"Content-Type": "application/json"}
        asked = event("POST", path, orjson.dumps(body), kind | headers)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            found = gateway.respond(asked, self.table, lambda: self.telemetry, lambda: "none")
        self.log = [orjson.loads(line) for line in out.getvalue().splitlines()]
        return Answer.of(found)

    def predict(self, *names: str, partial: bool = False, amount: float = 10.0) -> Answer:
        """The answer to one record of each customer."""
        rows = [{"customer": name, "amount": amount} for name in names]
        return self.ask("/models/shop/predict", {"records": rows, "partial": partial})

    def captures(self) -> list[dict[str, Any]]:
        """The capture lines of the last request, without what is of no version."""
        return [line for line in self.log if "capture" in line]


def failing(error: QuintetError) -> Callable[[], Any]:
    """A version that does not load."""

    def load() -> Any:
        raise error

    return load
