"""Some hundred seeds of captures."""

from __future__ import annotations

from tests.simulation.scenarios.captures import Captures
from tests.simulation.surviving import survives


def test_whatever_fails_every_input_comes_to_its_end() -> None:
    survives(Captures)
