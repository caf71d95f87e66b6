"""Keys of callers: 256 random bits, of which the SHA-256 alone is stored.

A key is `qk_`, the id under which it is stored, and its secret. No slow hash is needed: a secret
that is drawn, not chosen, cannot be guessed from its hash.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from secrets import token_bytes, token_urlsafe
from typing import Protocol

from quintet.callers.caller import RESERVED, Caller, Refused
from quintet.errors import BadInput, NotFound, Refusal

__all__ = ["CachedKeys", "Key", "Keys", "MemoryKeys", "UnknownKey", "caller_of", "make_key"]

_KEY = re.compile(r"qk_([a-z2-7]{16})_([A-Za-z0-9_-]{43})")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
#: API Gateway's own bound of a plan's rate, requests a second
MAX_RATE = 10_000


class UnknownKey(NotFound):
    """No key is stored under that id."""

    def __init__(self, id: str) -> None:
        super().__init__([Refusal(None, "key", "the id of a key: quintet keys ls", id)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A stored key of the caller `name`, who may have several, while one replaces another.

    Times are epoch seconds. `models` are those that it may ask, empty for all; `rate` is requests a
    second, None for the API's own limit; `expires` and `revoked` are None for never.
    """

    id: str
    name: str
    digest: str = field(repr=False)
    created: float
    models: tuple[str, ...] = ()
    rate: int | None = None
    expires: float | None = None
    revoked: float | None = None

    @property
    def plan_key(self) -> str:
        """What API Gateway knows the key by in the plan of its rate; empty without a rate."""
        return "" if self.rate is None else f"quintet-{self.id}"


class Keys(Protocol):
    """Stores keys."""

    def get(self, id: str) -> Key | None:
        """Read a key; None if it does not exist.

        Raises:
            Transient: it could not be read.
        """


class MemoryKeys:
    """Keys in memory."""

    def __init__(self) -> None:
        self.stored: dict[str, Key] = {}

    def get(self, id: str) -> Key | None:
        """See `Keys.get`."""
        return self.stored.get(id)

    def add(self, key: Key) -> None:
        """Store a new key."""
        self.stored[key.id] = key

    def revoke(self, id: str, now: float) -> Key:
        """Revoke a key, once; return it.

        Raises:
            UnknownKey: there is none of that id.
        """
        if id not in self.stored:
            raise UnknownKey(id)
        key = self.stored[id]
        self.stored[id] = key if key.revoked is not None else replace(key, revoked=now)
        return self.stored[id]

    def all(self) -> list[Key]:
        """Return all keys, the oldest first."""
        return sorted(self.stored.values(), key=lambda key: (key.created, key.id))


class CachedKeys:
    """Keeps keys that were found for some seconds: so long a revoked key may still be taken."""

    def __init__(
        self, keys: Keys, clock: Callable[[], float], seconds: float = 10.0, most: int = 1_000
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._seconds = seconds
        self._most = most
        self._kept: dict[str, tuple[float, Key]] = {}

    def get(self, id: str) -> Key | None:
        """See `Keys.get`."""
        now = self._clock()
        if (kept := self._kept.get(id)) is not None and now < kept[0]:
            return kept[1]
        key = self._keys.get(id)
        if key is None:
            self._kept.pop(id, None)
            return None
        if len(self._kept) >= self._most:
            self._kept.clear()
        self._kept[id] = now + self._seconds, key
        return key


def make_key(
    name: str,
    now: float,
    *,
    models: tuple[str, ...] = (),
    rate: int | None = None,
    expires: float | None = None,
) -> tuple[Key, str]:
    """Make a key of the caller `name`; return it with the text that the caller sends.

    Raises:
        BadInput: the name, the rate or the expiry is out of bounds.
    """
    if not _NAME.fullmatch(name) or name == RESERVED:
        expected = f"a letter, then up to 62 of a-z, 0-9 and -; not {RESERVED}"
        raise BadInput.of("name", expected, name)
    if rate is not None and not 1 <= rate <= MAX_RATE:
        raise BadInput.of("rate", f"1 to {MAX_RATE} requests a second", str(rate))
    if expires is not None and expires <= now:
        raise BadInput.of("expires", "a time to come", _day(expires))
    id = base64.b32encode(token_bytes(10)).decode().lower()
    secret = token_urlsafe(32)
    key = Key(
        id=id,
        name=name,
        digest=_digest(secret),
        created=now,
        models=tuple(sorted(set(models))),
        rate=rate,
        expires=expires,
    )
    return key, f"qk_{id}_{secret}"


def caller_of(text: str, keys: Keys, now: float) -> Caller:
    """Return the caller of a key as sent.

    A key that is unknown and one with a wrong secret are refused alike.

    Raises:
        Refused: the key is malformed, unknown, expired or revoked.
        Transient: the keys could not be read.
    """
    match = _KEY.fullmatch(text)
    if match is None:
        raise Refused("expected a key of this API (qk_...), got something else")
    id, secret = match.groups()
    key = keys.get(id)
    if key is None or not hmac.compare_digest(key.digest, _digest(secret)):
        raise Refused("the key is not known")
    if key.revoked is not None:
        raise Refused(f"the key {id} was revoked on {_day(key.revoked)}; ask for another")
    if key.expires is not None and key.expires <= now:
        raise Refused(f"the key {id} expired on {_day(key.expires)}; ask for another")
    return Caller(key.name, key.models, key.plan_key)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
