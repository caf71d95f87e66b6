"""Starting, stopping, being killed, and several at once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.kits.local_aws import FREE_PORTS, LocalAws, LocalAwsFailed, eventually, start_local_aws
from tests.local.conftest import STACK

BIN = Path(sys.executable).parent
SMALL = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: index.handler
      InlineCode: |
        import os, time
        def handler(event, context):
            time.sleep(event.get("seconds", 0))
            return os.getpid()
  Bucket: {Type: AWS::S3::Bucket}
Outputs:
  Bucket: {Value: !Ref Bucket}
"""


@pytest.fixture(autouse=True)
def nothing_runs_on(tmp_path: Path) -> Iterator[None]:
    """End what a test that failed has left running."""
    yield
    for process in psutil.process_iter(["cmdline"]):
        if any(str(tmp_path) in word for word in process.info["cmdline"] or ()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    template = tmp_path / "template.yaml"
    template.write_text(SMALL)
    return template


def runs(pid: int) -> bool:
    """Whether a process runs; in a container nobody may have waited for one that has ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def invoke(local: LocalAws) -> int:
    answer = local.client("lambda").invoke(FunctionName="quintet-local-Echo")
    pid: int = json.loads(answer["Payload"].read())
    return pid


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_ending_it_leaves_no_process_and_no_state_file(
    tmp_path: Path, small: Path, signum: signal.Signals
) -> None:
    local = start_local_aws(tmp_path / "state", small)
    child = invoke(local)
    local.process.send_signal(signum)
    assert local.process.wait(timeout=30) == 0
    assert not runs(child)
    assert sorted(path.name for path in local.state.iterdir()) == ["kept.db", "logs", "up.log"]


def test_killed_it_takes_its_children_along_and_starts_again(tmp_path: Path, small: Path) -> None:
    local = start_local_aws(tmp_path / "state", small)
    idle = invoke(local)
    busy = subprocess.Popen(
        [sys.executable, "-c", CALL_SLOWLY, local.endpoint_url], stderr=subprocess.DEVNULL
    )
    children = eventually(lambda: _children(local, 1, idle))
    local.process.send_signal(signal.SIGKILL)
    local.process.wait()
    eventually(lambda: not any(runs(pid) for pid in children))
    busy.wait(timeout=30)
    assert (local.state / "local.json").exists()
    assert (local.state / "sam-env.json").exists()
    port = local.endpoint_url.rpartition(":")[2]
    again = start_local_aws(tmp_path / "state", small, options=("--port", port, "--api-port", "0"))
    assert invoke(again) not in children
    again.stop()


CALL_SLOWLY = """
import sys, urllib.request
url = sys.argv[1] + "/2015-03-31/functions/quintet-local-Echo/invocations"
urllib.request.urlopen(urllib.request.Request(url, b'{"seconds": 2}', method="POST"))
"""


def _children(local: LocalAws, least: int, known: int) -> list[int] | None:
    """The environments, once one of them is busy with the slow call."""
    page = health(local)
    busy = sum(counts["busy"] for counts in page["environments"].values())
    found = [child.pid for child in psutil.Process(local.process.pid).children()]
    return found if busy >= least and known in found else None


def health(local: LocalAws) -> dict[str, dict[str, dict[str, int]]]:
    with urllib.request.urlopen(local.endpoint_url + "/_quintet/health") as answer:
        page: dict[str, dict[str, dict[str, int]]] = json.load(answer)
    return page


def test_two_run_side_by_side(tmp_path: Path, small: Path) -> None:
    one = start_local_aws(tmp_path / "one", small)
    two = start_local_aws(tmp_path / "two", small)
    for local, body in ((one, b"one"), (two, b"two")):
        local.client("s3").put_object(Bucket=local.outputs["Bucket"], Key="k", Body=body)
    stored = [
        local.client("s3").get_object(Bucket=local.outputs["Bucket"], Key="k")["Body"].read()
        for local in (one, two)
    ]
    assert stored == [b"one", b"two"]
    one.stop()
    assert invoke(two) > 0
    two.stop()


def test_of_two_on_one_folder_one_wins_and_the_other_is_told(tmp_path: Path, small: Path) -> None:
    """Started at once, before either has written its state."""
    state = tmp_path / "state"
    command = [str(BIN / "quintet"), "up", *FREE_PORTS, "--state", str(state)]
    command += ["--template", str(small)]
    pair = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    loser = eventually(lambda: next((p for p in pair if p.poll() is not None), None), 60)
    assert loser.stderr is not None
    told = loser.stderr.read()
    assert loser.returncode == 1
    # on a slow machine the other has come further
    starts, runs_ = f"is starting from {state}: wait for it", f"runs from {state} already, at http"
    assert told.startswith((f"error: a local AWS {starts}", f"error: a local AWS {runs_}"))
    last = told.splitlines()[-1].partition(" --state ")
    assert last[0] in ("try: quintet status", "try: quintet down")
    assert last[2] == str(state)
    (winner,) = (process for process in pair if process is not loser)
    eventually((state / "local.json").exists, 60)
    assert json.loads((state / "local.json").read_text())["pid"] == winner.pid
    winner.send_signal(signal.SIGTERM)
    assert winner.wait(timeout=30) == 0
    for process in pair:
        assert process.stderr is not None
        process.stderr.close()


def test_the_log_of_one_that_runs_is_not_overwritten(tmp_path: Path, small: Path) -> None:
    state = tmp_path / "state"
    local = start_local_aws(state, small)
    before = (state / "up.log").read_text()
    second = quintet(
        "up", "--detach", *FREE_PORTS, "--state", str(state), "--template", str(small), "--strict"
    )
    assert (second.returncode, before) == (1, (state / "up.log").read_text())
    assert f"a local AWS runs from {state} already, at {local.endpoint_url}" in second.stderr
    local.stop()


@pytest.mark.parametrize("option", ["--port", "--api-port"])
def test_a_port_that_is_taken_is_said(tmp_path: Path, small: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options = {"--port": "0", "--api-port": "0", option: str(port)}
        with pytest.raises(LocalAwsFailed, match=f"error: port {port} is taken; {option} takes"):
            start_local_aws(tmp_path, small, options=tuple(_flat(options)))


def _flat(options: dict[str, str]) -> list[str]:
    return [word for pair in options.items() for word in pair]


def test_a_template_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(LocalAwsFailed, match=r"^error: .*nowhere.yaml: No such file"):
        start_local_aws(tmp_path / "state", tmp_path / "nowhere.yaml")


def quintet(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "quintet"), *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command_starts_shows_and_stops(tmp_path: Path, small: Path) -> None:
    state = str(tmp_path / "state")
    free = (*FREE_PORTS, "--state", state, "--template", str(small))
    assert quintet("status", "--state", state).returncode == 5
    started = quintet("up", "--detach", *free)
    assert (started.returncode, started.stderr) == (0, "")
    assert "not honoured here: `quintet status` has a line for each" in started.stdout
    kept = f"{state} keeps buckets and tables (0 objects and 0 items from before)"
    assert kept in started.stdout
    told = json.loads((tmp_path / "state" / "local.json").read_text())
    status = quintet("status", "--state", state)
    for run in (started, status):
        assert told["endpoint_url"] in run.stdout
    assert told["outputs"]["Bucket"] in status.stdout
    notice = "calls that a function's role does not allow are reported, not refused"
    assert f"EchoRole: AWS::IAM::Role: {notice}" in status.stdout
    exports = quintet("env", "--state", state).stdout
    shown = subprocess.run(
        ["sh", "-euc", f'{exports}\necho "$AWS_ENDPOINT_URL $AWS_DEFAULT_REGION $AWS_REGION $API"'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown == f"{told['endpoint_url']} us-east-1 us-east-1 {told['api_url']}\n"
    assert f'eval "$(quintet env --state {state})"' in started.stdout
    second = quintet("up", "--detach", *free)
    assert (second.returncode, second.stderr) == (0, "")
    assert told["endpoint_url"] in second.stdout
    assert "it runs already; `quintet down` stops it" in second.stdout
    other = quintet("up", "--detach", *free, "--parameter", "Stage=x")
    assert other.returncode == 1
    assert "a local AWS runs from" in other.stderr
    down = quintet("down", "--state", state)
    assert (down.returncode, down.stdout) == (
        0,
        "the local AWS has stopped; `quintet up` starts it with its buckets and tables, kept in "
        f"{state}\n",
    )
    assert not runs(told["pid"])
    assert "no local AWS runs" in quintet("down", "--state", state).stdout
    gone = quintet("env", "--state", state)
    assert (gone.returncode, gone.stdout) == (5, "")


def test_in_the_foreground_ctrl_c_stops_it(tmp_path: Path, small: Path) -> None:
    state = tmp_path / "state"
    process = subprocess.Popen(
        [BIN / "quintet", "up", *FREE_PORTS, "--state", state, "--template", small],
        stdout=subprocess.PIPE,
        text=True,
    )
    eventually((state / "local.json").exists, 60)
    assert process.stdout is not None
    for line in process.stdout:
        if "Ctrl-C stops it" in line:
            break
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    process.stdout.close()


def test_a_state_file_of_a_killed_one_stands_in_nobodys_way(tmp_path: Path, small: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    stale = {
        "pid": 999_999_999,
        "endpoint_url": "http://127.0.0.1:9",
        "api_url": "http://127.0.0.1:9",
        "outputs": {},
        "template": str(small),
        "started": 0.0,
    }
    (state / "local.json").write_text(json.dumps(stale))
    assert quintet("status", "--state", str(state)).returncode == 5
    local = start_local_aws(state, small)
    local.stop()
    (state / "local.json").write_text(json.dumps(stale))
    (state / "sam-env.json").write_text("{}")
    down = quintet("down", "--state", str(state))
    assert (down.returncode, down.stdout.split()) == (
        0,
        f"the local AWS of {state} was no longer running".split(),
    )
    assert sorted(path.name for path in state.iterdir()) == ["kept.db", "logs", "up.log"]


def test_the_aws_command_works_against_it(stack: LocalAws, tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }

    def aws(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, BIN / "aws", "--endpoint-url", stack.endpoint_url, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    aws("s3", "cp", str(STACK), f"s3://{stack.outputs['Inbox']}/elsewhere/t.yaml")
    assert "t.yaml" in aws("s3", "ls", f"s3://{stack.outputs['Inbox']}/elsewhere/")
    out = tmp_path / "out.json"
    aws("lambda", "invoke", "--function-name", "quintet-local-Echo", str(out))
    assert json.loads(out.read_text())["version"] == "$LATEST"


def test_only_this_machine_reaches_it(stack: LocalAws) -> None:
    connections = psutil.Process(stack.process.pid).net_connections("tcp")
    listening = {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}
