"""Labels over HTTP: what came true of predictions. Errors are problem+json."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quintet.captures.store import CaptureSink
from quintet.contract import Contract
from quintet.errors import BadInput, TooLarge, json_kind, shown
from quintet.formats import strict_json
from quintet.labels.intake import COLUMNS, checked
from quintet.labels.table import put
from quintet.labels.targets import Target
from quintet.protocols import records
from quintet.protocols.http import Request, Response, json_body
from quintet.serving.routes import NAME, UnknownModel

__all__ = ["MAX_LABELS", "LabelsApi", "failure"]

#: labels of one request
MAX_LABELS = 10_000
MAX_BYTES = 4_500_000

failure = records.failure


@dataclass(frozen=True)
class LabelsApi:
    """The resource /labels. `contract` returns the contract of a model's live version."""

    contract: Callable[[str], Contract]
    sink: CaptureSink
    clock: Callable[[], float]

    def add(self, request: Request) -> Response:
        """Answer POST /labels: keep all labels of a request, or none. The same again is no change.

        Raises:
            BadInput: the request or one of its labels is invalid; each is named by its row.
            NotFound: the model does not exist.
            Transient: the labels could not be kept; send them again.
        """
        request.accepts("application/json")
        body = strict_json.parse(request.content(MAX_BYTES))
        asked = strict_json.members("body", body, {"model", "labels"})
        model = asked.get("model")
        if not isinstance(model, str):
            raise BadInput.of("model", "a model's name", shown(model))
        rows = _rows(asked.get("labels"))
        if not NAME.fullmatch(model):
            raise UnknownModel(model)
        target: Target = self.contract(model).compiled[Target]
        ids, values, times = ([row.get(name) for row in rows] for name in COLUMNS)
        labels, refusals = checked(target, ids, values, times, self.clock())
        if refusals:
            raise BadInput(refusals)
        put(self.sink, model, labels)
        return Response(200, json_body({"model": model, "labels": len(rows)}))


def _rows(found: Any) -> list[dict[str, Any]]:
    if not isinstance(found, list) or not found:
        expected = "an array of at least one label"
        raise BadInput.of("labels", expected, "none" if found == [] else json_kind(found))
    if len(found) > MAX_LABELS:
        raise TooLarge.of("labels", f"at most {MAX_LABELS:,} in a request", f"{len(found):,}")
    known = set(COLUMNS)
    return [strict_json.members(f"labels[{at}]", row, known) for at, row in enumerate(found)]
