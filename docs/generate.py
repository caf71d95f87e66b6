"""Fill the tables of docs from the template and the code: python -m docs.generate

A table stands between `<!-- name -->` and `<!-- end of name -->`. What it says is written where the
thing is: a parameter's or an alarm's description in template.yaml, a setting's in settings.py, a
metric's in telemetry/metrics.py, a command's in its help, a rule's in quintet_cli/choosing.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from docs.index import llms
from pydantic import TypeAdapter

from quintet import settings
from quintet.openapi.document import document
from quintet.telemetry import metrics
from quintet_cli import openapi
from quintet_cli.app import COMMANDS, loaded
from quintet_cli.choosing.break_even import break_even
from quintet_cli.choosing.designs import DESIGNS
from quintet_cli.choosing.rules import RULES
from quintet_cli.results import shape_of
from quintet_local.template import read

__all__ = ["commands", "fill", "main", "pages", "tables"]

ROOT = Path(__file__).parents[1]
OPENAPI = ROOT / "docs/openapi"
#: where the committed documents say that the API is: the local AWS
API = "http://127.0.0.1:4567"
SCHEMA = ROOT / "docs/commands.schema.json"
LLMS = ROOT / "llms.txt"

#: the page that explains a command, by the beginning of its name
GUIDES = {
    "quintet backfill": "batch-many-files.md",
    "quintet captures": "captures.md",
    "quintet check": "publishing.md",
    "quintet choose": "choose.md",
    "quintet console": "console.md",
    "quintet dlq": "replay.md",
    "quintet drop": "batch-first-file.md",
    "quintet env": "local-aws.md",
    "quintet endpoints": "async-callbacks.md",
    "quintet golden": "golden-rows.md#after-a-changed-graph",
    "quintet init": "init.md",
    "quintet candidates": "recommend-candidates.md",
    "quintet impressions evaluate": "recommend-evaluate.md",
    "quintet impressions": "recommend-feedback.md",
    "quintet jobs": "async.md",
    "quintet labels": "labels.md",
    "quintet openapi": "api.md",
    "quintet predict": "api.md",
    "quintet rollback": "rollout-run.md#roll-back",
    "quintet monitor": "monitoring.md",
    "quintet publish": "publishing.md",
    "quintet rollout rehearse": "rollout-rehearse.md",
    "quintet rollout": "rollout-run.md",
    "quintet quality": "labels.md",
    "quintet runs start": "batch-many-files.md",
    "quintet runs": "batch-runs.md",
    "quintet scores": "batch-scores.md",
    "quintet size": "size.md",
    "quintet skew": "monitoring.md",
    "quintet slo": "slo.md",
    "quintet stream": "streaming.md",
    "quintet table": "batch-scores.md",
    "quintet trace": "traces.md",
    "quintet up": "local-aws.md",
}


def fill(text: str, found: Mapping[str, list[str]]) -> str:
    """A page with the lines of each section between its marks.

    Raises:
        ValueError: a section has no marks in the page.
    """
    for mark, lines in found.items():
        begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
        before, opened, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (opened and closed):
            raise ValueError(f"no section between {begin} and {end}")
        text = "\n".join([before + begin, *lines, "", end + after])
    return text


def tables() -> dict[str, dict[str, list[str]]]:
    """The lines of each generated table, by its page in docs and its mark."""
    template = read(ROOT / "template.yaml")
    return {
        "operations.md": {
            "parameters": _table(("Parameter", "Default", "What it sets"), _parameters(template)),
            "settings": _table(("Variable", "Default", "What it sets"), _settings()),
            "variables": ["", ", ".join(f"`{name}`" for name in _variables()) + "."],
        },
        "commands.md": {"commands": _table(("Command", "What it does"), _commands())},
        "metrics.md": _all_metrics(),
        "choose.md": _choosing(),
    }


def _all_metrics() -> dict[str, list[str]]:
    """The lines of each table of docs/metrics.md, by its mark."""
    return {
        "request metrics": _metrics(metrics.REQUESTS),
        "callback metrics": _metrics(metrics.CALLBACKS),
        "stream metrics": _metrics(metrics.STREAM),
        "capture metrics": _metrics(metrics.CAPTURES),
        "comparison metrics": _metrics(metrics.COMPARISONS),
        "drift metrics": _metrics(metrics.DRIFT),
        "load metrics": _metrics(metrics.LOADS),
        "slo metrics": _metrics(metrics.SLO),
        "age metrics": _metrics(metrics.AGES),
        "rollout metrics": _metrics(metrics.ROLLOUTS),
    }


def pages() -> dict[Path, str]:
    """The generated files with what they should say."""
    filled = {ROOT / "docs" / name: found for name, found in tables().items()}
    return {
        **{page: fill(page.read_text(encoding="utf-8"), found) for page, found in filled.items()},
        SCHEMA: json.dumps(command_schemas(), indent=1) + "\n",
        LLMS: llms(
            (ROOT / "docs/README.md").read_text(encoding="utf-8"),
            (ROOT / "README.md").read_text(encoding="utf-8"),
        ),
        **_openapi(),
    }


def _openapi() -> dict[Path, str]:
    """The OpenAPI document of each example model, and that of the API without models."""
    found = {OPENAPI / "api.json": document([], base=API, auth="none")}
    for folder in sorted(path.parent for path in ROOT.glob("models/*/model.yaml")):
        model = openapi.described(folder)
        found[OPENAPI / f"{folder.name}.json"] = document(
            [model], whole=False, base=API, auth="none"
        )
    return {path: openapi.text(one) for path, one in found.items()}


def _choosing() -> dict[str, list[str]]:
    """The lines of each table of docs/choose.md, by its mark."""
    rules = ((f"`{rule.name}`", rule.when, rule.pattern.label) for rule in RULES)
    designs = (
        (
            f"[{pattern.label}]({_beside(design.page)})",
            design.architecture,
            "; ".join(f"[{one.what}]({_beside(one.page)})" for one in design.resilience),
        )
        for pattern, design in DESIGNS.items()
    )
    found = (break_even(ms) for ms in (1, 5, 20, 100, 500))
    even = (
        (
            f"{one.model_ms:g}",
            f"{one.requests_per_second:,.1f}",
            f"{one.tasks}",
            f"{one.usd_month:,.2f}",
        )
        for one in found
        if one
    )
    return {
        "rules": _table(("Rule", "It holds if", "Answer"), rules),
        "designs": _table(("Pattern", "Smallest architecture", "Resilience"), designs),
        "break-even": _table(("ms a request", "requests a second", "tasks", "$ a month"), even),
    }


def _beside(page: str) -> str:
    """The link to a page from another page of docs."""
    return page.removeprefix("docs/").removeprefix("choose.md")


def commands() -> Iterator[tuple[str, str]]:
    """Every command, with the first sentence of its help."""
    for name, function in functions():
        text = inspect.cleandoc(function.__doc__ or "")
        yield name, text.partition("\n\n")[0].replace("\n", " ")


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every command, with its function."""
    for module in dict.fromkeys(loaded(name) for name in COMMANDS):
        yield from _functions_of(module, "quintet")


def command_schemas() -> dict[str, Any]:
    """A schema whose properties are the commands, each by what it prints with `--json`."""
    shapes = {name: TypeAdapter(shape) for name, f in functions() if (shape := shape_of(f))}
    kinds, shared = TypeAdapter.json_schemas(
        [(name, "serialization", adapter) for name, adapter in shapes.items()]
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What each command prints with --json",
        "properties": {name: kinds[name, "serialization"] for name in shapes},
        **shared,
    }


def _functions_of(group: typer.Typer, path: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    for command in group.registered_commands:
        assert command.callback is not None
        assert command.help is None, "a command's help is its docstring"
        name = command.name or command.callback.__name__.replace("_", "-")
        yield f"{path} {name}", command.callback
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from _functions_of(inner.typer_instance, f"{path} {inner.name}")


def _parameters(template: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, spec in template["Parameters"].items():
        default = f"`{spec['Default']}`" if spec["Default"] != "" else ""
        bounds = _bounds(spec)
        yield f"`{name}`", default, spec["Description"] + (f" ({bounds})" if bounds else "")


def _bounds(spec: Mapping[str, Any]) -> str:
    if "AllowedValues" in spec:
        return "one of " + ", ".join(str(value) for value in spec["AllowedValues"])
    low, high = spec.get("MinValue"), spec.get("MaxValue")
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"at least {low}" if low else ""


def _kinds() -> Iterator[type]:
    for name in settings.__all__:
        kind = getattr(settings, name)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            yield kind


def _settings() -> Iterator[tuple[str, ...]]:
    """Settings that the template leaves at their defaults."""
    seen = set()
    for kind in _kinds():
        hints = typing.get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):
            about = getattr(hints[field.name], "__metadata__", ())
            if about and field.name not in seen:
                seen.add(field.name)
                yield f"`QUINTET_{field.name.upper()}`", f"`{field.default}`", about[0]


def _variables() -> list[str]:
    """Variables that the template sets."""
    found = set()
    for kind in _kinds():
        hints = typing.get_type_hints(kind, include_extras=True)
        found |= {name for name, hint in hints.items() if not hasattr(hint, "__metadata__")}
    return sorted(f"QUINTET_{name.upper()}" for name in found)


def _commands() -> Iterator[tuple[str, ...]]:
    for name, text in commands():
        page = next((page for start, page in GUIDES.items() if name.startswith(start)), None)
        yield f"`{name}`", text + (f" [More]({page})" if page else "")


def _metrics(found: Mapping[str, str]) -> list[str]:
    rows = ((f"`{name}`", text) for name, text in found.items())
    return _table(("Metric", "What it counts or measures"), rows)


def _table(heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> list[str]:
    lines = ("| " + " | ".join(row) + " |" for row in rows)
    return ["", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|", *lines]


def main() -> None:
    """Print the pages, or write them."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m docs.generate")
    parser.add_argument("--write", action="store_true", help="write the files in docs")
    write = parser.parse_args().write
    for path, text in pages().items():
        if write:
            path.write_text(text, encoding="utf-8")
        else:
            print(text)


if __name__ == "__main__":
    main()
