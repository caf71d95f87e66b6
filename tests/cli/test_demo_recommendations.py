"""The demo's recommendations: the orders that it is played with, and its tables."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from quintet_cli.demo.hybrid import CUSTOMER
from quintet_cli.demo.recommendations import Order, Shown, cut, item_names, read_orders
from quintet_cli.demo.tables import clicks_table, impression_table, shelves_table
from quintet_publish.kit import read_table

ORDERS = Path("models/ranker/data/held_out.parquet")
CUSTOMERS = Path("models/candidates/data/customers.parquet")
NAMES = {1: "BOWL", 2: "MUG", 3: "JUG"}


def printed(table: Table) -> list[list[str]]:
    """The cells of a table's rows."""
    out = io.StringIO()
    Console(file=out, width=200).print(table)
    rows = [line.split("│")[1:-1] for line in out.getvalue().splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row] for row in rows]


def test_every_order_is_of_a_customer_with_candidates_and_of_named_items(tmp_path: Path) -> None:
    orders = read_orders(ORDERS)
    names = item_names(Path("models/candidates/data/items.csv"))
    assert len({order.customer for order in orders}) == len(orders) == 1357
    assert CUSTOMER in {order.customer for order in orders}
    for order in orders:
        assert len(order.basket) == 5 and not order.rest & set(order.basket)
        assert names.keys() >= {*order.basket, *order.rest}
    assert cut(CUSTOMERS, tmp_path / "demo/customers.parquet", orders[:40]) == 40
    found, whole = read_table(tmp_path / "demo/customers.parquet"), read_table(CUSTOMERS)
    assert found["customer_id"].tolist() == [order.customer for order in orders[:40]]
    (row,) = np.flatnonzero(whole["customer_id"] == orders[7].customer)
    assert found["items"][7].tolist() == whole["items"][row].tolist()
    assert found["days"][7].tolist() == whole["days"][row].tolist()


def test_a_basket_is_shown_to_change_the_order() -> None:
    order = Order("7", [1], frozenset({3}))
    before, after = Shown("a", 1, "reranked", [1, 2]), Shown("b", 1, "reranked", [2, 3])
    table = shelves_table(order, NAMES, before, after)
    assert table.title == "customer 7; in the basket: BOWL"
    assert printed(table) == [["1", "BOWL", "MUG"], ["2", "MUG", "+ JUG ✓"]]


def test_an_export_is_shown_as_an_impression_and_as_clicks_of_each_version() -> None:
    rows = {
        "impression": np.array(["b", "b", "a", "c"]),
        "version": np.array([1, 1, 2, 1]),
        "step": np.array(["reranked", "reranked", "reranked", "candidates"]),
        "item": np.array([2, 1, 3, 3]),
        "position": np.array([2, 1, 1, 1]),
        "propensity": np.array([0.9525, 0.0025, 1, 1]),
        "viewed": np.array([True, True, True, False]),
        "clicked": np.array([False, True, False, False]),
        "feature_score": np.array([0.5, 1.25, 2.0, None]),
    }
    assert printed(impression_table(rows, NAMES, "b")) == [
        ["1", "BOWL", "0.0025", "1.250", "✓", "✓"],
        ["2", "MUG", "0.9525", "0.500", "✓", ""],
    ]
    assert printed(clicks_table(rows)) == [
        ["1", "candidates", "1", "1", "0", "0.0%"],
        ["1", "reranked", "1", "2", "1", "50.0%"],
        ["2", "reranked", "1", "1", "0", "0.0%"],
    ]
