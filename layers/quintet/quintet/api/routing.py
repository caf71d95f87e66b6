"""Find the route of a request among those of a function.

template.yaml sends a function every path below its prefixes (`/models/{proxy+}`), so that an
unknown path is answered in the form of its prefix and not by API Gateway. A path is matched as it
was sent: an encoded slash (%2F) stays inside its segment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from typing import NoReturn

from quintet.errors import BadInput, MethodNotAllowed, NoSuchRoute, QuintetError
from quintet.protocols.http import Request, Response
from quintet.record import Value
from quintet.serving import RequestContext

__all__ = ["Answer", "Failure", "Found", "Routes"]

Answer = Callable[[Request, RequestContext], Response]
Failure = Callable[[QuintetError | None, RequestContext], Response]

#: paths whose routes are remembered
_REMEMBERED = 1024
#: characters of an unknown path that are compared, and how alike a route must be to be named
_COMPARED, _ALIKE = 200, 0.75


class Found(Value):
    """What answers a request: `answer`, which refuses unknown routes, and the form of its errors.

    `route` is the path as the function's table has it, or the resource of template.yaml for an
    unknown path; `parameters` are decoded; `method` is GET for HEAD; `allowed` are the path's
    methods; `segments` is the number of the path's segments.
    """

    answer: Answer
    failure: Failure
    method: str
    route: str
    parameters: Mapping[str, str]
    allowed: tuple[str, ...]
    segments: int


class Routes:
    """The routes of a function, by method and path: the first path that matches decides.

    A path's parts are `{name}` within a segment, and `{name+}` for all that remain. HEAD is
    answered where GET is. The first part of a path is its prefix; all routes of a prefix must have
    errors of one form, in which its unknown paths are refused.
    """

    def __init__(self, table: Mapping[tuple[str, str], tuple[Answer, Failure]]) -> None:
        self.table = table
        self._methods: dict[str, dict[str, Answer]] = {}
        self._failures: dict[str, Failure] = {}
        for (method, route), (answer, failure) in table.items():
            self._methods.setdefault(route, {})[method] = answer
            self._failures[route.split("/")[1]] = failure
        self.find = lru_cache(maxsize=_REMEMBERED)(self._find)

    def _find(
        self, method: str, resource: str, parameters: tuple[tuple[str, str], ...] = ()
    ) -> Found:
        """What answers a method of the path that a resource has with its parameters, as sent."""
        segments = _segments(resource, dict(parameters))
        path = "/" + "/".join(segments).replace("%3A", ":").replace("%3a", ":")
        failure = self._failures[segments[0]]
        match, route = next(
            (
                (match, route)
                for route in self._methods
                if "" not in segments and (match := _pattern(route).fullmatch(path))
            ),
            (None, resource),
        )
        if match is None:
            answer = self._unknown(path)
            return Found(answer, failure, method, resource, {}, (), len(segments))
        methods = self._methods[route]
        allowed = tuple(sorted({*methods, "OPTIONS"} | ({"HEAD"} if "GET" in methods else set())))
        served = "GET" if method == "HEAD" else method
        answer = methods.get(served) or _refusal(
            MethodNotAllowed, "method", f"{' or '.join(allowed)} for {_shown(path)}", _shown(method)
        )
        decoded = {name: _decoded(value) for name, value in match.groupdict().items()}
        return Found(answer, failure, served, route, decoded, allowed, len(segments))

    def _unknown(self, path: str) -> Answer:
        def refuse(request: Request, context: RequestContext) -> NoReturn:
            near = _near(path, self._methods)
            hint = f"; do you mean {near}?" if near else ""
            raise NoSuchRoute.of("path", "a path of the API", f"{_shown(path)}{hint}")

        return refuse


def _near(path: str, routes: Iterable[str]) -> str | None:
    """The route that a path may be a misspelling of, if one is close."""
    import difflib  # only refusals need it: no cold start should load it

    asked = path[:_COMPARED].split("/")
    filled: dict[str, str] = {}
    for route in routes:
        parts = route.split("/")
        for place, part in enumerate(parts[: len(asked)]):
            if part.startswith("{") and "+" not in part:
                # with the verb of `{model}:predict`
                parts[place] = asked[place].partition(":")[0] + part.partition("}")[2]
        filled.setdefault("/".join(parts), route)
    close = difflib.get_close_matches("/".join(asked), filled, 1, _ALIKE)
    return filled[close[0]] if close else None


def _segments(resource: str, parameters: Mapping[str, str]) -> list[str]:
    """The segments of a path; the last of template.yaml's may hold several (`{proxy+}`)."""
    found: list[str] = []
    for part in resource.strip("/").split("/"):
        is_variable = part.startswith("{")
        found += parameters.get(part.strip("{+}"), "").split("/") if is_variable else [part]
    return found


@cache  # made when a path is first compared with it: most requests are for the first route
def _pattern(route: str) -> re.Pattern[str]:
    """A route as a regular expression for paths as they are sent.

    A model's name has no colon: what follows one is a verb, as in KServe's `{model}:predict`.
    """
    text = re.sub(r"\\\{(\w+)\\\+\\\}", r"(?P<\1>.+)", re.escape(route))
    text = text.replace(r"\{model\}", "(?P<model>[^/:]+)")
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", text))


def _decoded(text: str) -> str:
    """A part of a path, with its percent signs decoded."""
    if "%" not in text:
        return text
    from urllib.parse import unquote  # most paths have none, and it imports ipaddress

    return unquote(text)


def _shown(text: str) -> str:
    """A path or method as it may stand in an error: short, and without unusual characters."""
    return re.sub(r"[^\w/.:%+-]", "?", text[:100])


def _refusal(kind: type[BadInput], field: str, expected: str, got: str) -> Answer:
    def refuse(request: Request, context: RequestContext) -> NoReturn:
        raise kind.of(field, expected, got)

    return refuse
