"""KMS keys: made with the ids of their template, and refused where AWS refuses a key's state."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from quintet_local.names import ACCOUNT, REGION

__all__ = ["by_id_or_arn", "make_key", "of_enabled_keys"]


def make_key(
    id: str, arn: str, properties: Mapping[str, Any], material: Callable[[str, bytes], bytes]
) -> None:
    """Add a key to moto, whose API gives keys ids of its own.

    `material` returns the bytes of the key of an id, which are new ones the first time.
    """
    from moto.kms.models import kms_backends

    backend: Any = kms_backends[ACCOUNT][REGION]
    key = backend.create_key(
        policy=json.dumps(properties["KeyPolicy"]),
        key_usage="ENCRYPT_DECRYPT",
        key_spec="SYMMETRIC_DEFAULT",
        description=properties.get("Description", ""),
        tags=properties.get("Tags"),
    )
    del backend.keys[key.id]
    key.id, key.arn = id, arn
    key.key_material = material(id, key.key_material)
    backend.keys[id] = key


def by_id_or_arn(call: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap moto's change of a key's state, which knows keys by their ids alone."""

    @wraps(call)
    def named(backend: Any, key_id: str, *args: Any, **named: Any) -> Any:
        return call(backend, key_id.rpartition("/")[2], *args, **named)

    return named


def of_enabled_keys(call: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap moto's encryption or decryption, which takes disabled keys; its result ends with an ARN.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
    """
    from moto.core.exceptions import JsonRESTError

    @wraps(call)
    def checked(backend: Any, *args: Any, **named: Any) -> Any:
        result = call(backend, *args, **named)
        arn = result[-1]
        state = backend.keys[arn.rpartition("/")[2]].key_state
        if state == "Disabled":
            raise JsonRESTError("DisabledException", f"{arn} is disabled.")
        if state != "Enabled":
            raise JsonRESTError("KMSInvalidStateException", f"{arn} is {state}.")
        return result

    return checked
