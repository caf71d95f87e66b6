"""Answering a request for predictions, in whichever protocol it comes."""

from __future__ import annotations

from quintet.protocols.http import Request, Response
from quintet.protocols.registry import WireProtocol
from quintet.serving import Online, RequestContext

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
    return protocol.encode(asked, prediction)
