"""`quintet logs`: the log lines of a function."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from quintet.columns import near_name
from quintet.errors import NotFound
from quintet_cli.options import StageName, State
from quintet_cli.results import prints_lines
from quintet_cli.shapes import LogLine
from quintet_cli.since import moment
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console

__all__ = ["register"]

POLL_SECONDS = 1.0
_COLOURS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
#: the fields of a line that are shown first
_FIRST = ("level", "message", "timestamp")
#: fields that are the same in all lines of a function
_HIDDEN = {"service", "stage", "xray_trace_id"}


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command()(logs)


@prints_lines(LogLine)
def logs(
    function: Annotated[
        str,
        typer.Argument(
            help="A function by its name in template.yaml or functions/: Predict, score_stream.",
            metavar="FUNCTION",
        ),
    ],
    *,
    since: Annotated[
        str, typer.Option("--since", help="From when on: 30m, 12h, 7d, or a time (ISO 8601).")
    ] = "10m",
    text: Annotated[
        str | None,
        typer.Option("--filter", help="A pattern of CloudWatch Logs, such as '\"request-17\"'."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Print lines as they were written.")] = False,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Iterator[LogLine]:
    """Print the log lines of a function, without metrics and captures; --raw prints all."""
    begin = moment(since, "--since")
    opened = Stage.open(stage, state)
    client, console = opened.client("logs"), Console(highlight=False, soft_wrap=True)
    group = _group(client, opened, function)
    before: set[str] = set()
    while True:
        seen: set[str] = set()
        for event in _events(client, group, text, int(begin * 1000)):
            seen.add(event["eventId"])
            if event["eventId"] not in before:
                line = event["message"].rstrip("\n")
                if found := escape(line) if raw else _shown(line, event["timestamp"]):
                    console.print(found)
                    yield {"time": event["timestamp"] / 1000, "line": line}
        if not follow:
            return
        before = seen
        time.sleep(POLL_SECONDS)
        begin = max(begin, time.time() - 60)  # lines arrive late, but not by a minute


def _group(client: Any, stage: Stage, function: str) -> str:
    """The log group of a function of the stage. Raises NotFound."""
    prefix = f"/aws/lambda/quintet-{stage.name}-"
    pages = client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
    groups = [str(group["logGroupName"]) for page in pages for group in page["logGroups"]]
    # CloudFormation adds 12 characters to a function's name in the template
    names = {re.sub(r"-\w{12,}$", "", group.removeprefix(prefix)): group for group in groups}
    found = {_plain(name): group for name, group in names.items()}
    if _plain(function) in found:
        return found[_plain(function)]
    near = near_name(function[:80], names)
    hint = f" (is it {near!r}?)" if near else f": {', '.join(sorted(names)) or 'none has logs'}"
    raise NotFound.of("FUNCTION", f"a function of stage {stage.name}{hint}", repr(function[:80]))


def _plain(name: str) -> str:
    return re.sub("[_-]", "", name).lower()


def _events(client: Any, group: str, pattern: str | None, start: int) -> Iterator[Any]:
    asked = {"logGroupName": group, "startTime": start}
    if pattern:
        asked["filterPattern"] = pattern
    for page in client.get_paginator("filter_log_events").paginate(**asked):
        yield from page["events"]


def _shown(line: str, timestamp: int) -> str:
    """A line for a person; empty for one of metrics, of captures or of Lambda itself."""
    when = datetime.fromtimestamp(timestamp / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        of_lambda = line.startswith(("START ", "END ", "REPORT ", "INIT_START "))
        return "" if of_lambda else f"[dim]{when}[/dim] {escape(line)}"
    if "_aws" in fields or "capture" in fields:
        return ""
    level = str(fields.get("level", ""))
    colour = _COLOURS.get(level, "dim")
    rest = " ".join(
        f"[dim]{escape(name)}=[/dim]{_value(value)}"
        for name, value in fields.items()
        if name not in _HIDDEN and name not in _FIRST
    )
    message = escape(str(fields.get("message", "")))
    return f"[dim]{when}[/dim] [{colour}]{level:7}[/{colour}] {message} {rest}"


def _value(value: Any) -> str:
    return escape(value if isinstance(value, str) else json.dumps(value))
