"""The console that `quintet up` starts: its URL opens, and it ends with its local AWS."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from tests.kits.local_aws import FREE_PORTS, eventually

from quintet_cli.local_process import runs

QUINTET = Path(sys.executable).parent / "quintet"
SECONDS = 120
SMALL = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Bucket: {Type: AWS::S3::Bucket}
Outputs:
  Bucket: {Value: !Ref Bucket}
"""


def quintet(*words: str) -> str:
    ran = subprocess.run(
        [QUINTET, *words], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def opened(url: str) -> tuple[int, str | None]:
    """The status of a URL, and the address that it leads on to."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=SECONDS)
    try:
        connection.request("GET", f"/?{parts.query}")
        answer = connection.getresponse()
        return answer.status, answer.getheader("location")
    finally:
        connection.close()


def url_in(told: str) -> str:
    found = re.search(r"^Console +(http://127\.0\.0\.1:\d+/\?token=\S+)$", told, re.M)
    assert found, told
    return found[1]


def test_up_prints_a_url_that_opens_and_down_ends_the_console(tmp_path: Path) -> None:
    state, template = tmp_path / "state", tmp_path / "template.yaml"
    template.write_text(SMALL)
    words = ("up", "--detach", *FREE_PORTS, "--state", str(state), "--template", str(template))
    url = url_in(quintet(*words))
    assert opened(url) == (303, "/")
    kept = state / "console.json"
    pid = int(json.loads(kept.read_text())["pid"])
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    # whoever asks again is shown the same one
    for again in (words, ("status", "--state", str(state)), ("console", "--state", str(state))):
        assert url_in(quintet(*again)) == url
    # another one, on a port of its own, ends at Ctrl-C without a word
    with subprocess.Popen(
        [QUINTET, "console", "--port", "0", "--state", str(state)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as second:
        assert second.stdout is not None
        assert opened(url_in(second.stdout.readline())) == (303, "/")
        second.send_signal(signal.SIGINT)
        assert (second.wait(SECONDS), second.stderr and second.stderr.read()) == (0, "")
    # one that was killed is started again
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not runs(pid), SECONDS)
    other = url_in(quintet(*words))
    assert other != url
    assert opened(other) == (303, "/")
    pid = int(json.loads(kept.read_text())["pid"])
    quintet("down", "--state", str(state))
    eventually(lambda: not runs(pid) and not kept.exists(), SECONDS)


def test_the_console_of_a_local_aws_that_was_killed_ends(tmp_path: Path) -> None:
    state, template = tmp_path / "state", tmp_path / "template.yaml"
    template.write_text(SMALL)
    words = ("up", "--detach", *FREE_PORTS, "--state", str(state), "--template", str(template))
    quintet(*words)
    pid = int(json.loads((state / "console.json").read_text())["pid"])
    os.kill(int(json.loads((state / "local.json").read_text())["pid"]), signal.SIGKILL)
    eventually(lambda: not runs(pid), SECONDS)
    assert "Console" not in quintet(*words, "--no-console")
    quintet("down", "--state", str(state))
