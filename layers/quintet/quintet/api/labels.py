"""Labels over HTTP: what came true of predictions. Errors are problem+json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

__all__ = ["MAX_ROWS", "LabelsApi", "failure", "rows_of"]

#: rows of one request
MAX_ROWS = 10_000
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
        model, rows = rows_of(request, "labels", COLUMNS)
        target: Target = self.contract(model).compiled[Target]
        ids, values, times = ([row.get(name) for row in rows] for name in COLUMNS)
        labels, refusals = checked(target, ids, values, times, self.clock())
        if refusals:
            raise BadInput(refusals)
        put(self.sink, model, labels)
        return Response(200, json_body({"model": model, "labels": len(rows)}))


def rows_of(
    request: Request, field: str, columns: Sequence[str]
) -> tuple[str, list[dict[str, Any]]]:
    """The model that a body names, and the rows that it has in a field: objects with some of the
    columns.

    Raises:
        BadInput: the body is another.
        NotFound: no model has such a name.
    """
    request.accepts("application/json")
    body = strict_json.parse(request.content(MAX_BYTES))
    asked = strict_json.members("body", body, {"model", field})
    model, rows = asked.get("model"), asked.get(field)
    if not isinstance(model, str):
        raise BadInput.of("model", "a model's name", shown(model))
    if not isinstance(rows, list) or not rows:
        expected = f"an array of 1 to {MAX_ROWS:,} objects"
        raise BadInput.of(field, expected, "none" if rows == [] else json_kind(rows))
    if len(rows) > MAX_ROWS:
        raise TooLarge.of(field, f"at most {MAX_ROWS:,} in a request", f"{len(rows):,}")
    known = set(columns)
    rows = [strict_json.members(f"{field}[{at}]", row, known) for at, row in enumerate(rows)]
    request.check_model(model)
    if not NAME.fullmatch(model):
        raise UnknownModel(model)
    return model, rows
