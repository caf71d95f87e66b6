"""A version that is withdrawn answers on no path of the local AWS, and can then be deleted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from tests.kits.local_aws import LocalAws, eventually
from tests.kits.packages import package
from typer.testing import CliRunner

from quintet_cli.app import app
from quintet_cli.stacks import AGAIN, StageError

MODEL = "retired"
RECORDS = {"records": [{"a": 1.0, "b": 2.0}]}
GONE = f"Request for unknown model: '{MODEL}' version 2 was withdrawn at "
#: an execution that runs until it is stopped
WAITING = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}}


def quintet(*words: object, state: Path, answer: str = "") -> str:
    """What the command prints.

    Raises:
        StageError: it failed.
    """
    words = (*words, "--state", state)
    result = CliRunner().invoke(app, [str(word) for word in words], input=answer)
    if result.exception:
        raise StageError(str(result.exception), command=AGAIN)
    return re.sub(r"\x1b\[[0-9;]*m", "", result.output)


def ask(local: LocalAws, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """The API's status and answer."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(f"{local.api_url}{path}", data, headers), timeout=30) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture(scope="module")
def local(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> LocalAws:
    """A model of two versions, the first of them live."""
    for version in (1, 2):
        folder = tmp_path_factory.mktemp("package")
        package(folder, name=MODEL, version=version, factor=float(version))
        quintet("publish", folder, state=local_aws.state)
    key = {"Bucket": local_aws.outputs["InboxBucketName"], "Key": f"_data/{MODEL}/rows.csv"}
    local_aws.client("s3").put_object(**key, Body=b"a,b\n1,2\n")
    return local_aws


@contextmanager
def run_under_way(local: LocalAws, state: Path) -> Iterator[None]:
    """Make a stage whose state machine waits in a run of version 2."""
    states = local.client("stepfunctions")
    machine = states.create_state_machine(
        name=f"{MODEL}-waiting",
        definition=json.dumps(WAITING),
        roleArn="arn:aws:iam::123456789012:role/waiting",
    )["stateMachineArn"]
    request = {"model": MODEL, "version": 2, "key": f"_data/{MODEL}/rows.csv"}
    asked = {"stateMachineArn": machine, "name": "waiting-run", "input": json.dumps(request)}
    execution = states.start_execution(**asked)["executionArn"]
    stage = json.loads((local.state / "local.json").read_text())
    stage["outputs"]["BatchScoringArn"] = machine
    (state / "local.json").write_text(json.dumps(stage))
    try:
        yield
    finally:
        states.stop_execution(executionArn=execution)
        states.delete_state_machine(stateMachineArn=machine)


def test_a_withdrawn_version_answers_on_no_path(local: LocalAws, tmp_path: Path) -> None:
    pinned = f"/models/{MODEL}/versions/2/predict"
    assert ask(local, pinned, RECORDS)[0] == 200
    assert "version 2 is withdrawn" in quintet("withdraw", MODEL, 2, state=local.state)
    status, answer = eventually(
        lambda: found if (found := ask(local, pinned, RECORDS))[0] != 200 else None
    )
    assert (status, answer["detail"][: len(GONE)]) == (404, GONE)
    assert ask(local, f"/v2/models/{MODEL}/versions/2/ready")[0] == 404
    status, answer = eventually(
        lambda: (
            found
            if (found := ask(local, pinned, RECORDS, Prefer="respond-async"))[0] != 202
            else None
        )
    )
    assert (status, answer["detail"][: len(GONE)]) == (404, GONE)
    request = {"model": MODEL, "version": 2, "key": f"_data/{MODEL}/rows.csv"}
    status, answer = ask(local, "/runs", request)
    assert (status, answer["detail"][: len(GONE)]) == (404, GONE)
    # the live version, and the number of the withdrawn one
    assert ask(local, f"/models/{MODEL}/predict", RECORDS)[0] == 200
    other = package(tmp_path / "other", name=MODEL, version=2, factor=2.0)
    with pytest.raises(StageError, match="which was withdrawn; raise `version` in model"):
        quintet("publish", other, state=local.state)


def test_a_withdrawn_version_is_deleted_after_its_runs(local: LocalAws, tmp_path: Path) -> None:
    s3, bucket = local.client("s3"), local.outputs["RegistryBucketName"]
    quintet("withdraw", MODEL, 2, state=local.state)
    with run_under_way(local, tmp_path), pytest.raises(StageError, match="by the run waiting-run;"):
        quintet("delete", MODEL, 2, "--yes", state=tmp_path)
    with pytest.raises(StageError, match="nothing was deleted"):
        quintet("delete", MODEL, 2, state=local.state, answer="no\n")
    assert s3.list_objects_v2(Bucket=bucket, Prefix=f"models/{MODEL}/2/")["KeyCount"] == 6
    printed = quintet("delete", MODEL, 2, state=local.state, answer=f"{MODEL} 2\n")
    assert printed.endswith(f"{MODEL}: version 2 is deleted, 6 objects\n")
    left = s3.list_object_versions(Bucket=bucket, Prefix=f"models/{MODEL}/2/")
    assert "Versions" not in left
    assert "DeleteMarkers" not in left
    rows = quintet("versions", MODEL, state=local.state).splitlines()[3:5]
    cells = [[cell.strip() for cell in row.split("│")[1:3]] for row in rows]
    assert cells == [["1", "live"], ["2", "deleted"]]
    assert ask(local, f"/models/{MODEL}/predict", RECORDS)[0] == 200
