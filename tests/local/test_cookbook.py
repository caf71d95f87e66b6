"""docs/cookbook: the recipes of a model from its training to its answers print what they show."""

from __future__ import annotations

from pathlib import Path

from tests.kits.local_aws import LocalAws
from tests.kits.recipes import follow_recipe, recipes_of, unlike


@recipes_of("model")
def test_a_recipe_prints_what_it_shows(page: Path, local_aws: LocalAws, tmp_path: Path) -> None:
    follow_recipe(page, local_aws, tmp_path)


def test_a_line_that_is_not_printed_is_found() -> None:
    printed = "one\ntwo: 17 rows\nthree\n"
    assert unlike("two: ... rows\nthree\n", printed) == []
    assert unlike("three\ntwo: ... rows\n", printed) == ["two: ... rows"]
    assert unlike("one ... rows\n", printed) == ["one ... rows"]
