"""Which requests may be combined, and what each caller's part of a combined answer says of it."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from quintet_cli.proxy.messages import Answer, Asked

__all__ = [
    "ALONE",
    "JSON_MEDIA",
    "ApartError",
    "Form",
    "Piece",
    "check_unrouted",
    "may_combine",
    "media_of",
    "own_headers",
    "routes_of",
    "shared",
    "spans",
]

#: a request with one of these headers goes alone: a combined one could not honour it
ALONE = frozenset({"prefer", "idempotency-key", "content-encoding"})

#: content types that the API reads as JSON where a form takes only JSON
JSON_MEDIA = ("", "application/json", "application/x-www-form-urlencoded", "text/plain")

#: headers of a combined answer that are of the whole call, or are said anew for each caller
_OF_THE_CALL = frozenset(
    {
        "content-length",
        "inference-header-content-length",
        "vary",
        "x-quintet-event",
        "x-quintet-fallback",
        "x-request-id",
    }
)
#: the API's own rule for ids that it echoes
_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class ApartError(Exception):
    """A combined answer does not come apart rightly: each request has to be sent by itself."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A request that may go out in one call with the others of its key.

    `content` is the form's own: the rows, and how the caller wants them answered.
    """

    form: Form
    key: Hashable
    rows: int
    asked: Asked
    content: Any


class Form(Protocol):
    """A wire form whose requests can be combined.

    `by_row` says that each row is answered by the version of its own entity. Without it one version
    answers a request, that of its first row: while the version depends on the entity, requests must
    not be combined.
    """

    by_row: bool

    def read(self, asked: Asked) -> Piece | None:
        """The request as a piece; None if it has to be sent as it is, for example to be refused."""
        ...

    def merge(self, pieces: Sequence[Piece]) -> Asked:
        """One request for the rows of all pieces, in order."""
        ...

    def part(self, pieces: Sequence[Piece], answer: Answer) -> list[Answer | None]:
        """The answer of each piece; None if it has to be sent by itself.

        Raises:
            ApartError: that holds for all of them.
        """
        ...


def may_combine(asked: Asked) -> bool:
    """Whether nothing but its path and body decides how a request is answered.

    The trace of a sampled request would end at the proxy, so it goes alone.
    """
    if asked.method != "POST" or "?" in asked.path or not ALONE.isdisjoint(asked.headers):
        return False
    trace = asked.headers.get("traceparent")
    return trace is None or (_TRACE.fullmatch(trace) is not None and not int(trace[-2:], 16) & 1)


def media_of(asked: Asked) -> str:
    """The content type of a request, without its parameters; empty if it has none."""
    return asked.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_unrouted(answer: Answer) -> None:
    """Check that the version of a combined answer did not depend on an entity.

    Raises:
        ApartError: it did: that of the first row answered the rows of all.
    """
    if "x-quintet-routed" in answer.headers:
        raise ApartError


def spans(pieces: Sequence[Piece]) -> list[tuple[Piece, int]]:
    """Each piece with the position of its first row in the combined batch."""
    starts = accumulate((piece.rows for piece in pieces), initial=0)
    return list(zip(pieces, starts, strict=False))


def own_headers(piece: Piece, start: int, answer: Answer) -> dict[str, str] | None:
    """The headers of a caller's part, whose first row is `start` in the combined answer.

    The id of the request and the trace are the caller's own, if it sent any. `x-quintet-combined`
    is the id of the combined request, by which the API's log names it. `x-quintet-event` is that of
    the caller's row, as labels take it: `<event>.<row>`. Several rows of a captured answer need an
    event of their own, which labels count them in: None.
    """
    found = _named_headers(piece, answer)
    if event := answer.headers.get("x-quintet-event"):
        if piece.rows > 1:
            return None
        found["x-quintet-event"] = f"{event}.{start}"
    return found


def shared(pieces: Sequence[Piece], answer: Answer) -> list[Answer | None]:
    """An error that is no caller's own, such as that the API is throttled, for each of them."""
    return [Answer(answer.status, answer.body, _named_headers(one, answer)) for one in pieces]


def _named_headers(piece: Piece, answer: Answer) -> dict[str, str]:
    found = {n: value for n, value in answer.headers.items() if n not in _OF_THE_CALL}
    combined = answer.headers.get("x-request-id", "")
    own = piece.asked.headers.get("x-request-id", "")
    found["x-request-id"] = own if _SANE_ID.fullmatch(own) else combined
    found["x-quintet-combined"] = combined
    if trace := piece.asked.headers.get("traceparent"):
        found["traceparent"] = trace
    return found


def routes_of(headers: Mapping[str, str], versions: Sequence[int]) -> dict[str, str]:
    """The headers that name the versions that answered a caller's rows, each with its route."""
    named = [
        (int(version), route)
        for version, route in zip(
            headers["x-quintet-version"].split(", "),
            headers["x-quintet-route"].split(", "),
            strict=True,
        )
        if int(version) in versions
    ]
    return {
        "x-quintet-version": ", ".join(str(version) for version, _ in named),
        "x-quintet-route": ", ".join(route for _, route in named),
    }
