"""docs/faq.md: its limits are those of the code and the template."""

from __future__ import annotations

from pathlib import Path

from quintet_local import template
from quintet_publish.safety import CAPS

ROOT = Path(__file__).parents[2]
FAQ = (ROOT / "docs/faq.md").read_text(encoding="utf-8")


def test_limits_are_those_of_the_code_and_the_template() -> None:
    parameters = template.read(ROOT / "template.yaml")["Parameters"]
    assert f"| a model | {CAPS.bytes // 1_000_000} MB with its weights |" in FAQ
    seconds = parameters["WorkTimeoutSeconds"]["Default"]
    assert f"| a job | {seconds} s of the model (`WorkTimeoutSeconds`) |" in FAQ
    target = int(parameters["UnitTargetBytes"]["Default"]) >> 20
    assert f"units of {target} MiB" in FAQ


def test_platforms_that_were_not_tried_are_named() -> None:
    assert "## Does it run on macOS or Windows?\n**Neither was tried.**" in FAQ
