"""The prediction protocols by name: each decodes requests, and encodes answers and errors."""

from __future__ import annotations

from collections.abc import Mapping

from quintet.protocols import kserve, oip, oip_infer, records, sagemaker
from quintet.protocols.http import Asked, Request, WireProtocol

__all__ = [
    "KSERVE",
    "OIP",
    "PROTOCOLS",
    "RECORDS",
    "SAGEMAKER",
    "SAGEMAKER_STREAM",
    "Asked",
    "WireProtocol",
    "kept_headers",
]

#: the headers that decoding a request and encoding its answer need
_HEADERS = ("accept", oip_infer.HEADER.lower(), "x-amzn-sagemaker-custom-attributes")


OIP = WireProtocol(
    "oip", oip.target, oip_infer.decode, oip_infer.encode, oip.failure, about=oip.about
)
RECORDS = WireProtocol(
    "records", records.target, records.decode, records.encode, records.failure, by_row=True
)
SAGEMAKER = WireProtocol(
    "sagemaker", sagemaker.target, sagemaker.decode, sagemaker.encode, sagemaker.failure
)

SAGEMAKER_STREAM = WireProtocol(
    "sagemaker-stream",
    sagemaker.target,
    sagemaker.decode,
    sagemaker.encode_stream,
    sagemaker.failure,
)
KSERVE = WireProtocol(
    "kserve", kserve.target, kserve.decode, kserve.encode, kserve.failure, about=kserve.about
)

PROTOCOLS: Mapping[str, WireProtocol] = {
    protocol.name: protocol for protocol in (OIP, RECORDS, SAGEMAKER, SAGEMAKER_STREAM, KSERVE)
}


def kept_headers(request: Request) -> dict[str, str]:
    """The request's headers that decoding it and encoding its answer need."""
    return {name: request.headers[name] for name in _HEADERS if name in request.headers}
