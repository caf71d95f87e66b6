"""Runs that are asked for: each is named by what it scores, and is started once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from quintet.batch.drops import RunStarter
from quintet.batch.input_listing import InputListing, list_inputs, list_prefix
from quintet.batch.plans import RunPaths, hashed_name
from quintet.batch.requests import RunRequest, request_from
from quintet.batch.stores import InputBucket
from quintet.serving.model_cache import Routes, UnknownModel

__all__ = ["Started", "start_run"]


class Started(NamedTuple):
    """The run that a request asks for; `new` is False where it had ended before."""

    folder: RunPaths
    new: bool


def start_run(
    data: Mapping[str, Any],
    *,
    routes: Routes,
    inbox: InputBucket,
    runs: RunStarter,
    check: Callable[[str], None],
) -> Started:
    """Start the run of a request, unless it was started before.

    The name is a hash of the model's version, the request and the state of its files. So the
    same again is the same run; a file that is new or another, or another live version, makes
    another run. `check` refuses an endpoint that is not registered.

    Raises:
        BadInput: the request is no good, or names no files.
        NotFound: there is no such model, version, object or endpoint.
        Transient: a store could not be read, or the run not be started now.
    """
    request = request_from(data)
    route = routes.route(request.model)
    version = request.version or route.live
    if version not in route.versions:
        raise UnknownModel(request.model, version)
    if request.callback is not None:
        check(request.callback)
    version_id, content = _state(request, inbox)
    if request.features is not None:
        content += f" {_listing(list_prefix(inbox, request.bucket, request.features, 'features'))}"
    known = {**data, "model": request.model, "version": version, "version_id": version_id}
    pinned = {name: value for name, value in known.items() if value is not None}
    parts = (orjson.dumps(pinned, option=orjson.OPT_SORT_KEYS).decode(), content)
    run = hashed_name(request.model, _hint(request), parts)
    return Started(RunPaths(request.model, run), runs.start(run, pinned))


def _state(request: RunRequest, inbox: InputBucket) -> tuple[str | None, str]:
    """The version of the object or manifest that is named, and a hash of all there is to score."""
    if request.scope == "key":
        found = inbox.snapshot(request.bucket, request.source, request.version_id)
        return found.version_id, found.etag
    files = list_inputs(request, inbox)
    own = files.manifest
    return (own.version_id if own else None), f"{own.etag if own else ''} {_listing(files)}"


def _listing(files: InputListing) -> str:
    """A hash of the state of some files."""
    digest = hashlib.sha256()
    for item in files.items:
        digest.update(orjson.dumps(tuple(item)) + b"\n")
    return digest.hexdigest()


def _hint(request: RunRequest) -> str:
    """The words by which people tell the runs of a model apart."""
    if request.partition:
        return request.partition
    return request.source.rstrip("/").rpartition("/")[2].partition(".")[0]
