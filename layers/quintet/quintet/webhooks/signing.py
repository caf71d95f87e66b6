"""Standard Webhooks signatures, by the project's own library.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from standardwebhooks import Webhook

__all__ = ["headers"]


def headers(webhook_id: str, body: bytes, secrets: Iterable[str], now: float) -> dict[str, str]:
    """The headers of a callback, with one signature for each secret."""
    at = datetime.fromtimestamp(int(now), UTC)
    text = body.decode()
    signatures = [Webhook(secret).sign(webhook_id, at, text) for secret in secrets]
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": " ".join(signatures),
    }
