"""Answer DynamoDB's reads by key without moto's web framework, which costs more than the read.

moto's own parser reads the call and its own method answers it, so that both ways give the same
response. Whatever is not a plain signed call, and every error, goes through the framework: reads
change nothing, and may be repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.utils import get_service_model
from moto.dynamodb.responses import DynamoHandler
from moto.iam.models import mark_account_as_visited
from moto.utilities.aws_headers import gen_amz_crc32, gen_amzn_requestid_long

from quintet_local.tables import ONE_CALL
from quintet_local.wsgi import WsgiApplication

__all__ = ["QuickReads"]

#: the handler's method by the header X-Amz-Target
_METHODS = {
    "DynamoDB_20120810.BatchGetItem": "batch_get_item",
    "DynamoDB_20120810.GetItem": "get_item",
    "DynamoDB_20120810.Query": "query",
}
#: https://docs.aws.amazon.com/general/latest/gr/create-signed-request.html
_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/, ]+/\d+/[^/, ]+/dynamodb/aws4_request,")
_JSON = "application/x-amz-json-1.0"
#: what the framework adds to every response
_MORE = [("Content-Type", "text/html; charset=utf-8"), ("Access-Control-Allow-Origin", "*")]
#: with these, moto finds account, body or operation elsewhere
_ELSEWHERE = ("HTTP_CONTENT_ENCODING", "HTTP_X_MOTO_ACCOUNT_ID", "HTTP_ORIGIN")


class QuickReads:
    """A WSGI application directly before the services."""

    def __init__(self, services: WsgiApplication) -> None:
        self._services = services

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method = _METHODS.get(environ.get("HTTP_X_AMZ_TARGET", ""))
        body = _answer(method, environ) if method and _is_plain(environ) else None
        if body is None:
            return self._services(environ, start_response)
        headers = {"server": "amazon.com"}
        gen_amzn_requestid_long(headers)
        gen_amz_crc32(body, headers)
        start_response("200 OK", [*headers.items(), *_MORE])
        return [body]


def _is_plain(environ: dict[str, Any]) -> bool:
    """Whether a call is as SDKs send it: signed for DynamoDB, JSON in the body, nothing beside."""
    return (
        environ["REQUEST_METHOD"] == "POST"
        and environ["PATH_INFO"] == "/"
        and not environ["QUERY_STRING"]
        and environ.get("CONTENT_TYPE") == _JSON
        and environ.get("HTTP_HOST", "").startswith(("127.0.0.1:", "localhost:"))
        and _SIGNED.match(environ.get("HTTP_AUTHORIZATION", "")) is not None
        and not any(name in environ for name in _ELSEWHERE)
    )


def _answer(method: str, environ: dict[str, Any]) -> bytes | None:
    """Return the body of a successful read; None if moto refuses it."""
    raw = bytes(environ["wsgi.input"].getbuffer())
    if b"Action=" in raw:  # moto takes a body for a form first
        return None
    handler = DynamoHandler()
    handler.headers = {
        "Authorization": environ["HTTP_AUTHORIZATION"],
        "User-Agent": environ.get("HTTP_USER_AGENT", ""),
    }
    handler.uri_match = handler.querystring = {}
    try:
        handler.region = handler.get_region_from_url(SimpleNamespace(headers=handler.headers), "")
        handler.current_account = handler.get_current_account()
        key, region = handler.get_access_key(), handler.region
        mark_account_as_visited(handler.current_account, key, "dynamodb", region)
        operation = environ["HTTP_X_AMZ_TARGET"].rpartition(".")[2]
        model = get_service_model("dynamodb").operation_model(operation)
        parser: Any = PROTOCOL_PARSERS["json"](model, map_type=handler.PROTOCOL_PARSER_MAP_TYPE)
        handler.params = handler.body = parser.parse({"body": raw})
        with ONE_CALL:
            found: str = getattr(handler, method)()
    except Exception:  # the framework's way finds it again, and answers in its form
        return None
    return found.encode()
