"""Builds what `authorise` needs, from its settings."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from quintet.wiring import common

if TYPE_CHECKING:
    from quintet.callers.caller import Caller
    from quintet.settings import AuthoriseSettings

__all__ = ["settings", "verifier"]


@cache
def settings() -> AuthoriseSettings:
    """The settings of `authorise`."""
    from quintet.settings import AuthoriseSettings, read

    return read(AuthoriseSettings, os.environ)


@cache
def verifier() -> Callable[[str], Caller]:
    """What returns the caller of a key or token; it raises Refused or Transient."""
    if settings().auth == "jwt":
        return _tokens()
    from quintet.aws.caller_keys import KeyTable
    from quintet.callers.keys import CachedKeys, caller_of

    keys = KeyTable(common.client("dynamodb"), settings().keys_table)
    cached = CachedKeys(keys, time.monotonic)
    return lambda text: caller_of(text, cached, time.time())


def _tokens() -> Callable[[str], Caller]:
    """The verifier of tokens: what it needs lies in a layer of stages that take them."""
    from functools import partial

    from quintet.aws.issuers import issuer_document
    from quintet.callers.issuer_keys import IssuerKeys
    from quintet.callers.tokens import Tokens

    known = settings()
    fetch = partial(issuer_document, known.jwt_issuer, known.jwt_keys_url)
    keys = IssuerKeys(fetch, time.monotonic)
    return Tokens(known.jwt_issuer, known.jwt_audience, keys).caller_of
