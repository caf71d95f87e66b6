"""report_run: counts the units of a run, checks in = scored + quarantined, writes the report."""

from __future__ import annotations

from typing import Any

from quintet.batch.requests import model_of
from quintet.batch.runs import Folder
from quintet.wiring import batch as wiring


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Report a run: its status, the cause if it has not succeeded, and the report's key."""
    folder = Folder(model_of(event["request"]), event["run"])
    summary = wiring.reporter()(folder, event.get("failure"))
    wiring.logger().info("reported", run=folder.run, **summary)
    return summary
