"""The table of callers' keys."""

from __future__ import annotations

from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import ConditionFailed, Item, Table, attributes, plain
from quintet.callers.keys import Key, UnknownKey

__all__ = ["KeyTable"]

_TUPLES = ("models",)


class KeyTable:
    """Reads and writes keys; the functions read them alone."""

    def __init__(self, client: AwsClient, table: str) -> None:
        self._table = Table(client, table, resend_writes=False)

    def get(self, id: str) -> Key | None:
        """See `quintet.callers.keys.Keys.get`."""
        item = self._table.item({"key": {"S": id}})
        return None if item is None else _key(item)

    def add(self, key: Key) -> None:
        """Store a new key.

        Raises:
            Transient: it could not be written.
        """
        values = {name: getattr(key, name) for name in Key.__slots__ if name != "id"}
        kept = {name: value for name, value in values.items() if value not in (None, ())}
        kept |= {name: list(kept[name]) for name in _TUPLES if name in kept}
        self._table.call("PutItem", Item=attributes({"key": key.id, **kept}))

    def revoke(self, id: str, now: float) -> Key:
        """Revoke a key, once; return it.

        Raises:
            UnknownKey: there is none of that id.
            Transient: it could not be written.
        """
        try:
            answer = self._table.call(
                "UpdateItem",
                Key={"key": {"S": id}},
                UpdateExpression="SET revoked = if_not_exists(revoked, :now)",
                ConditionExpression="attribute_exists(digest)",
                ExpressionAttributeValues=attributes({":now": now}),
                ReturnValues="ALL_NEW",
            )
        except ConditionFailed as error:
            raise UnknownKey(id) from error
        return _key(answer["Attributes"])

    def all(self) -> list[Key]:
        """Return all keys, the oldest first.

        Raises:
            Transient: they could not be read.
        """
        found = [_key(item) for item in self._table.pages("Scan", ConsistentRead=True)]
        return sorted(found, key=lambda key: (key.created, key.id))


def _key(item: Item) -> Key:
    values: dict[str, Any] = {name: plain(value) for name, value in item.items()}
    values |= {name: tuple(values[name]) for name in _TUPLES if name in values}
    return Key(id=values.pop("key"), **values)
