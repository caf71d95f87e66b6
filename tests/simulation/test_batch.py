"""Some hundred seeds of batch runs."""

from __future__ import annotations

import pytest
from tests.simulation.campaign import run
from tests.simulation.scenarios.batch import Batch
from tests.simulation.surviving import survives


def test_whatever_fails_every_input_comes_to_its_end() -> None:
    survives(Batch)


@pytest.mark.parametrize("seed", [59, 4842, 6677])
def test_seeds_that_failed_once(seed: int) -> None:
    """A report that counted before a redrive, and woke after it, replaced the redrive's; a planner
    that was slower than a redrive replaced its plan.
    """
    assert run(seed, scenario=Batch).failures == []
