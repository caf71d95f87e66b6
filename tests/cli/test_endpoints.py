"""`quintet endpoints`, on a table of a moto server; and its receiver."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kits.aws import moto_server
from tests.kits.jobs import table_properties
from tests.kits.registries import RegistryServer
from typer.testing import CliRunner

from quintet.aws.client import AwsClient
from quintet.aws.endpoints import EndpointTable
from quintet.aws.signing import Credentials
from quintet.aws.webhooks import HttpWebhooks
from quintet.errors import BadInput, Conflict
from quintet.webhooks.channel import signed_headers
from quintet.webhooks.endpoints import Endpoint, UnknownEndpoint
from quintet_cli.app import app
from quintet_cli.stage import Stage

# the servers of a process share their tables
TABLES = ("endpoints-of-the-command", "secrets-of-the-command")
SECRET = r"whsec_[A-Za-z0-9+/]{43}="


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as address:
        for table in TABLES:
            RegistryServer(address, "", "").client("dynamodb").create_table(
                TableName=table, **table_properties("EndpointsTable")
            )
        yield address


@pytest.fixture
def state(url: str, tmp_path: Path) -> Path:
    """A state folder that makes the moto server the stage `local`."""
    outputs = dict(zip(("EndpointsTableName", "EndpointSecretsTableName"), TABLES, strict=True))
    local = {"api_url": url, "endpoint_url": url, "outputs": outputs}
    (tmp_path / "local.json").write_text(json.dumps(local))
    return tmp_path


def stored(url: str, name: str) -> Endpoint:
    client = AwsClient("dynamodb", environ=RegistryServer(url, "", "").environ)
    return EndpointTable(client, *TABLES).get(name)


def run(state: Path, *arguments: str) -> str:
    """The output of a command; what it raises is raised."""
    words = ["endpoints", *arguments, "--state", str(state)]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_an_endpoint_from_its_registration_to_its_removal(url: str, state: Path) -> None:
    assert "no endpoint is registered" in run(state, "list")
    ann = "arn:aws:iam::123456789012:user/ann"
    added = run(state, "add", "crm", "http://127.0.0.1:9000/hook", "--caller", ann)
    assert stored(url, "crm").callers == (ann,)
    (first,) = re.findall(SECRET, added)
    assert [secret.text for secret in stored(url, "crm").secrets] == [first]

    rotated = run(state, "rotate", "crm", "--overlap-hours", "2")
    (second,) = re.findall(SECRET, rotated)
    assert [secret.text for secret in stored(url, "crm").secrets] == [second, first]
    assert stored(url, "crm").secrets[1].expires is not None

    listed = run(state, "list")
    assert re.findall(r"crm .*9000/hook .* 2 .*user/ann .* enabled", listed)
    assert "whsec" not in listed

    assert "crm is removed" in run(state, "remove", "crm")
    with pytest.raises(UnknownEndpoint):
        stored(url, "crm")


def test_a_disabled_endpoint_is_shown_and_enabled_again(url: str, state: Path) -> None:
    run(state, "add", "gone", "http://127.0.0.1:9000/")
    client = AwsClient("dynamodb", environ=RegistryServer(url, "", "").environ)
    EndpointTable(client, *TABLES).disable("gone", "it answered 410 Gone")
    assert "disabled: it answered 410 Gone" in run(state, "list")
    run(state, "enable", "gone")
    assert stored(url, "gone").disabled == ""
    run(state, "remove", "gone")


def test_what_is_wrong_is_said_and_changes_nothing(url: str, state: Path) -> None:
    run(state, "add", "taken", "http://127.0.0.1:9000/")
    before = stored(url, "taken")
    with pytest.raises(Conflict, match="an id that is not taken"):
        run(state, "add", "taken", "http://127.0.0.1:9001/")
    with pytest.raises(BadInput, match=r"^url: expected a public address"):
        run(state, "add", "other", "https://169.254.169.254/")
    for command in ("rotate", "enable", "remove"):
        with pytest.raises(UnknownEndpoint):
            run(state, command, "other")
    assert stored(url, "taken") == before
    run(state, "remove", "taken")


def test_a_deployed_stage_is_signed_for_with_the_users_own_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the user")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of the session")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    client = Stage("dev", "https://api", {}).signed("dynamodb")
    assert client.region == "eu-west-1"
    assert client._credentials() == Credentials("AKIDEXAMPLE", "of the user", "of the session")


def test_listening_tells_what_comes_and_whether_it_verifies() -> None:
    secret = "whsec_" + "c2VjcmV0" * 4
    # a shell's background jobs ignore Ctrl-C, and so would their children
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{heed}; from quintet_cli.app import main; main()"]
    process = subprocess.Popen(
        [*command, "endpoints", "listen", "--port", "0", "--secret", secret],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        told = re.fullmatch(
            r"listening on (http://127\.0\.0\.1:\d+/?)\n", process.stdout.readline()
        )
        assert told is not None
        post, address = HttpWebhooks("loopback").post, told[1]
        now = time.time()
        assert post(address, b"{}", signed_headers("job_1", b"{}", [secret], now)).status == 204
        assert post(address, b"[]", signed_headers("job_2", b"{}", [secret], now)).status == 401
        assert process.stdout.readline() == "✓ verified job_1 {}\n"
        assert process.stdout.readline() == "✗ not verified job_2 []\n"
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
    assert rest == "2 callbacks received\n"
