"""Batch runs over HTTP: start, show, list, stop. Errors are problem+json."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from quintet.api.queries import check_keys, read_limit
from quintet.batch.executions import Executions, stop
from quintet.batch.plans import RunPaths, run_context
from quintet.batch.run_status import RunIndex, newest, show
from quintet.batch.starts import Started
from quintet.errors import BadInput, NotFound
from quintet.formats import strict_json
from quintet.protocols import records
from quintet.protocols.http import Request, Response, json_body
from quintet.serving import RequestContext
from quintet.serving.routes import NAME
from quintet.telemetry import w3c

__all__ = ["RunsApi", "failure"]

MAX_PAGE = 100
DEFAULT_PAGE = 20
#: a run request names files but does not contain them
MAX_REQUEST_BYTES = 64_000
#: seconds after which a client should poll a run again
RETRY_AFTER = 5
_QUERY = {"model", "next", "limit"}
_RUN = re.compile(r"[A-Za-z0-9_-]{1,80}")
_ENDED = {"succeeded", "failed", "refused", "stopped"}

failure = records.failure


@dataclass(frozen=True)
class RunsApi:
    """The resource /runs. A caller owns the runs that it starts, as with jobs.

    `begin` starts a request's run for a caller, in the trace of an id (empty: the run's own).
    `bucket` is the default bucket of input files; `link` presigns a URL for a key.
    """

    begin: Callable[[Mapping[str, Any], str, str], Started]
    shelf: RunIndex
    executions: Executions
    link: Callable[[str], str]
    bucket: str

    def start(self, request: Request, context: RequestContext) -> Response:
        """Answer POST /runs; the same request is the same run. Its span becomes the run's first.

        Raises:
            BadInput: the request is invalid, or names no files.
            NotFound: the model, version or object does not exist.
        """
        request.accepts("application/json")
        body = strict_json.parse(request.content(MAX_REQUEST_BYTES))
        asked = strict_json.members("body", body)
        if "owner" in asked:
            raise BadInput.of("owner", "no such field: the caller is the owner", "one")
        if "traceparent" in asked:
            raise BadInput.of("traceparent", "no such field: it is a header", "one")
        if isinstance(model := asked.get("model"), str):  # else it is refused below
            request.check_model(model)
        known = {"bucket": self.bucket, **asked, "owner": request.caller}
        trace = w3c.trace_id(request.headers.get("traceparent", ""))
        folder, new = self.begin(known, request.caller, trace)
        context.traceparent = run_context(folder.run, trace)
        context.trace_id = w3c.trace_id(context.traceparent)
        if context.span is not None:
            context.span.become(context.traceparent)
            context.span.about["run"] = folder.run
        headers = {"Location": f"{request.base}/runs/{folder.model}/{folder.run}"}
        if not new:
            found = show(folder, self.shelf, self.executions, request.caller)
            return self._answer(200, found, headers)
        body = {"run": folder.run, "model": folder.model, "status": "starting"}
        headers["Retry-After"] = str(RETRY_AFTER)
        return Response(202, json_body(body), headers=headers)

    def show(self, request: Request) -> Response:
        """Answer GET /runs/{model}/{run}.

        Raises:
            NotFound: the run does not exist, or is another caller's.
        """
        found = show(_folder(request), self.shelf, self.executions, request.caller)
        return self._answer(200, found, {})

    def stop(self, request: Request) -> Response:
        """Answer DELETE /runs/{model}/{run}; idempotent.

        Raises:
            NotFound: the run does not exist, or is another caller's.
            Conflict: the run has ended, or belongs to the stage.
        """
        folder = _folder(request)
        stop(folder, self.executions, request.caller)
        return self._answer(202, show(folder, self.shelf, self.executions, request.caller), {})

    def list(self, request: Request) -> Response:
        """Answer GET /runs?model=&limit=&next=: the caller's runs and the stage's, newest first.

        Raises:
            BadInput: the query has an unknown key or an invalid value.
        """
        query = request.query
        check_keys(query, _QUERY)
        model = query.get("model", "")
        if not NAME.fullmatch(model):
            raise BadInput.of("model", "a model's name", repr(model[:60]))
        request.check_model(model)
        most = read_limit(query.get("limit"), DEFAULT_PAGE, MAX_PAGE)
        page = newest(model, self.shelf, most, query.get("next"), request.caller)
        return Response(200, json_body({"runs": page.runs, "next": page.after}))

    def _answer(self, status: int, found: dict[str, Any], headers: dict[str, str]) -> Response:
        if found["finished"]:
            folder = RunPaths(found["model"], found["run"])
            found["links"] = {"report": self.link(folder.report), "page": self.link(folder.page)}
        if found["status"] not in _ENDED:
            headers = {**headers, "Retry-After": str(RETRY_AFTER)}
        return Response(status, json_body(found), headers=headers)


def _folder(request: Request) -> RunPaths:
    model, run = request.parameters["model"], request.parameters["run"]
    request.check_model(model)
    if not (NAME.fullmatch(model) and _RUN.fullmatch(run)):
        raise NotFound.of("run", "a run of a model", repr(f"{model}/{run}"[:80]))
    return RunPaths(model, run)
