"""KServe's V1 protocol, which TensorFlow Serving's REST API began: instances in, predictions out.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from quintet.columns import Array, Batch
from quintet.contract import Contract
from quintet.errors import BadInput, json_kind
from quintet.formats import strict_json
from quintet.protocols import oip, sagemaker_bodies
from quintet.protocols.http import Request, Response, json_body, parse_json
from quintet.serving import Online, Prediction, RequestContext

__all__ = ["Asked", "about", "decode", "encode", "failure", "target"]

#: the rows of a request; KServe takes the second name for the same
_ROWS = ("instances", "inputs")
#: TensorFlow Serving's choice among the signatures of a model, of which there is one here
_IGNORED = "signature_name"

failure = oip.failure


@dataclass(slots=True)
class Asked:
    """A decoded request. The protocol has no choice of outputs and no partial answers."""

    batch: Batch
    outputs: list[str] | None = None
    partial: bool = False
    pins: bool = False


def about(online: Online, request: Request, context: RequestContext) -> Response | None:
    """Answer GET /v1/models and /v1/models/{model}; None for a prediction request.

    Raises:
        QuintetError: the model does not exist or cannot be loaded.
    """
    if request.method == "POST":
        return None
    name = request.parameters.get("model")
    if name is None:
        return Response(200, json_body({"models": [*filter(request.may_ask, online.index())]}))
    request.check_model(name)
    online.route(context, name, None)
    return Response(200, json_body({"name": name, "ready": True}))


def target(request: Request) -> tuple[str, int | None]:
    """The requested model, at its live version: the protocol has no versions."""
    return request.parameters["model"], None


def decode(contract: Contract, request: Request) -> Asked:
    """Decode {"instances": [...]}: each an object by name, an array in order, or a single value.

    Raises:
        BadInput: the request does not have that form, or does not fit the model.
        TooLarge: the request has too many bytes or rows.
    """
    request.accepts("application/json")
    value = parse_json(contract, request.content(contract.limits.bytes))
    members = strict_json.members("body", value, {*_ROWS, _IGNORED})
    named = [name for name in _ROWS if name in members]
    if len(named) != 1:
        raise BadInput.of("body", f"one of {' and '.join(_ROWS)}", f"{len(named)} of them")
    found = members[named[0]]
    if type(found) is not list:
        raise BadInput.of(named[0], "an array of instances", json_kind(found))
    return Asked(sagemaker_bodies.rows(contract, found))


def encode(asked: Asked, prediction: Prediction) -> Response:
    """Encode {"predictions": [...]}: the values of the output, or objects of several outputs."""
    outputs = {name: _rows(array) for name, array in prediction.scores.outputs.items()}
    if len(outputs) == 1:
        (found,) = outputs.values()
    else:
        found = [
            dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)
        ]
    return Response(200, json_body({"predictions": found}))


def _rows(array: Array) -> list[Any]:
    # rows of arrays keep float32, which JSON writes in its shortest form
    if array.dtype.kind == "O":  # texts, or an array a row
        return [
            row.tolist() if isinstance(row, np.ndarray) and row.dtype.kind == "O" else row
            for row in array.tolist()
        ]
    return array.tolist() if array.dtype.kind in "Obiu" else list(np.ascontiguousarray(array))
