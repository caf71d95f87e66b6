"""Feedback on recommendations over HTTP. Errors are problem+json."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quintet.api.labels import rows_of
from quintet.captures.store import CaptureSink
from quintet.contract import Contract
from quintet.errors import BadInput
from quintet.feedback.intake import COLUMNS, checked
from quintet.feedback.table import put
from quintet.protocols.http import Request, Response, json_body

__all__ = ["FeedbackApi"]


@dataclass(frozen=True)
class FeedbackApi:
    """The resource /feedback. `contract` returns the contract of a model's live version."""

    contract: Callable[[str], Contract]
    sink: CaptureSink
    clock: Callable[[], float]

    def add(self, request: Request) -> Response:
        """Answer POST /feedback: keep all feedback of a request, or none. What is sent again counts
        once.

        Raises:
            BadInput: the request or a row of it is invalid; each is named by its row.
            NotFound: the model does not exist.
            Transient: the feedback could not be kept; send it again.
        """
        model, rows = rows_of(request, "feedback", COLUMNS)
        if self.contract(model).recommend is None:
            expected = "a model that recommends (`recommend` in its model.yaml)"
            raise BadInput.of("model", expected, model)
        sent = {name: [row.get(name) for row in rows] for name in COLUMNS}
        feedback, refusals = checked(sent, self.clock())
        if refusals:
            raise BadInput(refusals)
        put(self.sink, model, feedback)
        return Response(200, json_body({"model": model, "feedback": len(rows)}))
