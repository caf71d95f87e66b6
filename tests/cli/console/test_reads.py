"""Reads of panels: a slow or failing one is said in plain words, and holds up no other."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from botocore.exceptions import ClientError, NoCredentialsError

from quintet.errors import Transient
from quintet_cli.console.reads import Outcome, Reads
from quintet_cli.console.shared_stage import SharedStage
from quintet_cli.stage import Stage


def failing(error: Exception) -> Any:
    def read() -> Any:
        raise error

    return read


def test_an_expected_error_is_said_and_a_defect_is_named() -> None:
    async def looks() -> list[Outcome]:
        reads = Reads()
        denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "Query")
        errors = (Transient("dynamodb did not answer"), NoCredentialsError(), denied, KeyError("x"))
        return [await reads.look(str(n), failing(error)) for n, error in enumerate(errors)]

    transient, credentials, denied, defect = asyncio.run(looks())
    assert transient == Outcome(problem="dynamodb did not answer")
    assert "sign in" in credentials.problem
    assert "not allowed" in denied.problem
    assert "KeyError" in defect.problem


def test_a_slow_read_goes_on_once_while_others_answer_and_is_taken_by_a_later_look() -> None:
    free, calls = threading.Event(), []

    def slow() -> str:
        calls.append(1)
        assert free.wait(60)
        return "found"

    async def looks() -> None:
        reads = Reads(patience=0.01)
        first = await reads.look("slow", slow)
        assert (first.value, first.goes_on) == (None, True)
        assert "still reading" in first.problem
        again = await reads.look("slow", slow)
        assert again.goes_on
        while (other := await reads.look("other", lambda: "other")).goes_on:
            pass
        assert other == Outcome("other")
        free.set()
        while (last := await reads.look("slow", slow)).goes_on:
            pass
        assert last == Outcome("found")
        assert len(calls) == 1

    asyncio.run(looks())


def test_an_output_that_an_older_stack_lacks_says_to_deploy() -> None:
    stage = SharedStage.of(Stage("prod", "https://api", {"ApiUrl": "https://api"}))
    outcome = asyncio.run(Reads().look("x", lambda: stage.outputs["CapturesBucketName"]))
    assert "no output CapturesBucketName" in outcome.problem
    assert "deploy" in outcome.problem
