"""The Open Inference Protocol V2 over HTTP, with Triton's binary tensors in both directions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from quintet.errors import BadInput, NotFound, QuintetError, Transient, json_kind
from quintet.formats import strict_json
from quintet.protocols import oip_metadata
from quintet.protocols.http import (
    Request,
    Response,
    json_body,
    read_version,
    status_of,
)
from quintet.serving import ModelStats, Online, RequestContext

__all__ = ["about", "failure", "infers", "target"]

MAX_REPOSITORY_BYTES = 64_000


def about(online: Online, request: Request, context: RequestContext) -> Response | None:
    """Answer a request on /v2 or below it; None for an inference request.

    Raises:
        QuintetError: the request is refused or failed; `failure` renders the error.
    """
    if infers(request):
        return None
    return Response(200, json_body(_about(online, request, context, _path(request))))


def infers(request: Request) -> bool:
    """Whether a request is an inference request."""
    return request.method == "POST" and _path(request)[-1:] == ("infer",)


def target(request: Request) -> tuple[str, int | None]:
    """The model and version of an inference request; version None means the live one.

    Raises:
        NotFound: the protocol has no such path.
    """
    match _path(request):
        case ["models", name, "infer"]:
            return name, None
        case ["models", name, "versions", version, "infer"]:
            return name, read_version(name, version)
    raise _no_such_path(request)


def failure(error: QuintetError | None, context: RequestContext) -> Response:
    """An error in the protocol's format."""
    status = status_of(error)
    text = f"internal error; request {context.id}" if error is None else str(error)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Transient) else {}
    return Response(status, json_body({"error": text}), headers=headers)


def _path(request: Request) -> Sequence[str]:
    return _parts(request.parameters.get("proxy", ""))


@lru_cache(maxsize=256)
def _parts(path: str) -> Sequence[str]:
    return tuple(part for part in path.split("/") if part)


def _about(
    online: Online, request: Request, context: RequestContext, path: Sequence[str]
) -> object:
    """Answer requests other than inference, including extensions that clients use."""
    match [request.method, *path]:
        case ["GET"]:
            return oip_metadata.SERVER
        case ["GET", "health", "live" | "ready"]:
            # the protocol specifies `live` for both, KServe's client reads `ready`
            return {"live": True, "ready": True}
        case ["GET", "models"]:  # KServe's, not the protocol's
            return {"models": sorted(filter(request.may_ask, online.index()))}
        case ["GET", "models", "stats"]:
            seen = {key: one for key, one in online.stats.items() if request.may_ask(key[0])}
            return oip_metadata.statistics(seen)
        case ["POST", "repository", *rest]:
            return _about_repository(online, request, context, rest)
        case ["GET", "models", name, *rest]:
            return _about_model(online, request, context, name, rest)
    raise _no_such_path(request)


def _about_repository(
    online: Online, request: Request, context: RequestContext, rest: list[str]
) -> object:
    """Answer a request of Triton's extension for model repositories.

    https://github.com/triton-inference-server/server, docs/protocol/extension_model_repository.md
    """
    match rest:
        case ["index"]:
            ready = _repository_request(request, "ready").get("ready", False)
            if type(ready) is not bool:
                raise BadInput.of("ready", "true or false", json_kind(ready))
            # all are ready, loaded or not: a version is loaded by its first request
            return [
                {"name": name, "version": str(version), "state": "READY", "reason": ""}
                for name, versions in online.index().items()
                if request.may_ask(name)
                for version in versions
            ]
        case ["models", name, "load"]:
            if _repository_parameters(request):
                raise BadInput.of("parameters", "none: a version loads as published", "some")
            request.check_model(name)
            online.route(context, name, None)
            return {"name": name, "load": True}  # as KServe's server says; Triton's says nothing
        case ["models", name, "unload"]:
            # a model here has no dependents: either value of Triton's parameter means the same
            strict_json.members(
                "parameters", _repository_parameters(request), {"unload_dependents"}
            )
            request.check_model(name)
            online.models.unload(name)
            return {"name": name, "unload": True}
    raise _no_such_path(request)


def _repository_request(request: Request, known: str) -> dict[str, Any]:
    """The body of a repository request: empty, or an object with at most one known key.

    Raises:
        BadInput: the body has other content, which must not be ignored.
    """
    body = request.content(MAX_REPOSITORY_BYTES)
    asked = strict_json.parse(body) if body.strip() else {}
    return strict_json.members("body", asked, {known})


def _repository_parameters(request: Request) -> Any:
    return _repository_request(request, "parameters").get("parameters", {})


def _about_model(
    online: Online, request: Request, context: RequestContext, name: str, rest: list[str]
) -> object:
    request.check_model(name)
    version = None
    if len(rest) >= 2 and rest[0] == "versions":
        version = read_version(name, rest[1])
        rest = rest[2:]
    contract = online.route(context, name, version).model.contract
    match rest:
        case []:
            return oip_metadata.model(contract, sorted(online.models.route(name).versions))
        case ["ready"]:
            return {"name": contract.name, "ready": True}
        case ["config"]:
            return oip_metadata.config(contract)
        case ["stats"]:
            known = {key: found for key, found in online.stats.items() if key[0] == contract.name}
            key = (contract.name, contract.version)
            asked = known if version is None else {}
            return oip_metadata.statistics({**asked, key: known.get(key, ModelStats())})
    raise _no_such_path(request)


def _no_such_path(request: Request) -> BadInput:
    path = re.sub(r"[^\w/.-]", "?", request.parameters.get("proxy", ""))[:100]
    return NotFound.of("path", "one of the protocol's paths", f"{request.method} /v2/{path}")
