"""The tables that the demo prints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from quintet.streaming.alert import Alert
from quintet_cli.demo.orders import Served

__all__ = ["alerts_table", "departments_table", "samples_table", "times_table"]


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


def _label(prediction: dict[str, Any]) -> str:
    return str(prediction.get("label_class", prediction["label"]))
