"""The prediction protocols by name: each decodes requests, and encodes answers and errors.

A protocol's modules are loaded when it is first asked for: a cold start needs those of one.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from quintet.protocols.http import Asked, Request, WireProtocol

__all__ = [
    "KSERVE",
    "NAMES",
    "OIP",
    "RECORDS",
    "SAGEMAKER",
    "SAGEMAKER_STREAM",
    "Asked",
    "WireProtocol",
    "kept_headers",
    "protocol",
]

if TYPE_CHECKING:
    KSERVE: WireProtocol
    OIP: WireProtocol
    RECORDS: WireProtocol
    SAGEMAKER: WireProtocol
    SAGEMAKER_STREAM: WireProtocol

NAMES = ("kserve", "oip", "records", "sagemaker", "sagemaker-stream")

#: the headers that decoding a request and encoding its answer need
_HEADERS = ("accept", "inference-header-content-length", "x-amzn-sagemaker-custom-attributes")


def __getattr__(name: str) -> WireProtocol:
    """`RECORDS` is `protocol("records")`, and so on."""
    if (wanted := name.lower().replace("_", "-")) in NAMES:
        return protocol(wanted)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def protocol(name: str) -> WireProtocol:
    """The protocol of a name in `NAMES`; its modules are loaded."""
    if name == "records":
        from quintet.protocols import records as r

        return WireProtocol(name, r.target, r.decode, r.encode, r.failure, by_row=True)
    if name == "oip":
        from quintet.protocols import oip
        from quintet.protocols import oip_infer as o

        return WireProtocol(name, oip.target, o.decode, o.encode, oip.failure, about=oip.about)
    if name == "kserve":
        from quintet.protocols import kserve as k

        return WireProtocol(name, k.target, k.decode, k.encode, k.failure, about=k.about)
    if name in ("sagemaker", "sagemaker-stream"):
        from quintet.protocols import sagemaker as s

        encode = s.encode if name == "sagemaker" else s.encode_stream
        return WireProtocol(name, s.target, s.decode, encode, s.failure)
    raise KeyError(name)


def kept_headers(request: Request) -> dict[str, str]:
    """The request's headers that decoding it and encoding its answer need."""
    return {name: request.headers[name] for name in _HEADERS if name in request.headers}
