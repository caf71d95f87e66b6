"""Requests, responses and wire protocols, independent of the transport."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import orjson
import pybase64

from quintet.columns import Batch
from quintet.contract import Contract
from quintet.errors import (
    BadInput,
    Conflict,
    Forbidden,
    MethodNotAllowed,
    ModelFailure,
    NotFound,
    QuintetError,
    TooLarge,
    Transient,
    Unprocessable,
    UnsupportedMedia,
    shown,
)
from quintet.formats import strict_json
from quintet.formats.strict_json import DIGITS_TO_ZERO, LARGE, LONG_NUMBER
from quintet.protocols.media import media_type
from quintet.record import Value
from quintet.serving import Online, Prediction, RequestContext
from quintet.serving.routes import UnknownModel

__all__ = [
    "JSON_TEXT",
    "MAX_RESPONSE_BYTES",
    "STATUS",
    "Asked",
    "Request",
    "Response",
    "WireProtocol",
    "check_count",
    "check_rows",
    "json_body",
    "parse_json",
    "read_version",
    "status_of",
]

#: seconds after which a client may retry a request that failed because of a store
RETRY_AFTER = 1

#: the caller if the API does not authenticate, as in the local stage
ANONYMOUS = "anonymous"

#: how many more values than the contract's rows hold a body may contain before it is refused
SPARE_VALUES = 100_000

#: a value as JSON; it may contain numpy arrays and numbers
json_body: Callable[[Any], bytes] = partial(orjson.dumps, option=orjson.OPT_SERIALIZE_NUMPY)

#: the content types that curl and JavaScript's `fetch` send if they are given none
_DEFAULTS = ("application/x-www-form-urlencoded", "text/plain")

_OBJECTS = {dict}

#: a JSON string
JSON_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)

#: Lambda's limit of 6 MB less the headers
#: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_RESPONSE_BYTES = 6_280_000

#: the first matching class gives the status
STATUS: tuple[tuple[type[QuintetError], int], ...] = (
    (Forbidden, 403),
    (NotFound, 404),
    (MethodNotAllowed, 405),
    (Unprocessable, 422),
    (TooLarge, 413),
    (UnsupportedMedia, 415),
    (Conflict, 409),
    (BadInput, 400),
    (ModelFailure, 424),
    (Transient, 503),
)


def status_of(error: QuintetError | None) -> int:
    """The HTTP status of an error; None means an unexpected error."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


@dataclass(slots=True)  # not frozen: that takes a call for each field
class Request:
    """An HTTP request: header names in lower case, the body as received.

    `route` is the path as written in template.yaml, `parameters` are its path parameters.
    `caller` is the authenticated sender, `models` are those that it may ask, empty for all. `path`
    is the path as received, whose last `segments` are those of the route.
    """

    method: str
    route: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: str | bytes = b""
    encoded: bool = False
    id: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    caller: str = ANONYMOUS
    path: str = field(default="", compare=False)
    segments: int = field(default=0, compare=False)
    models: tuple[str, ...] = ()

    def check_model(self, model: str) -> None:
        """Refuse a model that the caller may not ask.

        Raises:
            Forbidden: the caller's key or token names other models.
        """
        if not self.may_ask(model):
            allowed = f"one that this caller may ask: {', '.join(self.models)}"
            raise Forbidden.of("model", allowed, shown(model))

    def may_ask(self, model: str) -> bool:
        """Whether the caller may ask a model, and see it in lists."""
        return not self.models or model in self.models

    @property
    def base(self) -> str:
        """The URL prefix of the API's paths: its stage, or the mapping of a custom domain."""
        return "/".join(self.path.rstrip("/").split("/")[: -self.segments])

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case; empty if absent."""
        return media_type(self.headers.get("content-type", ""))

    @property
    def wants_job(self) -> bool:
        """Whether the request has `Prefer: respond-async` (RFC 7240)."""
        if (asked := self.headers.get("prefer")) is None:
            return False
        preferences = asked.lower().replace(";", ",").split(",")
        return "respond-async" in (preference.strip() for preference in preferences)

    def accepts(self, *known: str) -> None:
        """Refuse a content type that is not among `known`.

        A missing type is accepted, and so are the defaults of `curl -d` and JavaScript's `fetch`:
        no route that asks here reads forms or plain text.

        Raises:
            UnsupportedMedia: the request has another type.
        """
        if self.headers.get("content-type") in known:  # nearly every request
            return
        if self.media_type not in ("", *_DEFAULTS, *known):
            raise UnsupportedMedia.of("Content-Type", " or ".join(known), repr(self.media_type))

    def content(self, most: int) -> bytes:
        """The decoded, decompressed body of at most `most` bytes. The size is checked first.

        Raises:
            TooLarge: the body is larger, before or after decompression.
            UnsupportedMedia: the compression is not supported.
            BadInput: the body cannot be decoded.
        """
        size = len(self.raw)
        if (size * 3 // 4 - 2 if self.encoded else size) > most:
            raise TooLarge.of("body", f"at most {most} bytes", "more")
        body = self.raw
        try:
            if self.encoded:  # of one record, base64 takes 5 % of the processor's instructions
                body = pybase64.b64decode(body, validate=True)
            elif isinstance(body, str):
                body = body.encode()
        except ValueError:
            raise BadInput.of("body", "bytes, or text in UTF-8", "something else") from None
        assert isinstance(body, bytes)
        if len(body) > most:
            raise TooLarge.of("body", f"at most {most} bytes", f"{len(body)}")
        encoding = self.headers.get("content-encoding", "")
        if encoding and (encoding := encoding.strip().lower()) == "identity":
            encoding = ""
        if not encoding:
            return body
        if encoding not in ("gzip", "deflate"):
            raise UnsupportedMedia.of("Content-Encoding", "gzip or deflate", repr(encoding))
        return _inflate(body, most)


@dataclass(slots=True)
class Response:
    """An HTTP response. `compress` says whether it may be compressed for a client that asks."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    compress: bool = True


class Asked(Protocol):
    """A decoded request of any protocol; `outputs` None means all outputs.

    `pins` says that its body names the version, so that no rollout chooses another.
    """

    batch: Batch
    partial: bool
    pins: bool

    @property
    def outputs(self) -> list[str] | None: ...


class WireProtocol(Value):
    """A prediction protocol. Jobs store its `name`.

    `target` returns the requested model and version, None for the live version;
    `decode` parses a request into an `Asked`, which `encode` takes with the prediction;
    `failure` renders an error, None for an unexpected one. `about` answers requests other than for
    predictions, and returns None for prediction requests. `by_row` says that an answer names the
    version of each row; without it, one version answers the whole request.
    """

    name: str
    target: Callable[[Request], tuple[str, int | None]]
    decode: Callable[[Contract, Request], Any]
    encode: Callable[[Any, Prediction], Response]
    failure: Callable[[QuintetError | None, RequestContext], Response]
    about: Callable[[Online, Request, RequestContext], Response | None] | None = None
    by_row: bool = False

    def answer(self, online: Online, request: Request, context: RequestContext) -> Response:
        """Answer a request.

        Raises:
            QuintetError: the request is refused or failed; `failure` renders the error.
        """
        if self.about is not None:
            response = self.about(online, request, context)
            if response is not None:
                # tritonclient's asyncio client asks for gzip, but decompresses only inferences
                response.compress = False
                return response
        model, version = self.target(request)
        if request.models:
            request.check_model(model)
        route = online.route(context, model, version)
        try:
            asked = self.decode(route.model.contract, request)
            if asked.pins and route.rollout is not None:
                route = online.pinned(context, route)
            prediction = online.predict(
                context,
                route,
                asked.batch,
                outputs=asked.outputs,
                partial=asked.partial,
                by_row=self.by_row,
            )
            # a value takes at least one byte: check before building the answer
            values = sum([output.size for output in prediction.scores.outputs.values()])
            if values > MAX_RESPONSE_BYTES:
                expected = f"at most {MAX_RESPONSE_BYTES} bytes: ask for less"
                raise TooLarge.of("answer", expected, f"{values} values")
            response = self.encode(asked, prediction)
        except Exception:
            online.stats[context.model, context.version].fail(context)
            raise
        # the version that answered: a rollout chooses it by the decoded request
        online.stats[context.model, context.version].succeed(context, online.clock())
        return response


def check_rows(contract: Contract, rows: int, field_name: str) -> None:
    """Refuse an empty batch, and one with more rows than the contract allows.

    Raises:
        BadInput: the batch has no rows.
        TooLarge: the batch has too many rows.
    """
    if rows == 0:
        raise BadInput.of(field_name, "at least one row", "none")
    if rows > contract.limits.rows:
        raise TooLarge.of(field_name, f"at most {contract.limits.rows} rows", f"{rows}")


def parse_json(contract: Contract, body: bytes, objects: str = "") -> Any:
    """Parse a JSON body, unless it has too many values for the contract.

    `objects` names the list whose objects have nearly all keys of a usual body: if these are as
    many as the text has colons, none was repeated, and no other has to be looked for.

    Raises:
        BadInput: the body is not strict JSON.
        TooLarge: the body has more values than the contract's rows can hold.
    """
    large = len(body) > LARGE
    commas = strict_json.count(body, b",") if large else body.count(b",")
    if commas > contract.max_values:
        check_count(contract, body, JSON_TEXT)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return strict_json.parse(body)  # which says what it is not
    if large:
        long, colons = strict_json.has_long_number(body), strict_json.count(body, b":")
    else:
        long, colons = LONG_NUMBER in body.translate(DIGITS_TO_ZERO), body.count(b":")
    if long or not _has_keys(value, objects, colons):
        strict_json.check(body, value)
    return value


def _has_keys(value: Any, objects: str, colons: int) -> bool:
    """Whether an object and the objects in its list `objects` have a key for each colon.

    Their `parameters` count, too: those of a raw tensor hold its size. False for any other value:
    see `parse_json`.
    """
    held = value.get(objects) if type(value) is dict else None
    if type(held) is not list or not _OBJECTS.issuperset(map(type, held)):
        return False
    keys = len(value) + sum(map(len, held))
    if keys < colons:
        parameters = [one["parameters"] for one in (value, *held) if "parameters" in one]
        if _OBJECTS.issuperset(map(type, parameters)):
            keys += sum(map(len, parameters))
    return keys >= colons


def check_count(contract: Contract, body: bytes, text: re.Pattern[bytes]) -> None:
    """Refuse a body with more values than the contract's rows can hold, before parsing it.

    As Python objects, values take some thirty times their bytes. `text` matches strings, whose
    commas do not separate values.

    Raises:
        TooLarge: the body has too many values.
    """
    most = contract.max_values + SPARE_VALUES
    found = strict_json.count(body, b",")
    if found > most:
        found -= sum(match[0].count(b",") for match in text.finditer(body))
    if found > most:
        raise TooLarge.of("body", f"the values of at most {contract.limits.rows} rows", "more")


def read_version(model: str, text: str) -> int:
    """Parse a model's version from a path.

    Raises:
        UnknownModel: the version is not a number.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise UnknownModel(model, text)
    return int(text)


def _inflate(body: bytes, most: int) -> bytes:
    """Decompress gzip or zlib, producing at most `most` bytes."""
    inflater = zlib.decompressobj(wbits=47)  # 32 + 15: the header tells gzip from zlib
    try:
        content = inflater.decompress(body, most + 1)
    except zlib.error:
        raise BadInput.of("body", "what Content-Encoding says", "bytes that it is not") from None
    if len(content) > most:
        raise TooLarge.of("body", f"at most {most} bytes when decompressed", "more")
    if not inflater.eof or inflater.unused_data:
        raise BadInput.of("body", "one whole compressed stream", "less or more than one")
    return content
