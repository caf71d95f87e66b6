"""The latest score of an entity over HTTP, whichever path wrote it. Errors are problem+json."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from quintet.columns import key_of
from quintet.contract import Contract
from quintet.errors import NotFound
from quintet.protocols import records
from quintet.protocols.http import Request, Response, json_body
from quintet.serving.routes import NAME, UnknownModel
from quintet.streaming.latest import Latest

__all__ = ["ScoreReader", "ScoresApi", "failure"]

failure = records.failure


class ScoreReader(Protocol):
    """Reads latest predictions."""

    def get(self, model: str, entity_key: str, entity: str, now: float) -> Latest | None:
        """Return the latest unexpired prediction of an entity, or None.

        Raises:
            Transient: the store could not be read.
        """
        ...


@dataclass(frozen=True)
class ScoresApi:
    """The resource /scores. `contract` returns the contract of a model's live version."""

    contract: Callable[[str], Contract]
    scores: ScoreReader
    clock: Callable[[], float]

    def show(self, request: Request) -> Response:
        """Answer GET /scores/{model}/{entity}.

        Raises:
            NotFound: the model does not exist or has no entity key, or the entity has no score.
        """
        model, entity = request.parameters["model"], key_of(request.parameters["entity"])
        request.check_model(model)
        if not NAME.fullmatch(model):
            raise UnknownModel(model)
        key = self.contract(model).entity
        if key is None:
            raise NotFound.of("model", "a model with an entity key", repr(model))
        found = self.scores.get(model, key, entity, self.clock())
        if found is None:
            raise NotFound.of(key, f"one that {model} has scored", repr(entity[:60]))
        scored = datetime.fromtimestamp(found.arrived, UTC).isoformat(timespec="milliseconds")
        body = {
            "model": model,
            "version": found.version,
            key: entity,
            "outputs": found.outputs,
            "scored": scored.replace("+00:00", "Z"),
            "source": found.source,
        }
        return Response(200, json_body(body))
