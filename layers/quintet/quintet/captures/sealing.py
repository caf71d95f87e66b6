"""Encryption of the sensitive features of captured rows: AES-256-GCM, each row by itself.

An environment gets one data key, on the first such capture. Rows move between objects, so each row
carries its nonce and names its wrapped data key. Its model, version, event and row number are
authenticated: values that were moved to another row do not open.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from quintet.captures.plans import About, CapturePlan, Rows, Sealed
from quintet.columns import Array, Batch
from quintet.errors import Transient

__all__ = ["NONCE_BYTES", "DataKey", "DataKeys", "MemoryKeys", "Sealer", "authenticated"]

NONCE_BYTES = 12
#: seconds without sealed features after a data key could not be made
RETRY_SECONDS = 60.0


class DataKey(NamedTuple):
    """A data key: 32 bytes, and the same wrapped by the stage's key."""

    plain: bytes
    wrapped: bytes


class DataKeys(Protocol):
    """Where data keys are made."""

    def make(self) -> DataKey:
        """A new data key. Raises Transient."""
        ...


class MemoryKeys:
    """A stage's key in memory: see `DataKeys`, and `quintet.captures.opening.WrappedKeys`."""

    def __init__(self) -> None:
        self.enabled = True
        self.made: dict[bytes, bytes] = {}
        self.calls = 0

    def make(self) -> DataKey:
        """See `DataKeys.make`."""
        self.calls += 1
        if not self.enabled:
            raise Transient("the key is disabled")
        key = DataKey(AESGCM.generate_key(256), os.urandom(16))
        self.made[key.wrapped] = key.plain
        return key

    def unwrap(self, wrapped: bytes) -> bytes | None:
        """See `WrappedKeys.unwrap`."""
        self.calls += 1
        return self.made.get(wrapped) if self.enabled else None


class Sealer:
    """Seals sensitive features; `clock` is in seconds, `failed` hears why nothing is sealed.

    Without a data key the features are left out: the answer neither fails nor waits for retries. A
    data key is asked for once in `RETRY_SECONDS`, and `failed` is called once until there is one.
    """

    def __init__(
        self, keys: DataKeys, clock: Callable[[], float], failed: Callable[[str], None]
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._failed = failed
        self._told = False
        self._retry = float("-inf")
        self._cipher: tuple[str, AESGCM] | None = None

    def seal(
        self,
        plan: CapturePlan,
        batch: Batch,
        rows: Rows | None,
        event: str | Sequence[str],
        numbers: NDArray[np.int64],
    ) -> Sealed | None:
        """See `quintet.captures.plans.Seal`."""
        cipher = self._cipher or self._with_new_key()
        if cipher is None or not batch.columns.keys() >= set(plan.sealed):
            return None
        columns = [batch.columns[name] for name in plan.sealed]
        lists = [_plain(one if rows is None else one[rows]) for one in columns]
        events = [event] * len(numbers) if isinstance(event, str) else event
        nonces = os.urandom(NONCE_BYTES * len(numbers))
        sealed = []
        for place, (one, number, *values) in enumerate(
            zip(events, numbers.tolist(), *lists, strict=True)
        ):
            nonce = nonces[place * NONCE_BYTES : (place + 1) * NONCE_BYTES]
            about = authenticated(plan.about, one, number)
            encrypted = cipher[1].encrypt(nonce, orjson.dumps(values), about)
            sealed.append(base64.b64encode(nonce + encrypted).decode())
        return Sealed(cipher[0], sealed)

    def _with_new_key(self) -> tuple[str, AESGCM] | None:
        if self._clock() < self._retry:
            return None
        try:
            key = self._keys.make()
        except Transient as error:
            self._retry = self._clock() + RETRY_SECONDS
            if not self._told:
                self._failed(str(error))
                self._told = True
            return None
        self._cipher = base64.b64encode(key.wrapped).decode(), AESGCM(key.plain)
        return self._cipher


def authenticated(about: About, event: str, row: int) -> bytes:
    """What a row's sealed features are bound to. Only the event may contain a colon."""
    return f"{about.model}:{about.version}:{row}:{event}".encode()


def _plain(column: Array) -> list[object]:
    """The values of a feature, row by row, as JSON has them; NaN becomes null."""
    values: list[object] = column.tolist()
    if column.dtype.kind == "O":  # texts, or an array a row
        return [one.tolist() if isinstance(one, np.ndarray) else one for one in values]
    return values
