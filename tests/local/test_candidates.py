"""Candidates on the local AWS: a nightly file, the users' items, and the way back."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from tests.kits.local_aws import LocalAws, eventually
from tests.kits.schemas import valid
from typer.testing import CliRunner, Result

from quintet.aws.candidates import CandidatePointers, CandidateTable
from quintet.batch.candidates import unpacked
from quintet.batch.tables import current_run
from quintet_cli.app import app
from quintet_cli.stage import Stage
from quintet_publish.kit import read_table

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "models/candidates"
GOLDEN = json.loads((PACKAGE / "golden.json").read_text(encoding="utf-8"))


def quintet(*words: str, state: Path) -> Result:
    return CliRunner().invoke(app, [*words, "--state", str(state)])


def night(local: LocalAws, prefix: str, rows: list[dict[str, object]]) -> str:
    """A night's run over a file of the inbox; its name."""
    body = "".join(json.dumps(row) + "\n" for row in rows).encode()
    bucket = local.outputs["InboxBucketName"]
    local.client("s3").put_object(Bucket=bucket, Key=f"{prefix}customers.jsonl", Body=body)
    event = {
        "scheduled": f"2026-11-{20 + len(prefix):02d}T02:00:00Z",
        "request": {"model": "candidates", "bucket": bucket, "prefix": prefix},
    }
    sent = local.client("lambda").invoke(
        FunctionName=local.outputs["RunsFunctionArn"], Payload=json.dumps(event)
    )
    run = json.loads(sent["Payload"].read())["run"]
    ended = quintet("runs", "watch", "candidates", run, state=local.state)
    assert ended.exit_code == 0, ended.output
    assert f"candidates of {len(rows):,} users" in ended.output
    return str(run)


@pytest.fixture(scope="module")
def published(local_aws: LocalAws) -> LocalAws:
    result = quintet("publish", str(PACKAGE), state=local_aws.state)
    assert result.exit_code == 0, result.output
    return local_aws


def test_candidates_of_a_night_are_those_of_the_model_until_the_next(published: LocalAws) -> None:
    state = published.state
    columns = GOLDEN["columns"]
    rows = [
        {"customer_id": user, "items": items, "days": days}
        for user, items, days in zip(
            GOLDEN["entities"], columns["items"], columns["days"], strict=True
        )
    ]
    first = night(published, "_data/a/", rows)
    stage = Stage.open("local", state)
    dynamodb, name = stage.signed("dynamodb"), published.outputs["CandidatesTableName"]
    table, pointers = CandidateTable(dynamodb, name), CandidatePointers(dynamodb, name)

    def seen() -> str:
        return str((current_run("candidates", None, pointers) or {"run": ""})["run"])

    eventually(lambda: seen() == first or None)
    for row, user in enumerate(GOLDEN["entities"]):
        found = table.get("candidates", first, user, time.time())
        assert found is not None
        ids, scores = unpacked(found.body)
        assert ids.tolist() == GOLDEN["outputs"]["ids"][row]
        expected = np.float32(GOLDEN["outputs"]["scores"][row]).astype(np.float16)
        assert scores.tolist() == expected.tolist()
    printed = quintet("candidates", "show", "candidates", "new", "--top", "2", state=state).output
    best = GOLDEN["outputs"]["ids"][GOLDEN["entities"].index("new")]
    assert [line.split()[0] for line in printed.splitlines()[1:]] == [str(i) for i in best[:2]]
    assert printed.startswith(f"run {first}: the first 2 of 200 items for new\n")
    listed = [item for row in GOLDEN["outputs"]["ids"] for item in row[:20]]
    most = sorted(set(listed), key=lambda item: (-listed.count(item), item))
    popular = quintet("candidates", "show", "candidates", "--top", "3", state=state).output
    assert popular == (
        f"run {first}: the items that most users have among their first\n"
        f"  all, {len(rows)} users: {' '.join(map(str, most[:3]))}\n"
    )

    def stock(*words: str, numbers: str) -> Result:
        command = ["candidates", "stock", "candidates", "-", *words, "--state", str(state)]
        return CliRunner().invoke(app, command, input=numbers)

    told = stock("--at", "3h", numbers=f"{best[0]}\n5000\n")
    assert "1 of 2,663 items of candidates are sold out, as of " in told.output
    assert "(3 hours ago)" in told.output and "1 numbers were left out" in told.output
    lines = quintet("candidates", "show", "candidates", "new", state=state).output.splitlines()
    assert [line.endswith("sold out") for line in lines[1:4]] == [True, False, False]
    assert lines[21].startswith("1 items are sold out, as of ")
    older = stock("--at", "1d", numbers="1")
    assert "(3 hours ago); it was not replaced by one as of" in str(older.exception)
    some = "".join(f"{item}\n" for item in range(2, 2664))
    assert "1 of 2,663 items" in stock("--in-stock", numbers=f"item\n{some}").output
    future = stock("--at", "2099-01-01T00:00", numbers="1")
    assert "a time that has passed" in str(future.exception)

    # as other tests find it
    told = stock("--json", numbers="")
    assert valid("quintet candidates stock", told.stdout)["sold_out"] == 0

    second = night(published, "_data/bb/", rows[:3])
    eventually(lambda: seen() == second or None)
    gone = quintet("candidates", "show", "candidates", "new", state=state)
    assert gone.exit_code != 0
    promoted = quintet("candidates", "promote", "candidates", first, state=state)
    assert f"readers see the candidates of run {first}\n" in promoted.output
    assert f"to undo: quintet candidates promote candidates {second}" in promoted.output
    other = quintet("candidates", "show", "candidates", "--run", second, state=state).output
    assert f"run {second}: " in other and "  all, 3 users: " in other
    shown = quintet("candidates", "show", "candidates", "new", "--json", state=state)
    assert valid("quintet candidates show", shown.stdout)["run"] == first


def test_the_committed_file_has_a_customer_a_row() -> None:
    customers = read_table(PACKAGE / "data" / "customers.parquet")["customer_id"].tolist()
    assert len(customers) == len(set(customers)) > 4_000
