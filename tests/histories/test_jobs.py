"""What a client of jobs and their endpoint record."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

from standardwebhooks import Webhook
from tests.histories.history import Recorder
from tests.histories.jobs import Listener

SECRET = "whsec_aGlzdG9yaWVz"
AGO = 100


def test_a_webhook_counts_as_of_when_it_was_signed(tmp_path: Path) -> None:
    """However late this process gets to it: its server may have been killed meanwhile."""
    recorder = Recorder(tmp_path / "history.jsonl")
    listener = Listener(recorder)
    listener.secrets.append(SECRET)
    body = json.dumps({"data": {"job": "j1", "state": "FAILED"}})
    signed = int(time.time()) - AGO
    signature = Webhook(SECRET).sign("w1", datetime.fromtimestamp(signed, UTC), body)
    headers = {
        "webhook-id": "w1",
        "webhook-timestamp": str(signed),
        "webhook-signature": signature,
    }
    assert listener.take(headers, body.encode()) == 204
    recorder.close()
    (heard,) = recorder.operations
    assert heard.ended - heard.began >= AGO
    assert (heard.told["job"], heard.told["verified"], listener.heard) == ("j1", True, {"j1"})
