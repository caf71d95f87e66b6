"""Cross-origin requests: which web pages may call the API from a browser.

The stage's variable `CorsOrigins` lists their origins; without it no page may.
https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["headers"]

#: seconds for which a browser remembers what a page may send
_MAX_AGE = "7200"


def headers(
    origins: str, sent: Mapping[str, str], preflight: tuple[str, ...] | None
) -> dict[str, str]:
    """The CORS headers of an answer to a request with the headers `sent`, names in lower case.

    `origins` is separated by commas. `preflight` are the path's methods if the request asks what a
    page may send, else None.
    """
    found = {"Vary": "Origin"}
    origin = sent.get("origin")
    if origin not in origins.split(","):
        return found
    found["Access-Control-Allow-Origin"] = origin
    if preflight is None:
        found["Access-Control-Expose-Headers"] = "*"
        return found
    found["Access-Control-Allow-Methods"] = ", ".join(preflight)
    found["Access-Control-Max-Age"] = _MAX_AGE
    # not *, which leaves out Authorization
    if wanted := sent.get("access-control-request-headers"):
        found["Access-Control-Allow-Headers"] = wanted
    return found
