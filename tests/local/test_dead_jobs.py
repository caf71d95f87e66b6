"""A dead letter on the local AWS: its job fails by the sweep, and a replay takes it up again."""

from __future__ import annotations

import json
import time

from tests.kits.local_aws import ROOT, LocalAws, eventually
from tests.kits.workers import job
from typer.testing import CliRunner

from quintet.aws.jobs import JobTable
from quintet.jobs.store import JobEvent
from quintet_cli.app import app
from quintet_cli.stage import Stage

QUIET = 1000.0
SECONDS = 60


def command(local: LocalAws, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--state", str(local.state)])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_job_of_a_dead_letter_fails_and_can_be_replayed(local_aws: LocalAws) -> None:
    command(local_aws, "publish", str(ROOT / "models/tickets"))
    client = Stage.open("local", local_aws.state).signed("dynamodb")
    table = JobTable(client, local_aws.outputs["JobsTableName"], retention_days=7)
    name, now = f"dead-{time.time_ns()}", time.time()
    times = {"created": now - QUIET, "updated": now - QUIET, "deadline": now + QUIET}
    body = {"records": [{"text": "my card was charged twice"}]}
    # its workers died: it is open, nobody has it, and its message is a dead letter
    table.accept(job(name, body, model="tickets", **times))
    letter = JobEvent(name, "accepted")
    table.sent(letter)
    dead = local_aws.outputs["WorkDeadLettersUrl"]
    sqs = local_aws.client("sqs")
    sqs.send_message(QueueUrl=dead, MessageBody=letter.message())

    local_aws.client("lambda").invoke(FunctionName="quintet-local-Sweep", Payload=b"{}")
    # the schedule's own sweep may have been there first
    assert eventually(lambda: _ended(table, name), SECONDS) == "FAILED"
    assert (table.get(name).problem or {})["status"] == 503
    shown = command(local_aws, "dlq", "show", "work", "--filter", f"job={name}")
    assert f"job {name}: FAILED tickets every attempt to work on the job broke off" in shown

    sent = command(local_aws, "dlq", "replay", "work", "--filter", f"job={name}")
    assert "1 sent" in sent and "1 jobs reopened" in sent
    eventually(lambda: table.get(name).state == "DONE", SECONDS)
    result = table.get(name).result
    assert result is not None
    assert len(json.loads(result.body or b"")["predictions"]) == 1


def _ended(table: JobTable, name: str) -> str | None:
    found = table.get(name)
    return found.state if found.settled else None
