"""SageMaker's InvokeEndpoint, so that boto3's `sagemaker-runtime` works with an endpoint URL.

InvokeEndpointWithResponseStream answers the same in another encoding. An endpoint's name is a
model's name; variant `v3` is its version 3. `protocols.sagemaker_bodies` reads the bodies of
requests; this module writes those of answers.
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quintet.contract import Contract
from quintet.errors import (
    BadInput,
    Forbidden,
    MethodNotAllowed,
    ModelFailure,
    NoSuchRoute,
    NotFound,
    QuintetError,
    Transient,
    UnsupportedMedia,
)
from quintet.protocols import event_stream, records, sagemaker_bodies
from quintet.protocols.http import (
    Request,
    Response,
    json_body,
    read_version,
    status_of,
)
from quintet.protocols.media import preferred
from quintet.serving import Prediction, RequestContext

__all__ = ["Asked", "accepted", "decode", "encode", "encode_stream", "failure", "target"]

_PREFIX = "x-amzn-sagemaker-"
_JSON, _CSV, _NPY = "application/json", "text/csv", "application/x-npy"
#: names of JSON lines; an answer has the name that was asked for
_LINES = ("application/jsonlines", "application/jsonl", "application/x-ndjson")
#: the types of answers, the default first
_OFFERED = (_JSON, _CSV, _NPY, *_LINES)


#: fields that select what serves the request; only the endpoint's own name is accepted
_SERVED_BY = {"target-model": "TargetModel", "inference-component": "InferenceComponentName"}
#: fields for features that endpoints here do not have
_LACKING = {
    "target-container-hostname": ("TargetContainerHostname", "none: an endpoint has no containers"),
    "session-id": ("SessionId", "none: models keep no sessions"),
    "enable-explanations": ("EnableExplanations", "none: models explain nothing"),
}


@dataclass(slots=True)
class Asked(records.Asked):
    """A decoded request: `media` is the answer's type, `attributes` are echoed headers."""

    media: str = _JSON
    attributes: Mapping[str, str] = field(default_factory=dict)


def target(request: Request) -> tuple[str, int | None]:
    """The requested model and version; version None means the live one.

    Raises:
        BadInput: the request asks for a model that the endpoint does not serve, or for an
            unsupported feature that would change the meaning of its answer.
    """
    endpoint = request.parameters["endpoint"]
    for header, name in _SERVED_BY.items():
        if request.headers.get(f"{_PREFIX}{header}", endpoint) != endpoint:
            raise BadInput.of(name, "none: an endpoint here serves its own model", "another")
    for header, (name, expected) in _LACKING.items():
        value = request.headers.get(f"{_PREFIX}{header}")
        if value is not None and value.strip("`") != "false":
            raise BadInput.of(name, expected, repr(value[:60]))
    return endpoint, _variant(endpoint, request)


def decode(contract: Contract, request: Request) -> Asked:
    """Decode a request.

    Raises:
        BadInput: the request does not fit the model.
        TooLarge: the request has too many bytes or rows.
        UnsupportedMedia: the content type or the accepted type is not supported.
    """
    media = accepted(request)
    attributes = _attributes(request)
    asked = sagemaker_bodies.decode(contract, request)
    if asked.partial and media != _JSON:
        raise BadInput.of("partial", f"Accept: {_JSON} with it", media)
    return Asked(asked.batch, asked.partial, asked.outputs, media=media, attributes=attributes)


def encode(asked: Asked, prediction: Prediction) -> Response:
    """Encode the answer to a request."""
    contract = prediction.contract
    return Response(
        200,
        _body(asked, prediction),
        f"{_CSV}; charset=utf-8" if asked.media == _CSV else asked.media,
        {"x-Amzn-Invoked-Production-Variant": f"v{contract.version}", **asked.attributes},
    )


def encode_stream(asked: Asked, prediction: Prediction) -> Response:
    """Encode the answer of InvokeEndpointWithResponseStream: one part that holds all of it.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointWithResponseStream.html
    """
    whole = encode(asked, prediction)
    part = {":message-type": "event", ":event-type": "PayloadPart"}
    part[":content-type"] = "application/octet-stream"
    headers = {**whole.headers, "X-Amzn-SageMaker-Content-Type": whole.content_type}
    body = event_stream.message(part, whole.body)
    return Response(whole.status, body, event_stream.CONTENT_TYPE, headers, compress=False)


def failure(error: QuintetError | None, context: RequestContext) -> Response:
    """An error in SageMaker's format: its class in a header, the text as Message."""
    status = status_of(error)
    body: dict[str, Any] = {"Message": "internal error" if error is None else str(error)}
    headers = {}
    match error:
        case None:
            kind = "InternalFailure"
            body["Message"] += f"; request {context.id}"
        case NoSuchRoute() | MethodNotAllowed():
            kind = "UnknownOperationException"
        case NotFound():  # SageMaker has no 404 for an endpoint
            kind, status = "ValidationError", 400
        case Forbidden():
            kind = "AccessDeniedException"
        case ModelFailure():
            kind = "ModelError"
            # botocore builds its message from these
            body |= {"OriginalStatusCode": 500, "OriginalMessage": str(error)}
        case Transient():
            kind = "ServiceUnavailable"
            headers = {"Retry-After": str(error.retry_after)}
        case _:
            kind = "ValidationError"
    return Response(status, json_body(body), headers={"x-amzn-errortype": kind, **headers})


def _variant(endpoint: str, request: Request) -> int | None:
    variant = request.headers.get(f"{_PREFIX}target-variant")
    return None if variant is None else read_version(endpoint, variant.removeprefix("v"))


def accepted(request: Request) -> str:
    """The media type of the answer: the supported type that Accept prefers."""
    wanted = request.headers.get("accept") or request.headers.get(f"{_PREFIX}accept") or ""
    found = preferred(wanted, _OFFERED)
    if found is None:
        raise UnsupportedMedia.of("Accept", f"one of {', '.join(_OFFERED)}", repr(wanted[:60]))
    return found


def _attributes(request: Request) -> dict[str, str]:
    """The custom attributes to echo: visible ASCII only, to prevent header injection."""
    text = request.headers.get(f"{_PREFIX}custom-attributes")
    if text is None:
        return {}
    if len(text) > 1024 or not (text.isascii() and text.isprintable()):
        raise BadInput.of("CustomAttributes", "at most 1,024 visible ASCII characters", "others")
    return {"X-Amzn-SageMaker-Custom-Attributes": text}


def _body(asked: Asked, prediction: Prediction) -> bytes:
    contract, media = prediction.contract, asked.media
    if media == _CSV:
        return _csv(contract, prediction)
    if media == _NPY:
        return _npy(contract, prediction)
    if media in _LINES:
        return b"".join([row + b"\n" for row in records.predictions(prediction)])
    return records.encode(asked, prediction).body


def _matrices(contract: Contract, prediction: Prediction) -> list[Any]:
    """The outputs in the contract's order, each (rows, values)."""
    outputs = prediction.scores.outputs
    for output in contract.outputs:
        if output.free and output.name in outputs:
            expected = f"JSON: {output.name} has no fixed number of values"
            raise UnsupportedMedia.of("Accept", expected, "CSV or npy")
    return [
        outputs[o.name].reshape(len(outputs[o.name]), -1)
        for o in contract.outputs
        if o.name in outputs
    ]


def _csv(contract: Contract, prediction: Prediction) -> bytes:
    """One line per row with every value of every output, without a header."""
    matrices = _matrices(contract, prediction)
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    # str() of a numpy float is the shortest text that reads back as the same float
    for parts in zip(*matrices, strict=True):
        writer.writerow([str(value) for part in parts for value in part])
    return file.getvalue().encode()


def _npy(contract: Contract, prediction: Prediction) -> bytes:
    """One array (rows, values): the outputs side by side, in their common dtype."""
    matrices = _matrices(contract, prediction)
    if any(matrix.dtype.kind == "O" for matrix in matrices):
        raise UnsupportedMedia.of("Accept", "another type than npy for text outputs", _NPY)
    file = io.BytesIO()
    np.save(file, np.concatenate(matrices, axis=1), allow_pickle=False)
    return file.getvalue()
