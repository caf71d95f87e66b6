"""`quintet trace`: what happened to one request, job, run or record, across functions."""

from __future__ import annotations

from typing import Annotated

import typer

from quintet.errors import NotFound
from quintet_cli.options import State
from quintet_cli.results import prints
from quintet_cli.stage import DEFAULT_STATE
from quintet_cli.traces import Row, spans_of, waterfall
from quintet_cli.views.traces import print_waterfall
from quintet_local.spans import kept_spans

__all__ = ["register"]

KNOWN = "a trace, request, job, run, event or record that the local AWS has spans of"


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command()(trace)


@prints(dict[str, list[Row]])
def trace(
    identity: Annotated[
        str,
        typer.Argument(
            help="A trace id, or the id of a request, job, run, event or stream record.",
            metavar="ID",
        ),
    ],
    *,
    state: State = DEFAULT_STATE,
) -> dict[str, list[Row]]:
    """Draw the waterfall of one request, job, run or record of the local AWS."""
    spans = spans_of(kept_spans(state / "logs"), identity)
    if not spans:
        raise NotFound.of("ID", KNOWN, repr(identity[:80]))
    traces = {span["annotations"]["w3c_trace"]: None for span in spans}
    waterfalls = {}
    for found in traces:
        of_trace = [span for span in spans if span["annotations"]["w3c_trace"] == found]
        waterfalls[found] = waterfall(of_trace)
        print_waterfall(found, waterfalls[found])
    return waterfalls
