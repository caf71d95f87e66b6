"""The paths and schemas of one model, in every form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quintet.contract import Contract
from quintet.openapi.errors import PREDICTS, READS
from quintet.openapi.examples import Example, media
from quintet.openapi.operations import JSON, answer, answers_job, body, operation, parameter, ref
from quintet.openapi.tensors import infer_answer, infer_request
from quintet.openapi.values import Schema, feature, output_value, prediction, record
from quintet.protocols.sagemaker_bodies import ordered_fields
from quintet.recommend.plans import RecommendPlan
from quintet.recommend.requests import MAX_CONTEXT, MAX_TEXT, MAX_TOP
from quintet.serving.golden import Golden

__all__ = ["Described", "paths", "schemas"]

Paths = dict[str, Schema]

_JOB = ("Prefer", "IdempotencyKey", "Callback")
_LINES, _CSV, _NPY = "application/jsonlines", "text/csv", "application/x-npy"
#: a body that is no JSON: OpenAPI has no schema for it
_BYTES: Schema = {}
_TEXT: Schema = {"type": "string"}


@dataclass(frozen=True, slots=True)
class Described:
    """A version as the document describes it: its contract and golden rows."""

    contract: Contract
    golden: Golden


def schemas(model: Described) -> dict[str, Schema]:
    """The schemas of a model, by name: its own is before the full stop."""
    contract = model.contract
    name, rows = contract.name, contract.limits.rows
    own = {
        "Record": record(contract),
        "RecordsRequest": _records_request(contract),
        "Prediction": prediction(contract),
        "RecordsAnswer": _records_answer(contract),
        "InferRequest": infer_request(contract),
        "InferAnswer": infer_answer(contract),
        "Row": _row(contract),
        "V1Request": {
            "type": "object",
            "properties": {
                "instances": _list(ref(f"{name}.Row"), rows),
                "signature_name": {"type": ["string", "null"], "description": "ignored"},
            },
            "required": ["instances"],
            "additionalProperties": False,
        },
        "V1Answer": _v1_answer(contract),
        "Invocation": _invocation(contract),
    }
    if contract.recommend is not None:
        own["RecommendRequest"] = _recommend_request(contract)
    return {f"{name}.{title}": schema for title, schema in own.items()}


def paths(model: Described) -> Paths:
    """The paths of a model, in every form."""
    example = Example(model.contract, model.golden)
    contract, found = model.contract, _records(model.contract, example)
    found |= _oip(contract, example) | _kserve(contract, example) | _sagemaker(contract, example)
    if contract.recommend is not None:
        found |= _recommend(contract)
    if contract.entity:
        found |= _scores(contract)
    return found


# ---- records -------------------------------------------------------------------------------------


def _records(contract: Contract, example: Example) -> Paths:
    name, (asked, answered) = contract.name, example.records
    sent = body({JSON: media(asked, ref(f"{name}.RecordsRequest"))})
    got = answer("predictions", {JSON: media(answered, ref(f"{name}.RecordsAnswer"))})

    def post(title: str, summary: str, *parameters: str) -> Schema:
        return {
            "post": operation(
                "Records",
                f"{name}.{title}",
                summary,
                answers_job(got),
                ("Problem", PREDICTS),
                parameters=(*parameters, *_JOB),
                asked=sent,
            )
        }

    base = f"/models/{name}"
    return {
        f"{base}/predict": post("predict", "Predict, by the live version"),
        f"{base}/versions/{{version}}/predict": post(
            "predictVersion", "Predict, by one version", "Version"
        ),
        f"{base}/openapi.json": {
            "get": operation(
                "About",
                f"{name}.openapi",
                "This document, of the model alone",
                {"200": answer("the document", {JSON: {"schema": {"type": "object"}}})},
                ("Problem", (*READS, 424)),
            )
        },
    }


def _records_request(contract: Contract) -> Schema:
    outputs: Schema = {"enum": [one.name for one in contract.outputs]}
    return {
        "type": "object",
        "properties": {
            "records": _list(ref(f"{contract.name}.Record"), contract.limits.rows),
            "partial": {
                "type": ["boolean", "null"],
                "default": False,
                "description": "score the valid rows and report errors for the others",
            },
            "outputs": {
                "type": ["array", "null"],
                "items": outputs,
                "minItems": 1,
                "description": "return only these outputs",
            },
        },
        "required": ["records"],
        "additionalProperties": False,
    }


def _records_answer(contract: Contract) -> Schema:
    row = {"anyOf": [ref(f"{contract.name}.Prediction"), {"type": "null"}]}
    refusals = {"type": "array", "items": ref("Refusal")}
    return {
        "type": "object",
        "properties": {
            "model": {"type": "string"},
            "version": {"type": "integer", "minimum": 1},
            "predictions": {
                "type": "array",
                "items": row,
                "description": "one for each record; null for a refused one, with partial",
            },
            "versions": {
                "type": "array",
                "items": {"type": "integer"},
                "description": "of each row, while a rollout splits them",
            },
            "errors": {**refusals, "description": "of the refused records, with partial"},
        },
        "required": ["model", "version", "predictions"],
        "additionalProperties": False,
    }


def _list(items: Schema, most: int) -> Schema:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


# ---- Open Inference Protocol ---------------------------------------------------------------------


def _oip(contract: Contract, example: Example) -> Paths:
    name, (asked, answered) = contract.name, example.oip
    raw = "application/octet-stream"
    sent = body({JSON: media(asked, ref(f"{name}.InferRequest")), raw: _BYTES})
    content = {JSON: media(answered, ref(f"{name}.InferAnswer")), raw: _BYTES}
    infer = answers_job(answer("outputs; raw ones in octets, after the JSON", content))
    found: Paths = {}
    for title, base, pinned in (
        ("", f"/v2/models/{name}", ()),
        ("Version", f"/v2/models/{name}/versions/{{version}}", ("Version",)),
    ):
        found[f"{base}/infer"] = {
            "post": operation(
                "Open Inference Protocol",
                f"{name}.infer{title}",
                "Infer",
                infer,
                ("Oip", PREDICTS),
                parameters=(*pinned, "InferenceHeader", *_JOB),
                asked=sent,
            )
        }
        for path, about, summary, kind in (
            ("", "metadata", "Names, datatypes and shapes of the tensors", "OipModel"),
            ("/ready", "ready", "Whether the model can answer", "OipReady"),
            ("/config", "config", "The configuration, as Triton has it", "OipConfig"),
            ("/stats", "stats", "Statistics of the environment that answers", "OipStatistics"),
        ):
            found[f"{base}{path}"] = {
                "get": operation(
                    "Open Inference Protocol",
                    f"{name}.{about}{title}",
                    summary,
                    {"200": answer(about, {JSON: {"schema": ref(kind)}})},
                    ("Oip", (*READS, 424)),
                    parameters=pinned,
                )
            }
    for verb in ("load", "unload"):
        found[f"/v2/repository/models/{name}/{verb}"] = {
            "post": operation(
                "Open Inference Protocol",
                f"{name}.{verb}",
                f"{verb.capitalize()} the model in the environment that answers",
                {"200": answer("done", {JSON: {"schema": {"type": "object"}}})},
                ("Oip", PREDICTS),
            )
        }
    return found


# ---- KServe V1 and SageMaker ---------------------------------------------------------------------


def _kserve(contract: Contract, example: Example) -> Paths:
    name, (asked, answered) = contract.name, example.kserve
    return {
        f"/v1/models/{name}": {
            "get": operation(
                "KServe V1",
                f"{name}.v1Ready",
                "Whether the model can answer",
                {"200": answer("ready", {JSON: {"schema": ref("OipReady")}})},
                ("Oip", (*READS, 424)),
            )
        },
        f"/v1/models/{name}:predict": {
            "post": operation(
                "KServe V1",
                f"{name}.v1Predict",
                "Predict, by the live version",
                answers_job(
                    answer("predictions", {JSON: media(answered, ref(f"{name}.V1Answer"))})
                ),
                ("Oip", PREDICTS),
                parameters=_JOB,
                asked=body({JSON: media(asked, ref(f"{name}.V1Request"))}),
            )
        },
    }


def _sagemaker(contract: Contract, example: Example) -> Paths:
    name, (asked, answered), table = contract.name, example.sagemaker, example.csv
    asked_csv, answered_csv = table or (None, None)
    sent = body(
        {
            JSON: media(asked, ref(f"{name}.Invocation")),
            _LINES: {"schema": _TEXT},
            _CSV: media(asked_csv, _TEXT),
            _NPY: _BYTES,
        }
    )
    content = {
        JSON: media(answered, ref(f"{name}.RecordsAnswer")),
        _LINES: {"schema": _TEXT},
        _CSV: media(answered_csv, _TEXT),
        _NPY: _BYTES,
    }
    base = f"/endpoints/{name}"
    variant = ("TargetVariant", "CustomAttributes")
    streamed = {"application/vnd.amazon.eventstream": _BYTES}
    found: Paths = {}
    for path, title, summary, answers in (
        ("invocations", "invoke", "InvokeEndpoint", answer("predictions", content)),
        (
            "invocations-response-stream",
            "invokeStream",
            "InvokeEndpointWithResponseStream: the whole answer in one part",
            answer("predictions", streamed),
        ),
    ):
        found[f"{base}/{path}"] = {
            "post": operation(
                "SageMaker",
                f"{name}.{title}",
                summary,
                answers_job(answers),
                ("SageMaker", PREDICTS),
                parameters=(*variant, *_JOB),
                asked=sent,
            )
        }
    found[f"{base}/async-invocations"] = {
        "post": operation(
            "SageMaker",
            f"{name}.invokeAsync",
            "InvokeEndpointAsync: the result goes to S3",
            {"202": answer("accepted", {JSON: {"schema": ref("InvocationAccepted")}}, "Location")},
            ("SageMaker", PREDICTS),
            parameters=(*variant, *_async_parameters()),
            asked={"content": sent["content"]},
        )
    }
    return found


def _async_parameters() -> tuple[Schema, ...]:
    prefix = "X-Amzn-SageMaker-"
    return (
        parameter("header", f"{prefix}InputLocation", "an object in S3, in place of a body"),
        parameter(
            "header",
            f"{prefix}Inference-Id",
            "the caller's id of the inference",
            {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[ -~]+$"},
        ),
        parameter(
            "header",
            f"{prefix}RequestTTLSeconds",
            "seconds until a job that has not begun expires",
            {"type": "integer", "minimum": 60, "maximum": 21_600},
        ),
        parameter(
            "header",
            f"{prefix}InvocationTimeoutSeconds",
            "seconds that scoring may take",
            {"type": "integer", "minimum": 1, "maximum": 3_600},
        ),
    )


def _row(contract: Contract) -> Schema:
    """A row in KServe's and SageMaker's JSON: by name, in the contract's order, or one value."""
    forms = [ref(f"{contract.name}.Record")]
    order = ordered_fields(contract)
    if not any(one.free for one in contract.requested):
        width = sum(size for _, _, size in order)
        about = "every value in the contract's order: the entity key, then the features"
        forms.append({"type": "array", "minItems": width, "maxItems": width, "description": about})
    if len(order) == 1 and not any(one.shape for one in contract.requested):
        alone: Any = order[0][1]
        forms.append(feature(alone) if alone is not None else {"type": ["string", "integer"]})
    return {"anyOf": forms}


def _invocation(contract: Contract) -> Schema:
    rows = _list(ref(f"{contract.name}.Row"), contract.limits.rows)
    wrapped = [
        {
            "type": "object",
            "properties": {name: rows},
            "required": [name],
            "additionalProperties": False,
        }
        for name in ("instances", "inputs")
    ]
    return {"anyOf": [ref(f"{contract.name}.RecordsRequest"), *wrapped, rows]}


def _v1_answer(contract: Contract) -> Schema:
    values = {}
    for one in contract.outputs:
        shaped = output_value(one)
        if one.row_shape == (1,) and not one.free:  # as nested lists of its shape
            shaped = {"type": "array", "items": shaped, "minItems": 1, "maxItems": 1}
        values[one.name] = shaped
    (row,) = values.values() if len(values) == 1 else (_closed(values),)
    return _closed({"predictions": {"type": "array", "items": row}})


def _closed(properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


# ---- recommendations and scores ------------------------------------------------------------------


def _recommend(contract: Contract) -> Paths:
    name = contract.name
    got = {"200": answer("items", {JSON: {"schema": ref("Recommendation")}})}
    user = parameter("path", "user", "the user's key", {"type": "string", "minLength": 1})
    top = {"type": "integer", "minimum": 1, "maximum": MAX_TOP}
    segment = {"type": "string", "maxLength": MAX_TEXT}
    found: Schema = {
        "get": operation(
            "Recommendations",
            f"{name}.recommendations",
            "Recommend items to a user",
            got,
            ("Problem", PREDICTS),
            parameters=(
                user,
                parameter("query", "top", "how many items", top),
                parameter("query", "segment", "the segment of popular items", segment),
            ),
        ),
        "post": operation(
            "Recommendations",
            f"{name}.recommend",
            "Recommend items to a user, for what the session holds",
            got,
            ("Problem", PREDICTS),
            parameters=(user,),
            asked=body({JSON: media({"items": [], "top": 5}, ref(f"{name}.RecommendRequest"))}),
        ),
    }
    return {f"/models/{name}/recommendations/{{user}}": found}


def _recommend_request(contract: Contract) -> Schema:
    plan: RecommendPlan = contract.compiled[RecommendPlan]
    text = {"type": ["string", "null"], "maxLength": MAX_TEXT}
    context = [one for one in contract.requested if one.key in plan.keys]
    return {
        "type": "object",
        "properties": {
            "items": {
                "type": ["array", "null"],
                "items": {"type": "integer"},
                "maxItems": MAX_CONTEXT,
                "description": "the items of the session, the newest last",
            },
            "device": text,
            "segment": text,
            "time": {"type": ["number", "string", "null"], "description": "seconds, or RFC 3339"},
            "top": {"type": ["integer", "null"], "minimum": 1, "maximum": MAX_TOP},
            **{one.key: feature(one) for one in context},
        },
        "required": [one.key for one in context if one.fill is None and one.key != "time"],
        "additionalProperties": False,
    }


def _scores(contract: Contract) -> Paths:
    assert contract.entity is not None
    outputs = {**prediction(contract), "required": [], "additionalProperties": True}
    found = {
        "model": {"const": contract.name},
        "version": {"type": "integer", "minimum": 1},
        contract.entity: {"type": "string"},
        "outputs": outputs,
        "scored": {"type": "string", "format": "date-time"},
        "source": {"type": "string"},
    }
    entity = parameter("path", "entity", contract.entity, {"type": "string", "minLength": 1})
    read = operation(
        "Scores",
        f"{contract.name}.score",
        "The latest score of an entity, by a stream or a loaded run",
        {"200": answer("the score", {JSON: {"schema": _closed(found)}})},
        ("Problem", (*READS, 424)),
        parameters=(entity,),
    )
    return {f"/scores/{contract.name}/{{entity}}": {"get": read}}
