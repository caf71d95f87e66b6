"""The tables that the demo prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from rich.table import Table

from quintet.streaming.alert import Alert
from quintet_cli.demo.orders import Served
from quintet_cli.demo.recommendations import Order, Shown
from quintet_publish.kit import Columns

__all__ = [
    "SHOWN_COLUMNS",
    "alerts_table",
    "clicks_table",
    "departments_table",
    "impression_table",
    "samples_table",
    "shelves_table",
    "times_table",
]

#: recommended items that a table has
TOP = 10
#: what tables show of exported impressions
SHOWN_COLUMNS = (
    *("impression", "version", "step", "item", "position", "propensity"),
    *("viewed", "clicked", "feature_score"),
)


def samples_table(served: Served) -> Table:
    """Return a table of the first orders and their scores."""
    table = Table(title="the first orders", title_justify="left")
    names = ("customer", "amount", "lines", "will be cancelled", "label", "answered by")
    for name in names:
        table.add_column(name, justify="left" if name in ("label", "answered by") else "right")
    for record, prediction in served.samples:
        table.add_row(
            str(record["customer_id"]),
            f"{record['amount']:.2f}",
            f"{record['lines']:.0f}",
            f"{prediction['probabilities']['cancelled']:.1%}",
            _label(prediction),
            "the fallback rule" if prediction.get("fallback") else "the model",
        )
    return table


def times_table(served: Served, cold: float) -> Table:
    """Return a table of request times; `cold` is the first one's time in milliseconds."""
    table = Table(title="requests through the API, one caller", title_justify="left")
    row = [f"{len(served.milliseconds)}", f"{cold:.0f} ms"]
    for name in ("orders", "first (cold)", "p50", "p95", "p99", "answered by rule", "refused"):
        table.add_column(name, justify="right")
    row += [f"{served.percentile(share):.1f} ms" for share in (50, 95, 99)]
    table.add_row(*row, str(served.fallback), str(served.refused))
    return table


def departments_table(routed: Iterable[tuple[str, dict[str, Any]]]) -> Table:
    """Return a table of texts and the departments predicted for them."""
    table = Table(title="texts routed to departments", title_justify="left")
    table.add_column("text")
    table.add_column("department")
    table.add_column("sure", justify="right")
    for text, prediction in routed:
        sure = f"{max(prediction['probabilities'].values()):.0%}"
        table.add_row(text, _label(prediction), sure)
    return table


def alerts_table(alerts: Iterable[tuple[Alert, float]]) -> Table:
    """Return a table of alerts, and the seconds until they were received."""
    table = Table(title="alerts", title_justify="left")
    for name in ("sensor", "deviations from what was expected", "seen after"):
        table.add_column(name, justify="left" if name == "sensor" else "right")
    for alert, seconds in alerts:
        table.add_row(alert.entity, f"{alert.value:.1f}", f"{seconds:.1f} s")
    return table


def shelves_table(order: Order, names: Mapping[int, str], before: Shown, after: Shown) -> Table:
    """Return a table of what is recommended without a basket and with it."""
    basket = ", ".join(names[item] for item in order.basket)
    title = f"customer {order.customer}; in the basket: {basket}"
    table = Table(title=title, title_justify="left", caption="+ new; ✓ the order has it later")
    for name in ("", "without a basket", "with the basket"):
        table.add_column(name, justify="left" if name else "right")
    pairs = zip(before.items[:TOP], after.items[:TOP], strict=True)
    for place, (old, new) in enumerate(pairs, 1):
        told = f"{'  ' if new in before.items else '+ '}{names[new]}"
        table.add_row(f"{place}", _bought(names[old], old, order), _bought(told, new, order))
    return table


def impression_table(rows: Columns, names: Mapping[int, str], impression: str | None) -> Table:
    """Return a table of the first exported rows of an impression."""
    table = Table(title=f"impression {impression}, as exported", title_justify="left")
    for name in ("position", "item", "propensity", "feature_score", "viewed", "clicked"):
        table.add_column(name, justify="left" if name == "item" else "right")
    mine = np.flatnonzero(rows["impression"] == impression)
    for row in mine[np.argsort(rows["position"][mine])][:TOP].tolist():
        flags = ("✓" if rows[name][row] else "" for name in ("viewed", "clicked"))
        table.add_row(
            f"{rows['position'][row]}",
            names[int(rows["item"][row])],
            f"{rows['propensity'][row]:.4f}",
            f"{rows['feature_score'][row]:.3f}",
            *flags,
        )
    return table


def clicks_table(rows: Columns) -> Table:
    """Return a table of the clicks on what each version showed, by its step."""
    table = Table(title="what was shown, and what was clicked", title_justify="left")
    for name in ("version", "step", "impressions", "items", "clicked", "share"):
        table.add_column(name, justify="left" if name == "step" else "right")
    for version, step in sorted({*zip(rows["version"].tolist(), rows["step"], strict=True)}):
        some = (rows["version"] == version) & (rows["step"] == step)
        clicked, items = int(rows["clicked"][some].sum()), int(some.sum())
        seen = len(set(rows["impression"][some]))
        share = f"{clicked / items:.1%}"
        table.add_row(f"{version}", step, f"{seen:,}", f"{items:,}", f"{clicked:,}", share)
    return table


def _bought(told: str, item: int, order: Order) -> str:
    return f"{told} [green]✓[/green]" if item in order.rest else told


def _label(prediction: dict[str, Any]) -> str:
    return str(prediction.get("label_class", prediction["label"]))
