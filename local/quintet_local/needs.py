"""The permissions that a call of an AWS service needs: actions and their resources.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from quintet_local.names import PARTITION, arn

__all__ = ["Need", "needs"]


@dataclass(frozen=True)
class Need:
    """An action on a resource, with the values of the call's condition keys."""

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


def needs(service: str, environ: dict[str, Any]) -> list[Need] | None:
    """Return what a signed request needs; None if the service or operation is not known here."""
    reader = _READERS.get(service)
    if reader is None:
        return None
    try:
        return list(reader(environ))
    except (KeyError, ValueError):  # the service will refuse this call itself
        return None


def _body(environ: dict[str, Any]) -> bytes:
    content: bytes = environ["wsgi.input"].read()
    environ["wsgi.input"].seek(0)
    return content


def _json_call(environ: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the operation and the input of a call in a JSON protocol."""
    return environ["HTTP_X_AMZ_TARGET"].rpartition(".")[2], json.loads(_body(environ) or b"{}")


def _dynamodb(environ: dict[str, Any]) -> Iterator[Need]:
    operation, given = _json_call(environ)
    if operation == "TransactWriteItems":
        actions = {"ConditionCheck": "ConditionCheckItem"}
        for item in given["TransactItems"]:
            for kind, write in item.items():
                action = actions.get(kind, f"{kind}Item")
                yield Need(f"dynamodb:{action}", _table(write["TableName"]))
    elif "RequestItems" in given:
        yield from (Need(f"dynamodb:{operation}", _table(name)) for name in given["RequestItems"])
    else:
        index = f"/index/{given['IndexName']}" if "IndexName" in given else ""
        yield Need(f"dynamodb:{operation}", _table(given["TableName"]) + index)


def _table(name: str) -> str:
    return arn("dynamodb", f"table/{name}")


def _sqs(environ: dict[str, Any]) -> Iterator[Need]:
    operation, given = _json_call(environ)
    queue = given["QueueUrl"].rpartition("/")[2]
    yield Need(f"sqs:{operation.removesuffix('Batch')}", arn("sqs", queue))


def _monitoring(environ: dict[str, Any]) -> Iterator[Need]:
    (operation,) = parse_qs(_body(environ).decode(), strict_parsing=True)["Action"]
    yield Need(f"cloudwatch:{operation}", "*")


def _sns(environ: dict[str, Any]) -> Iterator[Need]:
    form = parse_qs(_body(environ).decode(), strict_parsing=True)
    yield Need(f"sns:{form['Action'][0].removesuffix('Batch')}", form["TopicArn"][0])


def _states(environ: dict[str, Any]) -> Iterator[Need]:
    operation, given = _json_call(environ)
    yield Need(f"states:{operation}", given.get("stateMachineArn") or given["executionArn"])


def _kinesis(environ: dict[str, Any]) -> Iterator[Need]:
    operation, given = _json_call(environ)
    stream = given.get("StreamARN") or arn("kinesis", f"stream/{given['StreamName']}")
    yield Need(f"kinesis:{operation}", stream)


def _kms(environ: dict[str, Any]) -> Iterator[Need]:
    operation, given = _json_call(environ)
    key = given["KeyId"]
    yield Need(f"kms:{operation}", key if key.startswith("arn:") else arn("kms", f"key/{key}"))


def _glue(environ: dict[str, Any]) -> Iterator[Need]:
    operation, given = _json_call(environ)
    database = given["Name"] if operation == "GetDatabase" else given["DatabaseName"]
    table = given.get("TableName") or given.get("TableInput", {}).get("Name")
    if table is None and operation != "GetDatabase":
        table = given.get("Name")
    on = ["catalog", f"database/{database}", *([f"table/{database}/{table}"] if table else [])]
    yield from (Need(f"glue:{operation}", arn("glue", resource)) for resource in on)


#: object actions by method
_OBJECTS = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "POST": "PutObject"}


def _s3(environ: dict[str, Any]) -> Iterator[Need]:
    method, query = environ["REQUEST_METHOD"], parse_qs(environ["QUERY_STRING"], True)
    path = environ["PATH_INFO"].encode("latin-1").decode()
    bucket, _, key = path.removeprefix("/").partition("/")
    on = f"arn:{PARTITION}:s3:::{bucket}"
    if not key:
        if method in ("GET", "HEAD"):
            yield Need("s3:ListBucket", on, (("s3:prefix", query.get("prefix", [""])[0]),))
        return
    action = "DeleteObject" if method == "DELETE" else _OBJECTS[method]
    if "uploadId" in query and method == "DELETE":
        action = "AbortMultipartUpload"
    version = "Version" if "versionId" in query and action in ("GetObject", "DeleteObject") else ""
    yield Need(f"s3:{action}{version}", f"{on}/{key}")


_READERS: Mapping[str, Callable[[dict[str, Any]], Iterator[Need]]] = {
    "dynamodb": _dynamodb,
    "glue": _glue,
    "kinesis": _kinesis,
    "kms": _kms,
    "monitoring": _monitoring,
    "s3": _s3,
    "sns": _sns,
    "sqs": _sqs,
    "states": _states,
}
