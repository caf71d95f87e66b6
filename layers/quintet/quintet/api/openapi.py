"""`/openapi.json` and `/models/{model}/openapi.json`: the API's own description."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from quintet.errors import ModelFailure, NotFound
from quintet.openapi.document import Described, document
from quintet.protocols.http import Request, Response, json_body

__all__ = ["OpenApi"]


@dataclass(frozen=True)
class OpenApi:
    """The documents. `names` are the published models, `read` reads the live version of one, and
    `auth` is how the API authenticates callers."""

    names: Callable[[], Iterable[str]]
    read: Callable[[str], Described]
    auth: str

    def answer(self, request: Request) -> Response:
        """Answer with the document of one model, or of all. One that cannot be read is left out.

        Raises:
            NotFound: the model does not exist, or its live version was withdrawn.
            ModelFailure: its files were changed.
            Transient: the registry could not be read.
        """
        name = request.parameters.get("model")
        if name is None:
            found = self._all(request)
        else:
            request.check_model(name)
            found = [self.read(name)]
        told = document(found, whole=name is None, base=request.base, auth=self.auth)
        return Response(200, json_body(told))

    def _all(self, request: Request) -> list[Described]:
        found = []
        for name in filter(request.may_ask, self.names()):
            with suppress(NotFound, ModelFailure):
                found.append(self.read(name))
        return found
