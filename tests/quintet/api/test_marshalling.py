"""The runtime's marshaller: as awslambdaric's reads and writes, which stays for what is unusual."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from quintet.api.marshalling import Marshaller, use_orjson


class Own:
    """Stands for awslambdaric's marshaller: it says that it was asked."""

    def unmarshal_request(self, request: bytes, content_type: str = "application/json") -> Any:
        return "read", request, content_type

    def marshal_response(self, response: Any) -> tuple[str | bytes, str]:
        return f"written {response}", "text/plain"


@pytest.fixture
def marshaller(monkeypatch: pytest.MonkeyPatch) -> Marshaller:
    """The one that the runtime has after it was replaced."""
    runtime, module = SimpleNamespace(marshaller=Own()), ModuleType("client")
    module.LambdaRuntimeClient = runtime  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "awslambdaric.lambda_runtime_client", module)
    use_orjson()
    found: Marshaller = runtime.marshaller
    return found


def test_an_event_and_an_answer_are_json(marshaller: Marshaller) -> None:
    assert marshaller.unmarshal_request('{"a": [1, "ä"]}'.encode()) == {"a": [1, "ä"]}
    answer = {"statusCode": 200, "body": "ä", "isBase64Encoded": False}
    written = '{"statusCode":200,"body":"ä","isBase64Encoded":false}'.encode()
    assert marshaller.marshal_response(answer) == (written, "application/json")


@pytest.mark.parametrize("request_", [b'{"a": NaN}', b'{"a": "\\ud800"}', b"{", b""])
def test_the_runtime_reads_what_is_unusual(marshaller: Marshaller, request_: bytes) -> None:
    assert marshaller.unmarshal_request(request_) == ("read", request_, "application/json")


def test_the_runtime_reads_what_is_not_json(marshaller: Marshaller) -> None:
    assert marshaller.unmarshal_request(b"{}", "text/plain") == ("read", b"{}", "text/plain")


@pytest.mark.parametrize("response", [b"bytes", {1, 2}, {"a": "\ud800"}])
def test_the_runtime_writes_what_is_unusual(marshaller: Marshaller, response: Any) -> None:
    assert marshaller.marshal_response(response) == (f"written {response}", "text/plain")


def test_without_the_runtime_nothing_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "awslambdaric.lambda_runtime_client", raising=False)
    use_orjson()
    assert "awslambdaric.lambda_runtime_client" not in sys.modules
