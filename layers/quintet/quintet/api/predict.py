"""Answering a request for predictions, in whichever family's form it comes."""

from __future__ import annotations

from typing import Any, Protocol

from quintet.contract import Contract
from quintet.errors import QuintetError
from quintet.protocols import oip
from quintet.protocols.http import Request, Response
from quintet.serving import Online, Prediction, RequestContext

__all__ = ["Family", "answer"]


class Family(Protocol):
    """A module of this package: a protocol's requests, answers and errors."""

    def target(self, request: Request, /) -> tuple[str, int | None]:
        """The model that a request asks for, and its version, None for the live one."""
        ...

    def decode(self, contract: Contract, request: Request, /) -> Any:
        """Read a request: its `batch`, its `outputs`, whether it may be `partial`."""
        ...

    def encode(self, asked: Any, prediction: Prediction, /) -> Response:
        """The answer to a request."""
        ...

    def failure(self, error: QuintetError | None, context: RequestContext, /) -> Response:
        """An error in the family's form; None stands for one that was not foreseen."""
        ...


def answer(family: Family, online: Online, request: Request, context: RequestContext) -> Response:
    """Answer a request.

    Raises:
        QuintetError: it is refused or could not be answered; the family's `failure` renders it.
    """
    if family is oip and not oip.infers(request):
        return oip.about(online, request, context)
    route = online.route(context, *family.target(request))
    asked = family.decode(route.model.contract, request)
    prediction = online.predict(
        context, route, asked.batch, outputs=asked.outputs, partial=asked.partial
    )
    return family.encode(asked, prediction)
