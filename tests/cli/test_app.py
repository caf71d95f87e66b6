"""The command as a whole: what its help says and loads, and how a failed command exits."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from typer.main import get_group
from typer.testing import CliRunner

from quintet.errors import BadInput, Conflict, ModelFailure, NotFound, Transient
from quintet_cli.app import COMMANDS, FORMER, app, loaded, main
from quintet_cli.failures import Status, status_of, told
from quintet_cli.stacks import AGAIN, NoStage, StageError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_of_a_command_what_the_command_says(name: str) -> None:
    command: Any = get_group(loaded(name)).commands[name]
    assert COMMANDS[name][1] == command.help.partition("\n\n")[0].replace("\n", " ")


def test_every_command_is_in_the_help() -> None:
    found = {name for one in COMMANDS for name in get_group(loaded(one)).commands}
    assert found == set(COMMANDS)


@pytest.mark.parametrize(("old", "new"), FORMER.items(), ids="-".join)
def test_a_command_answers_to_its_former_name(old: tuple[str, ...], new: tuple[str, ...]) -> None:
    told_of = [CliRunner().invoke(app, [*words, "--help"]).output for words in (old, new)]
    assert told_of[0] == told_of[1]
    assert f" {' '.join(new)} [OPTIONS]" in told_of[0]
    page = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    assert f"`quintet {' '.join(old)}`" in page


def modules_after(code: str) -> set[str]:
    """The modules that a process has loaded once it has run some lines."""
    told_at_exit = "import sys, atexit; atexit.register(lambda: print(*sys.modules, sep='\\n'))"
    run = [sys.executable, "-c", f"{told_at_exit}\n{code}"]
    return set(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split("\n"))


def test_help_loads_no_command_and_nothing_large() -> None:
    help_of_all = "sys.argv = ['quintet', '--help']; from quintet_cli.app import main; main()"
    modules = modules_after(help_of_all)
    assert "quintet_cli.app" in modules
    large = {"boto3", "botocore", "moto", "numpy", "onnx", "onnxruntime", "orjson", "yaml"}
    assert modules & large == set()
    assert not [name for name in modules if name.startswith("quintet_cli.commands")]


def test_no_command_loads_for_its_help_what_only_its_work_needs() -> None:
    names = {f"quintet_cli.commands.{module}" for module, _ in COMMANDS.values()}
    modules = modules_after("\n".join(f"import {name}" for name in sorted(names)))
    assert names <= modules
    slow = {"boto3", "moto", "onnx", "onnxruntime", "samtranslator.translator"}
    assert modules & slow == set()


def aws_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Call")


def because(error: StageError, cause: Exception) -> StageError:
    error.__cause__ = cause
    return error


UNREACHED = EndpointConnectionError(endpoint_url="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (
            StageError("the run ended without a report", command="quintet runs ls churn"),
            Status.FAILED,
        ),
        (ModelFailure("the model failed"), Status.FAILED),
        (OSError("disk full"), Status.FAILED),
        (aws_error("ValidationException"), Status.FAILED),
        (NotFound.of("model", "a model", "nosuch"), Status.NOT_FOUND),
        (FileNotFoundError("orders.csv"), Status.NOT_FOUND),
        (aws_error("ResourceNotFoundException"), Status.NOT_FOUND),
        (aws_error("NoSuchKey"), Status.NOT_FOUND),
        (BadInput.of("amount", "a number", "text"), Status.REFUSED),
        (Conflict.of("version", "the same content", "other"), Status.REFUSED),
        (PermissionError("orders.csv"), Status.REFUSED),
        (aws_error("AccessDenied"), Status.REFUSED),
        (Transient("dynamodb did not answer"), Status.UNREACHABLE),
        (NoStage("no local AWS is running", command="quintet up --detach"), Status.UNREACHABLE),
        (NoCredentialsError(), Status.UNREACHABLE),
        (UNREACHED, Status.UNREACHABLE),
        (ConnectionRefusedError("127.0.0.1:9"), Status.UNREACHABLE),
        (because(StageError("no answer", command=AGAIN), UNREACHED), Status.UNREACHABLE),
        (because(StageError("denied", command=AGAIN), aws_error("AccessDenied")), Status.REFUSED),
    ],
    ids=lambda value: value.name if isinstance(value, Status) else type(value).__name__,
)
def test_the_exit_status_of_a_failure(error: Exception, status: Status) -> None:
    assert status_of(error) == status


def test_a_defect_is_not_told() -> None:
    assert told(ZeroDivisionError()) is None


def test_characters_that_a_terminal_does_not_have_are_written_as_escapes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setattr(sys, "argv", ["quintet", "--version"])
    with pytest.raises(SystemExit):
        main()
    print("\u2713 Zo\xeb", flush=True)
    assert written.getvalue().splitlines()[-1] == b"\\u2713 Zo\\xeb"
