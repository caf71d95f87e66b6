"""Subscription filters of CloudWatch Logs: which lines they pick, and how Lambda receives them.

Of the pattern syntax, JSON patterns are read that compare properties with = and != and combine them
with && and ||, and the empty pattern. moto sends every line, whatever the pattern.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quintet_local.names import ACCOUNT

__all__ = ["Filter", "PatternError", "deliveries", "matcher"]

#: the bytes of lines in one delivery; Lambda takes 6 MB before compression
MAX_BYTES = 1_000_000
_TOKEN = re.compile(
    r'\s*(?:(?P<selector>\$(?:\.[A-Za-z0-9_-]+)+)|(?P<operator>!=|=|&&|\|\|)|"(?P<text>[^"]*)"'
    r"|(?P<word>[A-Za-z0-9_.*+-]+))"
)
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_ABSENT = object()


class PatternError(ValueError):
    """The local AWS does not read this pattern."""


@dataclass(frozen=True)
class Filter:
    """A subscription of a function to a log group."""

    name: str
    log_group: str
    function: str
    pattern: str


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a line matches a pattern.

    Raises:
        PatternError: the pattern is not of the syntax that is read here.
    """
    text = pattern.strip()
    if not text:
        return lambda line: True
    if not (text.startswith("{") and text.endswith("}")):
        raise PatternError("only JSON patterns are read here")
    tokens = _tokens(text[1:-1])
    anyone = [_all(part) for part in _split(tokens, "||")]
    names = [f'"{value.rpartition(".")[2]}"' for kind, value in tokens if kind == "selector"]

    def matches(line: str) -> bool:
        if not any(name in line for name in names):  # most lines: they need no parsing
            return False
        try:
            found = json.loads(line)
        except ValueError:
            return False
        return isinstance(found, dict) and any(test(found) for test in anyone)

    return matches


def deliveries(filter_: Filter, stream: str, lines: Sequence[tuple[int, str]]) -> Iterator[bytes]:
    """The events that a function gets for lines of a stream, each with its time in milliseconds.

    https://docs.aws.amazon.com/lambda/latest/dg/services-cloudwatchlogs.html
    """
    batch: list[tuple[int, str]] = []
    size = 0
    for line in lines:
        if batch and size + len(line[1]) > MAX_BYTES:
            yield _event(filter_, stream, batch)
            batch, size = [], 0
        batch.append(line)
        size += len(line[1])
    if batch:
        yield _event(filter_, stream, batch)


def _event(filter_: Filter, stream: str, lines: Sequence[tuple[int, str]]) -> bytes:
    data = {
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT,
        "logGroup": filter_.log_group,
        "logStream": stream,
        "subscriptionFilters": [filter_.name],
        "logEvents": [
            {"id": str(uuid.uuid4().int), "timestamp": stamp, "message": line}
            for stamp, line in lines
        ],
    }
    packed = base64.b64encode(gzip.compress(json.dumps(data).encode(), compresslevel=1))
    return json.dumps({"awslogs": {"data": packed.decode()}}).encode()


Token = tuple[str, str]
Test = Callable[[Mapping[str, Any]], bool]


def _tokens(text: str) -> list[Token]:
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise PatternError(f"{text[at:].strip()[:20]!r} is not read here")
        kind = match.lastgroup or ""
        found.append((kind, match[kind]))
        at = match.end()
    return found


def _split(tokens: Sequence[Token], operator: str) -> Iterator[list[Token]]:
    part: list[Token] = []
    for token in tokens:
        if token == ("operator", operator):
            yield part
            part = []
        else:
            part.append(token)
    yield part


def _all(tokens: Sequence[Token]) -> Test:
    tests = [_comparison(part) for part in _split(tokens, "&&")]
    return lambda found: all(test(found) for test in tests)


def _comparison(tokens: Sequence[Token]) -> Test:
    kinds = [kind for kind, _ in tokens]
    if kinds[:2] != ["selector", "operator"] or len(kinds) != 3 or tokens[1][1] not in ("=", "!="):
        raise PatternError("only comparisons with = and != are read here")
    (_, selector), (_, operator), (kind, wanted) = tokens
    path = selector.split(".")[1:]
    equal = operator == "="

    def test(found: Mapping[str, Any]) -> bool:
        value: Any = found
        for name in path:
            value = value.get(name, _ABSENT) if isinstance(value, dict) else _ABSENT
        return value is not _ABSENT and _equals(value, wanted, kind) == equal

    return test


def _equals(value: Any, wanted: str, kind: str) -> bool:
    """An unquoted number is compared with numbers, anything else with texts, where `*` is a gap."""
    if kind == "word" and _NUMBER.fullmatch(wanted):
        return type(value) in (int, float) and value == float(wanted)
    stars = ".*".join(map(re.escape, wanted.split("*")))
    return isinstance(value, str) and re.fullmatch(stars, value, re.DOTALL) is not None
