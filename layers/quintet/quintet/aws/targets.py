"""Check that a callback endpoint is registered, without reading its secrets."""

from __future__ import annotations

import re

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import Table, text
from quintet.errors import BadInput, NotFound, Refusal

__all__ = ["EndpointIds"]

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class EndpointIds:
    """See `quintet.jobs.submit.CallbackEndpoints`. Refusals name `field`."""

    def __init__(self, client: AwsClient, table: str, field: str = "X-Quintet-Callback") -> None:
        self._table = Table(client, table)
        self._field = field

    def check(self, endpoint: str, caller: str | None = None) -> None:
        """See `CallbackEndpoints.check`. Without a caller: an operator, who may use any."""
        found = None
        if _ID.fullmatch(endpoint):  # an id from a header may not be a valid key
            known = "endpoint, disabled, callers"
            found = self._table.item({"endpoint": text(endpoint)}, ProjectionExpression=known)
        callers = found.get("callers", {}).get("SS") if found else None
        if found is None or (callers and caller not in (None, *callers)):  # do not reveal which
            expected = "the id of a registered endpoint"
            raise NotFound([Refusal(None, self._field, expected, repr(endpoint[:63]))])
        if found.get("disabled", {}).get("S"):
            raise BadInput.of(self._field, "an enabled endpoint", "a disabled one")
