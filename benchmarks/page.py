"""One table and a plot of the stored results: python -m benchmarks.page [--write]

Fills docs/benchmarks.md between `<!-- results -->` and `<!-- end of results -->` from
benchmarks/results, and draws what was measured beside others in docs/benchmarks.svg. Each figure is
the median of its runs, with the least and most beside it, the command that made it, and the machine
and its load at the time.
"""

from __future__ import annotations

import argparse
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.reports import RESULTS, shown

PAGE, PLOT = (Path(__file__).parents[1] / "docs" / f"benchmarks.{end}" for end in ("md", "svg"))
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
HEAD = "| what | of | median (least to most) | unit | command | load |\n|---|---|---|---|---|---|"


class Figures(NamedTuple):
    """The figures of one stored result that the page shows."""

    result: str
    title: str
    command: str
    #: the column of a row that names it, and the ones with its figure
    name: str
    figure: str
    unit: str
    #: whether less is better
    less: bool = True


SHOWN = (
    Figures(
        "peers_online", "One record over HTTP", "peers.online", "server",
        "processor ms a request", "processor ms a request",
    ),
    Figures(
        "peers_batch", "Batch beside other tools, 30 features", "peers.batch", "path",
        "processor time, % of raw", "% of raw `session.run`", less=False,
    ),
    Figures(
        "score_unit", "A batch unit, 30 features", "score_unit", "path",
        "processor time, % of raw", "% of raw `session.run`", less=False,
    ),
    Figures(
        "score_unit_500", "A batch unit, 500 features", "score_unit --features 500", "path",
        "processor time, % of raw", "% of raw `session.run`", less=False,
    ),
    Figures("growth", "Growth", "growth", "grows", "added ms", "ms added to the run"),
)  # fmt: skip


def stored(figures: Figures) -> dict[str, Any] | None:
    """A stored result; None if none is stored."""
    path = RESULTS / f"{figures.result}.json"
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return found


def label(figures: Figures, row: dict[str, Any]) -> str:
    """What a row is about, with how much of it."""
    text = str(row[figures.name])
    if "to" in row:
        text += f": {row['to']:,}"
    return text + (f", {row['cores']} cores" if row.get("cores", 1) > 1 else "")


def section(found: Sequence[tuple[Figures, dict[str, Any]]]) -> str:
    """The table, and where its figures were taken."""
    lines = [HEAD]
    for figures, document in found:
        for row in document["rows"]:
            cells = (
                figures.title,
                label(figures, row),
                shown(row[figures.figure]),
                figures.unit,
                f"`python -m benchmarks.{figures.command}`",
                str(document["machine"]["load"]),
            )
            lines.append(f"| {' | '.join(cells)} |")
    machines: dict[str, list[str]] = {}
    for figures, document in found:
        where = document["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
        words = (
            f"{where['cores']} cores of {where['processor']}, Python {where['python']}, {versions}"
        )
        machines.setdefault(words, []).append(f"{figures.title.lower()}: {document['note']}")
    lines.append("")
    lines += [f"{words}. {'. '.join(notes)}." for words, notes in machines.items()]
    return "\n".join(lines)


# ---- the plot ------------------------------------------------------------------------------------

WIDTH, NAMES, ROW, GAP = 860, 300, 20, 46
STYLE = "font-family:sans-serif;font-size:12px"
COLOURS = {True: "#1a7f5a", False: "#8d99ae"}


def plot(found: Sequence[tuple[Figures, dict[str, Any]]]) -> str:
    """Bars of each result from its least to its most, Quintet's in green, as SVG."""
    parts, top = [], 10
    for figures, document in found:
        rows = document["rows"]
        most = max(row[figures.figure]["max"] for row in rows)
        better = "less is better" if figures.less else "more is better"
        title = html.escape(f"{figures.title}: {figures.unit.replace('`', '')} ({better})")
        parts.append(f'<text x="10" y="{top + 14}" font-weight="bold">{title}</text>')
        top += 24
        for row in rows:
            parts.append(_bar(label(figures, row), row[figures.figure], most, top))
            top += ROW
        top += GAP - ROW
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" style="{STYLE}">\n'
        f'<rect width="{WIDTH}" height="{top}" fill="white"/>\n{body}\n</svg>\n'
    )


def _bar(name: str, spread: dict[str, float], most: float, top: int) -> str:
    scale = (WIDTH - NAMES - 190) / most
    ends = {end: NAMES + scale * value for end, value in spread.items()}
    ours = name.startswith(("Quintet", "score_unit")) or ":" in name
    middle = top + ROW / 2
    return (
        f'<text x="{NAMES - 8}" y="{middle + 4}" text-anchor="end">{html.escape(name)}</text>'
        f'<rect x="{NAMES}" y="{top + 3}" width="{ends["median"] - NAMES:.1f}" '
        f'height="{ROW - 6}" fill="{COLOURS[ours]}"/>'
        f'<path d="M{ends["min"]:.1f} {middle}H{ends["max"]:.1f}" stroke="#222"/>'
        f'<text x="{ends["max"] + 6:.1f}" y="{middle + 4}">{html.escape(shown(spread))}</text>'
    )


def main() -> None:
    """Print the table; with --write, fill the page and draw the plot."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} and {PLOT.name}")
    given = parser.parse_args()
    found = [(one, document) for one in SHOWN if (document := stored(one)) is not None]
    text = section(found)
    print(text)
    if given.write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
        PLOT.write_text(plot([one for one in found if one[0].result.startswith("peers")]))


if __name__ == "__main__":
    main()
