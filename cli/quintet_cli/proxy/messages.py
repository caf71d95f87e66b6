"""Requests of clients and answers to them, independent of the server and the client library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import orjson

__all__ = ["Answer", "Asked", "by_name", "failed"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: `path` is below the stage, percent-encoded and with its query as sent.

    Names of headers are in lower case.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: names of headers are in lower case, `body` is as received."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def by_name(lines: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Header lines by their names in lower case; several lines of a name become one."""
    found: dict[str, str] = {}
    for name, value in lines:
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def failed(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Answer:
    """An error of the proxy itself, in one body that the clients of all the API's forms read.

    `detail` is for RFC 9457, `error` for the Open Inference Protocol, `Message` for SageMaker.
    """
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "error": detail,
        "Message": detail,
    }
    kind = "ServiceUnavailable" if status >= 500 else "ValidationError"
    named = {"content-type": "application/problem+json", "x-amzn-errortype": kind}
    return Answer(status, orjson.dumps(problem), named | dict(headers or {}))
