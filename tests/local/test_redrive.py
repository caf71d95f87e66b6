"""Runs that are stopped and redriven on the local AWS, with functions that die under them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from tests.kits.local_aws import FREE_PORTS, LocalAws, eventually, start_local_aws
from typer.testing import CliRunner, Result
from urllib3.util import Retry

from quintet.batch.plans import RunPaths
from quintet_cli.app import app
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import Stage

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "models/churn/data/customers.csv").read_bytes().splitlines(keepends=True)
DATA = "_data/churn/"
SECONDS = 60
FILES = 4
#: a tenth of the calls of score_unit ends with its environment
FAULTS = {"seed": 4, "kills": {"share": 0.1, "functions": ["ScoreUnit"]}}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS that breaks, with some files of a bad row each."""
    state = tmp_path_factory.mktemp("redrive")
    faults = state / "faults.yaml"
    faults.write_text(yaml.safe_dump(FAULTS))
    parameters = {"UnitTargetBytes": "20000", "BatchMaxConcurrency": "2"}
    options = (*FREE_PORTS, "--faults", str(faults))
    found = start_local_aws(state, parameters=parameters, options=options)
    s3 = found.client("s3")
    for number in range(FILES):
        body = b"".join([*LINES[:1200], b"17,too,short\n"])
        s3.put_object(Bucket=found.outputs["InboxBucketName"], Key=f"{DATA}{number}.csv", Body=body)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def reader(local: LocalAws) -> RunReader:
    return RunReader(Stage.open("local", local.state))


def quintet(*words: str, state: Path) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, [*words, "--state", str(state)])


def publish(local: LocalAws) -> None:
    """Publish the model; again is no change."""
    done = quintet("publish", str(ROOT / "models/churn"), state=local.state)
    assert done.exit_code == 0, done.output


def written(reader: RunReader, folder: RunPaths) -> list[tuple[str, str, int]]:
    """What a run that succeeded has committed, but for its own name."""
    manifest: dict[str, Any] = json.loads(reader.store.get(folder.manifest) or b"{}")
    return sorted(
        (file["key"][len(folder.root) :], file["sha256"], file["rows"])
        for file in manifest["files"]
    )


def redriven(local: LocalAws, folder: RunPaths) -> Result:
    """The last of as many redrives as it takes."""
    for _ in range(5):
        done = quintet("runs", "redrive", "churn", folder.run, state=local.state)
        if done.exit_code == 0:
            break
    return done


def test_a_file_that_came_before_its_model_is_scored_by_a_redrive(
    local: LocalAws, reader: RunReader
) -> None:
    body, inbox = b"".join(LINES[:50]), local.outputs["InboxBucketName"]
    local.client("s3").put_object(Bucket=inbox, Key="churn/early.csv", Body=body)

    def refused() -> list[RunPaths]:
        folders = [RunPaths("churn", name) for name in reader.names("churn")]
        return [one for one in folders if reader.ended(one) is not None]

    (folder,) = eventually(refused, SECONDS)
    publish(local)
    shown = quintet("runs", "show", "churn", folder.run, state=local.state)
    assert "expected a published model" in shown.output
    done = redriven(local, folder)
    assert "49 rows = 49 scored + 0 quarantined" in done.output


def test_a_run_that_is_stopped_and_redriven_comes_to_what_it_would_have(
    local: LocalAws, reader: RunReader
) -> None:
    publish(local)
    begun = quintet("runs", "start", "churn", "--prefix", DATA, "--no-wait", state=local.state)
    folder = RunPaths("churn", begun.output.split()[1])
    eventually(lambda: len(reader.store.keys(folder.results)) >= 3, SECONDS)
    stopped = quintet("runs", "stop", "churn", folder.run, state=local.state)
    assert stopped.exit_code == 0, stopped.output
    assert stopped.output.startswith("stopped  churn version 1")
    report = reader.report(folder)
    assert report is not None
    counts, units = report["counts"], report["units"]
    assert counts["rows"] == counts["scored"] + counts["quarantined"] + counts["unaccounted"]
    assert 3 <= units["done"] < units["planned"]
    assert counts["unaccounted"] == sum(unit["rows"] for unit in units["failed"]) > 0
    assert reader.store.get(folder.manifest) is None
    assert reader.ended(folder) == "ABORTED: no cause is given"

    done = redriven(local, folder)
    assert done.exit_code == 0, done.output
    report = reader.report(folder)
    assert report is not None
    rows = FILES * 1200
    assert report["counts"] == {
        "rows": rows,
        "scored": rows - FILES,
        "quarantined": FILES,
        "fallback": 0,
        "unaccounted": 0,
    }
    first = json.loads(reader.store.get(folder.redrive(f"{folder.run}-r1")) or b"[]")
    assert 0 < len(first) <= units["planned"] - units["done"]

    # the same files under another name, from one end to the other
    reference = RunPaths("churn", "reference")
    asked = reader.executions.look(folder.run)
    assert asked is not None
    reader.executions.start(reference.run, asked.request)
    watched = quintet("runs", "watch", "churn", reference.run, state=local.state)
    if watched.exit_code:
        assert redriven(local, reference).exit_code == 0
    assert written(reader, folder) == written(reader, reference)

    again = quintet("runs", "redrive", "churn", folder.run, state=local.state)
    assert again.exit_code == 1
    assert "got one that has succeeded" in str(again.exception)


def asked(local: LocalAws, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """What the API answers; a busy machine's 503 is asked again, as its header says."""
    again = Retry(total=5, status_forcelist=[503], allowed_methods=None, backoff_factor=0.2)
    answer = urllib3.request(method, f"{local.api_url}{path}", json=body, retries=again, timeout=30)
    assert answer.status < 300, answer.data
    found: dict[str, Any] = answer.json()
    return found


def test_a_run_is_stopped_over_http_at_once_and_redriven(
    local: LocalAws, reader: RunReader
) -> None:
    publish(local)
    run = asked(local, "POST", "/runs", {"model": "churn", "prefix": f"{DATA}0"})["run"]
    path = f"/runs/churn/{run}"
    for _ in range(2):  # again does no harm
        assert asked(local, "DELETE", path)["run"] == run

    def stopped() -> dict[str, Any] | None:
        found = asked(local, "GET", path)
        return found if found["status"] == "stopped" and found["finished"] else None

    found = eventually(stopped, SECONDS)
    assert found["cause"].startswith("The run ")
    folder = RunPaths("churn", run)
    assert reader.store.get(folder.manifest) is None
    eventually(lambda: not reader.running(f"{run}-x"), SECONDS)
    done = redriven(local, folder)
    assert done.exit_code == 0, done.output
    found = asked(local, "GET", path)
    assert (found["status"], found["counts"]["scored"]) == ("succeeded", 1199)
