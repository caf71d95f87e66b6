"""Error budgets in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from quintet.monitoring.burn import LEAST, WINDOWS
from quintet_cli.budgets import DAYS, Budget, Budgets

__all__ = ["burning_lines", "died_line", "legend", "slo_table"]


def slo_table(found: Budgets) -> Table:
    """A row a model: its objectives, what is left of their budgets, and its burn by window."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("model")
    heads = ("requests", "failed", "availability", "left", "slow", "p95", "left", *WINDOWS)
    for head in heads:
        table.add_column(head, justify="right")
    for model, budget in found.of.items():
        table.add_row(model, *_cells(budget))
    return table


def legend() -> str:
    """What the table's columns mean."""
    return (
        f"counts and budgets of {DAYS} days; left: the part of the budget for failed or slow "
        "requests that is not spent; in the windows, the rate of spending: at 1 the budget "
        f"ends with its days; -: fewer than {LEAST} requests"
    )


def burning_lines(found: Budgets) -> Iterator[str]:
    """A line for each pair of windows in which models burn."""
    for pair, models in found.burning.items():
        yield (
            f"{pair.severity}: {', '.join(models)} burns at least {pair.rate:g} times too fast "
            f"over {pair.long} and {pair.short}"
        )


def died_line(found: Budgets) -> str:
    """How many requests left no log line, and the stage's availability with them."""
    text = (
        f"{found.died:,.0f} calls of predict ended without a log line in {DAYS} days (time-outs, "
        f"crashes, memory), and {found.throttled:,.0f} were throttled; "
        "they are in no model's budget"
    )
    if found.availability is None or not found.died + found.throttled:
        return text
    return f"{text}. With them, {found.availability:.3%} of the stage's requests succeeded"


def _cells(budget: Budget) -> Iterator[str]:
    spent = budget.spent
    yield f"{spent.requests:,.0f}"
    yield f"{spent.failed:,.0f}"
    yield f"{budget.slo.availability:.6g}"
    yield _left(budget.availability_left)
    yield f"{spent.slow:,.0f}"
    yield f"{budget.slo.p95_ms:g} ms"
    yield _left(budget.latency_left)
    for window in WINDOWS:
        one = budget.burns.get(window)
        yield "-" if one is None else f"{one.rate:.1f}"


def _left(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
