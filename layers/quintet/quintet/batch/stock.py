"""Which items of a candidate model's catalogue are sold out, and since when that is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from quintet.errors import BadInput

__all__ = ["MemoryStocks", "Stock", "Stocks", "stock_of"]


class Stock(NamedTuple):
    """`sold_out` is (items + 1,) by the items' numbers; it was true `at`, in epoch seconds."""

    sold_out: NDArray[np.bool_]
    at: float


class Stocks(Protocol):
    """The store of each model's stock."""

    def put(self, model: str, stock: Stock) -> bool:
        """Store a stock unless a later one is stored; whether it was. Raises Transient."""
        ...

    def get(self, model: str) -> Stock | None:
        """Return the stock of a model; None if it was never told. Raises Transient."""
        ...


class MemoryStocks:
    """Stocks in memory."""

    def __init__(self) -> None:
        self.held: dict[str, Stock] = {}

    def put(self, model: str, stock: Stock) -> bool:
        """See `Stocks.put`."""
        if (held := self.held.get(model)) is not None and held.at > stock.at:
            return False
        self.held[model] = stock
        return True

    def get(self, model: str) -> Stock | None:
        """See `Stocks.get`."""
        return self.held.get(model)


def stock_of(
    numbers: Sequence[int], items: int, at: float, *, in_stock: bool = False
) -> tuple[Stock, int]:
    """The stock of a catalogue of items 1 to `items`, and how many numbers are not in it.

    `numbers` are the items that are sold out, or with `in_stock` those that are not.

    Raises:
        BadInput: no item is left, which would leave nothing to recommend.
    """
    known = np.array([number for number in numbers if 1 <= number <= items], dtype=np.int64)
    sold_out = np.full(items + 1, in_stock)
    sold_out[known] = not in_stock
    sold_out[0] = False
    if sold_out[1:].all():
        got = f"all {items:,} sold out"
        raise BadInput.of("items", "a list that leaves some item of the catalogue in stock", got)
    return Stock(sold_out, at), len(numbers) - len(known)
