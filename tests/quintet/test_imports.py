"""The order of imports: inside the package one way, top to bottom; functions see the package."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "layers/quintet/quintet"

#: packages that are never deployed
OUTER = {"quintet_cli", "quintet_local", "quintet_publish"}

#: The rooms of the package, top to bottom. A room imports from rooms above it, or from itself.
ORDER = [
    {"record"},
    {"errors", "coldstart", "manifest", "settings", "telemetry"},
    {"contract"},
    {"columns"},
    {"onnx_model"},
    {"scoring", "features"},
    {"monitoring"},
    {"formats"},
    {"serving"},
    {"captures"},
    {"labels"},
    {"daily", "feedback"},
    {"protocols"},
    {"jobs", "batch", "rollouts"},
    {"streaming", "recommend"},
    {"webhooks", "callers"},
    {"openapi"},
    {"api"},
    {"aws"},
    {"wiring", "replay"},
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def imported(path: Path) -> set[str]:
    """The absolute names that a file imports; relative imports are not used here."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms_of(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("quintet.")} - {"__version__"}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_package_imports_one_way(path: Path) -> None:
    here = room(path)
    assert here in RANK, f"{here} has no place in the order: add it to ORDER"
    upward = {
        other
        for other in rooms_of(imported(path))
        if other != here and RANK.get(other, 99) >= RANK[here]
    }
    assert upward == set(), f"{here} imports from rooms that are not above it"


def test_every_room_of_the_order_is_there() -> None:
    assert {room(path) for path in modules()} == set(RANK)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_one_module_imports_onnxruntime_and_nothing_sees_the_outer_rooms(path: Path) -> None:
    tops = {name.split(".")[0] for name in imported(path)}
    assert tops.isdisjoint({"moto", "onnx", "typer", "rich"} | OUTER)
    assert ("onnxruntime" in tops) == (path == PACKAGE / "onnx_model.py")


@pytest.mark.parametrize("path", sorted(ROOT.glob("functions/*/*.py")), ids=str)
def test_functions_import_the_package_and_no_sibling(path: Path) -> None:
    siblings = {folder.name for folder in (ROOT / "functions").iterdir()}
    tops = {name.split(".")[0] for name in imported(path)}
    assert tops.isdisjoint(siblings | {"app"} | OUTER)


def test_functions_do_not_load_replay_and_its_flow_needs_no_boto3() -> None:
    for path in ROOT.glob("functions/*/*.py"):
        assert "replay" not in rooms_of(imported(path)), path
    for path in (PACKAGE / "replay").glob("*.py"):
        tops = {name.split(".")[0] for name in imported(path)}
        assert tops.isdisjoint({"boto3", "botocore"}), path
        assert not any(name.startswith("quintet.replay.aws") for name in imported(path)), path


def test_the_command_and_publishing_are_not_seen_by_the_local_aws() -> None:
    for path in ROOT.glob("local/**/*.py"):
        tops = {name.split(".")[0] for name in imported(path)}
        assert tops.isdisjoint({"quintet_cli", "quintet_publish"}), path


@pytest.mark.parametrize("path", sorted(ROOT.glob("publish/**/*.py")), ids=str)
def test_publishing_imports_the_package_and_no_terminal(path: Path) -> None:
    tops = {name.split(".")[0] for name in imported(path)}
    assert tops.isdisjoint({"quintet_cli", "quintet_local", "typer", "rich"})


@pytest.mark.parametrize(
    "name",
    [
        *(f"batch/{one}" for one in ("drops", "reports", "requests", "input_listing", "tables")),
        "api/telemetry",
        "jobs/worker",
    ],
)
def test_what_functions_without_the_columnar_layer_use_needs_no_arro3(name: str) -> None:
    waiting, seen = [PACKAGE / f"{name}.py"], set()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        names = imported(path)
        assert "arro3" not in {name.split(".")[0] for name in names}, f"{name} needs {path.name}"
        for one in names:
            place = PACKAGE.parent.joinpath(*one.split("."))
            files = {place.with_suffix(".py"), place.parent.with_suffix(".py")}
            waiting += [file for file in files if file.is_file() and file not in seen]
