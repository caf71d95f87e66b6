"""The drift section of a page: how much each feature, output and label moved, and where to."""

from __future__ import annotations

from html import escape
from typing import Any

from quintet.monitoring.drift import FEWEST, compared
from quintet.monitoring.samples import SECTIONS

__all__ = ["STYLE", "drift_section"]

#: the number of columns on a run's page; report.json has all of them
SHOWN = 20
#: the number of bins that are drawn; of more categories, the smallest are one
BINS = 24
WIDTH, HEIGHT = 200, 36

STYLE = """
.drift td{vertical-align:middle}
.drift td.n,.drift th.n{padding-right:14px}
.drift .level{font-size:13px;font-weight:600}
.drift .moved{color:var(--bad)}.drift .none{color:var(--soft)}
.drift svg{width:200px;height:36px}
.drift details{overflow-wrap:anywhere}
.drift summary{cursor:pointer}
@media(max-width:700px){.drift svg{width:120px}.drift td.n,.drift th.n{padding-right:8px}
.drift .size{display:none}}
.drift svg .was{fill:var(--soft);opacity:.4}
.key i{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 5px 0 12px}
.key i.was{background:var(--soft);opacity:.4}.key i.now{background:var(--bar)}
"""


def drift_section(drift: dict[str, Any] | None, shown: int = SHOWN) -> str:
    """The section as HTML, with so many columns; empty without a baseline."""
    if not drift:
        return ""
    columns = compared(drift)
    rows = "".join(_row(*one) for one in columns[:shown])
    more = len(columns) - shown
    notes = "".join(f"<p>{escape(note)}</p>" for note in drift["notes"])
    rest = f'<p class="soft">and {more} more, which moved less: report.json</p>' if more > 0 else ""
    return (
        f'<h2>Drift <span class="soft">{_verdict(drift)}</span></h2>'
        f'<p class="soft key">{_counted(drift)}'
        '<i class="was"></i>training data<i class="now"></i>now</p>'
        f"{_table(rows)}{rest}{notes}"
    )


def _verdict(drift: dict[str, Any]) -> str:
    """The result in a few words."""
    if drift["too_few"]:
        return f"too few {_unit(drift)} to tell: at least {FEWEST} are needed"
    counts = [
        f"{sum(one['moved'] for one in found)} of {len(found)} {section}"
        for section in SECTIONS.values()
        if (found := drift[section])
    ]
    return f"{', '.join(counts)} moved"


def _unit(drift: dict[str, Any]) -> str:
    return "rows" if drift["entities"] is None else "entities"


def _counted(drift: dict[str, Any]) -> str:
    counted = f"{drift['rows']:,} rows"
    if drift["entities"] is not None:
        counted = f"The first row of {drift['entities']:,} entities, in {counted}"
    return f"{counted}, against {drift['baseline_rows']:,} rows of the training data."


def _table(rows: str) -> str:
    """The table around the rows of `_row`."""
    return (
        '<div class="box scroll drift"><table><tr><th>column</th><th>result</th>'
        '<th class="n">effect</th><th class="n">p</th><th class="n size">PSI</th>'
        '<th class="n size">JS</th>'
        f"<th>shares, and the largest change</th></tr>{rows}</table></div>"
    )


def _row(title: str, column: dict[str, Any]) -> str:
    moved = column["moved"]
    why = ", ".join(test["test"] for test in column["tests"] if test["fires"])
    result = f"moved: {why}" if moved else "as before"
    if (labels := column.get("rows")) is not None:
        few = f", too few: at least {FEWEST} are needed" if labels < FEWEST else ""
        result += f'<br><span class="soft">{labels:,} labels{few}</span>'
    if (rows := column.get("by_rows")) and rows["moved"] != moved:
        told = "moved" if rows["moved"] else "did not move"
        result += (
            f'<br><span class="soft">counted by rows it {told} (effect {rows["effect"]:.3f})</span>'
        )
    return (
        f"<tr><td><code>{escape(title)}</code></td>"
        f'<td class="level {"moved" if moved else "none"}">{result}</td>'
        f'<td class="n">{column["effect"]:.3f}</td><td class="n">{column["p"]:.2g}</td>'
        f'<td class="n size">{column["stability_index"]:.3f}</td>'
        f'<td class="n size">{column["jensen_shannon"]:.3f}</td>'
        f"<td>{_bars(title, column)}</td></tr>"
    )


def _change(name: str, was: float, now: float) -> str:
    return escape(f"{name}: {100 * was:.1f} % to {100 * now:.1f} %")


def _drawn(column: dict[str, Any]) -> list[tuple[str, float, float]]:
    """The bins to draw, each with its share in the training data and now."""
    bins = list(zip(column["bins"], column["expected"], column["actual"], strict=True))
    if len(bins) <= BINS:
        return bins
    order = sorted(bins, key=lambda one: -max(one[1:]))
    rest = order[BINS - 1 :]
    return [*order[: BINS - 1], ("the rest", *(sum(one[i] for one in rest) for i in (1, 2)))]


def _bars(title: str, column: dict[str, Any]) -> str:
    """Two bars per bin: its share of the training data, and its share now; below, in words."""
    bins = _drawn(column)
    most, step = max(max(was, now) for _, was, now in bins), WIDTH / len(bins)
    bars = "".join(
        f'<rect class="{kind}" x="{place * step + step * shift:.1f}" '
        f'y="{HEIGHT * (1 - share / most):.1f}" width="{step * 0.42:.1f}" '
        f'height="{HEIGHT * share / most:.1f}"/>'
        for place, (_, was, now) in enumerate(bins)
        for kind, share, shift in (("was", was, 0.05), ("now", now, 0.5))
    )
    label = f"the shares of {title} by bin, in the training data and now"
    largest = max(
        zip(column["bins"], column["expected"], column["actual"], strict=True),
        key=lambda one: abs(one[2] - one[1]),
    )
    shares = "<br>".join(_change(*one) for one in bins)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{bars}</svg>'
        f'<details class="soft"><summary>{_change(*largest)}</summary>{shares}</details>'
    )
