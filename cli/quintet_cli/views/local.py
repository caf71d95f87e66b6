"""The local AWS in the terminal: its addresses, functions and limits."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich.table import Table

from quintet_cli.stage import DEFAULT_STATE
from quintet_cli.terminal import Console

__all__ = ["eval_line", "print_running", "print_started", "print_status"]


def print_started(
    console: Console,
    page: dict[str, Any],
    state: Path,
    hint: str,
    url: str | None,
    *,
    verbose: bool,
) -> None:
    """Print a local AWS that has started, and how much of the template it does not honour.

    `url` is its console's. With `verbose`, outputs and every property of every resource that is
    not honoured have a line.
    """
    _addresses(console, page, url, outputs=verbose)
    kept = "{objects:,} objects and {items:,} items".format(**page["kept"])
    lines = [
        f"{state} keeps buckets and tables ({kept} from before), and logs/ of functions",
        "not kept after a stop: messages, stream records, runs under way, schedules, and "
        "CloudWatch's metrics and logs",
    ]
    if verbose:
        _facts(console, [_notice(**one) for one in page["not_honoured"]])
        console.print()
    elif count := len(page["not_honoured_compact"]):
        lines.append(
            f"{count} kinds of properties of the template are not honoured here: "
            "`quintet status` has a line for each"
        )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(hint, style="dim", markup=False, highlight=False, soft_wrap=True)


def print_running(console: Console, page: dict[str, Any], url: str | None) -> None:
    """Print the addresses of a local AWS that ran before, and how to start anew."""
    _addresses(console, page, url, outputs=False)
    hint = "it runs already; `quintet down` stops it, `quintet up --fresh` then starts an empty one"
    console.print(hint, style="dim", highlight=False, soft_wrap=True)


def eval_line(state: Path) -> str:
    """The shell's line that sets the environment of AWS tools for a local AWS."""
    other = "" if state == DEFAULT_STATE else f" --state {shlex.quote(str(state))}"
    return f'`eval "$(quintet env{other})"`'


def print_status(console: Console, page: dict[str, Any], url: str | None) -> None:
    """Print addresses, functions, what is not honoured, and calls that a role does not allow."""
    _addresses(console, page, url, outputs=True)
    table = Table("function", "ready", "busy", "starting", "waiting calls", box=None)
    for name, counts in sorted(page["environments"].items()):
        values = (counts[key] for key in ("idle", "busy", "init", "waiting"))
        table.add_row(name, *(str(value) for value in values))
    console.print(table)
    _facts(console, page["not_honoured_compact"])
    if page["not_allowed"]:
        console.print("\n[bold]called, though the function's role does not allow it[/bold]")
        for line in page["not_allowed"]:
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def _addresses(console: Console, page: dict[str, Any], url: str | None, *, outputs: bool) -> None:
    rows = {"API": page["api_url"], "AWS endpoint": page["endpoint_url"]}
    rows |= {"Console": url} if url else {}
    if outputs:
        rows |= {k: v for k, v in sorted(page["outputs"].items()) if v != page["api_url"]}
    for name, value in rows.items():
        # printed in full at any terminal width, so that they can be copied
        console.print(f"[bold]{name:<20}[/bold] {value}", highlight=False, soft_wrap=True)


def _notice(resource: str, property: str, reason: str) -> str:
    return f"{resource}.{property}: {reason}" if property else f"{resource}: {reason}"


def _facts(console: Console, not_honoured: list[str]) -> None:
    if not_honoured:
        console.print("\n[bold]in the template, but not honoured here[/bold]")
        for line in not_honoured:
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
