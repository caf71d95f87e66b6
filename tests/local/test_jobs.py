"""Jobs by the clients that people have: boto3's sagemaker-runtime, and the quintet command."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.kits.local_aws import ROOT, LocalAws, eventually
from typer.testing import CliRunner

from quintet_cli.app import app

SECONDS = 60


def command(local: LocalAws, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--state", str(local.state)])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def local(local_aws: LocalAws) -> LocalAws:
    """The session's local AWS, with the tickets model published (again does no harm)."""
    command(local_aws, "publish", str(ROOT / "models/tickets"))
    return local_aws


@pytest.fixture
def runtime(local: LocalAws) -> Any:
    """boto3's client of SageMaker's runtime, at our API."""
    return local.client_at("sagemaker-runtime", local.api_url)


def read(local: LocalAws, place: str) -> Any:
    """The JSON at a place in S3, None while there is none."""
    bucket, _, key = place.removeprefix("s3://").partition("/")
    s3 = local.client("s3")
    try:
        return json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except s3.exceptions.NoSuchKey:
        return None


def test_boto3_invokes_with_an_inline_body(local: LocalAws, runtime: Any) -> None:
    answer = runtime.invoke_endpoint_async(
        EndpointName="tickets",
        ContentType="application/json",
        InferenceId="ticket-1",
        S3OutputPathExtension="team(1)/2026",
        Filename="answer.json",
        InvocationTimeoutSeconds=600,
        Body=b'{"instances": ["my card was charged twice"]}',
    )
    assert answer["InferenceId"] == "ticket-1"
    parts = answer["OutputLocation"].split("/")
    assert (parts[3:6], parts[7]) == (["results", "team(1)", "2026"], "answer.json")
    found = eventually(lambda: read(local, answer["OutputLocation"]), SECONDS)
    now = runtime.invoke_endpoint(
        EndpointName="tickets",
        ContentType="application/json",
        Body=b'{"instances": ["my card was charged twice"]}',
    )
    assert found == json.loads(now["Body"].read())


def test_boto3_invokes_with_an_input_in_s3(local: LocalAws, runtime: Any) -> None:
    bucket = local.outputs["PayloadsBucketName"]
    local.client("s3").put_object(
        Bucket=bucket, Key="inputs/bad.json", Body=b'{"instances": [{"text": 3}]}'
    )
    answer = runtime.invoke_endpoint_async(
        EndpointName="tickets",
        ContentType="application/json",
        InputLocation=f"s3://{bucket}/inputs/bad.json",
    )
    problem = eventually(lambda: read(local, answer["FailureLocation"]), SECONDS)
    assert (problem["status"], problem["errors"][0]["field"]) == (400, "text")


def test_boto3_is_told_what_is_wrong(local: LocalAws, runtime: Any) -> None:
    with pytest.raises(runtime.exceptions.ClientError) as refused:
        runtime.invoke_endpoint_async(
            EndpointName="tickets",
            InputLocation=f"s3://{local.outputs['PayloadsBucketName']}/inputs/none",
        )
    error = refused.value.response["Error"]
    assert error["Code"] == "ValidationError"
    assert error["Message"] == "input: expected an object that can be read, got none"


def test_the_command_shows_lists_and_cancels(local: LocalAws, runtime: Any) -> None:
    answer = runtime.invoke_endpoint_async(
        EndpointName="tickets",
        ContentType="application/json",
        Body=b'{"instances": ["where is my parcel?"]}',
    )
    job = answer["InferenceId"]
    eventually(lambda: read(local, answer["OutputLocation"]), SECONDS)
    shown = eventually(lambda: _done(command(local, "jobs", "show", job)), SECONDS)
    assert [line.strip() for line in shown.splitlines()[:3]] == [
        f"job  {job}",
        "state  DONE",
        "model  tickets v1",
    ]
    assert job in command(local, "jobs", "ls", "--model", "tickets", "--only", "done")
    assert job not in command(local, "jobs", "ls", "--only", "failed")
    done = CliRunner().invoke(app, ["jobs", "cancel", job, "--state", str(local.state)])
    assert str(done.exception) == "job: expected one that is not settled, got DONE"


def _done(shown: str) -> str | None:
    return shown if "DONE" in shown else None
