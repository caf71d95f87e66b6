"""The waterfall of a trace in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from quintet_cli.terminal import Console
from quintet_cli.traces import Row

__all__ = ["print_waterfall"]

BAR = 40
#: more rows are counted only
MAX_ROWS = 200


def print_waterfall(trace: str, rows: Sequence[Row]) -> None:
    """Print the rows of a trace, each with a bar from its start to its end."""
    console = Console(highlight=False)
    whole = max((row.start + row.took for row in rows), default=0.0)
    spans = sum(not row.step for row in rows)
    console.print(f"trace {trace}: {spans} spans in {_time(whole)}", markup=False)
    shown = rows[:MAX_ROWS]
    width = max((2 * row.depth + len(row.name) for row in shown), default=0)
    console.print(f"{'span':<{width}} {'start':>10} {'took':>10}")
    for row in shown:
        name = "  " * row.depth + row.name
        about = " ".join(f"{key}={value}" for key, value in (row.about or {}).items())
        line = f"{name:<{width}} {_time(row.start):>10} {_time(row.took):>10} "
        line += f"{_bar(row, whole):<{BAR}} {'failed ' if row.failed else ''}{about}"
        style = "red" if row.failed else "dim" if row.step else ""
        # the terminal wraps what does not fit: an id stays whole for whoever copies it
        console.print(Text(line.rstrip(), style=style), soft_wrap=True)
    if len(rows) > MAX_ROWS:
        console.print(f"and {len(rows) - MAX_ROWS} more rows", markup=False)


def _bar(row: Row, whole: float) -> str:
    """A bar of `BAR` characters for the whole trace; at least one is filled."""
    if whole <= 0:
        return "━"
    start = min(int(row.start / whole * BAR), BAR - 1)
    length = max(1, round(row.took / whole * BAR))
    return " " * start + "━" * min(length, BAR - start)


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds * 1000:.1f} ms"
