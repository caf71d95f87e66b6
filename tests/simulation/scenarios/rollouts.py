"""Rollouts: judges, operators and alarms that change the route of one model at once.

Evidence arrives in parts, as `compare` puts it: some come again, and some again cut otherwise.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any, ClassVar

import numpy as np
import orjson
from tests.kits.rollouts import in_memory
from tests.simulation.kernel import Simulation, Task
from tests.simulation.lambdas import Answer, Function, handler, template
from tests.simulation.scenario import START, Scenario
from tests.simulation.scenarios.rollout_checks import held
from tests.simulation.scenarios.rollout_parts import (
    EVIDENCE,
    MODEL,
    PARTS,
    RULE,
    STEPS,
    TIDY,
    VERSIONS,
    Topic,
)

from quintet.errors import Conflict, NotFound, Transient
from quintet.rollouts import transitions
from quintet.rollouts.decisions import BY
from quintet.rollouts.evidence_store import MemoryEvidence
from quintet.rollouts.judge import Judge, Ticked
from quintet.rollouts.state import Rollout
from quintet.rollouts.stops import Stop
from quintet.rollouts.store import Cause, Change, Stored

__all__ = ["Rollouts"]

#: commands that are given while a judge looks at a rollout
MEDDLING = ("roll back", "roll back", "roll back", "promote", "pause", "resume", "withdraw", "stop")


class Rollouts(Scenario):
    """See the module. An input is a rollout that is begun, or a command while one goes on."""

    NAME = "rollouts"
    HOURS = 1.0
    REACH = (
        "two rollouts raced to begin",
        "a judge lost a race and read again",
        "an operator lost a race and read again",
        "a promotion lost against a rollback",
        "a rollback lost against a promotion and came after it",
        "a promoted version was rolled back",
        "a promoted version stayed",
        "a candidate was withdrawn during its rollout",
        "a stop left a rollout that began after it",
        "two judges looked at a rollout at once",
        "a notice was sent again",
        "a rollout stood still without evidence",
        "evidence that came again counted once",
        "a candidate just short of bad was promoted",
        "a comparison rolled a candidate back",
    )
    RARE: ClassVar[dict[str, float]] = {
        "rollouts.write": 3.0,
        "rollouts.sent": 10.0,
        "rollouts.history": 8.0,
        "rollouts.active": 20.0,
        "topic.publish": 6.0,
        "evidence.put": 3.0,
    }

    def __init__(self, simulation: Simulation, keep: Collection[int] | None) -> None:
        super().__init__(simulation, keep)
        self.count = self.chance.choice((3, 6, 10))
        self.kinds = [
            "start" if number == 0 or self.chance.random() < 0.45 else self.chance.choice(MEDDLING)
            for number in range(self.count)
        ]
        self.meddling = [number for number in range(self.count) if self.kinds[number] != "start"]
        self.store, self.evidence = in_memory(MODEL, VERSIONS), MemoryEvidence()
        self.rollouts = self.port("rollouts", self.store)
        self.seen = self.port("evidence", self.evidence)
        self.topic = self.port("topic", Topic())
        self.judge = self._judge()
        zombies = self.chance.random() < 0.5
        seconds = template().of_type("AWS::Lambda::Function")["Rollout"]["Timeout"]
        look = handler("rollout", clock=simulation.clock, judge=lambda: self.judge)
        self.function = Function(simulation, "Rollout", look, seconds, zombies)
        self.going = 0
        self.judged = Counter[str]()
        self.told: list[Change] = []
        self.withdrawn = set[int]()

    def _judge(self) -> Judge:
        def notify(rollout: Rollout, change: Change) -> bool:
            try:
                self.topic.publish(change.revision, change.event)
            except Transient:
                return False
            return True

        return Judge(
            store=self.rollouts,
            evidence=self.seen,
            rule_of=lambda model, version: RULE,
            timeout=60.0,
            told=lambda rollout, change: self.told.append(change),
            notify=notify,
            unjudged=lambda rollout, error: None,
        )

    @property
    def inputs(self) -> int:
        """See `Scenario.inputs`."""
        return self.count

    # ---- what happens --------------------------------------------------------------------------

    def play(self) -> None:
        """See `Scenario.play`."""
        simulation = self.simulation
        for number, kind in enumerate(self.kinds):
            if kind == "start" and self.kept(number):
                draw = random.Random(f"{simulation.seed}/start/{number}")
                moment = draw.choice((0.0, 900.0, 1800.0)) + draw.uniform(0, 0.02)
                self._operator(number, partial(self._start, number), after=moment)
        if self.chance.random() < 0.6:
            moment = START + self.chance.uniform(0, 3000)
            simulation.at(moment, partial(self._ring, self.count))
        simulation.run(self.faults.calm)
        simulation.violations += self.until_quiet(60, 4 * 3600)

    def quality(self, rollout: str) -> str:
        """What becomes of a rollout's candidate: a key of `EVIDENCE`."""
        return random.Random(f"{self.simulation.seed}/{rollout}").choice(
            ("good", "good", "close", "bad", "none")
        )

    def _start(self, number: int, stored: Stored, cause: Cause) -> Change:
        draw = random.Random(f"{self.simulation.seed}/candidate/{number}")
        candidate = draw.choice([n for n in VERSIONS if n != stored.route.live])
        shadow = draw.random() < 0.5
        return transitions.start(
            stored, candidate, cause, id=f"r{number}", steps=STEPS, shadow=shadow
        )

    def _operator(
        self, number: int, wanted: Callable[[Stored, Cause], Change], after: float = 0.0
    ) -> None:
        """Somebody at a terminal, who changes the route and begins anew if it was changed."""
        simulation = self.simulation

        def run() -> None:
            for _ in range(20):
                try:
                    stored = self.rollouts.read(MODEL)
                    cause = Cause(at=simulation.clock(), by=f"operator {number}", reason="so")
                    if self.rollouts.write(wanted(stored, cause)):
                        return
                except Transient:
                    simulation.sleep(5)
                except (Conflict, NotFound):
                    return

        simulation.spawn(run, f"operator-{number}", after=after)

    def _tempt(self) -> None:
        """Let the next command come while a judge decides, rather before a promotion."""
        going = self.store.read(MODEL).rollout
        if going is None or not self.meddling:
            return
        due = self.simulation.now - going.entered > 60 * RULE.minutes - 5
        often = 0.9 if due and going.step == len(STEPS) - 1 else 0.01
        if self.simulation.faults.uniform("meddling") < often:
            number = self.meddling.pop(0)
            if self.kept(number):
                self._meddle(number)

    def _meddle(self, number: int) -> None:
        """Do what an input says, while a judge looks at a rollout."""
        kind = self.kinds[number]
        if kind == "withdraw":
            self._withdraw()
        elif kind == "stop":
            self._ring(number)
        else:
            made: dict[str, Callable[[Stored, Cause], Change]] = {
                "roll back": transitions.roll_back,
                "promote": lambda stored, cause: transitions.promote(stored, cause, verdict="ok"),
                "pause": transitions.pause,
                "resume": transitions.resume,
            }
            self._operator(number, made[kind])

    def _withdraw(self) -> None:
        stored = self.store.read(MODEL)
        rollout, route = stored.rollout, stored.route
        if rollout is None or rollout.candidate == route.live:
            return
        if self.store.withdraw_version(MODEL, rollout.candidate, "now", route.revision):
            self.withdrawn.add(rollout.candidate)
            self.reach("a candidate was withdrawn during its rollout")

    def _ring(self, number: int) -> None:
        """An alarm, of now or of before some rollouts began."""
        draw = random.Random(f"{self.simulation.seed}/stop/{number}")
        at = self.simulation.now - draw.choice((0.0, 3000.0, 3000.0))
        self.simulation.spawn(partial(self._stop, at), f"alarm-{number}")

    def _stop(self, at: float) -> None:
        """An alarm's message, which comes again until it is handled."""
        stop = Stop(at=at, by="alarm", reason=str(at))
        while True:
            try:
                self.judge.stop(stop, self.simulation.clock())
                break
            except Transient:
                self.simulation.sleep(30)
        going = self.store.read(MODEL).rollout
        if going is not None and going.started > at:
            self.reach("a stop left a rollout that began after it")
        elif going is not None:
            self.simulation.violations.append(f"stop: {going.id} goes on after its alarm")

    def _begin(self, rollout: Rollout) -> None:
        """A rollout has begun: its state machine, sometimes two, and what is seen of it."""
        draw = random.Random(f"{self.simulation.seed}/begin/{rollout.id}")
        for _ in range(draw.choice((1, 1, 2))):
            self.going += 1
            self._look(rollout.id)
        rows, begun = EVIDENCE[self.quality(rollout.id)], draw.uniform(0, 240)
        if rows is None:
            return
        size = len(rows) // PARTS
        for start in range(0, len(rows), size):
            cut = start + draw.choice((0, 0, -size // 2, size // 2))  # of what comes again
            for first in (start, max(cut, 0))[: draw.choice((1, 2))]:
                some = rows.take(np.arange(first, min(first + size, len(rows))))
                see = partial(self._see, rollout.id, str(first), some)
                self.simulation.spawn(see, f"Compare-{rollout.id}", after=begun)
                begun += draw.choice((0.0, 5.0, 60.0))

    def _see(self, rollout: str, key: str, rows: Any) -> None:
        """Keep evidence, and judge at once, as `compare` does with each object of captures."""
        for _ in range(200):
            try:
                self.seen.put(MODEL, rollout, -1, key, rows)
                self.judge.judge_now(MODEL, rollout, self.simulation.clock())
                return
            except Transient:
                self.simulation.sleep(30)

    def _look(self, rollout: str) -> None:
        """One turn of the state machine, which waits as long as the judge says."""

        def then(answer: Answer) -> None:
            self.judged[rollout] -= 1
            wait = 10.0
            if not answer.error:
                ticked = Ticked(**_json(answer.payload))
                wait = float(ticked.wait)
                if ticked.done:
                    self.going -= 1
                    return
            self.simulation.at(self.simulation.now + wait, lambda: self._look(rollout))

        self.judged[rollout] += 1
        if self.judged[rollout] > 1:
            self.reach("two judges looked at a rollout at once")
        self._tidy()
        self.function.invoke({"model": MODEL, "rollout": rollout}, then)

    def _tidy(self) -> None:
        """After the faults somebody ends a rollout that stands still."""
        going = self.store.read(MODEL).rollout
        if going is not None and going.paused and self.simulation.now > self.faults.calm:
            cause = Cause(at=self.simulation.now, by="operator", reason=TIDY)
            self.store.write(transitions.roll_back(self.store.read(MODEL), cause))

    def quiet(self) -> bool:
        """See `Scenario.quiet`."""
        return not self.going

    def observe(self, task: Task, site: str, given: tuple[Any, ...], found: Any) -> None:
        """See `Scenario.observe`."""
        if site == "rollouts.read" and task.name.startswith("Rollout"):
            self._tempt()
        if site == "evidence.read" and not isinstance(found, Exception):
            parts = self.evidence.stored[given[0], given[1]].values()
            if sum(map(len, parts)) > len(found):
                self.reach("evidence that came again counted once")
        if site != "rollouts.write":
            return
        change: Change = given[0]
        last = self.store.history(MODEL)[-1:]
        lost = last[0].event if found is False and last else ""
        if lost:
            judges = task.name.startswith(("Rollout", "Compare"))
            who = "a judge" if judges else "an operator"
            self.reach(f"{who} lost a race and read again")
        if lost and change.event == "started":
            self.reach("two rollouts raced to begin")
        elif lost == "rolled back" and change.event == "promoted":
            self.reach("a promotion lost against a rollback")
        elif lost == "promoted" and change.event == "rolled back":
            self.reach("a rollback lost against a promotion and came after it")
        elif found is True and change.event == "started" and change.rollout is not None:
            if change.rollout.id not in self.judged:
                self.judged[change.rollout.id] = 0
                self._begin(change.rollout)
        elif found is True and change.event == "rolled back" and task.name.startswith("Compare"):
            self.reach("a comparison rolled a candidate back")
        elif found is True and change.event == "paused" and change.cause.by == BY:
            self.reach("a rollout stood still without evidence")

    def check(self) -> Iterator[str]:
        """See `Scenario.check`."""
        return held(self)


def _json(payload: bytes) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(payload)
    return found
