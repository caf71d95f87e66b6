"""Converts a request to a WSGI call, and returns its response (PEP 3333)."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from moto.core.request import PRESERVED_HEADER_NAMES_ENVIRON_KEY, environ_key_for_header

from quintet_local.http1 import Request, Response

__all__ = ["WsgiApplication", "call", "environ_of"]

WsgiApplication = Callable[[dict[str, Any], Any], Iterable[bytes]]


def environ_of(request: Request, port: int) -> dict[str, Any]:
    """Return a request's WSGI environment, with the non-standard keys that moto reads."""
    path, _, query = request.target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": request.target,  # an S3 key may contain an encoded slash
        "REMOTE_ADDR": request.client,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    names = {}
    for name, value in request.headers:
        key = environ_key_for_header(name)
        if key in ("CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"):
            continue  # the body is complete
        environ[key] = f"{environ[key]},{value}" if key in environ else value
        if key.startswith("HTTP_X_AMZ_META_"):
            names[key] = name
    environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = names
    return environ


def call(application: WsgiApplication, environ: dict[str, Any]) -> Response:
    """Return the application's complete response."""
    status, headers = 500, []

    def start_response(line: str, given: list[tuple[str, str]], _: Any = None) -> None:
        nonlocal status, headers
        status, headers = int(line.split(" ", 1)[0]), given

    answer = application(environ, start_response)
    try:
        body = b"".join(answer)
    finally:
        if close := getattr(answer, "close", None):
            close()
    if environ["REQUEST_METHOD"] != "HEAD":
        headers = [item for item in headers if item[0].lower() != "content-length"]
    return Response(status, body, headers)
