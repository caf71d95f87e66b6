"""The API in one process: template.yaml's routes, the functions' handlers, moto's services."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from tests.functions.conftest import OnlineAws
from tests.fuzz.leaks import SECRET
from tests.kits import models
from tests.kits.aws import ROOT, forget_built, load_app, moto_server
from tests.kits.jobs import table_properties

from quintet_local import rest_api
from quintet_local.http1 import Request, Response
from quintet_local.plan import plan
from quintet_local.stack import describe
from quintet_local.template import load

__all__ = ["World", "world"]

#: the folders of the functions behind the API, by their logical ids
FUNCTIONS = {
    "Predict": "predict",
    "Submit": "submit",
    "Runs": "runs",
    "GetScores": "get_scores",
    "AddLabels": "add_labels",
}
STAGE = "test"
_JSON = ("Content-Type", "application/json")
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:batch"


@dataclass
class World:
    """The functions behind the API, and what they have logged since it was last read."""

    router: rest_api.Router
    handlers: Mapping[str, Callable[[dict[str, Any], object], dict[str, Any]]]
    log: io.StringIO = field(default_factory=io.StringIO)

    def send(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Iterable[tuple[str, str]] = (),
    ) -> Response:
        """The answer to a request, as API Gateway gives it; a handler's exception is raised."""
        path, _, query = target.removeprefix(f"/{STAGE}").partition("?")
        match = self.router.match(method, path)
        if match is None:
            return Response(403, b'{"message": "Missing Authentication Token"}', [_JSON])
        request = Request(method, target, list(headers), "127.0.0.1", body)
        event = rest_api.proxy_event(
            request,
            match,
            path=path,
            query=query,
            stage=STAGE,
            api_id="api",
            request_id="gateway-id",
            binary=True,
        )
        name = match.route.function_arn
        with contextlib.redirect_stdout(self.log):
            answer = self.handlers[name](json.loads(json.dumps(event)), None)
        return rest_api.proxy_response(json.dumps(answer).encode())

    def logged(self) -> str:
        """What was logged; it is forgotten then."""
        text = self.log.getvalue()
        self.log.seek(0)
        self.log.truncate()
        return text

    def application(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        """The same as a WSGI application."""
        headers = [
            (name[5:].replace("_", "-").title(), value)
            for name, value in environ.items()
            if name.startswith("HTTP_")
        ]
        if kind := environ.get("CONTENT_TYPE"):
            headers.append(("Content-Type", kind))
        path = environ.get("RAW_URI") or environ["REQUEST_URI"]
        size = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(size)
        answer = self.send(environ["REQUEST_METHOD"], path, body, headers)
        if ("Content-Encoding", "gzip") in answer.headers:  # its client does not decompress
            answer.headers.remove(("Content-Encoding", "gzip"))
            answer.body = gzip.decompress(answer.body)
        start(f"{answer.status} Status", answer.headers)
        return [answer.body]


@contextlib.contextmanager
def world() -> Iterator[World]:
    """The API with the kit's models, in an environment of its own with planted credentials."""
    with moto_server() as url:
        aws = OnlineAws(url)
        aws.create()
        _more(aws)
        for contract in models.CONTRACTS.values():
            aws.publish(contract)
        for number in range(3):
            aws.put_features("customer", f"c{number}", {"orders_90d": number})
        variables = {
            **aws.environ,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": SECRET,
            "QUINTET_SCORES_TABLE": "scores",
            "QUINTET_SCORES_BUCKET": "scores-bucket",
            "QUINTET_INBOX_BUCKET": "inbox-bucket",
            "QUINTET_CAPTURES_BUCKET": "captures-bucket",
            "QUINTET_STATE_MACHINE_ARN": MACHINE,
        }
        others = {name: value for name, value in os.environ.items() if not _is_ours(name)}
        with mock.patch.dict(os.environ, {**others, **variables}, clear=True):
            for name in FUNCTIONS.values():
                forget_built(name)
            handlers = {name: load_app(name).handler for name in FUNCTIONS.values()}
            yield World(rest_api.Router(_routes()), handlers)
            for name in FUNCTIONS.values():
                forget_built(name)


def _is_ours(name: str) -> bool:
    return name.startswith(("QUINTET_", "AWS_"))


def _more(aws: OnlineAws) -> None:
    """What the other functions need besides predict's."""
    for bucket in ("scores-bucket", "inbox-bucket"):
        aws.client("s3").create_bucket(Bucket=bucket)
    dynamodb = aws.client("dynamodb")
    dynamodb.create_table(TableName="scores", **table_properties("ScoresTable"))
    waits = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 60, "End": True}}}
    role = "arn:aws:iam::123456789012:role/r"
    aws.client("stepfunctions").create_state_machine(
        name="batch", definition=json.dumps(waits), roleArn=role
    )


@cache
def _routes() -> list[rest_api.Route]:
    """The API's routes; each names its function by its folder."""
    found = plan(load(ROOT / "template.yaml"), "http://127.0.0.1:4566")
    with TemporaryDirectory() as scratch:
        stack = describe(found, Path(scratch))
    assert stack.api is not None
    names = {one.arn: FUNCTIONS.get(one.logical_id, "") for one in stack.functions.values()}
    return [
        replace(route, function_arn=next(n for arn, n in names.items() if _calls(route, arn)))
        for route in stack.api.routes
    ]


def _calls(route: rest_api.Route, arn: str) -> bool:
    """Whether a route calls a function, perhaps by an alias."""
    return route.function_arn == arn or route.function_arn.startswith(f"{arn}:")
