"""Rollouts judged tick by tick, on stores in memory and with the gates as they are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from tests.kits.evidence import evidence, paired
from tests.kits.rollouts import cause, in_memory, started

from quintet.contract import Gates, RolloutRule
from quintet.errors import ModelFailure, NotFound, Transient
from quintet.rollouts import transitions
from quintet.rollouts.evidence import Evidence, concat
from quintet.rollouts.evidence_store import MemoryEvidence
from quintet.rollouts.judge import Judge, Ticked
from quintet.rollouts.state import Rollout
from quintet.rollouts.stops import Stop
from quintet.rollouts.store import Change, MemoryRollouts, Stored, fields_of
from quintet.serving.routes import Route

START = 1_000.0
#: gates that compare both versions on the same row; two minutes a step
RULE = RolloutRule(
    minutes=2.0,
    max_minutes=60.0,
    watch_minutes=30.0,
    gates=Gates(crashes="off", errors="off", latency="off"),
)
BAD = paired(200, candidate_failed=np.arange(200) < 20)


class Racing(MemoryRollouts):
    """A store in which another change comes just before each of the next writes."""

    others: Sequence[Callable[[Stored], Change]] = ()

    def write(self, change: Change) -> bool:
        if self.others:
            first, *self.others = self.others
            assert super().write(first(self.read(change.model)))
        return super().write(change)


def racing() -> Racing:
    return Racing(list(in_memory().stored.values()))


@dataclass
class World:
    """A stage with a judge, its clock, and what was told."""

    store: MemoryRollouts = field(default_factory=in_memory)
    evidence: MemoryEvidence = field(default_factory=MemoryEvidence)
    rule: RolloutRule = RULE
    now: float = START
    told: list[tuple[str, str]] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)
    notices: list[tuple[str, str, int]] = field(default_factory=list)
    #: "there", "away" if it does not answer, "killed" if the process ends before
    topic: str = "there"

    @property
    def judge(self) -> Judge:
        def told(rollout: Rollout, change: Change) -> None:
            self.told.append((change.event, change.cause.reason))

        def notify(rollout: Rollout, change: Change) -> bool:
            if self.topic == "killed":
                raise SystemExit
            if self.topic == "there":
                self.notices.append((rollout.phase, change.event, change.revision))
            return self.topic == "there"

        return Judge(
            store=self.store,
            evidence=self.evidence,
            rule_of=lambda model, version: self.rule,
            timeout=60.0,
            told=told,
            notify=notify,
            unjudged=lambda rollout, error: self.unjudged.append(f"{rollout.model}: {error}"),
        )

    def see(self, *parts: Evidence) -> None:
        """Evidence of the rollout arrives."""
        key = f"{len(self.evidence.stored['small', 'r1'])}"
        self.evidence.put("small", "r1", -1, key, concat(parts))

    def tick(self, after: float = 0.0) -> Ticked:
        """Look at the rollout, some seconds later."""
        self.now += after
        return self.judge.tick("small", "r1", self.now)

    @property
    def route(self) -> dict[str, Any]:
        return fields_of(self.store.read("small").route)


def in_shadow(**given: Any) -> World:
    world = World(**given)
    started(world.store, shadow=True, at=START)
    return world


def test_a_good_version_goes_through_every_step_and_is_promoted() -> None:
    world = in_shadow()
    assert world.tick(1) == Ticked(False, 60)  # two minutes have not passed
    world.see(paired(2_000))
    assert world.tick(59) == Ticked(False, 60)
    seen = []
    while not (ticked := world.tick(60)).done:
        if ticked.event:
            seen.append((ticked.event, world.now - START, world.route))
    run = {"rollout": "r1"}
    canary = {"live": 1, "canary": 2, **run}
    assert seen == [
        ("advanced", 120, {**canary, "revision": 3, "canary_share": 0.01, "step": 0}),
        ("advanced", 240, {**canary, "revision": 4, "canary_share": 0.1, "step": 1}),
        ("advanced", 360, {**canary, "revision": 5, "canary_share": 1.0, "step": 2}),
        ("promoted", 480, {"live": 2, "revision": 6, **run, "step": 3}),
    ]
    assert ticked == Ticked(True, 0, "finished")
    assert (world.now - START, world.route) == (480 + 1800, {"live": 2, "revision": 7})
    assert [event for event, _ in world.told] == ["advanced"] * 3 + ["promoted", "finished"]
    last = world.store.history("small")[-2]
    assert (last.cause.by, last.cause.reason) == ("gates", "at 100 %: every gate is ok")
    rows = {row["metric"]: row["verdict"] for row in last.cause.evidence["rows"]}
    assert rows == {"failures": "ok", "score": "ok", "labels": "ok", "sample ratio": "ok"}
    assert world.tick() == Ticked(True, 0)


def test_a_rollout_without_pairs_goes_on_by_its_other_gates() -> None:
    world = World(rule=replace(RULE, gates=Gates(crashes="off", latency="off")))
    change = transitions.start(
        world.store.read("small"),
        2,
        cause(START),
        id="r1",
        steps=[0.5, 1.0],
        shadow=False,
        paired=False,
    )
    assert world.store.write(change)
    world.see(evidence(2_000, candidate=np.arange(2_000) % 2 == 0))
    assert world.tick(120).event == "advanced"
    rows = world.store.history("small")[-1].cause.evidence["rows"]
    assert [row["metric"] for row in rows] == ["errors", "sample ratio"]


@pytest.mark.parametrize("steps", [0, 1, 3, 4])
def test_a_bad_version_is_rolled_back_in_every_phase(steps: int) -> None:
    world = in_shadow()
    world.see(paired(2_000))
    for _ in range(steps):
        assert world.tick(120).event
    world.see(replace(BAD, event=np.char.add("x", BAD.event)))
    assert world.tick(1) == Ticked(True, 0, "rolled back")
    assert world.route == {"live": 1, "revision": 3 + steps}
    change = world.store.history("small")[-1]
    assert change.cause.reason.startswith("failures: 0.009091 against 0, evidence ")
    assert change.cause.evidence["verdict"] == "bad"


def test_without_evidence_it_waits_and_pauses_at_the_longest() -> None:
    world = in_shadow()
    world.see(paired(10))
    assert world.tick(3_599) == Ticked(False, 12)
    assert world.tick(1) == Ticked(False, 12, "paused")
    rollout = world.store.read("small").rollout
    assert rollout is not None
    assert rollout.paused.startswith("no verdict in 60 minutes in shadow: failures: 10 of the ")
    # it stands still, also with evidence
    world.see(paired(2_000))
    assert world.tick(600) == Ticked(False, 12)
    assert world.store.write(transitions.resume(world.store.read("small"), cause(world.now)))
    assert world.tick(1).event is None  # the step's time begins anew
    assert world.tick(119).event == "advanced"


def test_a_paused_one_that_is_bad_is_rolled_back() -> None:
    world = in_shadow()
    assert world.store.write(transitions.pause(world.store.read("small"), cause()))
    world.see(BAD)
    assert world.tick(1).event == "rolled back"


def test_a_broken_router_pauses() -> None:
    world = World()
    started(world.store, at=START)  # at 1 %
    entities = np.arange(400)
    all_to_the_candidate = {"candidate": True, "entity": entities, "at": entities}
    world.see(evidence(400, **all_to_the_candidate))
    assert world.tick(1).event == "paused"
    assert world.told[0][1].startswith(
        "the router does not give the candidate its share: sample ratio: 1 against 0"
    )


class Unreadable(MemoryEvidence):
    """Evidence that cannot be read."""

    def read(self, model: str, rollout: str) -> Evidence:
        raise Transient("s3 does not answer")


def test_a_judge_that_fails_has_no_evidence() -> None:
    world = in_shadow(evidence=Unreadable())
    assert world.tick(120) == Ticked(False, 12)
    assert world.tick(3_600 - 120).event == "paused"
    assert world.told[0][1] == (
        "no verdict in 60 minutes in shadow: the evidence could not be judged: s3 does not answer"
    )
    assert world.unjudged == ["small: s3 does not answer"] * 2


@pytest.mark.parametrize(
    "error", [ModelFailure("changed in the bucket"), NotFound.of("a", "b", "c")]
)
def test_a_candidate_that_cannot_be_read_has_the_default_rule(error: Exception) -> None:
    world = in_shadow()

    def rule_of(model: str, version: int) -> RolloutRule:
        raise error

    judge = replace(world.judge, rule_of=rule_of)
    assert judge.tick("small", "r1", START + 60) == Ticked(False, 60)
    assert judge.tick("small", "r1", START + 86_400).event == "paused"


def test_a_candidate_that_was_withdrawn_is_rolled_back() -> None:
    world = in_shadow()
    route = world.store.stored["small"]
    versions = {number: one for number, one in route.versions.items() if number != 2}
    world.store.stored["small"] = replace(route, versions=versions)
    assert world.tick(1).event == "rolled back"
    assert world.told == [("rolled back", "version 2 was withdrawn")]


def test_who_loses_a_race_reads_again() -> None:
    store = racing()
    world = in_shadow(store=store)
    world.see(paired(2_000))
    store.others = [lambda stored: transitions.pause(stored, cause(START + 100))]
    assert world.tick(120) == Ticked(False, 12)  # it was paused meanwhile
    assert [change.event for change in store.history("small")] == ["started", "paused"]


@pytest.mark.parametrize("topic", ["away", "killed"])
@pytest.mark.parametrize("by", ["tick", "judge_now"])
def test_the_notice_of_a_rollback_is_sent_by_the_next_look(topic: str, by: str) -> None:
    world = in_shadow(topic=topic)
    world.see(BAD)
    with contextlib.suppress(SystemExit):
        getattr(world.judge, by)("small", "r1", START + 1)
    assert (world.route, world.notices) == ({"live": 1, "revision": 3}, [])
    world.topic = "away"
    assert world.tick(60) == Ticked(False, 60)  # looked at until it is sent
    world.topic = "there"
    assert world.tick(60) == Ticked(True, 0)
    assert world.tick(60) == Ticked(True, 0)
    assert world.notices == [("shadow", "rolled back", 3)]
    assert [event for event, _ in world.told] == ["rolled back"]


def test_a_notice_of_a_pause_is_sent_once_and_not_after_a_later_change() -> None:
    world = in_shadow(topic="away")
    assert world.tick(3_600).event == "paused"
    assert world.tick(12) == Ticked(False, 12)
    world.topic = "there"
    for _ in range(3):
        assert world.tick(12) == Ticked(False, 12)
    assert world.notices == [("shadow", "paused", 3)]
    world.topic = "away"
    assert world.store.write(transitions.resume(world.store.read("small"), cause(world.now)))
    assert world.tick(3_600).event == "paused"
    assert world.store.write(transitions.roll_back(world.store.read("small"), cause(world.now)))
    world.topic = "there"
    assert world.tick(12) == Ticked(True, 0)
    assert len(world.notices) == 1


def test_a_notice_that_cannot_be_sent_for_an_hour_is_given_up() -> None:
    world = in_shadow(topic="away")
    world.see(BAD)
    assert world.tick(1) == Ticked(False, 60, "rolled back")
    assert world.tick(3_599) == Ticked(False, 60)
    assert world.tick(1) == Ticked(True, 0)


def test_a_promotion_that_meets_a_rollback_loses() -> None:
    store = racing()
    world = World(store=store)
    started(store, steps=[0.5], at=START)
    world.rule = replace(RULE, gates=replace(RULE.gates, labels="off"))
    world.see(paired(2_000))
    store.others = [lambda stored: transitions.roll_back(stored, cause(START + 100))]
    assert world.tick(120) == Ticked(True, 0)
    assert world.route == {"live": 1, "revision": 3}
    assert world.told == []


def test_two_executions_change_a_rollout_once() -> None:
    world = in_shadow()
    world.see(paired(2_000))
    first, second = world.tick(120), world.tick()
    assert (first.event, second) == ("advanced", Ticked(False, 60))


def test_who_loses_every_race_leaves_it_to_the_next_look() -> None:
    store = racing()
    world = in_shadow(store=store)
    world.see(paired(2_000))
    pauses = [transitions.resume, transitions.pause] * 3

    def other(step: Callable[[Stored, Any], Change]) -> Callable[[Stored], Change]:
        return lambda stored: step(stored, cause(START))

    store.others = [other(step) for step in (transitions.pause, *pauses)]
    world.see(replace(BAD, event=np.char.add("x", BAD.event)))
    with pytest.raises(Transient, match="the route of small changed 5 times meanwhile"):
        world.tick(120)
    store.others = ()
    assert world.tick().event == "rolled back"


def test_a_rollout_that_is_over_or_another_is_left_alone() -> None:
    world = World()
    assert world.tick() == Ticked(True, 0)  # none was begun
    started(world.store, id="r2", at=START)
    world.see(BAD)
    assert world.tick() == Ticked(True, 0)
    assert world.judge.tick("unknown", "r1", START) == Ticked(True, 0)
    assert world.told == []


def test_judging_now_rolls_back_and_never_goes_on() -> None:
    world = in_shadow()
    world.see(paired(2_000))
    assert not world.judge.judge_now("small", "r1", START + 86_400)
    assert world.told == []
    world.see(replace(BAD, event=np.char.add("x", BAD.event)))
    assert world.judge.judge_now("small", "r1", START + 1)
    assert not world.judge.judge_now("small", "r1", START + 1)
    assert [event for event, _ in world.told] == ["rolled back"]


def test_a_stop_rolls_back_what_began_before_it() -> None:
    store = in_memory()
    versions = store.stored["small"].versions
    others = {name: Route(name, 1, 1, versions) for name in ("late", "other", "quiet")}
    store.stored |= others
    world = World(store=store)
    started(store, at=START)
    started(store, model="other", id="r2", at=START)
    started(store, model="late", id="r3", at=START + 100)
    watched = store.read("other")
    assert store.write(transitions.promote(watched, cause(START), verdict="ok"))
    drift = Stop(at=START + 50, by="report_day", reason="features drift", model="quiet")
    assert world.judge.stop(drift, START + 60) == []
    alarm = Stop(at=START + 50, by="alarm", reason="it rings")
    assert world.judge.stop(alarm, START + 60) == ["other", "small"]
    assert world.judge.stop(alarm, START + 61) == []  # delivered again
    assert [store.read(name).route.live for name in ("small", "other", "late")] == [1, 1, 1]
    assert store.active() == ["late"]
    assert world.told == [("rolled back", "it rings")] * 2
    last = store.history("small")[-1]
    assert (last.cause.by, last.cause.at) == ("alarm", START + 60)


class OneUnreachable(MemoryRollouts):
    """A store that cannot read one of its models."""

    def read(self, model: str) -> Stored:
        if model == "other":
            raise Transient("dynamodb does not answer")
        return super().read(model)


def test_a_stop_goes_on_where_one_model_cannot_be_reached() -> None:
    store = in_memory()
    store.stored["other"] = Route("other", 1, 1, store.stored["small"].versions)
    started(store, at=START)
    started(store, model="other", id="r2", at=START)
    unreachable = OneUnreachable()
    unreachable.__dict__ = store.__dict__
    world = World(store=unreachable)
    with pytest.raises(Transient, match="not rolled back yet: other: dynamodb does not answer"):
        world.judge.stop(Stop(at=START, by="alarm", reason="it rings"), START)
    assert store.active() == ["other"]
