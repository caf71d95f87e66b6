"""The time from a reading to its alert: python -m benchmarks.stream_alert

Puts implausible readings onto the stream of a local AWS with the template's settings, one after
another, and measures the time until each one's alert is in a queue subscribed to the topic. Exits
with 1 if one took more than 10 s.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.reports import milliseconds, options, report
from tests.kits.local_aws import ROOT, LocalAws, start_local_aws
from typer.testing import CliRunner

from quintet_cli.app import app

MODEL = "sensor"
SECONDS = 60
MOST_SECONDS = 10
NOTE = "a record waits up to StreamBatchSeconds (1 s) for others; then it is scored, stored, told"


@dataclass(frozen=True)
class Heard:
    """An alert, read from the topic's message.

    `recorded` is the time from its record's arrival in the stream to the sending of the message, by
    their own timestamps; `seconds` is the time from putting the reading to receiving the message.
    """

    alert: dict[str, Any]
    recorded: float
    seconds: float = 0.0


class Alerts:
    """The alerts of a stack, received through a queue of their own that subscribes to the topic."""

    def __init__(self, local: LocalAws, name: str) -> None:
        self._kinesis, self._sqs = local.client("kinesis"), local.client("sqs")
        self._stream = local.outputs["EventsStreamName"]
        self._url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        local.client("sns").subscribe(
            TopicArn=local.outputs["AlertsTopicArn"],
            Protocol="sqs",
            Endpoint=arn["Attributes"]["QueueArn"],
        )

    def put(self, sensor: str, temperature: float) -> None:
        """Put a reading of a sensor whose readings were always 20 degrees."""
        at = datetime.now(UTC).isoformat()
        record = {"sensor": sensor, "at": at, "temperature": temperature, "recent": [20.0] * 12}
        data = json.dumps({"model": MODEL, "records": [record]})
        self._kinesis.put_record(StreamName=self._stream, Data=data, PartitionKey=sensor)

    def new(self, wait: int = 1) -> list[Heard]:
        """Return the alerts that arrived."""
        answer = self._sqs.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=wait
        )
        found = []
        for message in answer.get("Messages", []):
            handle = message["ReceiptHandle"]
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=handle)
            told = json.loads(message["Body"])
            alert = json.loads(told["Message"])
            waited = _moment(told["Timestamp"]) - _moment(alert["at"])
            found.append(Heard(alert, waited))
        return found

    def until(self, sensor: str, temperature: float, seconds: float) -> Heard:
        """Put a reading now and return its alert.

        Raises:
            AssertionError: no alert arrived in time.
        """
        begun = time.monotonic()
        self.put(sensor, temperature)
        while time.monotonic() < begun + seconds:
            for heard in self.new():
                if heard.alert["entity"] == sensor:
                    return replace(heard, seconds=time.monotonic() - begun)
        raise AssertionError(f"no alert of {sensor} in {seconds:g} s")


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@contextmanager
def _served() -> Iterator[LocalAws]:
    with tempfile.TemporaryDirectory() as folder:
        local = start_local_aws(Path(folder))
        try:
            package = str(ROOT / "models" / MODEL)
            done = CliRunner().invoke(app, ["publish", package, "--state", folder])
            assert done.exit_code == 0, done.output
            yield local
        finally:
            local.stop()


def main() -> int:
    """Measure and report."""
    parser = options(__doc__, "stream_alert")
    parser.add_argument("--alerts", type=int, default=20)
    given = parser.parse_args()
    names = (f"s{number}" for number in count())
    with _served() as local:
        alerts = Alerts(local, "alerts-measured")
        cold = alerts.until(next(names), 60, SECONDS).seconds
        warm = [alerts.until(next(names), 60, SECONDS).seconds for _ in range(given.alerts)]
    rows = [
        {"alerts": 1, "which": "the first: cold", **_row([cold])},
        {"alerts": given.alerts, "which": "one after another", **_row(warm)},
    ]
    report("stream_alert", rows, NOTE, write=given.write)
    return 1 if max(cold, *warm) > MOST_SECONDS else 0


def _row(seconds: list[float]) -> dict[str, float]:
    return milliseconds(seconds, 50, 95, 100)


if __name__ == "__main__":
    sys.exit(main())
