"""An event that a page shows is cut from one of events/; its answer is the one of the table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.kits.event_table import ALL
from tests.kits.events import event

DOCS = Path(__file__).parents[2] / "docs"
ANSWERS = {case.event: case.answer for case in ALL}


def is_part(shown: Any, whole: Any) -> bool:
    """Whether all that is shown is in the whole; a list may go on."""
    if isinstance(shown, dict):
        return all(name in whole and is_part(one, whole[name]) for name, one in shown.items())
    if isinstance(shown, list) and shown:
        return len(shown) <= len(whole) and all(map(is_part, shown, whole))
    return bool(shown == whole)


@pytest.mark.parametrize("page", ["async.md", "streaming.md"])
def test_an_event_and_its_answer_are_as_shown(page: str) -> None:
    section = (DOCS / page).read_text(encoding="utf-8")
    section = section.split("\n## Test it\n")[1].split("\n## ")[0]
    (name,) = re.findall(r"`events/(\w+)\.json`", section)
    shown, answer = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    assert is_part(json.loads(shown), event(name))
    assert is_part(json.loads(answer), ANSWERS[name])


def test_a_part_is_no_other_value() -> None:
    whole = {"a": [{"b": 1}, 2], "c": []}
    assert is_part({"a": [{"b": 1}]}, whole)
    assert not is_part({"a": [{"b": 2}]}, whole)
    assert not is_part({"c": [1]}, whole)
    assert not is_part({"a": []}, whole)
