"""What a failed command ends with: why, and a command that goes on, which exists."""

from __future__ import annotations

import ast
import errno
import importlib
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from tests.kits.commands import check_command

from quintet.errors import BadInput, Conflict, ModelFailure, NotFound, QuintetError, Transient
from quintet_cli.advice import next_command
from quintet_cli.app import main
from quintet_cli.failures import Status, reason_of, told
from quintet_cli.registry import Unpublished
from quintet_cli.results import Failed
from quintet_cli.stacks import AGAIN, StageError
from quintet_cli.stage import Stage
from quintet_local.failures import CannotStart
from quintet_publish.problems import Ambiguous, GoldenDiffers, PackageError, Problem, UnknownColumn

ROOT = Path(__file__).parents[2]
QUINTET = Path(sys.executable).parent / "quintet"
PACKAGES = ("cli/quintet_cli", "publish/quintet_publish", "local/quintet_local")
#: constructors that cannot be called without the command that goes on
DEMANDING = (StageError, CannotStart, Failed)
#: what `next_command` or Typer's messages answer
ANSWERED = (QuintetError, OSError)
#: raised and caught within a package, or answers of the local AWS to its callers
CAUGHT = {
    "AlarmError": "quintet_local: a line of the notices of `up`",
    "ApartError": "quintet_cli.proxy: the request goes alone",
    "AssertionError": "a defect",
    "BadSchedule": "quintet_local: becomes a TemplateError",
    "Failed": "quintet_local.gateway: an answer of the API",
    "FaultError": "quintet_local: `up` prints it, and its own words again",
    "HTTPException": "quintet_cli.console: a page",
    "Hangup": "quintet_local: a connection that is closed by plan",
    "IntrinsicError": "quintet_local: becomes a TemplateError",
    "KeyboardInterrupt": "the command says that it was interrupted",
    "MalformedAnswer": "quintet_local: an answer of the API",
    "MalformedPolicy": "quintet_local: an answer of the API",
    "NoQuota": "quintet_cli.sizing: a note beside the measurement",
    "OverflowError": "quintet_publish.init: a value that does not fit a dtype",
    "ParameterError": "quintet_local: becomes a TemplateError, in `make deploy` a StageError",
    "PatternError": "quintet_local: a line of the notices of `up`",
    "RuntimeError": "quintet_local.hooks: another moto than the lock's, a defect",
    "SystemExit": "quintet_cli.sizing.child: its parent says what the child said",
    "TemplateError": "quintet_local: `up` prints it, and its own words again",
    "TypeError": "quintet_local: an answer of the API",
    "Unfit": "quintet_publish.init: the next layout is tried",
    "ValueError": "a parser's, told as Typer's or as BadInput",
    "_AloneError": "quintet_cli.proxy: the request goes alone",
    "_Deleted": "quintet_local.keeping: a table went away meanwhile",
    "typer.BadParameter": "Typer's own: `after_usage`",
    "typer.Exit": "printed before",
}


def raised() -> Iterator[tuple[str, ast.expr]]:
    """Every error that the packages make, with its place."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Raise) and node.exc is not None:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node.exc


def class_of(place: str, made: ast.expr) -> Any:
    """The class of a raised error, by its name in the module; None of what a function returns."""
    called = made.func if isinstance(made, ast.Call) else made
    if isinstance(called, ast.Attribute) and called.attr == "of":
        called = called.value
    if not isinstance(called, ast.Name):
        return None
    module = place.partition("/")[2].partition(".py")[0].replace("/", ".")
    return getattr(importlib.import_module(module), called.id, None)


def test_each_error_that_is_raised_has_a_command_that_goes_on() -> None:
    without, known = [], set()
    for place, made in raised():
        name = ast.unparse(made.func if isinstance(made, ast.Call) else made)
        if name in CAUGHT:
            known.add(name)
            continue
        found = class_of(place, made)
        if isinstance(found, type) and issubclass(found, (*DEMANDING, *ANSWERED)):
            continue
        if place.startswith("local/"):  # answers of moto and the local Lambda to their callers
            continue
        if isinstance(found, type) or (found is None and name[:1].isupper()):
            without.append(f"{place}: {name}")
    assert without == []
    assert known == set(CAUGHT), "an entry that nothing raises any more"


def test_no_error_can_be_made_without_its_command() -> None:
    for kind in (StageError, CannotStart):
        with pytest.raises(TypeError, match="command"):
            kind("it failed")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="command"):
        Failed({})  # type: ignore[call-arg]


def commands_in_code() -> Iterator[tuple[str, str]]:
    """Each text that names a command of ours to run next, its fields as words."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.keyword) or node.arg != "command":
                    continue
                for text in texts_of(node.value):
                    if text.startswith("quintet "):
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def texts_of(value: ast.expr) -> list[str]:
    if isinstance(value, ast.IfExp):
        return [*texts_of(value.body), *texts_of(value.orelse)]
    if isinstance(value, ast.Constant):
        return [str(value.value)]
    if isinstance(value, ast.JoinedStr):
        parts = (one.value if isinstance(one, ast.Constant) else "1" for one in value.values)
        return ["".join(map(str, parts))]
    return []


def test_each_command_that_an_error_names_exists() -> None:
    found = dict(commands_in_code())
    assert len(found) > 60
    for place, command in found.items():
        check_command(shlex.split(command), place)


NO_FILE = FileNotFoundError(errno.ENOENT, "No such file or directory", "orders.csv")
FULL = OSError(errno.ENOSPC, "No space left on device")
EXPIRED = ClientError({"Error": {"Code": "ExpiredToken", "Message": "no"}}, "Call")
UNKNOWN = ClientError({"Error": {"Code": "Other", "Message": "no"}}, "Call")
UNREACHED = EndpointConnectionError(endpoint_url="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("error", "words", "command"),
    [
        (StageError("no run", command="quintet runs ls churn"), "", "quintet runs ls churn"),
        (StageError("gone", command=AGAIN), "monitor churn", "quintet monitor churn"),
        (
            StageError("no run", command="quintet runs ls churn"),
            "drop f churn --stage prod --state=my/state",
            "quintet runs ls churn --stage prod --state my/state",
        ),
        (StageError("no", command="make deploy"), "models --stage prod", "make deploy"),
        (StageError("no", command="quintet init --help"), "init --state x", "quintet init --help"),
        (
            Unpublished("prod", "chrun", "churn"),
            "versions chrun --stage prod",
            "quintet versions churn --stage prod",
        ),
        (Unpublished("prod", "x", None), "versions x --stage prod", "quintet models --stage prod"),
        (NotFound.of("version", "1", "9"), "promote churn 9", "quintet models"),
        (NotFound.of("run", "a run", "x"), "runs show churn x", "quintet runs ls churn"),
        (
            UnknownColumn("--label", "lable", ["a", "label"]),
            "init m.onnx s.csv --label lable",
            "quintet init m.onnx s.csv --label label",
        ),
        (PackageError.of("model.yaml", "no"), "publish models/churn", "quintet check models/churn"),
        (PackageError.of("model.yaml", "no"), "check models/churn", "quintet check models/churn"),
        (
            Ambiguous("x", "2 columns", "3: a, b, sold", ["a", "b", "sold"], "sold"),
            "init m.onnx s.csv --yes",
            "quintet init m.onnx s.csv --yes --label sold",
        ),
        (Conflict.of("--out", "empty", "m"), "init m.onnx", "quintet init m.onnx --out m-2"),
        (Conflict.of("--out", "empty", "m"), "init g --out m", "quintet init g --out m-2"),
        (Conflict.of("DIR", "empty", "shop"), "new shop", "quintet new shop-2"),
        (BadInput.of("--by", "one of a", "b"), "quality churn --by b", "quintet quality --help"),
        (BadInput.of("amount", "a number", "x"), "stream send x m", "quintet stream send --help"),
        (
            ModelFailure("it failed"),
            "predict churn --stage prod",
            "quintet logs Predict --stage prod",
        ),
        (
            Transient("later"),
            "features load f.csv --model m",
            "quintet features load f.csv --model m",
        ),
        (QuintetError("no"), "run churn", "quintet runs start --help"),
        (NO_FILE, "drop orders.csv churn", "ls ."),
        (FULL, "drop orders.csv churn", "df -h ."),
        (PermissionError(errno.EACCES, "Permission denied", "-x y"), "", "ls -ld './-x y'"),
        (EXPIRED, "models --stage prod", "aws sso login"),
        (NoCredentialsError(), "models --stage prod", "aws configure"),
        (UNKNOWN, "models --stage prod", "quintet doctor --stage prod"),
        (UNREACHED, "models", "quintet up --detach"),
    ],
)
def test_the_command_after_an_error(
    error: Exception, words: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert next_command(error, shlex.split(words)) == command


def test_golden_rows_of_another_graph_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = GoldenDiffers([Problem("golden.json", "row 0: y: expected 1, got 2")])
    Path("my model").mkdir()
    assert next_command(error, ["publish", "my model"]) == "quintet golden 'my model'"
    assert next_command(error, ["check", "my model"]) == "quintet golden 'my model'"


def test_a_package_that_init_wrote_and_refused_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["init", "m.onnx", "rows.csv", "--out", "my model"]
    error = PackageError([Problem("model.yaml", "no"), Problem("my model", "has the package")])
    assert next_command(error, words) == "quintet init m.onnx rows.csv --out 'my model'"
    Path("my model").mkdir()
    assert next_command(error, words) == "quintet check 'my model'"


def test_a_file_that_was_refused_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my file.csv").touch()
    words = ["features", "load", "my file.csv", "--model", "m"]
    found = next_command(BadInput.of("my file.csv", "rows", "none"), words)
    assert found == "quintet features load 'my file.csv' --model m"


def test_an_error_is_why_and_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    error = NotFound.of("model", "a published model", "[red]x")
    assert told(error, ["versions", "x"]) == Status.NOT_FOUND
    assert capsys.readouterr().err == (
        "error: model: expected a published model, got [red]x\ntry: quintet models\n"
    )


def test_a_file_that_is_missing_is_named_with_the_one_that_may_be_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "customers.csv").touch()
    missing = tmp_path / "custmers.csv"
    with pytest.raises(FileNotFoundError) as raised_error:
        missing.stat()
    assert told(raised_error.value, ["drop", str(missing), "churn"]) == Status.NOT_FOUND
    assert capsys.readouterr().err == (
        f"error: {missing}: there is no such file; do you mean customers.csv?\n"
        f"try: quintet drop {tmp_path / 'customers.csv'} churn\n"
    )
    with pytest.raises(IsADirectoryError) as folder:
        tmp_path.read_bytes()
    assert told(folder.value) == Status.FAILED
    assert capsys.readouterr().err == f"error: {tmp_path}: is a directory\ntry: ls -ld {tmp_path}\n"


def test_a_full_disk_is_named_without_its_number() -> None:
    assert reason_of(FULL) == "no space left on device"


@pytest.mark.parametrize(
    ("words", "ends"),
    [
        (["publis", "x"], "error: No such command 'publis'. Did you mean 'publish'?\n"
         "try: quintet publish x\n"),
        (["publish"], "error: Missing argument 'DIR'.\ntry: quintet publish --help\n"),
        (["publish", "--bmup", "x"], "try: quintet publish --bump x\n"),
        (["stream", "sned"], "try: quintet stream --help\n"),
        (["models"], "error: no local AWS is running from .quintet/ here\n"
         "try: quintet up --detach\n"),
        (["choose"], "try: quintet choose --help\n"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_is_mistyped_ends_in_a_command(
    words: list[str],
    ends: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "40")  # lines are not cut: they are to be pasted
    monkeypatch.setattr(sys, "argv", ["quintet", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (said.out, ended.value.code) == ("", 5 if words == ["models"] else 2)
    assert said.err.endswith(ends)
    check_command(shlex.split(said.err.splitlines()[-1].removeprefix("try: ")))


def test_a_failed_command_is_told_by_its_status_and_two_lines(tmp_path: Path) -> None:
    ran = subprocess.run(
        [QUINTET, "status", "--state", "my state"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (
        5,
        "",
        "error: no local AWS runs from my state\ntry: quintet up --detach --state 'my state'\n",
    )
    without = subprocess.run(
        [QUINTET], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert "Usage: quintet [OPTIONS] COMMAND" in without.stdout + without.stderr
    assert "error" not in without.stderr


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("models --stage prod", "quintet models --stage prod"),
        ("drop {file} churn --keep id", "quintet runs watch churn"),
        ("rollout watch churn --stage prod", "quintet rollout status churn --stage prod"),
    ],
)
def test_ctrl_c_is_said_with_what_goes_on(
    words: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "in.csv").touch()
    given = words.format(file=tmp_path / "in.csv")
    monkeypatch.setattr(sys, "argv", ["quintet", *given.split()])
    monkeypatch.setattr(Stage, "open", interrupted)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == f"\ninterrupted\ntry: {command}\n"
    check_command(shlex.split(command))
