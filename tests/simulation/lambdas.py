"""Functions in small: the real handlers, in environments that are kept, frozen, timed out, killed.

A handler gets its ports where the function gets them: from its `wiring`, of which the simulation
gives it another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any

from tests.kits.aws import ROOT
from tests.simulation.kernel import Killed, Simulation

from quintet.errors import QuintetError
from quintet_local.plan import Plan, plan
from quintet_local.template import load

__all__ = ["Answer", "Function", "Quiet", "environment", "handler", "template"]

#: the most that a clock may be wrong, in seconds
SKEW = 30.0


@cache
def template() -> Plan:
    """What template.yaml makes, with its default parameters."""
    return plan(load(ROOT / "template.yaml"), "http://127.0.0.1:4566")


class Quiet:
    """A logger, metrics, telemetry: everything is called and nothing is done."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *given, **more: None


@cache
def _code(name: str) -> Any:
    path = ROOT / "functions" / name / "app.py"
    return compile(path.read_text(), str(path), "exec")


def handler(
    name: str, *, clock: Callable[[], float] | None = None, **wiring: Any
) -> Callable[[Mapping[str, Any], Any], Any]:
    """The handler of a function, whose module has this wiring, and this clock if it reads one."""
    module = ModuleType(f"simulated_{name}")
    exec(_code(name), module.__dict__)
    module.__dict__["wiring"] = SimpleNamespace(**wiring)
    if clock is not None and hasattr(module, "time"):
        module.__dict__["time"] = SimpleNamespace(time=clock)
    if hasattr(module, "common"):
        module.__dict__["common"] = SimpleNamespace(logger=Quiet, metrics=Quiet)
    found: Callable[[Mapping[str, Any], Any], Any] = module.__dict__["handler"]
    return found


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function returned, as JSON; or an error."""

    payload: bytes
    error: str = ""


@dataclass
class Function:
    """A function. `kept` are its idle environments; a time-out in seconds ends an invocation.

    With `zombies`, the process is not stopped at its time-out: it wakes later and goes on, while
    the caller has given it up. `expected` are errors that are no defects, beside Quintet's own.
    """

    simulation: Simulation
    name: str
    handler: Callable[[Mapping[str, Any], Any], Any]
    timeout: float
    zombies: bool = False
    expected: tuple[type[Exception], ...] = ()
    kept: list[dict[str, Any]] = field(default_factory=list)
    numbers: int = 0

    def invoke(self, event: Mapping[str, Any], then: Callable[[Answer], None]) -> None:
        """Call the function with an event, as JSON; `then` gets its answer, once."""
        simulation = self.simulation
        self.numbers += 1
        name = f"{self.name}-{self.numbers}"
        environment = self.kept.pop() if self.kept else {}
        given = json.loads(json.dumps(event))
        ended: list[Answer] = []
        deadline = simulation.now + self.timeout

        def end(answer: Answer) -> None:
            if not ended:
                ended.append(answer)
                then(answer)

        def run() -> None:
            try:
                answer = self._answer(given, deadline)
                self.kept.append(environment)
            except Killed:
                answer = Answer(b"", "Killed")
            # the answer is the caller's to handle, in no task
            simulation.at(simulation.now, lambda: end(answer))

        skew = SKEW * (2 * simulation.faults.uniform(f"{self.name}/skew") - 1)
        task = simulation.spawn(run, name, skew=skew, environment=environment)
        if self.zombies:
            simulation.at(deadline, lambda: end(Answer(b"", "TimedOut")))
        else:
            task.deadline = deadline

    def _answer(self, event: Mapping[str, Any], deadline: float) -> Answer:
        def left() -> float:
            return max(0.0, (deadline - self.simulation.now) * 1000)

        try:
            found = self.handler(event, SimpleNamespace(get_remaining_time_in_millis=left))
            return Answer(json.dumps(found).encode())
        except Exception as error:
            if not isinstance(error, (QuintetError, *self.expected)):
                self.simulation.violations.append(
                    f"{self.name} raised: {type(error).__name__}: {error}"
                )
            return Answer(b"", type(error).__name__)


def environment(simulation: Simulation, name: str, build: Callable[[], Any]) -> Callable[[], Any]:
    """What a process builds once and keeps, as the wiring's cached functions do."""

    def found() -> Any:
        assert simulation.current is not None
        kept = simulation.current.environment
        if name not in kept:
            kept[name] = build()
        return kept[name]

    return found
