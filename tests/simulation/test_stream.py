"""Some hundred seeds of streams."""

from __future__ import annotations

import pytest
from tests.simulation.campaign import run
from tests.simulation.scenarios.stream import Stream
from tests.simulation.surviving import survives


def test_whatever_fails_every_input_comes_to_its_end() -> None:
    survives(Stream)


@pytest.mark.parametrize("seed", [50, 70])
def test_seeds_that_failed_once(seed: int) -> None:
    """The rows of an object whose first record was given up came into the sink again."""
    assert run(seed, scenario=Stream).failures == []
