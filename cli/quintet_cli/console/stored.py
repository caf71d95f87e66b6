"""Pages that the stage's functions wrote into buckets, shown as they are but for scripts."""

from __future__ import annotations

import base64
import hashlib
import re
from html import unescape

from starlette.responses import HTMLResponse, Response

__all__ = ["stored_page"]

_STYLES = re.compile(r"<style>(.*?)</style>", re.S)
_ATTRIBUTES = re.compile(r'\sstyle="([^"]*)"')
#: styles of elements that are let through; a report has four
MAX_STYLES = 50


def stored_page(body: bytes) -> Response:
    """A page in a sandbox: of what it holds, only its styles count, each by its hash."""
    text = body.decode("utf-8", "replace")
    blocks = _STYLES.findall(text)
    attributes = dict.fromkeys(unescape(one) for one in _ATTRIBUTES.findall(text))
    styles = " ".join(map(_hash, [*blocks, *list(attributes)[:MAX_STYLES]]))
    policy = (
        "sandbox; default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors 'none'; style-src 'unsafe-hashes' {styles}"
    )
    return HTMLResponse(body, headers={"content-security-policy": policy})


def _hash(style: str) -> str:
    digest = hashlib.sha256(style.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
