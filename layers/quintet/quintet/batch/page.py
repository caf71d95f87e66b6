"""A run's report as one self-contained HTML page: no external resources, no scripts."""

from __future__ import annotations

from html import escape
from typing import Any

from quintet.batch.plans import REPLAY_OF, RunPaths
from quintet.batch.popular import lists_of
from quintet.monitoring import drift_page
from quintet.monitoring.html import document, table

__all__ = ["page"]

#: items of a list that the page shows
SHOWN_ITEMS = 10
#: failed units that it shows
SHOWN_UNITS = 50


def page(report: dict[str, Any]) -> bytes:
    """Render the page of a report."""
    title = f"{report['model']}: {report['run']}"
    parts = [
        _head(report),
        _cards(report),
        _trouble(report),
        _popular(report.get("candidates")),
        _histogram(report.get("histogram")),
        _reasons(report),
        drift_page.drift_section(report.get("drift")),
        _notes(report.get("notes", [])),
        _units(report.get("units")),
        _lineage(report),
    ]
    return document(title, drift_page.STYLE, parts)


def _head(report: dict[str, Any]) -> str:
    status = report["status"]
    version = f" version {report['version']}" if "version" in report else ""
    source = escape(report["input"].get("key", "no input"))
    return (
        f'<div class="top"><h1>{escape(report["model"])}{version}</h1>'
        f'<span class="badge {escape(status)}">{escape(status)}</span></div>'
        f'<p class="soft"><code>{source}</code></p>'
    )


def _cards(report: dict[str, Any]) -> str:
    counts = report["counts"]
    rows = counts["rows"]
    if "version" not in report:  # the run was not planned, so nothing was to be scored
        return ""
    cards = [
        (f"{rows:,}", "rows in"),
        (f"{counts['scored']:,}", "scored"),
        (f"{counts['quarantined']:,}", "quarantined"),
    ]
    if counts["unaccounted"]:
        cards.append((f"{counts['unaccounted']:,}", "without a result"))
    if counts["fallback"]:
        cards.append((f"{counts['fallback']:,}", "by the fallback rule"))
    if report.get("seconds") is not None:
        cards.append((f"{report['seconds']:,.1f} s", "from start to report"))
        if counts["scored"] and report["seconds"] > 0:
            cards.append((f"{rows / report['seconds']:,.0f}", "rows a second"))
    if found := report.get("candidates"):
        cards.append((f"{found['users']:,}", "users with candidates"))
        cards.append((f"{100 * found['coverage']:.1f} %", "of the catalogue listed"))
    if cost := report.get("cost"):
        cards.append((f"${cost['usd']:,.4f}", "estimated cost"))
    shown = "".join(
        f'<div class="card"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        for value, name in cards
    )
    return f'<div class="cards">{shown}</div>{_balance(counts)}'


def _balance(counts: dict[str, int]) -> str:
    if not counts["rows"]:
        return ""
    kinds = (("scored", "good"), ("quarantined", "warn"), ("unaccounted", "bad"))
    shares = "".join(
        f'<i style="width:{100 * counts[name] / counts["rows"]:.3f}%;background:var(--{color})">'
        "</i>"
        for name, color in kinds
        if counts[name] > 0
    )
    return f'<div class="balance">{shares}</div>'


def _trouble(report: dict[str, Any]) -> str:
    if report["status"] == "succeeded":
        return ""
    refusals = report.get("refusals") or [report["cause"]]
    lines = "".join(f"<p>{escape(text)}</p>" for text in refusals)
    status = escape(report["status"])
    return f'<div class="box bad"><b class="{status}">{status.capitalize()}</b>{lines}</div>'


def _popular(found: dict[str, Any] | None) -> str:
    """The items listed most, over all users and in the largest segments."""
    rows = [
        (
            escape(name) or '<span class="soft">all users</span>',
            f"{users:,}",
            ", ".join(map(str, items[:SHOWN_ITEMS])),
        )
        for name, users, items in lists_of(found or {"users": 0})
    ]
    head = "<h2>Items listed most</h2>"
    return head + table(("segment", "#users", "items"), rows) if rows else ""


def _histogram(histogram: dict[str, Any] | None) -> str:
    if not histogram:
        return ""
    name = escape(histogram["output"])
    if "classes" in histogram:
        total = sum(histogram["classes"].values()) or 1
        rows = [
            (escape(kind), f"{count:,}", f"{100 * count / total:.1f} %")
            for kind, count in histogram["classes"].items()
        ]
        return f"<h2>Scores: {name}</h2>" + table(("class", "#rows", "#share"), rows)
    counts, low, high = histogram["counts"], histogram["low"], histogram["high"]
    rows_in = sum(counts)
    if not rows_in:
        return ""
    total = histogram["sum"]  # None if it overflowed
    mean = "" if total is None else f"mean {total / rows_in:.4g}, "
    return (
        f'<h2>Scores: {name} <span class="soft">{mean}{rows_in:,} rows</span></h2>'
        f'<div class="box">{_bars(counts, low, high)}</div>'
    )


def _bars(counts: list[int], low: float, high: float) -> str:
    width, height, foot = 960, 180, 24
    step, most = width / len(counts), max(counts)
    bars = []
    for place, count in enumerate(counts):
        tall = (height - 4) * count / most
        tall = max(tall, 1.5) if count else 0
        start, end = (_between(low, high, at / len(counts)) for at in (place, place + 1))
        bars.append(
            f'<rect x="{place * step + 1:.1f}" y="{height - tall:.1f}" width="{step - 2:.1f}" '
            f'height="{tall:.1f}" rx="2"><title>{start:.4g} to {end:.4g}: {count:,} rows</title>'
            "</rect>"
        )
    marks = (
        ("0", "start", low),
        ("50%", "middle", _between(low, high, 0.5)),
        ("100%", "end", high),
    )
    texts = "".join(
        f'<text x="{place}" y="{height + foot - 6}" text-anchor="{anchor}">{value:.4g}</text>'
        for place, anchor, value in marks
    )
    return (
        f'<svg viewBox="0 0 {width} {height + foot}" role="img" '
        f'aria-label="histogram of the scores">{"".join(bars)}{texts}</svg>'
    )


def _between(low: float, high: float, share: float) -> float:
    """Interpolate between two numbers, which may be the largest floats."""
    return low * (1 - share) + high * share


def _place(example: dict[str, Any]) -> str:
    """A row's number, with its file in a run over many files."""
    file = f"{example['file']} " if "file" in example else ""
    return f"{file}row {example['row']:,}"


def _reasons(report: dict[str, Any]) -> str:
    reasons = report.get("reasons", [])
    if not reasons:
        return ""
    rows = [
        (
            f"<code>{escape(str(reason['field']))}</code>",
            escape(str(reason["expected"])),
            f"{reason['rows']:,}",
            "<br>".join(
                f'<span class="soft">{escape(_place(example))}:</span> '
                f"<code>{escape(str(example['got']))}</code>"
                for example in reason["examples"]
            ),
        )
        for reason in reasons
    ]
    heads = ("field", "expected", "#rows", "for example (the first row is row 0)")
    return f"<h2>Why rows were refused</h2>{table(heads, rows)}{_next(report)}"


def _next(report: dict[str, Any]) -> str:
    """Where the refused rows are, and what to do with them."""
    folder = RunPaths(report["model"], report["run"])
    name = escape(f"{folder.model}/{folder.run}")
    return (
        f"<p>The rows are kept whole below <code>{escape(folder.quarantines)}</code>; "
        f"<code>quintet dlq show {name}</code> prints them. Correct the file and drop it again; "
        "or, if the model was at fault, publish a version that takes them, and "
        f"<code>quintet dlq replay {name}</code> scores them.</p>"
    )


def _notes(notes: list[str]) -> str:
    if not notes:
        return ""
    return "<h2>Notes</h2>" + "".join(f"<p>{escape(note)}</p>" for note in notes)


def _units(units: dict[str, Any] | None) -> str:
    if not units:
        return ""
    failed = [
        (str(unit["unit"]), f"{unit['first_row']:,}", f"{unit['rows']:,}", escape(unit["reason"]))
        for unit in units["failed"][:SHOWN_UNITS]
    ]
    if (more := len(units["failed"]) - len(failed)) > 0:
        failed.append((f"and {more:,} more", "", "", "all are in report.json"))
    slow = [
        (str(unit["unit"]), f"{unit['rows']:,}", f"{unit['ms']:,.0f} ms")
        for unit in units["slowest"]
    ]
    done = f"{units['done']} of {units['planned']} done"
    if units.get("peak_mb"):
        done += f", with at most {units['peak_mb']:,.0f} MB of memory each"
    shown = f'<h2>Units <span class="soft">{done}</span></h2>'
    if failed:
        shown += table(("failed", "#first row", "#rows", "reason"), failed)
    if slow:
        shown += table(("slowest", "#rows", "#time"), slow)
    return shown


def _lineage(report: dict[str, Any]) -> str:
    source = report["input"]
    facts = [
        ("run", report["run"]),
        ("replay of", source.get("metadata", {}).get(REPLAY_OF)),
        ("started", report.get("started")),
        ("finished", report.get("finished")),
        ("input version", source.get("version_id")),
        ("input etag", source.get("etag")),
        ("input size", f"{source['size']:,} bytes" if "size" in source else None),
        ("input format", source.get("format")),
        ("stored features", _history(report.get("features"))),
        ("model digest", report.get("digest")),
        ("contract digest", report.get("contract")),
        ("code version", report.get("code")),
        ("cost", _cost(report.get("cost"))),
    ]
    rows = [(escape(n), f"<code>{escape(str(v))}</code>") for n, v in facts if v is not None]
    return "<h2>Lineage</h2>" + table((), rows)


def _cost(cost: dict[str, Any] | None) -> str | None:
    if cost is None:
        return None
    parts = ((name.replace("_", " "), usd) for name, usd in cost["parts"].items())
    return ", ".join([*(f"{name} ${usd:,.4f}" for name, usd in parts), cost["prices"]])


def _history(features: dict[str, Any] | None) -> str | None:
    """The files with the history of the stored features, or None."""
    if features is None:
        return None
    return f"as of the partition, by {features['key']} (history.json), SHA-256 {features['etag']}"
