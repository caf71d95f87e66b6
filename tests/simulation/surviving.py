"""What `make test` runs of each scenario: some hundred seeds, a file for each dear one."""

from __future__ import annotations

from tests.simulation.__main__ import campaign
from tests.simulation.campaign import SCENARIOS, TOGETHER
from tests.simulation.scenario import Scenario

__all__ = ["SEEDS", "survives"]

#: seeds of each scenario: together 500
SEEDS = 500 // len(SCENARIOS)


def survives(scenario: type[Scenario]) -> None:
    """Run the seeds.

    Raises:
        AssertionError: one fails.
    """
    totals = campaign(range(SEEDS), only=scenario.NAME)
    assert totals.failures == {}
    assert totals.seconds > 1000 * SEEDS, "time passed"
    assert totals.reach[scenario.NAME, TOGETHER]
