"""Sealed features of captured rows, opened in memory for the comparison of a rollout's versions."""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import orjson
from arro3 import core
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from quintet.captures.arrays import array_of, column_of
from quintet.captures.plans import CapturePlan
from quintet.captures.sealing import NONCE_BYTES, authenticated
from quintet.captures.tables import SEALED
from quintet.contract import Contract

__all__ = ["Opener", "WrappedKeys"]

#: data keys that are kept: one for each environment that has captured lately
MOST_KEYS = 1000
#: seconds after which a data key is asked for again: so long a disabled key still opens rows
KEPT_SECONDS = 300.0


class WrappedKeys(Protocol):
    """What unwraps data keys."""

    def unwrap(self, wrapped: bytes) -> bytes | None:
        """A data key; None if the stage's key is disabled, deleted, another, or not permitted.

        Raises:
            Transient: the key service did not answer; repeat.
        """
        ...


class Opener:
    """Opens sealed features; `clock` is in seconds. Data keys are kept for `KEPT_SECONDS`."""

    def __init__(self, keys: WrappedKeys, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._clock = clock
        #: with the time until which each is kept, the oldest first
        self._ciphers: OrderedDict[str, tuple[float, AESGCM]] = OrderedDict()

    def open(self, contract: Contract, rows: core.Table) -> tuple[core.Table, int]:
        """Rows that a version answered with the features that its `contract` has sealed as columns,
        null where they are not opened, and how many sealed rows could not be opened.

        Raises:
            Transient: the key service did not answer; repeat.
        """
        plan: CapturePlan = contract.compiled[CapturePlan]
        if not plan.sealed or not set(SEALED) <= set(rows.column_names):
            return rows, 0
        texts, keys, events, numbers = (
            rows[name].to_pylist() for name in (*SEALED, "event", "row")
        )
        ciphers = {key: self._cipher(key) for key in set(keys) if key is not None}
        found: list[list[object]] = []
        places: list[int | None] = [None] * rows.num_rows
        for place, text in enumerate(texts):
            if text is not None:
                about = authenticated(plan.about, events[place], numbers[place])
                values = _opened(ciphers.get(keys[place]), text, about)
                if values is not None and len(values) == len(plan.sealed):
                    places[place] = len(found)
                    found.append(values)
        failed = sum(text is not None for text in texts) - len(found)
        if not found:
            return rows, failed
        index = core.Array(places, core.DataType.int64())
        columns: dict[str, Any] = {n: rows[n].combine_chunks() for n in rows.column_names}
        for name, column in zip(plan.sealed, zip(*found, strict=True), strict=True):
            feature = contract.by_name[name]
            array = array_of(list(column), feature.dtype, free=feature.free)
            columns[f"feature_{name}"] = column_of(array).take(index)
        return core.Table.from_pydict(columns), failed

    def _cipher(self, key: str) -> AESGCM | None:
        """The cipher of a wrapped data key. What does not unwrap is asked for again."""
        now = self._clock()
        until, cipher = self._ciphers.get(key, (now, None))
        if now < until:
            return cipher
        self._ciphers.pop(key, None)
        plain = None
        with suppress(ValueError):  # no base64
            plain = self._keys.unwrap(base64.b64decode(key, validate=True))
        if plain is None:
            return None
        cipher = AESGCM(plain)
        self._ciphers[key] = now + KEPT_SECONDS, cipher
        if len(self._ciphers) > MOST_KEYS:
            self._ciphers.popitem(last=False)
        return cipher


def _opened(cipher: AESGCM | None, text: str, about: bytes) -> list[object] | None:
    """The values of a row; None if they are not those that were sealed for it."""
    if cipher is None:
        return None
    try:
        sealed = base64.b64decode(text)
        plain = cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
    except (ValueError, InvalidTag):
        return None
    values: list[object] = orjson.loads(plain)
    return values
