"""docs/cookbook: the recipe of a version that replaces another prints what it shows."""

from __future__ import annotations

from pathlib import Path

from tests.kits.local_aws import LocalAws
from tests.kits.recipes import follow_recipe, recipes_of


@recipes_of("rollouts")
def test_a_recipe_prints_what_it_shows(page: Path, local_aws: LocalAws, tmp_path: Path) -> None:
    follow_recipe(page, local_aws, tmp_path)
