"""The demo's recommendations over HTTP, and the feedback on them, from real orders."""

from __future__ import annotations

import csv
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import urllib3

from quintet_cli.stage import Stage, StageError
from quintet_publish.kit import read_table, write_table

__all__ = ["Order", "Shelf", "Shown", "cut", "item_names", "read_orders"]

#: what shows why a request was refused
LOGS = "quintet logs Predict"
#: rows of feedback in a request
FEEDBACK_ROWS = 10_000
#: requests until the ranker has answered one
REQUESTS = 50


@dataclass(frozen=True, slots=True)
class Order:
    """A customer's order: the items that are in the basket first, and the `rest` of it."""

    customer: str
    basket: list[int]
    rest: frozenset[int]


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer: the impression's id, None if it was not captured, and the items in order."""

    impression: str | None
    version: int
    step: str
    items: list[int]


def read_orders(path: Path) -> list[Order]:
    """Return the orders of a table of the ranker's package."""
    table = read_table(path)
    columns = (table[name].tolist() for name in ("customer_id", "basket", "rest"))
    return [
        Order(customer, basket.tolist(), frozenset(rest.tolist()))
        for customer, basket, rest in zip(*columns, strict=True)
    ]


def item_names(path: Path) -> dict[int, str]:
    """Return the names of a catalogue's items by their numbers."""
    with path.open(newline="") as lines:
        return {int(row["item"]): row["name"] for row in csv.DictReader(lines)}


def cut(path: Path, out: Path, orders: Sequence[Order]) -> int:
    """Write the rows of a file of customers that have an order; return their number."""
    table = read_table(path)
    rows = np.flatnonzero(np.isin(table["customer_id"].astype(str), [o.customer for o in orders]))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_table(out, {name: column[rows] for name, column in table.items()})
    return len(rows)


class Shelf:
    """Asks for recommendations, and remembers what was shown for which order."""

    def __init__(self, stage: Stage, model: str) -> None:
        self._stage = stage
        self._model = model
        self._pool = urllib3.PoolManager(retries=False)
        self.shown: dict[str, tuple[Order, Shown]] = {}

    def ranked(self, order: Order, basket: Sequence[int]) -> Shown:
        """Ask until the ranker answers: it does not while it loads, or is late.

        Raises:
            StageError: it does not.
        """
        for _ in range(REQUESTS):
            if (found := self.ask(order, basket)).step == "reranked":
                return found
        raise StageError(
            f"{self._model} ranks nothing: the last answer's step was {found.step}",
            command=LOGS,
        )

    def ask(self, order: Order, basket: Sequence[int]) -> Shown:
        """Return what is recommended to an order's customer with these items in the basket.

        Raises:
            StageError: the request was refused.
        """
        status, answer = self._post(
            f"/models/{self._model}/recommendations/{order.customer}", {"items": list(basket)}
        )
        if status != 200:
            raise StageError(f"{self._model} answered {status}: {answer['detail']}", command=LOGS)
        items = [one["item"] for one in answer["items"]]
        found = Shown(answer["impression"], answer["version"], answer["step"], items)
        if found.impression is not None:
            self.shown[found.impression] = (order, found)
        return found

    def answers(self, orders: Sequence[Order]) -> Generator[Sequence[int | None]]:
        """Ask for each order with its basket, again and again; see `follow`."""
        while True:
            for order in orders:
                yield [self.ask(order, order.basket).version]

    def tell(self) -> int:
        """Send feedback: each item was seen, and clicked if the order has it; return the clicks.

        Raises:
            StageError: it was refused.
        """
        rows = []
        for impression, (order, shown) in self.shown.items():
            for item in shown.items:
                types = ("view", "click") if item in order.rest else ("view",)
                rows += [{"impression": impression, "item": item, "type": one} for one in types]
        for start in range(0, len(rows), FEEDBACK_ROWS):
            body = {"model": self._model, "feedback": rows[start : start + FEEDBACK_ROWS]}
            status, answer = self._post("/feedback", body)
            if status != 200:
                raise StageError(
                    f"feedback was answered {status}: {answer['detail']}", command=LOGS
                )
        return sum(row["type"] == "click" for row in rows)

    def _post(self, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        url = f"{self._stage.api_url}{path}"
        response = self._pool.request("POST", url, json=body, timeout=30)
        return response.status, response.json()
