"""Planted bugs: each one still applies, and some of each pattern are caught within a few seeds."""

from __future__ import annotations

import pytest
from tests.simulation.bugs.catalogue import BUGS
from tests.simulation.bugs.planting import Bug, Misfit, caught, planted
from tests.simulation.campaign import SCENARIOS, run

#: bugs that few seeds catch; `python -m tests.simulation.bugs` plants all of them
QUICK = (
    "a lease never expires",
    "the sweep publishes nothing",
    "all results have one key",
    "a released job's message is acknowledged",
    "the state of a window is lost with a failed call",
    "the last call of a window closes nothing",
    "refused rows are not captured",
    "an older run takes the pointer",
    "a unit is not captured",
    "the first refused row of a part is lost",
    "rows that come twice stay twice",
    "a sticky hash without its salt",
)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_can_be_planted_and_leaves_nothing(bug: Bug) -> None:
    before = bug.function().__code__
    with planted(bug):
        assert bug.function().__code__ is not before
    assert bug.function().__code__ is before


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_caught(name: str) -> None:
    (bug,) = (bug for bug in BUGS if bug.name == name)
    seeds, _ = caught(bug, 0, 60)
    assert seeds
    (scenario,) = (one for one in SCENARIOS if bug.scenario == one.NAME)
    assert run(seeds - 1, scenario=scenario).failures == [], "without the bug, the seed passes"


def test_a_bug_whose_line_is_gone_is_no_bug() -> None:
    bug = Bug("gone", "jobs", "quintet.jobs.job:leased", "a line of before", "")
    with pytest.raises(Misfit, match="0 times"), planted(bug):
        pass


def test_names_are_unique_and_there_are_forty() -> None:
    names = {bug.name for bug in BUGS}
    assert len(names) == len(BUGS) >= 40
    assert set(QUICK) <= names
