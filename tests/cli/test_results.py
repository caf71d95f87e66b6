"""`--json`: what the decorator of commands prints, and which commands have none."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import typer
from docs.generate import functions
from tests.kits.schemas import valid
from typer.testing import CliRunner

from quintet_cli.doctor import Finding
from quintet_cli.results import Failed, prints, prints_lines, shape_of

#: they serve until they are stopped
SERVING = {
    "quintet console",
    "quintet demo",
    "quintet endpoints listen",
    "quintet proxy",
    "quintet up",
}


@dataclass
class Sum:
    """A result."""

    total: int


app = typer.Typer()


@app.command()
@prints(Sum)
def add(numbers: list[int], most: int = 10) -> Sum:
    """Add numbers."""
    found = Sum(sum(numbers))
    print(f"it is {found.total}")
    print("a question", file=sys.stderr)
    if found.total > most:
        raise Failed(found, 4, command="quintet status")
    return found


@app.command()
@prints_lines(Sum)
def count(most: int) -> Iterator[Sum]:
    """Count."""
    for number in range(most):
        print(f"now {number}")
        yield Sum(number)


@pytest.mark.parametrize(
    ("arguments", "printed", "status"),
    [
        ("add 1 2", "it is 3\n", 0),
        ("add 1 2 --json", '{\n  "total": 3\n}\n', 0),
        ("add 9 2", "it is 11\n", 4),
        ("add 9 2 --json", '{\n  "total": 11\n}\n', 4),
        ("count 2", "now 0\nnow 1\n", 0),
        ("count 2 --json", '{"total":0}\n{"total":1}\n', 0),
    ],
)
def test_text_or_json_is_printed_and_never_both(arguments: str, printed: str, status: int) -> None:
    found = CliRunner().invoke(app, arguments.split())
    assert (found.stdout, found.exit_code) == (printed, status)
    assert found.stderr.removeprefix("a question\n") == ("try: quintet status\n" if status else "")


def test_a_command_that_is_called_prints_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    add([1])
    assert capsys.readouterr().out == "it is 1\n"


def test_each_command_prints_json_unless_it_serves() -> None:
    none = {name for name, function in functions() if shape_of(function) is None}
    assert none == SERVING, "give a new command `prints`, see quintet_cli/results.py"


def test_findings_of_the_doctor_follow_their_schema() -> None:
    from pydantic import TypeAdapter

    finding = Finding("job", True, "DONE", 0.5, ("a row",))
    text = TypeAdapter(list[Finding]).dump_json([finding]).decode()
    assert valid("quintet doctor", text) == json.loads(text)
