"""The webhook channel: posts signed events to registered endpoints.

Signatures follow Standard Webhooks and use the project's library.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple, Protocol

from standardwebhooks import Webhook

from quintet.errors import BadInput, QuintetError
from quintet.webhooks.delivery import Attempt
from quintet.webhooks.endpoints import Endpoint, Endpoints, UnknownEndpoint
from quintet.webhooks.slots import Slots
from quintet.webhooks.url_guard import Blocked

__all__ = [
    "Answer",
    "Undelivered",
    "WebhookChannel",
    "Webhooks",
    "retry_after_seconds",
    "signed_headers",
]

#: Too Many Requests and Service Unavailable: the statuses whose Retry-After is respected
BUSY = (429, 503)
MAX_RETRY_AFTER_CHARACTERS = 64
_SECONDS = re.compile(r"[0-9]{1,9}")


class Undelivered(QuintetError):
    """The receiver did not answer a webhook; the text is a short reason."""


class Answer(NamedTuple):
    """A receiver's answer: the status, and its Retry-After."""

    status: int
    retry_after: str | None = None


class Webhooks(Protocol):
    """An HTTP client for webhooks."""

    def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Post a webhook.

        Raises:
            BadInput: webhooks may not be sent to the URL.
            Blocked: the host resolves to an address that webhooks may not be sent to.
            Undelivered: the receiver did not answer.
        """


class WebhookChannel:
    """Posts to registered endpoints."""

    def __init__(self, endpoints: Endpoints, webhooks: Webhooks, slots: Slots) -> None:
        self._endpoints = endpoints
        self._webhooks = webhooks
        self._slots = slots

    def post(
        self, name: str, webhook_id: str, body: bytes, now: float, traceparent: str = ""
    ) -> Attempt:
        """Post a body to an endpoint once, with an id that all attempts share.

        `traceparent` is the W3C context of what it is about, if that has one.

        Raises:
            EndpointBusy: too many callbacks to it are in flight; nothing was sent.
            Transient: a store does not answer; nothing was sent.
        """
        try:
            endpoint = self._endpoints.get(name)
        except UnknownEndpoint:
            return Attempt("stopped", "no such endpoint")
        if endpoint.disabled:
            return Attempt("stopped", "endpoint disabled")
        slot = self._slots.take(name, now)
        try:
            attempt = self._post(endpoint, webhook_id, body, now, traceparent)
        finally:
            self._slots.free(slot)
        if attempt.last == "410":
            self._endpoints.disable(name, "it answered 410 Gone")
        return attempt

    def _post(
        self, endpoint: Endpoint, webhook_id: str, body: bytes, now: float, traceparent: str
    ) -> Attempt:
        headers = signed_headers(webhook_id, body, endpoint.signing(now), now)
        if traceparent:
            headers["traceparent"] = traceparent
        try:
            status, retry_after = self._webhooks.post(endpoint.url, body, headers)
        except (Blocked, BadInput):
            # the registration is wrong: retrying for a day would only hide that
            return Attempt("given_up", "address refused")
        except Undelivered as error:
            return Attempt("waiting", str(error))
        if 200 <= status < 300:
            return Attempt("delivered", str(status))
        if status in BUSY:
            return Attempt("waiting", str(status), retry_after_seconds(retry_after, now))
        return Attempt("stopped" if status == 410 else "waiting", str(status))


def signed_headers(
    webhook_id: str, body: bytes, secrets: Iterable[str], now: float
) -> dict[str, str]:
    """The headers of a webhook, with one signature for each secret."""
    at = datetime.fromtimestamp(int(now), UTC)
    text = body.decode()
    signatures = [Webhook(secret).sign(webhook_id, at, text) for secret in secrets]
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": " ".join(signatures),
    }


def retry_after_seconds(text: str | None, now: float) -> float:
    """The seconds from `now` that a Retry-After requests; 0 if it cannot be parsed.

    https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
    """
    text = (text or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    if not text.isascii() or len(text) > MAX_RETRY_AFTER_CHARACTERS:
        return 0.0
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    if at.tzinfo is None:  # HTTP's dates are in GMT
        at = at.replace(tzinfo=UTC)
    return max(0.0, at.timestamp() - now)
