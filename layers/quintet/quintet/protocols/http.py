"""A request, a response and the protocol between them, whatever carries them."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from quintet.columns import Batch
from quintet.contract import Contract
from quintet.errors import (
    BadInput,
    Conflict,
    Forbidden,
    ModelFailure,
    NotFound,
    QuintetError,
    TooLarge,
    Transient,
    Unprocessable,
    UnsupportedMedia,
)
from quintet.formats import strict_json
from quintet.serving import Online, Prediction, RequestContext
from quintet.serving.model_cache import UnknownModel

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

#: seconds after which a client may try again what a store could not answer
RETRY_AFTER = 1

#: the caller where the API does not authenticate, as on this machine
ANONYMOUS = "anonymous"

#: values beyond those of a contract's rows that a body may hold before they are counted
SPARE_VALUES = 100_000

#: a string of JSON
JSON_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)

#: Lambda's 6 MB less the headers
#: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_RESPONSE_BYTES = 6_280_000

#: the first class that matches says the status; the families differ only where they must
STATUS: tuple[tuple[type[QuintetError], int], ...] = (
    (Forbidden, 403),
    (NotFound, 404),
    (Unprocessable, 422),
    (TooLarge, 413),
    (UnsupportedMedia, 415),
    (Conflict, 409),
    (BadInput, 400),
    (ModelFailure, 424),
    (Transient, 503),
)


def status_of(error: QuintetError | None) -> int:
    """The HTTP status of an error; None stands for one that was not foreseen."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request: header names in lower case, the body as it came.

    `route` is the path as template.yaml writes it, `parameters` are the values of its braces.
    `caller` is who sent it, as the API authenticated them; `base` is what stands before the
    API's paths where it is reached, such as its stage.
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
    base: str = ""

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case; empty where none came."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def wants_job(self) -> bool:
        """Whether it says `Prefer: respond-async` (RFC 7240)."""
        preferences = self.headers.get("prefer", "").lower().replace(";", ",").split(",")
        return "respond-async" in (preference.strip() for preference in preferences)

    def accepts(self, *known: str) -> None:
        """Refuse a content type that is not among `known`.

        None at all is fine, and so is what `curl -d` says when it is told nothing: no route
        here reads forms, so nobody means one.

        Raises:
            UnsupportedMedia: it is of another type.
        """
        if self.headers.get("content-type") in known:  # as it is nearly always
            return
        if self.media_type not in ("", "application/x-www-form-urlencoded", *known):
            raise UnsupportedMedia.of("Content-Type", " or ".join(known), repr(self.media_type))

    def content(self, most: int) -> bytes:
        """The body, decoded and decompressed, of at most `most` bytes. Size comes first.

        Raises:
            TooLarge: it is larger, before or after it is decompressed.
            UnsupportedMedia: it is compressed in a way not known here.
            BadInput: it cannot be decoded.
        """
        size = len(self.raw)
        if (size * 3 // 4 - 2 if self.encoded else size) > most:
            raise TooLarge.of("body", f"at most {most} bytes", "more")
        body = self.raw
        try:
            if self.encoded:
                body = base64.b64decode(body, validate=True)
            elif isinstance(body, str):
                body = body.encode()
        except ValueError:
            raise BadInput.of("body", "bytes, or text in UTF-8", "something else") from None
        assert isinstance(body, bytes)
        if len(body) > most:
            raise TooLarge.of("body", f"at most {most} bytes", f"{len(body)}")
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding in ("", "identity"):
            return body
        if encoding not in ("gzip", "deflate"):
            raise UnsupportedMedia.of("Content-Encoding", "gzip or deflate", repr(encoding))
        return _inflate(body, most)


@dataclass(slots=True)
class Response:
    """An HTTP response."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class Asked(Protocol):
    """What a request asks for, in any protocol; `outputs` None is all of them."""

    batch: Batch
    partial: bool

    @property
    def outputs(self) -> list[str] | None: ...


@dataclass(frozen=True, slots=True)
class WireProtocol:
    """A protocol of predictions. Jobs store its `name`.

    `target` gives the model that a request asks for and its version, None for the live one;
    `decode` reads a request into an `Asked`, which `encode` takes back with the prediction;
    `failure` writes an error, None for one that was not foreseen. `about` answers requests that
    are not for predictions, and returns None for those that are.
    """

    name: str
    target: Callable[[Request], tuple[str, int | None]]
    decode: Callable[[Contract, Request], Any]
    encode: Callable[[Any, Prediction], Response]
    failure: Callable[[QuintetError | None, RequestContext], Response]
    about: Callable[[Online, Request, RequestContext], Response | None] | None = None

    def answer(self, online: Online, request: Request, context: RequestContext) -> Response:
        """Answer a request.

        Raises:
            QuintetError: it is refused or could not be answered; `failure` renders it.
        """
        if self.about is not None:
            response = self.about(online, request, context)
            if response is not None:
                return response
        route = online.route(context, *self.target(request))
        asked = self.decode(route.model.contract, request)
        prediction = online.predict(
            context, route, asked.batch, outputs=asked.outputs, partial=asked.partial
        )
        # at a byte a value, before an answer is made of them
        values = sum([output.size for output in prediction.scores.outputs.values()])
        if values > MAX_RESPONSE_BYTES:
            expected = f"at most {MAX_RESPONSE_BYTES} bytes: ask for less"
            raise TooLarge.of("answer", expected, f"{values} values")
        return self.encode(asked, prediction)


def json_body(value: Any) -> bytes:
    """A value as JSON, numpy's arrays and numbers included; it holds no NaN by then."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def check_rows(contract: Contract, rows: int, field_name: str) -> None:
    """Refuse a batch of no row, or of more than the contract allows.

    Raises:
        BadInput: there is none.
        TooLarge: there are too many.
    """
    if rows == 0:
        raise BadInput.of(field_name, "at least one row", "none")
    if rows > contract.limits.rows:
        raise TooLarge.of(field_name, f"at most {contract.limits.rows} rows", f"{rows}")


def parse_json(contract: Contract, body: bytes) -> Any:
    """The value of a JSON body, which is not made where it cannot be within the contract.

    Raises:
        BadInput: it is not strict JSON.
        TooLarge: it holds more values than the contract's rows have.
    """
    if body.count(b",") > contract.max_values:
        check_count(contract, body, JSON_TEXT)
    return strict_json.parse(body)


def check_count(contract: Contract, body: bytes, text: re.Pattern[bytes]) -> None:
    """Refuse a body of more values than the contract's rows have, before any of them is made.

    As objects they take some thirty times their bytes. `text` matches what may hold commas that
    separate no values.

    Raises:
        TooLarge: there are too many.
    """
    most = contract.max_values + SPARE_VALUES
    found = body.count(b",")
    if found > most:
        found -= sum(match[0].count(b",") for match in text.finditer(body))
    if found > most:
        raise TooLarge.of("body", f"the values of at most {contract.limits.rows} rows", "more")


def read_version(model: str, text: str) -> int:
    """A model's version out of a path.

    Raises:
        UnknownModel: it is not a number.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise UnknownModel(model, text)
    return int(text)


def _inflate(body: bytes, most: int) -> bytes:
    """Decompress gzip or zlib, never making more than `most` bytes."""
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
