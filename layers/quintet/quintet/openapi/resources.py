"""The paths and schemas of what is not of one model: jobs, runs, labels, feedback, the server."""

from __future__ import annotations

from typing import Any, get_args

from quintet.batch.requests import MAX_PASSTHROUGH, SCOPES, TEXTS
from quintet.columns import MAX_ID_BYTES
from quintet.contract import Header
from quintet.feedback.table import MAX_USER_BYTES, TYPES
from quintet.jobs.job import OPEN, SETTLED
from quintet.openapi.errors import READS
from quintet.openapi.operations import (
    JSON,
    PARAMETERS,
    answer,
    body,
    operation,
    parameter,
    schema,
)
from quintet.openapi.values import Schema

__all__ = ["ACCEPTED", "SCHEMAS", "server_paths", "shared_paths"]

_WRITES = (400, 401, 403, 404, 413, 415, 429, 500, 503, 504)
#: rows of labels or feedback in a request
_MOST = 10_000
_STATES = [*OPEN, *SETTLED]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TIME: Schema = {"type": "string", "format": "date-time"}
_ANY: Schema = {"type": "object"}


def _object(properties: Schema, *optional: str, more: bool = False) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": more,
    }


def _or_null(kind: Any, **others: Any) -> Schema:
    return {"type": [kind, "null"], **others}


_JOB: Schema = {
    "id": _TEXT,
    "state": {"enum": _STATES},
    "model": _TEXT,
    "version": {"type": "integer", "minimum": 1},
}
_CREATED: Schema = {"created": _TIME, "updated": _TIME}

_PROGRESS = _object({"step": {"enum": ["waiting", "running", "ended"]}, "since": _TIME})
_RESULT = _object(
    {
        "content_type": _TEXT,
        "size": _COUNT,
        "headers": _ANY,
        "url": {**_TEXT, "description": "of a large result, valid for some minutes"},
        "body": {"description": "JSON, or text"},
        "base64": {**_TEXT, "description": "other bytes"},
    },
    *("headers", "url", "body", "base64"),
)
_RUN: Schema = {
    "run": _TEXT,
    "model": _TEXT,
    "version": _or_null("integer"),
    "status": {"enum": ["starting", "running", "succeeded", "failed", "refused", "stopped"]},
    "cause": _TEXT,
    "started": _or_null("string"),
    "finished": _or_null("string"),
    "input": _or_null("object"),
    "counts": _or_null("object"),
    "units": _or_null("object"),
    "links": _object({"report": _TEXT, "page": _TEXT}),
}
_TENSOR = _object(
    {
        "name": _TEXT,
        "datatype": _TEXT,
        "shape": {"type": "array", "items": {"type": "integer", "minimum": -1}},
    }
)

SCHEMAS: dict[str, Schema] = {
    "JobAccepted": _object(_JOB),
    "InvocationAccepted": _object({"InferenceId": _TEXT}),
    "Job": _object(
        {
            **_JOB,
            **_CREATED,
            "deadline": _TIME,
            "attempts": _COUNT,
            "progress": _object(
                {"step": {"enum": ["waiting", "running", "ended"]}, "since": _TIME}
            ),
            "inference_id": _TEXT,
            "callback": _TEXT,
            "result": _RESULT,
            "error": {**_ANY, "description": "a problem, as RFC 9457 has it"},
        },
        *("inference_id", "callback", "result", "error"),
    ),
    "Jobs": _object(
        {
            "jobs": {"type": "array", "items": _object({**_JOB, **_CREATED, "location": _TEXT})},
            "next": _or_null("string"),
        }
    ),
    "RunStarted": _object({"run": _TEXT, "model": _TEXT, "status": {"const": "starting"}}),
    "Run": _object(_RUN, "links"),
    "Runs": _object(
        {
            "runs": {"type": "array", "items": _object(_RUN, "links")},
            "next": _or_null("string"),
        }
    ),
    "Recommendation": _object(
        {
            "impression": _or_null("string"),
            "model": _TEXT,
            "version": _COUNT,
            "route": _TEXT,
            "user": _TEXT,
            "step": _TEXT,
            "why": _TEXT,
            "stale": {"type": "boolean"},
            "candidates": _object({"run": _TEXT, "age_s": {"type": "number"}}),
            "items": {
                "type": "array",
                "items": _object({"item": {"type": "integer"}, "score": _or_null("number")}),
            },
            "filtered": {"type": "object", "additionalProperties": _COUNT},
        }
    ),
    "OipModel": _object(
        {
            "name": _TEXT,
            "versions": {"type": "array", "items": _TEXT},
            "platform": _TEXT,
            "inputs": {"type": "array", "items": _TENSOR},
            "outputs": {"type": "array", "items": _TENSOR},
        }
    ),
    "OipReady": _object({"name": _TEXT, "ready": {"type": "boolean"}}),
    "OipHealth": _object({"live": {"type": "boolean"}, "ready": {"type": "boolean"}}),
    "OipServer": _object(
        {"name": _TEXT, "version": _TEXT, "extensions": {"type": "array", "items": _TEXT}}
    ),
    "OipConfig": {**_ANY, "required": ["name", "platform", "input", "output"]},
    "OipStatistics": _object({"model_stats": {"type": "array", "items": _ANY}}),
    "Models": _object({"models": {"type": "array", "items": _TEXT}}),
}

#: the answer to a request that prefers a job
ACCEPTED = answer("a job: poll Location", schema("JobAccepted"), "Location", "Retry-After")


def shared_paths() -> dict[str, Schema]:
    """The paths of jobs, runs, labels and feedback."""
    return {**_jobs(), **_runs(), **_labels()}


def _jobs() -> dict[str, Schema]:
    model = parameter("query", "model", "a model's name", PARAMETERS["Model"]["schema"])
    state = parameter("query", "state", "of this state alone", {"enum": _STATES})
    job = parameter("path", "job", "the job's id", {"type": "string", "minLength": 1})
    shown = {"200": answer("the job", schema("Job"))}
    return {
        "/jobs": {
            "get": operation(
                "Jobs",
                "jobs.list",
                "The caller's jobs",
                {"200": answer("a page of jobs", schema("Jobs"))},
                ("Problem", READS),
                parameters=(model, state, "Limit", "Next"),
            )
        },
        "/jobs/{job}": {
            "get": operation(
                *("Jobs", "jobs.show", "A job, with its result once it has one", shown),
                ("Problem", READS),
                parameters=(job,),
            ),
            "delete": operation(
                *("Jobs", "jobs.cancel", "Cancel a job", shown),
                ("Problem", (*READS, 409)),
                parameters=(job,),
            ),
        },
    }


def _runs() -> dict[str, Schema]:
    model = PARAMETERS["Model"]
    run = parameter(
        "path", "run", "the run's id", {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,80}$"}
    )
    asked = {**model, "in": "query"}
    stopped = {"202": answer("the run is stopped", schema("Run"))}
    started = {
        "202": answer("the run starts", schema("RunStarted"), "Location", "Retry-After"),
        "200": answer("the same request's run, which has begun", schema("Run"), "Location"),
    }
    return {
        "/runs": {
            "get": operation(
                "Runs",
                "runs.list",
                "A model's runs, the newest first",
                {"200": answer("a page of runs", schema("Runs"))},
                ("Problem", READS),
                parameters=(asked, "Limit", "Next"),
            ),
            "post": operation(
                *("Runs", "runs.start", "Score files that are in a bucket", started),
                ("Problem", (*_WRITES, 424)),
                asked=body({JSON: {"schema": _run_request()}}),
            ),
        },
        "/runs/{model}/{run}": {
            "get": operation(
                "Runs",
                "runs.show",
                "A run, with links to its report once it has ended",
                {"200": answer("the run", schema("Run"))},
                ("Problem", READS),
                parameters=("Model", run),
            ),
            "delete": operation(
                *("Runs", "runs.stop", "Stop a run", stopped),
                ("Problem", (*READS, 409)),
                parameters=("Model", run),
            ),
        },
    }


def _run_request() -> Schema:
    texts = [name for name in TEXTS if name not in ("owner", "traceparent", "header")]
    names: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
    keep: list[Schema] = [
        {"type": "array", "items": names, "minItems": 1, "maxItems": MAX_PASSTHROUGH},
        {"type": "object", "additionalProperties": names, "minProperties": 1},
        {"const": "*"},
        {"type": "null"},
    ]
    return {
        "type": "object",
        "properties": {
            **{name: _or_null("string", maxLength=1024) for name in texts},
            "header": {"enum": [*get_args(Header), None]},
            "version": _or_null("integer", minimum=1),
            "keep": {"anyOf": keep, "description": "columns of the input to keep beside scores"},
            "trial": {"type": ["boolean", "null"], "description": "readers do not see the run"},
        },
        "additionalProperties": False,
        "oneOf": [
            {"required": [name], "properties": {name: {**_TEXT, "minLength": 1}}} for name in SCOPES
        ],
    }


def _labels() -> dict[str, Schema]:
    moment: Schema = {"type": ["number", "string"], "description": "seconds, or ISO 8601"}
    own: Schema = {"type": ["string", "integer"], "maxLength": MAX_ID_BYTES}
    label = {"type": ["string", "number", "boolean"], "description": "a class, or a number"}
    user = {"type": ["string", "integer", "null"], "maxLength": MAX_USER_BYTES}
    rows = {
        "labels": _object({"id": own, "label": label, "time": moment}),
        "feedback": _object(
            {
                "impression": {"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES},
                "item": {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
                "type": {"enum": list(TYPES)},
                "time": {**moment, "type": ["number", "string", "null"]},
                "user": user,
            },
            *("time", "user"),
        ),
    }
    about = {
        "labels": "What came true of predictions, by the ids in X-Quintet-Event",
        "feedback": "What users saw, clicked and bought of what was recommended to them",
    }
    return {
        f"/{name}": {
            "post": operation(
                name.capitalize(),
                f"{name}.add",
                about[name],
                {
                    "200": answer(
                        "kept", {JSON: {"schema": _object({"model": _TEXT, name: _COUNT})}}
                    )
                },
                ("Problem", (*_WRITES, 424)),
                asked=body({JSON: {"schema": _rows_of(name, row)}}),
            )
        }
        for name, row in rows.items()
    }


def _kept(name: str) -> Schema:
    return _object({"model": _TEXT, name: _COUNT})


def _rows_of(name: str, row: Schema) -> Schema:
    rows = {"type": "array", "items": row, "minItems": 1, "maxItems": _MOST}
    return _object({"model": PARAMETERS["Model"]["schema"], name: rows})


# ---- the server ----------------------------------------------------------------------------------


def server_paths() -> dict[str, Schema]:
    """The paths that name no model, besides the shared ones."""
    oip, v1 = "Open Inference Protocol", "KServe V1"
    found = {}
    for path, tag, name, summary, kind in (
        ("/v2", oip, "oip.server", "The server's name, version and extensions", "OipServer"),
        ("/v2/models", oip, "oip.models", "The published models", "Models"),
        ("/v2/models/stats", oip, "oip.stats", "Statistics of all models", "OipStatistics"),
        ("/v2/health/live", oip, "oip.live", "Whether the server is alive", "OipHealth"),
        ("/v2/health/ready", oip, "oip.ready", "Whether the server is ready", "OipHealth"),
        ("/v1/models", v1, "v1.models", "The published models", "Models"),
    ):
        answers = {"200": answer("found", schema(kind))}
        found[path] = {"get": operation(tag, name, summary, answers, ("Oip", READS))}
    version = _object(dict.fromkeys(("name", "version", "state", "reason"), _TEXT))
    index: Schema = {"type": "array", "items": version}
    ready = _object({"ready": {"type": ["boolean", "null"]}}, "ready")
    found["/v2/repository/index"] = {
        "post": operation(
            oip,
            "oip.index",
            "Every version that can be requested",
            {"200": answer("found", {JSON: {"schema": index}})},
            ("Oip", _WRITES),
            asked={"content": {JSON: {"schema": ready}}},
        )
    }
    found["/openapi.json"] = {
        "get": operation(
            "About",
            "openapi",
            "This document",
            {"200": answer("the document", {JSON: {"schema": _ANY}})},
            ("Problem", READS),
        )
    }
    return found
