"""The page of a rehearsal: one file without scripts, readable without a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from quintet.monitoring.html import document, table
from quintet_cli.views.rehearsal import figures, segment_value

__all__ = ["rehearsal_page"]

SEGMENTS = 40
WIDTH, HEIGHT = 900, 160
STYLE = """
.scores svg .was{fill:var(--soft);opacity:.45}
.key i{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 5px 0 12px}
.key i.was{background:var(--soft);opacity:.45}.key i.now{background:var(--bar)}
td b{color:var(--bad)}
"""


def rehearsal_page(found: Mapping[str, Any]) -> bytes:
    """Render the figures of a rehearsal, see `quintet.rollouts.rehearsal`."""
    title = f"{found['model']}: version {found['candidate']} rehearsed"
    parts = [_head(found), _cards(found), _figures(found), _scores(found), _changes(found)]
    return document(title, STYLE, [*parts, _segments(found), _worst(found)])


def _head(found: Mapping[str, Any]) -> str:
    beyond = [name for name, *_, is_beyond in figures(found) if is_beyond]
    text, kind = ("beyond its margins", "failed") if beyond else ("within its margins", "succeeded")
    return (
        f'<div class="top"><h1>{escape(found["model"])} version {found["candidate"]}</h1>'
        f'<span class="badge {kind}">{text}</span></div>'
        f'<p class="soft">on what version {found["live"]} answered'
        f" from {escape(found['since'])} to {escape(found['until'])} (UTC)</p>"
    )


def _cards(found: Mapping[str, Any]) -> str:
    captured = found["captured"]
    counts = {
        "captured rows": captured["rows"],
        "compared": found["pairs"],
        "by the fallback rule": captured["fallback"],
        "refused or failed": captured["refused"] + captured["failed"],
    }
    shown = "".join(
        f'<div class="card"><b>{rows:,}</b><span>{name}</span></div>'
        for name, rows in counts.items()
    )
    return f'<div class="cards">{shown}</div>'


def _figures(found: Mapping[str, Any]) -> str:
    def rows() -> Iterator[tuple[str, ...]]:
        for name, live, candidate, difference, margin, beyond in figures(found):
            shown = f"<b>{escape(difference)}</b>" if beyond else escape(difference)
            yield name, escape(live), escape(candidate), shown, escape(margin)

    heads = ("", f"#version {found['live']}", f"#version {found['candidate']}", "#difference")
    return "<h2>Both versions on the same rows</h2>" + table((*heads, "#margin"), rows())


def _scores(found: Mapping[str, Any]) -> str:
    """The distributions of both versions' scores, over each other."""
    if found["score"] is None:
        return ""
    bins = found["score"]["histogram"]
    most = max(*bins["live"], *bins["candidate"], 1)
    wide = WIDTH / len(bins["live"])

    def bars(counts: list[int], kind: str, inset: float) -> str:
        return "".join(
            f'<rect class="{kind}" x="{at * wide + inset:.1f}" y="{HEIGHT * (1 - n / most):.1f}" '
            f'width="{wide - 2 * inset - 1:.1f}" height="{HEIGHT * n / most:.1f}"/>'
            for at, n in enumerate(counts)
        )

    low, high = (f"{bins['edges'][end]:.4g}" for end in (0, -1))
    return (
        f'<h2>Scores</h2><p class="soft key"><i class="was"></i>version {found["live"]}'
        f'<i class="now"></i>version {found["candidate"]}</p><div class="box scores">'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 20}" role="img" aria-label="distributions">'
        f"{bars(bins['live'], 'was', 0)}{bars(bins['candidate'], 'now', wide / 5)}"
        f'<text x="0" y="{HEIGHT + 16}">{low}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT + 16}" text-anchor="end">{high}</text></svg></div>'
    )


def _changes(found: Mapping[str, Any]) -> str:
    if not found["labels"] or not found["labels"]["changes"]:
        return ""
    rows = [
        (*(f"<code>{escape(one[end])}</code>" for end in ("from", "to")), f"{one['rows']:,}")
        for one in found["labels"]["changes"]
    ]
    heads = (f"version {found['live']}", f"version {found['candidate']}", "#rows")
    return "<h2>Changed labels</h2>" + table(heads, rows)


def _segments(found: Mapping[str, Any]) -> str:
    if not found["segments"]:
        return ""

    def rows() -> Iterator[tuple[str, ...]]:
        for one in found["segments"][:SEGMENTS]:
            shift = "" if one["shift"] is None else f"{one['shift']:+.3f}"
            shares = (f"{one[name]:.2%}" for name in ("changed", "failed"))
            value = escape(segment_value(one["value"]))
            name = f"<code>{escape(one['by'])}</code>"
            yield name, f"<code>{value}</code>", f"{one['rows']:,}", shift, *shares

    heads = ("feature", "value", "#rows", "#shift, sd", "#changed", "#failed")
    note = "Those first that differ most surely from all rows."
    return f'<h2>By segment</h2><p class="soft">{note}</p>' + table(heads, rows())


def _worst(found: Mapping[str, Any]) -> str:
    if not found["worst"]:
        return ""

    def rows() -> Iterator[tuple[str, ...]]:
        for one in found["worst"]:
            live = "" if one["live"] is None else f"{one['live']:.4g}"
            candidate = "failed" if one["failed"] else f"{one['candidate']:.4g}"
            yield f"<code>{escape(str(one['event']))}</code>", str(one["row"]), live, candidate

    heads = ("event", "#row", f"#version {found['live']}", f"#version {found['candidate']}")
    note = "<code>quintet captures show EVENT</code> shows one."
    return f'<h2>The rows that differ most</h2><p class="soft">{note}</p>' + table(heads, rows())
