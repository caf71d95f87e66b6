"""Registered endpoints: requests name an endpoint by id, so callers cannot choose a URL."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from quintet.errors import BadInput, Conflict, NotFound, Refusal
from quintet.webhooks.url_guard import Scope, parse

__all__ = [
    "ENDPOINT_ID",
    "Endpoint",
    "Endpoints",
    "MemoryEndpoints",
    "Secret",
    "UnknownEndpoint",
    "register",
    "rotate",
]

ENDPOINT_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SESSION = re.compile(r"arn:[^:]+:sts::\d+:assumed-role/[^/]+/.+|arn:[^:]+:iam::\d+:role/.+")
MAX_CALLER = 2_048
MAX_OVERLAP_SECONDS = 30 * 86_400
#: how many secrets may sign at once; more would mean unfinished rotations
MAX_SECRETS = 5


class UnknownEndpoint(NotFound):
    """No endpoint is registered under that id."""

    def __init__(self, endpoint: str) -> None:
        super().__init__([Refusal(None, "endpoint", "a registered endpoint", endpoint)])


@dataclass(frozen=True, slots=True)
class Secret:
    """A signing secret (`whsec_...`) and when it stops signing (epoch seconds; None: never)."""

    text: str = field(repr=False)
    expires: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A receiver of callbacks. `disabled` is the reason it was disabled, empty if it is enabled.

    `callers` are the API callers that may use it; empty means all.
    """

    id: str
    url: str = field(repr=False)  # it may contain a token
    created: str
    secrets: tuple[Secret, ...]
    disabled: str = ""
    callers: tuple[str, ...] = ()

    def signing(self, now: float) -> list[str]:
        """The secrets that sign now: the newest, then those still valid after a rotation."""
        return [s.text for s in self.secrets if s.expires is None or s.expires > now]


class Endpoints(Protocol):
    """Stores endpoints."""

    def get(self, endpoint: str) -> Endpoint:
        """Read an endpoint.

        Raises:
            UnknownEndpoint: no endpoint has that id.
            Transient: the endpoint could not be read.
        """

    def put(self, endpoint: Endpoint, before: Endpoint | None) -> None:
        """Replace the stored endpoint `before`; `before` is None for a new endpoint.

        Raises:
            Conflict: the stored endpoint is not `before`.
            Transient: the endpoint could not be written.
        """

    def disable(self, endpoint: str, reason: str) -> None:
        """Disable an endpoint; no effect if it does not exist.

        Raises:
            Transient: the endpoint could not be written.
        """


class MemoryEndpoints:
    """Endpoints in memory."""

    def __init__(self) -> None:
        self.stored: dict[str, Endpoint] = {}

    def get(self, endpoint: str) -> Endpoint:
        """See `Endpoints.get`."""
        if endpoint not in self.stored:
            raise UnknownEndpoint(endpoint)
        return self.stored[endpoint]

    def put(self, endpoint: Endpoint, before: Endpoint | None) -> None:
        """See `Endpoints.put`."""
        if self.stored.get(endpoint.id) != before:
            raise changed(endpoint.id, before)
        self.stored[endpoint.id] = endpoint

    def disable(self, endpoint: str, reason: str) -> None:
        """See `Endpoints.disable`."""
        if endpoint in self.stored:
            self.stored[endpoint] = replace(self.stored[endpoint], disabled=reason)


def changed(endpoint: str, before: Endpoint | None) -> Conflict:
    """The error of a write if the stored endpoint changed since it was read."""
    if before is None:
        return _conflict("an id that is not taken", endpoint)
    return _conflict(f"{endpoint} as it was read", "a change in between; try again")


def register(
    endpoint: str,
    url: str,
    *,
    scope: Scope,
    created: str,
    random: Callable[[int], bytes],
    callers: Sequence[str] = (),
) -> Endpoint:
    """Create an endpoint with its first secret.

    Raises:
        BadInput: the id, the URL or a caller is not allowed.
    """
    if not ENDPOINT_ID.fullmatch(endpoint):
        expected = "lower-case letters, digits and hyphens, at most 63"
        raise BadInput.of("endpoint", expected, endpoint)
    parse(url, scope)
    for caller in callers:
        if not 0 < len(caller) <= MAX_CALLER or _SESSION.fullmatch(caller):
            expected = "an ARN as jobs have it for their owner, a role's without its session"
            raise BadInput.of("caller", expected, repr(caller[:60]))
    secret, known = _secret(random), tuple(sorted(set(callers)))
    return Endpoint(id=endpoint, url=url, created=created, secrets=(secret,), callers=known)


def rotate(
    endpoint: Endpoint, *, now: float, overlap: float, random: Callable[[int], bytes]
) -> Endpoint:
    """Return the endpoint with a new secret; earlier ones sign for `overlap` more seconds.

    Raises:
        BadInput: the overlap is too long.
        Conflict: too many secrets are still valid.
    """
    if not 0 <= overlap <= MAX_OVERLAP_SECONDS:
        raise BadInput.of("overlap", "0 to 30 days", f"{overlap:g} seconds")
    until = now + overlap
    kept = [
        Secret(s.text, until if s.expires is None else min(s.expires, until))
        for s in endpoint.secrets
        if s.expires is None or s.expires > now
    ]
    kept = [secret for secret in kept if secret.expires is not None and secret.expires > now]
    if len(kept) >= MAX_SECRETS:
        raise _conflict(f"less than {MAX_SECRETS} secrets that are still valid", f"{len(kept)}")
    return replace(endpoint, secrets=(_secret(random), *kept))


def _secret(random: Callable[[int], bytes]) -> Secret:
    # the Standard Webhooks specification requires 24 to 64 bytes
    return Secret(f"whsec_{b64encode(random(32)).decode()}")


def _conflict(expected: str, got: str) -> Conflict:
    return Conflict([Refusal(None, "endpoint", expected, got)])
