"""The page of a day: one file without scripts, readable without a mouse and without a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from html import escape
from typing import Any

from quintet.monitoring import drift_page
from quintet.monitoring.drift import compared
from quintet.monitoring.html import document, table

__all__ = ["page"]

#: features with bars, and features and days of the trend
FEATURES, TREND, TREND_DAYS = 100, 20, 14

STYLE = (
    drift_page.STYLE
    + """
.reason{overflow-wrap:anywhere}
.trend td.n,.trend th.n{padding-right:14px}.trend b{color:var(--bad)}
@media(max-width:1000px){.trend tr>:nth-child(n+2):nth-last-child(n+8){display:none}}
"""
)


def page(report: Mapping[str, Any], before: Mapping[date, Mapping[str, Any]]) -> bytes:
    """Render the page of a report; `before` are the reports of the days before."""
    days = [*(before[day] for day in sorted(before)[-TREND_DAYS + 1 :]), report]
    title = f"{report['model']}: {report['day']}"
    parts = [_head(report), _cards(report), _notes(report)]
    parts += [drift_page.drift_section(report["drift"], FEATURES), _week(report)]
    parts += [_trend(report, days), _quality(days), _reasons(report), _senders(report)]
    return document(title, STYLE, parts)


def _head(report: Mapping[str, Any]) -> str:
    version = "" if report["version"] is None else f" version {report['version']}"
    drifting = report["drifting"]
    text, kind = (f"{len(drifting)} drifting", "failed") if drifting else ("no drift", "succeeded")
    names = ", ".join(f"<code>{escape(name)}</code>" for name in drifting)
    told = f"moved on two of three days: {names}" if drifting else ""
    return (
        f'<div class="top"><h1>{escape(report["model"])}{version}</h1>'
        f'<span class="badge {kind}">{text}</span></div>'
        f'<p class="soft">{report["day"]} (UTC)</p><p>{told}</p>'
    )


def _cards(report: Mapping[str, Any]) -> str:
    counts = [*report["rows"].items(), ("by the fallback rule", report["fallback"])]
    shown = "".join(
        f'<div class="card"><b>{rows:,}</b><span>{name}</span></div>' for name, rows in counts
    )
    return f'<div class="cards">{shown}</div>'


def _notes(report: Mapping[str, Any]) -> str:
    return "".join(f"<p>{escape(note)}</p>" for note in report["notes"])


def _week(report: Mapping[str, Any]) -> str:
    week = report["week"]
    if week is None:
        return ""
    names = ", ".join(title for title, one in compared(week) if one["moved"]) or "none"
    return (
        "<h2>Against the same weekday of the last four weeks</h2>"
        f"<p>moved: <code>{escape(names)}</code></p>"
    )


def _trend(report: Mapping[str, Any], days: list[Mapping[str, Any]]) -> str:
    """The effect on each day of what moved most; where it moved, in bold."""
    if report["drift"] is None:
        return ""
    by_day = [{title: one["effect"] for title, one in compared(day["drift"] or {})} for day in days]
    rows = []
    for name, _ in compared(report["drift"])[:TREND]:
        cells = (_effect(name, day, found) for day, found in zip(days, by_day, strict=True))
        rows.append((f"<code>{escape(name)}</code>", *cells))
    heads = ["column", *(f"#{day['day'][5:]}" for day in days)]
    return f'<h2>Effect by day</h2><div class="trend">{table(heads, rows)}</div>'


def _effect(name: str, day: Mapping[str, Any], found: Mapping[str, float]) -> str:
    if name not in found:
        return ""
    text = f"{found[name]:.2f}"
    return f"<b>{text}</b>" if name in day["moved"] else text


def _quality(days: list[Mapping[str, Any]]) -> str:
    def rows() -> Iterator[tuple[str, ...]]:
        for day in reversed(days):
            counts = day["rows"]
            total = sum(counts.values())
            share = f"{counts['refused'] / total:.1%}" if total else ""
            reason = day["reasons"][0]["reason"] if day["reasons"] else ""
            yield (
                day["day"],
                f"{total:,}",
                f"{counts['refused']:,}",
                share,
                f"{counts['failed']:,}",
                _reason(reason),
            )

    heads = ("day", "#rows", "#refused", "#share", "#failed", "most frequent reason")
    return "<h2>What came in</h2>" + table(heads, rows())


def _reasons(report: Mapping[str, Any]) -> str:
    if not report["reasons"]:
        return ""
    rows = [(_reason(one["reason"]), f"{one['rows']:,}") for one in report["reasons"]]
    return "<h2>Why rows were refused</h2>" + table(("reason", "#rows"), rows)


def _reason(text: str) -> str:
    """A reason in a cell: it may name a field with a long name."""
    return f'<span class="reason">{escape(text)}</span>'


def _senders(report: Mapping[str, Any]) -> str:
    if not report["senders"]:
        return ""
    rows = [
        (
            escape(one["path"]),
            f"<code>{escape(one['sender'])}</code>",
            f"{one['rows']:,}",
            f"{one['refused']:,}",
        )
        for one in report["senders"]
    ]
    return "<h2>Who sent them</h2>" + table(
        ("path", "caller, or file of a run", "#rows", "#refused"), rows
    )
