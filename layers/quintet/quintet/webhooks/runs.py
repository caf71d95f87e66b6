"""The end of a batch run, called out to the endpoint that its request names.

The state machine sends the message: `execution`, `endpoint`, and as `run` what report_run told.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import orjson

from quintet.errors import BadInput
from quintet.webhooks.callouts import Outgoing

__all__ = ["is_run_end", "run_call"]

#: of a cause, which names up to 10 refusals: Standard Webhooks wants payloads below 20 kB
MAX_TEXT = 2_000


def is_run_end(body: str) -> bool:
    """Whether a message is of a run's end; Step Functions keeps no order of its fields."""
    found = _parsed(body)
    return isinstance(found, dict) and "run" in found


def run_call(message: str) -> Outgoing:
    """What a message of a run's end asks for.

    Raises:
        BadInput: the message is not ours.
    """
    found = _parsed(message)
    try:
        told = dict(found["run"])
        execution, endpoint = str(found["execution"]), str(found["endpoint"])
        finished, status = str(told.pop("finished")), str(told["status"])
        at = datetime.fromisoformat(finished).timestamp()
        told["cause"] = str(told["cause"])[:MAX_TEXT]
        told.pop("callback", None)
        model = str(told["model"])
    except (ValueError, KeyError, TypeError):
        raise BadInput.of("message", "the end of a run and an endpoint", "another") from None
    body = {"type": f"run.{status}", "timestamp": finished, "data": told}
    return Outgoing(
        kind="run",
        subject=f"run/{execution}",
        model=model,
        endpoint=endpoint,
        # of the execution: a run that is redriven comes to a second end, which is news
        webhook_id=f"run_{execution}",
        body=orjson.dumps(body, option=orjson.OPT_SORT_KEYS),
        at=at,
    )


def _parsed(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
