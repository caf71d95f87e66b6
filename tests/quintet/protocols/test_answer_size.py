"""An answer that no function could give is refused before it is made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.kits.models import LOG, online, renamed

from quintet.columns import Array
from quintet.errors import TooLarge
from quintet.protocols.http import MAX_RESPONSE_BYTES, Request
from quintet.protocols.registry import OIP, RECORDS, SAGEMAKER, WireProtocol
from quintet.serving import Online, RequestContext
from quintet.serving.model_cache import ModelCache
from quintet.serving.routes import MemoryRoutes, Route, Version

VALUES = MAX_RESPONSE_BYTES // 2
WIDE = renamed(LOG, outputs=(replace(LOG.outputs[0], shape=(-1, VALUES)),))


class Wide:
    """A model whose answer to three rows is too large; its memory is never touched."""

    contract = WIDE
    size = 1

    def load(self, model: str, version: int, seal: str | None = None) -> Any:
        """See `quintet.serving.model_cache.Loader.load`."""
        return self

    def run(self, outputs: object, feeds: dict[str, Array]) -> list[Array]:
        """See `quintet.scoring.Model.run`."""
        (feed,) = feeds.values()
        return [np.zeros((len(feed), VALUES), np.float32)]


def wide() -> Online:
    memory = MemoryRoutes([Route("log", 1, 1, {1: Version(1, "d", "s", 1000, "now")})])
    kit = online(LOG)
    models = ModelCache(memory, Wide(), memory=10**9, clock=lambda: 0.0)
    return Online(models, kit.index, kit.features, kit.cache, kit.clock)


@pytest.mark.parametrize("protocol", [OIP, RECORDS, SAGEMAKER])
def test_an_answer_that_is_too_wide_is_refused_before_it_is_made(
    protocol: WireProtocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = b'{"name": "XY", "datatype": "FP32", "shape": [3, 2], "data": [1, 2, 3, 4, 5, 6]}'
    body = b'{"inputs": [' + row + b"]}"
    if protocol is not OIP:
        body = b'{"records": [{"x": 1}, {"x": 2}, {"x": 3}]}'
    path = {"model": "log", "endpoint": "log", "proxy": "models/log/infer"}
    request = Request("POST", "/", path, {}, body)
    with pytest.raises(TooLarge, match=r"^answer: expected at most"):
        protocol.answer(wide(), request, RequestContext("id"))
