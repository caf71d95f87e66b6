"""The protocols of predictions, by name: how requests are read, answers and errors written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from quintet.columns import Batch
from quintet.contract import Contract
from quintet.errors import QuintetError
from quintet.protocols import oip, oip_infer, records, sagemaker
from quintet.protocols.http import Request, Response
from quintet.serving import Online, Prediction, RequestContext

__all__ = ["OIP", "PROTOCOLS", "RECORDS", "SAGEMAKER", "Asked", "WireProtocol", "kept_headers"]

#: the headers that a body is read, and its answer written, by
_HEADERS = ("accept", oip_infer.HEADER.lower(), "x-amzn-sagemaker-custom-attributes")


class Asked(Protocol):
    """What a request asks for, in any protocol; `outputs` None is all of them."""

    batch: Batch
    partial: bool

    @property
    def outputs(self) -> list[str] | None: ...


@dataclass(frozen=True, slots=True)
class WireProtocol:
    """A protocol of predictions. Jobs store its `name`.

    `target` gives the model that a request asks for and its version, None for the live one;
    `decode` reads a request into an `Asked`, which `encode` takes back with the prediction;
    `failure` writes an error, None for one that was not foreseen. `about` answers requests that
    are not for predictions, and returns None for those that are.
    """

    name: str
    target: Callable[[Request], tuple[str, int | None]]
    decode: Callable[[Contract, Request], Any]
    encode: Callable[[Any, Prediction], Response]
    failure: Callable[[QuintetError | None, RequestContext], Response]
    about: Callable[[Online, Request, RequestContext], Response | None] | None = None


OIP = WireProtocol(
    "oip", oip.target, oip_infer.decode, oip_infer.encode, oip.failure, about=oip.about
)
RECORDS = WireProtocol("records", records.target, records.decode, records.encode, records.failure)
SAGEMAKER = WireProtocol(
    "sagemaker", sagemaker.target, sagemaker.decode, sagemaker.encode, sagemaker.failure
)

PROTOCOLS: Mapping[str, WireProtocol] = {
    protocol.name: protocol for protocol in (OIP, RECORDS, SAGEMAKER)
}


def kept_headers(request: Request) -> dict[str, str]:
    """The headers of a request that its body is read, and its answer written, by."""
    return {name: request.headers[name] for name in _HEADERS if name in request.headers}
