"""The document: of one model, or of the whole API with all of its models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import quintet
from quintet.openapi import errors, models, operations, resources
from quintet.openapi.models import Described
from quintet.openapi.values import Schema

__all__ = ["Described", "document"]

_TAGS = {
    "Records": "Your own code: features by name.",
    "Open Inference Protocol": "tritonclient, KServe's and MLServer's clients.",
    "SageMaker": "boto3's sagemaker-runtime and the SageMaker SDKs.",
    "KServe V1": "KServe's and TensorFlow Serving's REST clients.",
    "Recommendations": "Items that a user may want now.",
    "Jobs": "What `Prefer: respond-async` and async-invocations started.",
    "Runs": "Batch runs over files.",
    "Scores": "The latest score of an entity.",
    "Labels": "What came true.",
    "Feedback": "What users did with recommendations.",
    "About": "The API's own description.",
}
#: the security schemes of each way to authenticate callers (the template's ApiAuth)
_SECURITY: dict[str, dict[str, Schema]] = {
    "none": {},
    "iam": {
        "iam": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "AWS Signature Version 4, for the service execute-api",
            "x-amazon-apigateway-authtype": "awsSigv4",
        }
    },
    "keys": {
        "bearer": {"type": "http", "scheme": "bearer", "description": "quintet keys create"},
        "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    },
    "jwt": {"jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
}


def document(
    found: Sequence[Described], *, whole: bool = True, base: str = "", auth: str = "iam"
) -> dict[str, Any]:
    """The OpenAPI 3.1 document of models; `whole` adds the paths that name none.

    `base` is the URL before the paths, and `auth` how the API authenticates callers: none, iam,
    keys or jwt.
    """
    paths = resources.server_paths() if whole else {}
    schemas = {**errors.SCHEMAS, **resources.SCHEMAS}
    for model in found:
        paths |= models.paths(model)
        schemas |= models.schemas(model)
    paths |= resources.shared_paths()
    used = {tag for path in paths.values() for one in path.values() for tag in one["tags"]}
    return {
        "openapi": "3.1.0",
        "info": _info(found, whole),
        "servers": [{"url": base or "/"}],
        "security": [{name: []} for name in _SECURITY[auth]],
        "tags": [
            {"name": name, "description": text} for name, text in _TAGS.items() if name in used
        ],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"Accepted": resources.ACCEPTED, **errors.responses()},
            "parameters": operations.PARAMETERS,
            "headers": operations.HEADERS,
            "securitySchemes": _SECURITY[auth],
        },
    }


def _info(found: Sequence[Described], whole: bool) -> Schema:
    if whole:
        about = (
            "Every published model in four forms, jobs, batch runs, scores, labels and feedback. "
            "`/models/{model}/openapi.json` describes one model alone. A member that is null "
            "counts as absent; unknown members are refused."
        )
        return {"title": "Quintet", "version": quintet.__version__, "description": about}
    contract = found[0].contract
    return {
        "title": contract.name,
        "version": str(contract.version),
        "description": contract.description or contract.task,
    }
