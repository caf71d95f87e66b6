"""The drift section of a run's page: how much each feature moved, and in which direction."""

from __future__ import annotations

from html import escape
from typing import Any

__all__ = ["STYLE", "drift_section"]

#: the number of features on the page; report.json has all of them
SHOWN = 20
WIDTH, HEIGHT = 200, 36

STYLE = """
.drift td{vertical-align:middle}
.drift .level{font-size:13px;font-weight:600}
.drift .large{color:var(--bad)}.drift .some{color:var(--warn)}.drift .none{color:var(--soft)}
.drift svg{width:200px;height:36px}
.drift svg .was{fill:var(--soft);opacity:.4}
.key i{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 5px 0 12px}
.key i.was{background:var(--soft);opacity:.4}.key i.now{background:var(--bar)}
"""


def drift_section(drift: dict[str, Any] | None) -> str:
    """The section as HTML; empty without a baseline."""
    if not drift:
        return ""
    features = drift["features"]
    rows = "".join(map(_row, features[:SHOWN]))
    more = len(features) - SHOWN
    rest = f'<p class="soft">and {more} more, which moved less: report.json</p>' if more > 0 else ""
    return (
        f'<h2>Drift <span class="soft">{_verdict(drift)}</span></h2>'
        f'<p class="soft key">{drift["rows"]:,} rows of this run against '
        f"{drift['baseline_rows']:,} of the training data."
        '<i class="was"></i>training data<i class="now"></i>this run</p>'
        '<div class="box scroll drift"><table><tr><th>feature</th><th>drift</th>'
        f'<th class="n">index</th><th></th></tr>{rows}</table></div>{rest}'
    )


def _verdict(drift: dict[str, Any]) -> str:
    found = [f"{drift[level]} {level}" for level in ("large", "some") if drift[level]]
    return ", ".join(found) or "none"


def _row(feature: dict[str, Any]) -> str:
    level = feature["level"]
    return (
        f"<tr><td><code>{escape(feature['feature'])}</code></td>"
        f'<td class="level {level}">{level}</td><td class="n">{feature["index"]:.3f}</td>'
        f"<td>{_bars(feature)}</td></tr>"
    )


def _bars(feature: dict[str, Any]) -> str:
    """Two bars per bin: its share of the training data, and its share of the run."""
    bins, pairs = feature["bins"], (feature["expected"], feature["actual"])
    most, step = max(map(max, pairs)), WIDTH / len(bins)
    bars = []
    for place, (name, was, now) in enumerate(zip(bins, *pairs, strict=True)):
        told = f"{name}: {100 * was:.1f} % of the training data, {100 * now:.1f} % here"
        rects = "".join(
            f'<rect class="{kind}" x="{place * step + step * shift:.1f}" '
            f'y="{HEIGHT * (1 - share / most):.1f}" width="{step * 0.42:.1f}" '
            f'height="{HEIGHT * share / most:.1f}"/>'
            for kind, share, shift in (("was", was, 0.05), ("now", now, 0.5))
        )
        bars.append(f"<g>{rects}<title>{escape(told)}</title></g>")
    label = f"the shares of {feature['feature']} by bin, in the training data and here"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{"".join(bars)}</svg>'
    )
