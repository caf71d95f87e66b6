"""What `quintet --stage` says when a stage is not there, or the user may not see it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.kits.aws import client, environ, moto_server, reached_by

from quintet.aws.dynamodb import Table
from quintet.errors import Transient
from quintet_cli.region import unify_region
from quintet_cli.score_loader import PATIENT
from quintet_cli.stage import Stage, StageError, all_stages

QUINTET = Path(sys.executable).with_name("quintet")
TOPIC = {"Topic": {"Type": "AWS::SNS::Topic"}}
API = "https://abc123.execute-api.us-east-1.amazonaws.com"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def url(moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """CloudFormation, where boto3 finds it."""
    reached_by(monkeypatch, moto)
    return moto


def deploy(url: str, stage: str, outputs: dict[str, Any]) -> None:
    template = {"Resources": TOPIC, "Outputs": {n: {"Value": v} for n, v in outputs.items()}}
    client("cloudformation", url).create_stack(
        StackName=f"quintet-{stage}", TemplateBody=json.dumps(template)
    )


@contextmanager
def refusing(code: str) -> Iterator[str]:
    """An AWS that answers every call with an error."""

    class Refuse(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = (
                "<ErrorResponse><Error><Type>Sender</Type>"
                f"<Code>{code}</Code><Message>it is so</Message></Error></ErrorResponse>"
            ).encode()
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuse)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_stage_has_the_outputs_of_its_stack(url: str) -> None:
    """Behind an end point such as LocalStack's, the API is below it: its host name is nowhere."""
    outputs = {"ApiUrl": f"{API}/mine", "InboxBucketName": "inbox"}
    deploy(url, "mine", outputs)
    stage = Stage.open("mine")
    assert stage == Stage("mine", f"{url}/_aws/execute-api/abc123/mine", outputs, url)
    assert stage.client("s3").meta.endpoint_url == url
    assert stage.signed("dynamodb")._environ["AWS_ENDPOINT_URL"] == url


def test_the_local_stage_that_is_named_wins_over_the_environment(
    moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listens = socket.create_server(("127.0.0.1", 0))
    other = f"http://127.0.0.1:{listens.getsockname()[1]}"
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, other)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the user's")
    for asked in (moto, other):
        state = {"api_url": "http://127.0.0.1:3000", "outputs": {}, "endpoint_url": asked}
        (tmp_path / "local.json").write_text(json.dumps(state))
        stage = Stage.open("local", tmp_path)
        client = stage.client("s3")
        assert (client.meta.endpoint_url, client.meta.region_name) == (asked, "us-east-1")
        assert stage.signed("s3")._environ == {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": asked}
        if asked == moto:
            # past the proxy; other tests of this process may have left buckets
            assert client.list_buckets()["ResponseMetadata"]["HTTPStatusCode"] == 200
            assert stage.signed("dynamodb").call("DynamoDB_20120810.ListTables", {}).status == 200
    listens.close()


def test_both_clients_of_a_deployed_stage_go_where_the_environment_says(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(url, "apart", {"ApiUrl": f"{API}/apart"})
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
    stage = Stage.open("apart")
    assert stage.client("dynamodb").meta.endpoint_url == "http://127.0.0.1:9"
    assert stage.signed("dynamodb")._environ["AWS_ENDPOINT_URL_DYNAMODB"] == "http://127.0.0.1:9"


def test_the_command_calls_this_machine_past_any_proxy(url: str) -> None:
    deploy(url, "near", {"ApiUrl": f"{API}/near"})
    code = (
        "from quintet_cli import app; from quintet_cli.stage import Stage\n"
        "app.app = lambda **_: print(Stage.open('near').name)\n"
        "app.main()\n"
    )
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **proxies, "AWS_MAX_ATTEMPTS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "near\n", "")


def test_a_stage_that_is_not_there(url: str) -> None:
    with pytest.raises(StageError) as told:
        Stage.open("nowhere")
    assert str(told.value) == (
        f"there is no stack quintet-nowhere in us-east-1 of {url}; if it was made, it is in "
        "another region or account (AWS_REGION, AWS_PROFILE)"
    )


def test_a_stack_of_another_application(url: str) -> None:
    deploy(url, "other", {"TopicName": "topic"})
    with pytest.raises(StageError) as told:
        Stage.open("other")
    assert str(told.value) == (
        "stack quintet-other is CREATE_COMPLETE and has no output ApiUrl: its deployment did not "
        "end well, or it is another application's stack of that name"
    )


def test_all_stages_are_those_that_exist_and_say_why_others_are_not_shown(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "samconfig.toml"
    stacks = "".join(f'[{n}.deploy.parameters]\nstack_name = "quintet-{n}"\n' for n in "abc")
    config.write_text(f"version = 0.1\n[default.build.parameters]\ncached = true\n{stacks}")
    deploy(url, "b", {"ApiUrl": "https://abc.execute-api.us-east-1.amazonaws.com/b"})
    deploy(url, "c", {"TopicName": "topic"})
    stages, unknown = all_stages(tmp_path, config)
    assert [stage.name for stage in stages] == ["b"]
    ((reason, names),) = unknown.items()
    assert (reason.startswith("stack quintet-c is CREATE_COMPLETE and has no output"), names) == (
        True,
        ["c"],
    )
    local = {"api_url": "http://l", "outputs": {}, "endpoint_url": "http://e"}
    (tmp_path / "local.json").write_text(json.dumps(local))
    with refusing("ExpiredToken") as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        stages, unknown = all_stages(tmp_path, config)
    assert [stage.name for stage in stages] == ["local"]
    assert list(unknown.values()) == [["a", "b", "c"]]
    assert all_stages(tmp_path / "none", tmp_path / "none.toml") == ([], {})


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("ExpiredToken", "the AWS credentials have expired: sign in again"),
        ("InvalidClientTokenId", "does not know the AWS credentials (InvalidClientTokenId)"),
        ("AccessDenied", "the AWS credentials are not allowed to do this: "),
    ],
)
def test_credentials_that_do_not_serve(
    code: str, told: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refusing(code) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(StageError) as error:
            Stage.open("mine")
    assert told in str(error.value)


def run(environment: dict[str, str], home: Path) -> subprocess.CompletedProcess[str]:
    """The command with no credentials or region of this machine's user."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith("AWS_")}
    nobody = {"HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true"}
    command: list[str | Path] = [QUINTET, "models", "--stage", "dev"]
    environment = {**kept, **nobody, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "no AWS region is configured: set AWS_REGION, or `region` in the profile"),
        (
            {"AWS_REGION": "us-east-1"},
            "no AWS credentials are configured: sign in, or set AWS_PROFILE",
        ),
        (
            {"AWS_DEFAULT_REGION": "us-east-1"},
            "no AWS credentials are configured: sign in, or set AWS_PROFILE",
        ),
    ],
)
def test_nobody_is_signed_in(environment: dict[str, str], told: str, tmp_path: Path) -> None:
    ran = run(environment, tmp_path)
    assert (ran.returncode, ran.stderr) == (5, f"error: {told}\ntry: aws configure\n")
    assert ran.stdout == ""


@pytest.mark.parametrize(
    ("given", "region"),
    [
        ({"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}, "eu-west-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-east-1"}, "us-east-1"),
    ],
)
def test_boto3_takes_the_region_of_either_variable(given: dict[str, str], region: str) -> None:
    unify_region(given)
    assert given["AWS_DEFAULT_REGION"] == region


def test_the_command_says_its_version(tmp_path: Path) -> None:
    ran = subprocess.run([QUINTET, "--version"], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == (f"quintet {version('quintet-serving')}\n", "")


def test_an_end_point_that_is_not_there(tmp_path: Path) -> None:
    ran = run(environ("http://127.0.0.1:9") | {"AWS_MAX_ATTEMPTS": "1"}, tmp_path)
    assert ran.returncode == 5
    assert ran.stderr.startswith("error: http://127.0.0.1:9 cannot be reached: ")


def test_credentials_that_expire_during_a_command(url: str, tmp_path: Path) -> None:
    """boto3's error of a later call is one line too."""
    deploy(url, "late", {"ApiUrl": f"{API}/late", "JobsTableName": "jobs"})
    code = (
        "import os; from quintet_cli.stage import Stage; from quintet_cli import app\n"
        "stage = Stage.open('late')\n"
        "os.environ['AWS_ENDPOINT_URL'] = os.environ['LATER']\n"
        "app.app = lambda **_: stage.client('sns').list_topics()\n"
        "app.main()\n"
    )
    with refusing("ExpiredToken") as later:
        ran = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "LATER": later},
            capture_output=True,
            text=True,
            check=False,
        )
    told = (
        "error: the AWS credentials have expired: sign in again, or take new keys\n"
        "try: aws sso login\n"
    )
    assert (ran.returncode, ran.stderr) == (4, told)


@pytest.mark.parametrize(("attempts", "served"), [(3, False), (PATIENT, True)])
def test_a_table_that_throttles_is_waited_for(url: str, attempts: int, served: bool) -> None:
    """A function gives up in 0.15 s; the loader of a run's scores has the time to wait."""
    waits: list[float] = []
    with throttling(8) as endpoint:
        stage = Stage("mine", "", {}, endpoint)
        client = stage.signed("dynamodb", attempts=attempts)
        client._sleep = waits.append
        table = Table(client, "scores")
        if served:
            assert table.call("PutItem", Item={}) == {}
            assert 0 < sum(waits) < 0.05 * 2**8
        else:
            with pytest.raises(Transient):
                table.call("PutItem", Item={})


@contextmanager
def throttling(times: int) -> Iterator[str]:
    """A DynamoDB that throttles its first calls."""
    left = [times]

    class Throttle(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            left[0] -= 1
            self.rfile.read(int(self.headers["Content-Length"]))
            refused = left[0] >= 0
            body = b'{"__type": "com.amazonaws#ThrottlingException"}' if refused else b"{}"
            self.send_response(400 if refused else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Throttle)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
