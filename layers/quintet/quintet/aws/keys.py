"""The stage's key for captures, in KMS, through its JSON protocol.

https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKey.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.responses import AwsResponse, error_name
from quintet.captures.sealing import DataKey
from quintet.errors import Transient

__all__ = ["CaptureKey"]

#: errors that asking again does not change
_CLOSED = {
    "AccessDeniedException",
    "DisabledException",
    "IncorrectKeyException",
    "InvalidCiphertextException",
    "KMSInvalidStateException",
    "NotFoundException",
}


class CaptureKey:
    """Makes data keys, and unwraps them; `key` is an ARN, `stage` is bound to each data key.

    See `quintet.captures.sealing.DataKeys`, and `quintet.captures.opening.WrappedKeys`.
    """

    def __init__(self, client: AwsClient, key: str, stage: str) -> None:
        self._client = client
        self._fixed = {"KeyId": key, "EncryptionContext": {"quintet:stage": stage}}

    def make(self) -> DataKey:
        """See `DataKeys.make`."""
        response = self._call("GenerateDataKey", {"KeySpec": "AES_256"})
        if response.status != 200:
            raise Transient(f"kms made no data key ({_what(response)})")
        found = json.loads(response.body)
        return DataKey(*(base64.b64decode(found[n]) for n in ("Plaintext", "CiphertextBlob")))

    def unwrap(self, wrapped: bytes) -> bytes | None:
        """See `WrappedKeys.unwrap`."""
        response = self._call("Decrypt", {"CiphertextBlob": base64.b64encode(wrapped).decode()})
        if response.status == 200:
            return base64.b64decode(json.loads(response.body)["Plaintext"])
        if error_name(response) in _CLOSED:
            return None
        raise Transient(f"kms opened no data key ({_what(response)})")

    def _call(self, operation: str, payload: Mapping[str, Any]) -> AwsResponse:
        return self._client.call(
            f"TrentService.{operation}", {**self._fixed, **payload}, version="1.1"
        )


def _what(response: AwsResponse) -> str:
    return error_name(response) or f"status {response.status}"
