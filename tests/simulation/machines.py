"""Step Functions in small: a task with the retries of its state, as the state machine has them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import yaml
from tests.kits.aws import ROOT
from tests.simulation.kernel import Simulation
from tests.simulation.lambdas import Answer, Function

__all__ = ["Task", "states"]

#: the names that Step Functions gives to errors of Lambda
NAMES = {
    "Killed": "Runtime.ExitError",
    "TimedOut": "Sandbox.Timedout",
    "Throttled": "Lambda.TooManyRequestsException",
}
INVOKE_KINDS = ("throttled", "reply lost", "done twice")


@cache
def states() -> Mapping[str, Any]:
    """The states of batch_scoring, those of its map among them."""
    path = ROOT / "statemachines" / "batch_scoring.asl.yaml"
    found: dict[str, Any] = yaml.safe_load(path.read_text())["States"]
    inner: dict[str, Any] = found["ScoreUnits"]["ItemProcessor"]["States"]
    return found | inner


class Task:
    """A Task state: calls its function until it answers or its retries are over."""

    def __init__(self, simulation: Simulation, state: str, function: Function) -> None:
        self._simulation = simulation
        self._state = states()[state]
        self._function = function

    def run(
        self,
        payload: Mapping[str, Any],
        then: Callable[[Any], None],
        failed: Callable[[str], None],
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """`then` gets the answer, or `failed` the error's name; neither if nothing goes on."""
        tried: Counter[int] = Counter()
        simulation = self._simulation

        def attempt() -> None:
            if not goes_on():
                return
            fault = simulation.faults.at(
                f"{self._function.name}.invoke", simulation.now, INVOKE_KINDS
            )
            kind = fault.kind if fault else ""
            if kind == "throttled":
                simulation.at(simulation.now + 0.1, lambda: ended(Answer(b"", "Throttled")))
                return
            if kind == "done twice":
                self._function.invoke(payload, lambda _: None)
            # the answer of an invocation that succeeded is lost on its way to the machine
            lost = "Lambda.SdkClientException" if kind == "reply lost" else ""
            self._function.invoke(payload, lambda answer: ended(answer, lost))

        def ended(answer: Answer, lost: str = "") -> None:
            error = NAMES.get(answer.error, answer.error) or lost
            if not goes_on():
                return
            if not error:
                then(json.loads(answer.payload))
                return
            for number, rule in enumerate(self._state.get("Retry", ())):
                if error in rule["ErrorEquals"] and tried[number] < rule["MaxAttempts"]:
                    wait = rule["IntervalSeconds"] * rule.get("BackoffRate", 2) ** tried[number]
                    tried[number] += 1
                    drawn = simulation.faults.uniform("machine/jitter")
                    wait = drawn * min(wait, rule.get("MaxDelaySeconds", wait))
                    simulation.at(simulation.now + wait, attempt)
                    return
            failed(error)

        attempt()
