"""Start requested runs: a run is named after its request and its input, and starts once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from quintet.batch.drops import RunStarter
from quintet.batch.input_listing import InputListing, list_inputs, list_prefix
from quintet.batch.plans import RunPaths, hashed_name, run_context
from quintet.batch.requests import RunRequest, request_from
from quintet.batch.stores import InputBucket
from quintet.serving.routes import Routes

__all__ = ["Started", "start_run"]


class Started(NamedTuple):
    """The run of a request; `new` is False if the run had already ended."""

    folder: RunPaths
    new: bool


def start_run(
    data: Mapping[str, Any],
    *,
    routes: Routes,
    inbox: InputBucket,
    runs: RunStarter,
    check: Callable[[str], None],
    trace: str = "",
) -> Started:
    """Start the run of a request, unless it was started before.

    The name is a hash of the model's version, the request and the state of its files. So a
    repeated request gives the same run; a new or changed file, or another live version, gives
    another run. `check` refuses an endpoint that is not registered. `trace` is the id of the
    caller's trace, if there is one.

    Raises:
        BadInput: the request is invalid, or names no files.
        NotFound: the model, version, object or endpoint does not exist.
        Transient: a store could not be read, or the run could not be started now.
    """
    request = request_from(data)
    route = routes.route(request.model)
    version = request.version or route.live
    if version not in route.versions:
        raise route.unknown(version)
    if request.callback is not None:
        check(request.callback)
    version_id, content = _state(request, inbox)
    if request.features is not None:
        content += f" {_listing(list_prefix(inbox, request.bucket, request.features, 'features'))}"
    known = {**data, "model": request.model, "version": version, "version_id": version_id}
    pinned = {name: value for name, value in known.items() if value is not None}
    parts = (orjson.dumps(pinned, option=orjson.OPT_SORT_KEYS).decode(), content)
    run = hashed_name(request.model, _hint(request), parts)
    if trace:
        pinned["traceparent"] = run_context(run, trace)
    return Started(RunPaths(request.model, run), runs.start(run, pinned))


def _state(request: RunRequest, inbox: InputBucket) -> tuple[str | None, str]:
    """The version of the named object or manifest, and a hash over all files to score."""
    if request.scope == "key":
        found = inbox.snapshot(request.bucket, request.source, request.version_id)
        return found.version_id, found.etag
    files = list_inputs(request, inbox)
    own = files.manifest
    return (own.version_id if own else None), f"{own.etag if own else ''} {_listing(files)}"


def _listing(files: InputListing) -> str:
    """A hash over the state of some files."""
    digest = hashlib.sha256()
    for item in files.items:
        digest.update(orjson.dumps(tuple(item)) + b"\n")
    return digest.hexdigest()


def _hint(request: RunRequest) -> str:
    """The readable part of the name that distinguishes a model's runs."""
    if request.partition:
        return request.partition
    return request.source.rstrip("/").rpartition("/")[2].partition(".")[0]
