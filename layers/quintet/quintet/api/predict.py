"""Answering a request for predictions, in whichever protocol it comes."""

from __future__ import annotations

from quintet.api.gateway import MAX_RESPONSE_BYTES
from quintet.errors import TooLarge
from quintet.protocols.http import Request, Response
from quintet.protocols.registry import WireProtocol
from quintet.serving import Online, Prediction, RequestContext

__all__ = ["answer"]


def answer(
    protocol: WireProtocol, online: Online, request: Request, context: RequestContext
) -> Response:
    """Answer a request.

    Raises:
        QuintetError: it is refused or could not be answered; `protocol.failure` renders it.
    """
    if protocol.about is not None:
        response = protocol.about(online, request, context)
        if response is not None:
            return response
    route = online.route(context, *protocol.target(request))
    asked = protocol.decode(route.model.contract, request)
    prediction = online.predict(
        context, route, asked.batch, outputs=asked.outputs, partial=asked.partial
    )
    _check_size(prediction)
    return protocol.encode(asked, prediction)


def _check_size(prediction: Prediction) -> None:
    """Refuse an answer that is too large at a byte a value, before it is made.

    Raises:
        TooLarge: it has too many values.
    """
    values = sum(output.size for output in prediction.scores.outputs.values())
    if values > MAX_RESPONSE_BYTES:
        expected = f"at most {MAX_RESPONSE_BYTES} bytes: ask for less"
        raise TooLarge.of("answer", expected, f"{values} values")
