"""The docs name every command, parameter, setting and metric, and their links lead somewhere."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from docs.generate import commands, fill, pages, tables

from quintet import settings
from quintet.telemetry.metrics import METRICS
from quintet_local import template

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("models/*/*.md")])


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_generated_pages_are_what_template_and_code_say(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert pages()[page] == text, "run python -m docs.generate --write"


def test_every_parameter_setting_metric_and_command_is_in_a_table() -> None:
    found = "\n".join(
        line for page in tables().values() for lines in page.values() for line in lines
    )
    variables = {
        f"QUINTET_{field.name.upper()}"
        for name in settings.__all__
        if dataclasses.is_dataclass(kind := getattr(settings, name))
        for field in dataclasses.fields(kind)
    }
    parameters = set(template.read(ROOT / "template.yaml")["Parameters"])
    names = {*variables, *parameters, *METRICS, *(name for name, _ in commands())}
    assert len(names) > 100
    assert {name for name in names if f"`{name}`" not in found} == set()
    assert {name for name, text in commands() if not text} == set()


def test_a_page_without_a_tables_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no section between <!-- b -->"):
        fill("<!-- a -->\n<!-- end of a -->", {"a": [], "b": []})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [t for t in targets if not (page.parent / t).exists()] == []


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", head).lower() for head in heads)
    return {re.sub(r"[^\w\- ]", "", head).replace(" ", "-") for head in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_into_pages_lead_to_headings(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", page.read_text())
    lost = [
        f"{name}#{anchor}"
        for name, anchor in links
        if (name.endswith(".md") or not name)
        and anchor not in anchors((page.parent / name) if name else page)
    ]
    assert lost == []


@pytest.mark.parametrize(
    "feature",
    ["api", "async", "batch-many-files", "captures", "monitoring", "rollouts", "streaming"],
)
def test_a_feature_has_key_facts_how_to_test_it_and_questions(feature: str) -> None:
    page = (ROOT / f"docs/{feature}.md").read_text(encoding="utf-8")
    facts, tests, questions = map(
        page.index, ("\n| Key fact | |\n", "\n## Test it\n", "\n## Questions\n")
    )
    assert facts < tests < questions


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    wanted = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / "README.md").read_text(), re.M))
    assert {"demo", "test", "demo-down"} <= wanted
    assert {target for target in wanted if not re.search(rf"^{target}:", makefile, re.M)} == set()


def test_what_checks_each_risk_exists() -> None:
    rows = [
        line for line in (ROOT / "docs/security.md").read_text().splitlines() if line[:1] == "|"
    ]
    checks = [re.findall("`([^` ]+)`", row.rsplit("|", 2)[1]) for row in rows[2:]]
    assert all(checks)
    assert [path for paths in checks for path in paths if not (ROOT / path).exists()] == []
