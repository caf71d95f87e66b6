"""Media types, and which type and compression an answer has by the request's Accept headers.

https://www.rfc-editor.org/rfc/rfc9110#section-12.5

Headers repeat from request to request, so what they say is remembered.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["accepts_gzip", "is_text", "media_type", "preferred"]

#: types of text beside text/*, which Lambda carries as it is; others are sent in base64
_TEXT = (
    "application/json",
    "application/problem+json",
    "application/jsonlines",
    "application/jsonl",
    "application/x-ndjson",
)


def media_type(content_type: str) -> str:
    """A content type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def is_text(content_type: str) -> bool:
    """Whether a content type is one of text in UTF-8."""
    return content_type in _TEXT or content_type.startswith("text/")


@lru_cache(maxsize=256)
def preferred(header: str, offers: tuple[str, ...]) -> str | None:
    """The offered media type that an Accept header prefers; None if it accepts none of them.

    The highest quality wins, then the header's order, then that of the offers. A type is judged by
    the most specific range that matches it: `text/csv;q=0, text/*` accepts no CSV. Parameters
    other than q are ignored. An empty header accepts everything.
    """
    ranges = _qualities(header) or {"*/*": 1.0}
    best: tuple[float, int] | None = None
    found = None
    for offer in offers:
        kind = offer.partition("/")[0]
        matching = next((r for r in (offer, f"{kind}/*", "*/*") if r in ranges), None)
        if matching is None or ranges[matching] == 0:
            continue
        rank = (ranges[matching], -list(ranges).index(matching))
        if best is None or rank > best:
            best, found = rank, offer
    return found


@lru_cache(maxsize=256)
def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header asks for gzip, by name or by `*`."""
    codings = _qualities(header)
    return codings.get("gzip", codings.get("x-gzip", codings.get("*", 0.0))) > 0


def _qualities(header: str) -> dict[str, float]:
    """The elements of a header, in order and lower case, each with its quality from 0 to 1.

    A quality that is no number counts as 1.
    """
    found: dict[str, float] = {}
    for element in header.lower().split(","):
        name, *parameters = (part.strip() for part in element.split(";"))
        if name:
            found.setdefault(name, _quality(parameters))
    return found


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 1.0
    return 1.0
