"""The docs name every command, parameter, setting and metric, and their links lead somewhere."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from quintet import settings
from quintet.telemetry.metrics import METRICS
from quintet_cli.app import app
from quintet_local import template

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("models/*/*.md")])
OPERATIONS = (ROOT / "docs/operations.md").read_text()


def commands(group: typer.Typer, path: str = "quintet") -> Iterator[str]:
    for command in group.registered_commands:
        assert command.callback is not None
        yield f"{path} {command.name or command.callback.__name__.replace('_', '-')}"
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from commands(inner.typer_instance, f"{path} {inner.name}")


@pytest.mark.parametrize("command", list(commands(app)))
def test_every_command_is_documented(command: str) -> None:
    assert re.search(rf"`{command}\b", OPERATIONS)


@pytest.mark.parametrize("parameter", template.read(ROOT / "template.yaml")["Parameters"])
def test_every_parameter_is_documented(parameter: str) -> None:
    assert f"| `{parameter}` |" in OPERATIONS


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_documented(metric: str) -> None:
    assert f"`{metric}`" in OPERATIONS


def settings_classes() -> list[type]:
    found = [getattr(settings, name) for name in settings.__all__]
    return [kind for kind in found if isinstance(kind, type) and dataclasses.is_dataclass(kind)]


@pytest.mark.parametrize("kind", settings_classes(), ids=lambda kind: kind.__name__)
def test_every_setting_is_documented(kind: type) -> None:
    variables = {f"`QUINTET_{field.name.upper()}`" for field in dataclasses.fields(kind)}
    assert {name for name in variables if name not in OPERATIONS} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [t for t in targets if not (page.parent / t).exists()] == []


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    wanted = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / "README.md").read_text(), re.M))
    assert {"demo", "test", "demo-down"} <= wanted
    assert {target for target in wanted if not re.search(rf"^{target}:", makefile, re.M)} == set()
