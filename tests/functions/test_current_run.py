"""The table's pointer on S3: its conditional writes, the run that moves it, the way back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.kits.batch import csv_bytes, row
from tests.kits.batch_functions import MACHINE, BatchAws, event, function, serving
from typer.testing import CliRunner

from quintet.aws.scores_bucket import S3ConditionalObjects
from quintet.batch.plans import REPLAY_OF
from quintet.batch.stores import ConditionalObjects, MemoryConditionalObjects
from quintet.errors import Transient
from quintet_cli.app import app


@pytest.fixture(scope="module")
def aws() -> Iterator[BatchAws]:
    with serving() as found:
        found.publish()
        # moto keeps its state for the process: other modules' tests have left runs
        for key in found.objects(""):
            found.client("s3").delete_object(Bucket="scores", Key=key)
        yield found


@pytest.fixture(params=["memory", "s3"])
def cells(request: pytest.FixtureRequest, aws: BatchAws) -> ConditionalObjects:
    return (
        MemoryConditionalObjects()
        if request.param == "memory"
        else S3ConditionalObjects(aws.signed("s3"), "scores")
    )


def test_cells_are_replaced_only_as_they_were_read(cells: ConditionalObjects) -> None:
    assert cells.read("cells/a.json") is None
    assert cells.swap("cells/a.json", b"1", "of-none") is False
    assert cells.swap("cells/a.json", b"1", None) is True
    assert cells.swap("cells/a.json", b"2", None) is False
    held = cells.read("cells/a.json")
    assert held is not None and held[0] == b"1"
    assert cells.swap("cells/a.json", b"2", held[1]) is True
    assert cells.swap("cells/a.json", b"3", held[1]) is False
    assert cells.swap("cells/a.json", b"2", held[1]) is True  # a reply that was lost: it is there
    now = cells.read("cells/a.json")
    assert now is not None and now[0] == b"2"


def test_of_many_who_swap_at_once_one_does(cells: ConditionalObjects) -> None:
    assert cells.swap("cells/b.json", b"0", None)
    held = cells.read("cells/b.json")
    assert held is not None
    with ThreadPoolExecutor(8) as pool:
        swaps = pool.map(lambda n: cells.swap("cells/b.json", b"%d" % n, held[1]), range(1, 9))
        assert sum(swaps) == 1


def test_a_bucket_that_cannot_be_reached_is_transient(aws: BatchAws) -> None:
    gone = S3ConditionalObjects(BatchAws("http://127.0.0.1:9").signed("s3"), "scores")
    with pytest.raises(Transient, match="s3 did not answer"):
        gone.read("a")
    with pytest.raises(Transient, match="s3 did not answer"):
        gone.swap("a", b"", None)
    with pytest.raises(Transient, match="S3 answered NoSuchBucket"):
        S3ConditionalObjects(aws.signed("s3"), "no-such-bucket").swap("a", b"", None)


def run(aws: BatchAws, monkeypatch: pytest.MonkeyPatch, name: str, started: str) -> dict[str, Any]:
    """A whole run; what report_run gave."""
    request = {**event("plan_run_file"), "run": name, "started": started}
    with function("plan_run", aws, monkeypatch) as handler:
        planned = handler(request, None)
    units = aws.client("s3").get_object(Bucket="scores", Key=planned["units_key"])["Body"].read()
    with function("score_unit", aws, monkeypatch) as handler:
        for unit in orjson.loads(units):
            handler(unit, None)
    with function("report_run", aws, monkeypatch) as handler:
        return handler({"run": name, "request": request["request"]}, None)


def test_runs_move_the_pointer_and_a_person_moves_it_back(
    aws: BatchAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    s3 = aws.client("s3")
    s3.put_object(
        Bucket="inbox", Key="tiny/customers.csv", Body=csv_bytes([row(n) for n in range(20)])
    )
    glue = aws.client("glue")
    glue.create_database(DatabaseInput={"Name": "quintet_test"})
    outputs = {
        "ScoresBucketName": "scores",
        "RegistryBucketName": "batch-registry",
        "RegistryTableName": "batch-registry",
        "ScoresDatabaseName": "quintet_test",
        "BatchScoringArn": MACHINE,
    }
    local = {"api_url": "", "endpoint_url": aws.url, "outputs": outputs}
    (tmp_path / "local.json").write_text(json.dumps(local))

    def quintet(*words: str) -> str:
        result = CliRunner().invoke(app, [*words, "--state", str(tmp_path)])
        assert result.exit_code == 0, result.output
        return result.output

    def pointed() -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(
            aws.objects("tables/tiny/current.json")["tables/tiny/current.json"]
        )
        return found

    def located() -> str:
        table = glue.get_table(DatabaseName="quintet_test", Name="tiny")["Table"]
        return str(table["StorageDescriptor"]["Location"])

    assert "no run of tiny has succeeded yet" in quintet("table", "show", "tiny")
    for name, started in (("tiny-first", "2026-11-01"), ("tiny-second", "2026-11-02")):
        assert run(aws, monkeypatch, name, f"{started}T08:00:00.000Z")["status"] == "succeeded"
        assert pointed()["run"] == name
        assert located() == f"s3://scores/runs/tiny/{name}/scores/"
    # a replay has but the refused rows of a run: readers stay where they are
    rows = {"Body": csv_bytes([row(1)]), "Metadata": {REPLAY_OF: "tiny-second"}}
    s3.put_object(Bucket="inbox", Key="tiny/customers.csv", **rows)
    replayed = run(aws, monkeypatch, "tiny-replay", "2026-11-03T08:00:00.000Z")
    assert (replayed["status"], replayed["counts"]["rows"]) == ("succeeded", 1)
    assert pointed()["run"] == "tiny-second"
    told = quintet("runs", "promote", "tiny", "tiny-first")
    assert "tiny is run tiny-first" in told
    assert "to undo: quintet runs promote tiny tiny-second" in told
    assert (pointed()["run"], pointed()["before"]) == ("tiny-first", "tiny-second")
    assert located() == "s3://scores/runs/tiny/tiny-first/scores/"
    assert "tiny-first" in quintet("table", "show", "tiny")
    marked = [
        line.split()[2] for line in quintet("runs", "ls", "tiny").splitlines() if "see it" in line
    ]
    assert marked == ["tiny-first"]
    # the newest run reported once more leaves the person's choice
    assert run(aws, monkeypatch, "tiny-second", "2026-11-02T08:00:00.000Z")["status"] == "succeeded"
    assert pointed()["run"] == "tiny-first"
