"""What every scenario is: inputs, a world that works on them, and what must hold at the end."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from tests.simulation.faults import CALL_KINDS, DELAYS, Faults
from tests.simulation.kernel import Port, Simulation

__all__ = ["START", "Scenario"]

#: when every simulation starts, in epoch seconds: on an hour
START = 1_800_000_000.0


class Scenario:
    """One pattern, as it runs in production, on ports in memory.

    `HOURS` is until when there are faults. `REACH` are the states that a campaign must pass
    through. `RARE` multiplies the rate of faults at sites that are seldom called; a simulation's
    delays are as long as one of `DELAYS`. `keep` are the numbers of the inputs that there are, all
    of them if it is None.
    """

    NAME: ClassVar[str]
    HOURS: ClassVar[float]
    REACH: ClassVar[tuple[str, ...]]
    RARE: ClassVar[dict[str, float]] = {}
    DELAYS: ClassVar[tuple[tuple[float, float], ...]] = (DELAYS,)

    def __init__(self, simulation: Simulation, keep: Collection[int] | None) -> None:
        self.simulation = simulation
        self.keep = keep
        self.chance = random.Random(f"{simulation.seed}/{self.NAME}")
        self.ports: dict[str, Port] = {}
        simulation.observe = self.observe

    @property
    def inputs(self) -> int:
        """How many inputs the seed draws."""
        raise NotImplementedError

    @property
    def faults(self) -> Faults:
        """The faults of the simulation."""
        return self.simulation.faults

    def kept(self, number: int) -> bool:
        """Whether an input is there."""
        return self.keep is None or number in self.keep

    def port(self, name: str, real: Any, **more: Any) -> Any:
        """A port of the world; clogged for a while, by the seed."""
        if name not in self.ports:
            self.ports[name] = Port(self.simulation, name, real, **more)
            if "throttled" in more.get("kinds", CALL_KINDS):
                self.faults.clog([name], START, 900.0)
        return self.ports[name]

    def reach(self, state: str) -> None:
        """Count that the simulation passed through a state of `REACH`."""
        assert state in self.REACH, state
        self.simulation.reach[state] += 1

    def observe(self, task: Any, site: str, given: tuple[Any, ...], found: Any) -> None:
        """See `Simulation.observe`."""

    def play(self) -> None:
        """Let it all happen, until nothing is left to happen."""
        raise NotImplementedError

    def check(self) -> Iterator[str]:
        """What does not hold, each as "name: what"."""
        raise NotImplementedError

    def until_quiet(self, step: float, most: float) -> Iterator[str]:
        """Let time pass after the faults until `quiet`; what is wrong if that is not reached."""
        simulation = self.simulation
        simulation.run(self.faults.calm)
        while not (simulation.idle and self.quiet()):
            if simulation.now > self.faults.calm + most:
                yield f"quiescence: not reached {most / 3600:g} hours after the last fault"
                return
            simulation.run(simulation.now + step)

    def quiet(self) -> bool:
        """Whether nothing is left to be done."""
        raise NotImplementedError
