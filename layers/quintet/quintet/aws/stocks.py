"""The stock of a candidate model's items, in the candidates table.

The key is "stock#<model>" as `user` and "-" as `run`, which no run is called. `sold_out` holds a
bit for each number from 0 on, the first in the highest bit of a byte; `at` is in epoch seconds.
"""

from __future__ import annotations

import base64

import numpy as np

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import ConditionFailed, Item, Table, attributes
from quintet.batch.stock import Stock

__all__ = ["StockTable", "stock_from", "stock_key"]


class StockTable:
    """See `quintet.batch.stock.Stocks`."""

    def __init__(self, client: AwsClient, table: str) -> None:
        self._table = Table(client, table)

    def put(self, model: str, stock: Stock) -> bool:
        """See `Stocks.put`."""
        body = base64.b64encode(np.packbits(stock.sold_out).tobytes()).decode()
        at = attributes({"at": stock.at})
        try:
            self._table.call(
                "PutItem",
                Item={**stock_key(model), "sold_out": {"B": body}, **at},
                ConditionExpression="attribute_not_exists(#at) OR #at <= :at",
                ExpressionAttributeNames={"#at": "at"},
                ExpressionAttributeValues={":at": at["at"]},
            )
        except ConditionFailed:
            return False
        return True

    def get(self, model: str) -> Stock | None:
        """See `Stocks.get`."""
        item = self._table.item(stock_key(model))
        return None if item is None else stock_from(item)


def stock_key(model: str) -> Item:
    """The key of a model's stock."""
    return attributes({"user": f"stock#{model}", "run": "-"})


def stock_from(item: Item) -> Stock:
    """The stock of an item; `sold_out` is filled up with False to a multiple of 8."""
    packed = np.frombuffer(base64.b64decode(item["sold_out"]["B"]), np.uint8)
    return Stock(np.unpackbits(packed).astype(np.bool_), float(item["at"]["N"]))
