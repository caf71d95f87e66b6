"""Runs that are asked for on the local AWS: by the command and over HTTP, all of template.yaml."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
from arro3 import core
from arro3 import io as arrow_io
from tests.kits.local_aws import LocalAws, eventually, start_local_aws
from typer.testing import CliRunner, Result

from quintet_cli.app import app

ROOT = Path(__file__).parents[2]
CUSTOMERS = (ROOT / "models/churn/data/customers.csv").read_bytes()
DATA = "_data/churn/"
SECONDS = 60


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS whose units are small, with the churn model and two months of customers."""
    state = tmp_path_factory.mktemp("starts")
    found = start_local_aws(state, parameters={"UnitTargetBytes": "60000"})
    assert quintet("publish", str(ROOT / "models/churn"), state=state).exit_code == 0
    for month in ("2026-01", "2026-02"):
        put(found, month, CUSTOMERS)
    yield found
    found.stop()


def quintet(*words: str, state: Path) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, [*words, "--state", str(state)])


def put(local: LocalAws, month: str, body: bytes, name: str = "part-0.csv") -> None:
    key, bucket = f"{DATA}month={month}/{name}", local.outputs["InboxBucketName"]
    local.client("s3").put_object(Bucket=bucket, Key=key, Body=body)


def executions(local: LocalAws) -> int:
    machine = local.outputs["BatchScoringArn"]
    states = local.client("stepfunctions")
    return len(states.list_executions(stateMachineArn=machine)["executions"])


def objects(local: LocalAws, run: str) -> dict[str, tuple[str, str]]:
    """Everything of a run, with what changes when it is written again."""
    place = {"Bucket": local.outputs["ScoresBucketName"], "Prefix": f"runs/churn/{run}/"}
    listed = local.client("s3").list_objects_v2(**place)["Contents"]
    return {found["Key"]: (found["ETag"], str(found["LastModified"])) for found in listed}


def asked(local: LocalAws, path: str, body: Any = None) -> dict[str, Any]:
    """What the API answers."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(f"{local.api_url}{path}", data), timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def ended(local: LocalAws, run: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = asked(local, f"/runs/churn/{run}")
        return found if found["finished"] else None

    return eventually(look, SECONDS)


def history(months: dict[str, float]) -> bytes:
    """What is known of customers, at noon of the last days of months: so many times a year ago."""
    with (ROOT / "models/fraud/data/features.csv").open() as file:
        known = list(csv.DictReader(file))
    days = [f"{day}T12:00:00" for day in months for _ in known]
    columns: dict[str, Any] = {"at": core.Array(days, core.DataType.string())}
    customers = [row["customer_id"] for row in known] * len(months)
    columns["customer_id"] = core.Array(customers, core.DataType.string())
    for name in (name for name in known[0] if name != "customer_id"):
        values = [float(row[name]) * times for times in months.values() for row in known]
        columns[name] = core.Array.from_numpy(np.array(values))
    out = io.BytesIO()
    arrow_io.write_parquet(core.Table.from_pydict(columns), out)
    return out.getvalue()


def orders_scored(local: LocalAws, month: str) -> list[float]:
    """The scores that readers see of a month's orders; none is the fallback rule's."""
    s3, bucket = local.client("s3"), local.outputs["ScoresBucketName"]

    def read(key: str) -> bytes:
        content: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    pointer = json.loads(read(f"tables/fraud/month={month}/current.json"))
    (file,) = json.loads(read(pointer["manifest"]))["files"]
    table = arrow_io.read_parquet(io.BytesIO(read(file["key"]))).read_all()
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    assert not any(columns["fallback"])
    found = columns[next(n for n in columns if n.startswith("probabilities"))]
    return [float(value) for value in found]


def test_a_backfill_sees_of_each_month_what_was_known_then(local: LocalAws) -> None:
    assert quintet("publish", str(ROOT / "models/fraud"), state=local.state).exit_code == 0
    with (ROOT / "models/fraud/data/features.csv").open() as file:
        known = {row["customer_id"] for row in csv.DictReader(file)}
    lines = (ROOT / "models/fraud/data/requests.jsonl").read_bytes().splitlines()
    orders = [line for line in lines if json.loads(line)["customer_id"] in known][:100]
    bucket, s3 = local.outputs["InboxBucketName"], local.client("s3")
    for month in ("2026-01", "2026-02"):
        key = f"_data/fraud/month={month}/orders.jsonl"
        s3.put_object(Bucket=bucket, Key=key, Body=b"\n".join(orders))
    months = ("--from", "2026-01", "--to", "2026-02")
    words = ("backfill", *months, "--model", "fraud", "--features", "_features/fraud/")
    first = {"2026-01-31": 1.0, "2026-02-28": 3.0}
    s3.put_object(Bucket=bucket, Key="_features/fraud/a.parquet", Body=history(first))
    result = quintet(*words, state=local.state)
    assert result.exit_code == 0, result.output
    january, february = orders_scored(local, "2026-01"), orders_scored(local, "2026-02")
    assert len(january) == len(february) == len(orders)
    assert january != february
    # what came to be known in March changes neither, though both are scored anew
    later = {"2026-03-01": 9.0}
    s3.put_object(Bucket=bucket, Key="_features/fraud/b.parquet", Body=history(later))
    result = quintet(*words, state=local.state)
    assert "2 of 2 partitions are scored" in result.output
    assert orders_scored(local, "2026-01") == january
    assert orders_scored(local, "2026-02") == february


def test_the_same_run_again_changes_nothing(local: LocalAws) -> None:
    words = ("runs", "start", "churn", "--prefix", DATA, "--partition", "month=2026-01")
    first = quintet(*words, state=local.state)
    assert first.exit_code == 0, first.output
    assert "4,335 rows = 4,335 scored + 0 quarantined" in first.output
    run = first.output.split()[1]
    execution = f"{local.outputs['BatchScoringArn']}:{run}".replace("stateMachine", "execution", 1)
    describe = local.client("stepfunctions").describe_execution
    # the report is there a moment before the execution has ended
    eventually(lambda: describe(executionArn=execution)["status"] != "RUNNING")
    before, kept = executions(local), objects(local, run)
    again = quintet(*words, state=local.state)
    assert again.exit_code == 0, again.output
    assert again.output.startswith(f"run {run}, which has ended before")
    assert (executions(local), objects(local, run)) == (before, kept)


def test_two_starts_at_once_are_one_run(local: LocalAws) -> None:
    before = executions(local)
    request = {"model": "churn", "prefix": DATA, "partition": "month=2026-02"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: asked(local, "/runs", request), range(8)))
    (run,) = {answer["run"] for answer in answers}
    found = ended(local, run)
    assert executions(local) == before + 1
    assert (found["status"], found["counts"]["scored"]) == ("succeeded", 4335)
    with urlopen(found["links"]["report"], timeout=30) as report:
        assert json.load(report)["run"] == run
    listed = asked(local, "/runs?model=churn")["runs"]
    assert listed[0]["run"] == run


def test_more_files_are_another_run(local: LocalAws) -> None:
    request = {"model": "churn", "prefix": DATA, "partition": "month=2026-03"}
    put(local, "2026-03", CUSTOMERS)
    first = asked(local, "/runs", request)["run"]
    assert ended(local, first)["counts"]["rows"] == 4335
    put(local, "2026-03", CUSTOMERS, "late.csv")
    second = asked(local, "/runs", request)["run"]
    assert second != first
    assert ended(local, second)["counts"]["rows"] == 2 * 4335


def test_what_names_no_files_is_refused_at_once(local: LocalAws) -> None:
    before = executions(local)
    found = quintet("runs", "start", "churn", "--prefix", "_data/nothing/", state=local.state)
    assert (found.exit_code, executions(local)) == (1, before)
    assert "files in _data/" in str(found.exception)


def test_a_backfill_is_a_run_for_each_partition_and_again_none(local: LocalAws) -> None:
    for month in ("2024-11", "2025-01"):
        put(local, month, CUSTOMERS)
    words = ("backfill", "churn", "--from", "2024-11", "--to", "2025-01")
    before = executions(local)
    first = quintet(*words, state=local.state)
    assert first.exit_code == 1  # there is no December yet
    assert "2 of 3 partitions are scored" in first.output
    assert "month=2024-12  not started  partition: expected files of month=2024-12" in first.output
    put(local, "2024-12", CUSTOMERS)
    second = quintet(*words, state=local.state)
    assert second.exit_code == 0, second.output
    assert second.output.count("4,335 scored + 0 quarantined") == 3
    assert executions(local) == before + 3
    pointers = local.client("s3").list_objects_v2(
        Bucket=local.outputs["ScoresBucketName"], Prefix="tables/churn/month=2024"
    )["Contents"]
    assert [found["Key"] for found in pointers] == [
        f"tables/churn/month=2024-{month}/current.json" for month in (11, 12)
    ]
    assert quintet(*words, state=local.state).exit_code == 0
    assert executions(local) == before + 3
