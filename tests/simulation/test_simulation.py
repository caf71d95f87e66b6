"""Some hundred seeds of two scenarios, and the simulation itself: it replays, and it shrinks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.simulation.campaign import SCENARIOS, run, shrunk
from tests.simulation.faults import Faults
from tests.simulation.kernel import Port, Simulation
from tests.simulation.scenario import START, Scenario
from tests.simulation.scenarios.batch import Batch
from tests.simulation.scenarios.captures import Captures
from tests.simulation.scenarios.jobs import Jobs
from tests.simulation.scenarios.rollouts import Rollouts
from tests.simulation.scenarios.stream import Stream
from tests.simulation.surviving import survives

from quintet.errors import Transient
from quintet.jobs import job as jobs


@pytest.mark.parametrize("scenario", [Jobs, Rollouts], ids=lambda scenario: scenario.NAME)
def test_whatever_fails_every_input_comes_to_its_end(scenario: type[Scenario]) -> None:
    survives(scenario)


def test_each_scenario_has_a_file_or_is_above() -> None:
    elsewhere = {Batch, Captures, Stream}
    assert {Jobs, Rollouts} | elsewhere == set(SCENARIOS)
    folder = Path(__file__).parent
    assert all((folder / f"test_{one.NAME}.py").exists() for one in elsewhere)


def test_a_seed_replays_call_by_call() -> None:
    for scenario in SCENARIOS:
        one, other = (run(seed, scenario=scenario) for seed in (3, 3))
        assert one == other
        assert one.digest != run(4, scenario=scenario).digest


def test_a_failing_seed_shrinks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that was never checked is caught, and with less than all that went wrong."""
    monkeypatch.setattr(jobs, "_require", lambda job, lease, now: None)
    found = next(
        outcome for outcome in (run(seed, scenario=Jobs) for seed in range(200)) if outcome.failures
    )
    small = shrunk(found, Jobs)
    assert small.failures
    assert len(small.inputs) <= 2
    assert len(small.faults) <= 3
    again = run(
        small.seed, scenario=Jobs, weather=small.weather, only=small.faults, keep=small.inputs
    )
    assert again == small


def test_a_port_fails_before_and_after_its_call() -> None:
    """Every kind of fault happens, and each does what its name says."""
    seen: dict[str, tuple[int, str, bool]] = {}
    for seed in range(400):
        simulation = Simulation(seed, Faults(seed, START + 100), START)
        done: list[int] = []
        port, came = Port(simulation, "list", done), list[str]()

        def call(port: Port = port, came: list[str] = came) -> None:
            try:
                port.append(1)
                came.append("done")
            except Transient:
                came.append("transient")

        task = simulation.spawn(call, "caller")
        simulation.run(START + 5000)
        for fault in simulation.faults.happened:
            seen[fault.kind] = (len(done), "".join(came), task.dead)
    assert seen == {
        "throttled": (0, "transient", False),
        "reply lost": (1, "transient", False),
        "killed before": (0, "", True),
        "killed after": (1, "", True),
        "delayed": (1, "done", False),
        "reply delayed": (1, "done", False),
        "done twice": (2, "done", False),
    }
