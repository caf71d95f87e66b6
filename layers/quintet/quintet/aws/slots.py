"""Endpoint slots in the stream table: the key "busy#<endpoint>", the slot's number as the part."""

from __future__ import annotations

import random
from contextlib import suppress

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import ConditionFailed, Table, number, text
from quintet.errors import Transient
from quintet.webhooks.slots import SLOT_SECONDS, EndpointBusy, Slot

__all__ = ["EndpointSlots"]


class EndpointSlots:
    """Slots in DynamoDB, `bound` per endpoint; see `quintet.webhooks.slots.Slots`."""

    def __init__(self, client: AwsClient, table: str, bound: int) -> None:
        self._table = Table(client, table)
        self._bound = bound

    def take(self, endpoint: str, now: float) -> Slot:
        """See `Slots.take`."""
        # in random order, so that concurrent invocations try different slots first
        for place in random.sample(range(self._bound), self._bound):
            slot = Slot(endpoint, place)
            # held by this very slot: the response to the first attempt was lost
            condition = "attribute_not_exists(#until) OR #until <= :now OR holder = :holder"
            with suppress(ConditionFailed):
                self._put(slot, now + SLOT_SECONDS, condition, {":now": number(now)})
                return slot
        raise EndpointBusy("the endpoint has as many callbacks as it may")

    def free(self, slot: Slot) -> None:
        """See `Slots.free`."""
        with suppress(ConditionFailed, Transient):
            self._put(slot, 0.0, "holder = :holder", {})

    def _put(
        self, slot: Slot, until: float, condition: str, values: dict[str, dict[str, str]]
    ) -> None:
        names = {"ExpressionAttributeNames": {"#until": "until"}} if "#until" in condition else {}
        self._table.call(
            "PutItem",
            Item={
                "key": text(f"busy#{slot.endpoint}"),
                "part": text(str(slot.number)),
                "holder": text(slot.holder),
                "until": number(until),
            },
            ConditionExpression=condition,
            ExpressionAttributeValues={":holder": text(slot.holder), **values},
            **names,
        )
