"""Requests for recommendations: the user, the session's context, and how many items. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quintet.batch.candidates import MAX_USER
from quintet.columns import Batch, key_of, suggestion
from quintet.errors import BadInput, json_kind, shown
from quintet.formats.moments import moment_of
from quintet.formats.strict_json import members
from quintet.recommend.plans import RecommendPlan

__all__ = ["MAX_CONTEXT", "Asked", "read_query", "read_request", "user_of"]

#: items of a request's context
MAX_CONTEXT = 1_000
#: characters of a device or a segment
MAX_TEXT = 100
MAX_TOP = 100
_FIELDS = frozenset({"items", "device", "time", "segment", "top"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: `items` are distinct and known, the newest last; `unknown` counts the others.

    `session` are those of them that the model gets. `context` is one row of the other features.
    `time` is in epoch seconds.
    """

    user: str
    items: list[int]
    unknown: int
    session: list[int]
    device: str
    time: float
    segment: str
    top: int
    context: Batch | None


def user_of(text: str) -> str:
    """The key of a user in a path. Raises BadInput if it is too long."""
    if len(text) > MAX_USER:
        raise BadInput.of("user", f"at most {MAX_USER} characters", f"{len(text)}")
    return key_of(text)


def read_query(query: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a request without a body. Raises BadInput."""
    if unknown := sorted(query.keys() - {"segment", "top"}):
        got = shown(unknown[0]) + suggestion(unknown[0], ["segment", "top"])
        raise BadInput.of("query", "keys of segment, top; others are for POST", got)
    found: dict[str, Any] = dict(query)
    if "top" in query and query["top"].isascii() and query["top"].isdigit():
        found["top"] = int(query["top"][:9])
    return found


def read_request(plan: RecommendPlan, user: str, body: Any, now: float) -> Asked:
    """A request from its fields; `now` is in epoch seconds.

    Raises:
        BadInput: a field is unknown, or has a value that it cannot have.
    """
    fields = members("body", body, _FIELDS | plan.keys)
    items, unknown = _items(plan, fields.get("items", []))
    time = _time(fields.get("time", now))
    texts = {name: fields[name] for name in ("device", "segment") if name in fields}
    for name, value in texts.items():
        if name not in plan.keys and (type(value) is not str or len(value) > MAX_TEXT):
            got = shown(value) if type(value) is str else json_kind(value)
            raise BadInput.of(name, f"a text of at most {MAX_TEXT} characters", got)
    context = {name: fields[name] for name in plan.keys & fields.keys()}
    return Asked(
        user,
        items,
        unknown,
        plan.session(items),
        str(texts.get("device", "")),
        time,
        str(texts.get("segment", "")),
        _top(plan, fields.get("top", plan.rule.top)),
        plan.context(context, time),
    )


def _items(plan: RecommendPlan, given: Any) -> tuple[list[int], int]:
    """The context's known items, each once at its newest place, and how many are unknown."""
    if type(given) is not list or not set(map(type, given)) <= {int}:
        raise BadInput.of("items", "an array of the numbers of items", shown(given))
    if len(given) > MAX_CONTEXT:
        expected = f"at most {MAX_CONTEXT:,} items: send the newest"
        raise BadInput.of("items", expected, f"{len(given):,}")
    distinct = list(dict.fromkeys(reversed(given)))
    known = [item for item in reversed(distinct) if plan.low <= item <= plan.high]
    return known, len(distinct) - len(known)


def _time(given: Any) -> float:
    try:
        if type(given) not in (int, float, str):
            raise ValueError("")
        return moment_of(given)
    except ValueError as error:
        hint = f"; {error}" if str(error) else ""
        expected = "epoch seconds, or RFC 3339 such as 2026-01-31T12:00:00Z"
        raise BadInput.of("time", expected, f"{shown(given)}{hint}") from None


def _top(plan: RecommendPlan, given: Any) -> int:
    if type(given) is not int or not 1 <= given <= MAX_TOP:
        raise BadInput.of("top", f"a number from 1 to {MAX_TOP}", shown(given))
    return given
