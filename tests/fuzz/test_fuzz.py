"""Few cases of each fuzzer, and that they find what they look for."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, cast

import pytest
from tests.fuzz import campaign, kinds
from tests.fuzz.campaign import case_of
from tests.fuzz.kinds import HTTP, KINDS, Failure, Kind
from tests.fuzz.leaks import SECRET, leaks
from tests.fuzz.mutations import CANARY
from tests.fuzz.world import World
from tests.kits.aws import ROOT

from quintet_local.http1 import Response


def summary(*words: str) -> dict[str, Any]:
    """The last line of a command, which is a process: moto keeps its state for one."""
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return cast("dict[str, Any]", json.loads(done.stdout.splitlines()[-1]))


def test_mutated_inputs_are_answered_or_refused() -> None:
    found = summary("tests.fuzz", "--cases", "1500", "--seed", "1")
    assert found["failures"] == 0
    assert found["cases"] >= 1500


def test_drawn_requests_get_documented_answers() -> None:
    found = summary("tests.fuzz.api", "--cases", "120", "--seed", "1", "--model", "shop")
    assert found["failures"] == 0
    assert found["cases"] >= 60


@pytest.mark.parametrize("kind", [*HTTP, *KINDS])
def test_a_seed_makes_the_same_inputs_again(kind: str) -> None:
    assert case_of(1, kind, 0) == case_of(1, kind, 0)
    assert len({case_of(1, kind, number) for number in range(20)}) > 10


class _Broken(World):
    """An API that answers each request with one response, and logs a line."""

    def __init__(self, response: Response, line: str = "") -> None:
        super().__init__(None, {})  # type: ignore[arg-type]
        self._response = response
        self._line = line

    def send(self, *given: Any, **named: Any) -> Response:
        self.log.write(self._line)
        return self._response


OK = Response(200, b"{}")


@pytest.mark.parametrize(
    ("world", "why"),
    [
        (_Broken(Response(503, b"later")), "503"),
        (_Broken(Response(400, b"no arn:aws:s3:::registry")), "arn:aws:s3:::registry"),
        (_Broken(Response(400, b"in /var/task/app.py, line 3")), "/var/task/app.py"),
        (_Broken(OK, f'{{"key": "{SECRET}"}}'), SECRET),
        (_Broken(OK, "Traceback (most recent call last):"), "Traceback"),
        (_Broken(OK, f'{{"value": "{CANARY}"}}'), "in the log"),
    ],
)
def test_what_an_api_may_never_do_is_a_failure(world: World, why: str) -> None:
    totals = campaign.run(world, 1, ["records"], 2)
    assert [found.number for found in totals.failures] == [0, 1]
    assert all(why in found.why for found in totals.failures)


def test_a_reader_that_raises_or_runs_long_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(body: bytes) -> str:
        raise KeyError("a")

    def spins(body: bytes) -> str:
        while True:
            pass

    monkeypatch.setattr(campaign, "SECONDS", 0.05)
    for run, why in ((raises, "KeyError: 'a'"), (spins, "s of the processor")):
        monkeypatch.setitem(KINDS, "csv", Kind(KINDS["csv"].make, run))
        totals = campaign.run(_Broken(OK), 1, ["csv"], 1)
        assert [why in found.why for found in totals.failures] == [True]
        assert totals.outcomes["csv"] == {"failed": 1}


def test_what_the_caller_sent_is_no_leak() -> None:
    assert leaks("got '/etc/passwd'", "/etc/passwd") == []
    assert leaks("got '/etc/passwd'") == ["/etc/passwd"]


def test_a_refusal_of_a_package_that_is_a_trace_is_a_failure() -> None:
    with pytest.raises(Failure, match="no refusal"):
        kinds._told(ValueError("Traceback (most recent call last)"))
