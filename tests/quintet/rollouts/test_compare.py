"""Two versions on the same rows: one as captured, the other asked afterwards."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from tests.kits.captures import records, table
from tests.kits.comparing import CANDIDATE, LIVE, ROLLOUT, RolloutWorld, fragile_graph
from tests.kits.models import NOW, shop_graph, shop_probability

from quintet.captures.lines import failure_line
from quintet.captures.plans import CapturePlan
from quintet.captures.tables import read_parquet
from quintet.columns import from_records
from quintet.contract import Capture, Contract, Feature
from quintet.errors import ModelFailure, Transient
from quintet.rollouts.compare import begun
from quintet.rollouts.comparer import Paced
from quintet.rollouts.evidence import Evidence, once
from quintet.rollouts.evidence_store import MemoryEvidence, from_parquet, to_parquet
from quintet.rollouts.state import Rollout
from quintet.serving.crashes import CrashLog

SHADOW = replace(ROLLOUT, phase="shadow", step=-1)
C1, C2 = {"customer": "c1"}, {"customer": "c2"}  # the features of c2 are too old: by the rule


def elements(found: Evidence, *names: str) -> list[tuple[Any, ...]]:
    """Some columns, element by element."""
    return list(zip(*(getattr(found, name).tolist() for name in names), strict=True))


def compared(world: RolloutWorld, *requests: list[str]) -> Evidence:
    """The evidence after the requests' captures were compared, each in an object of its own."""
    keys = [key for lines in requests for key in world.put(lines)]
    done = world.comparer().compare([keys])
    assert done.failed == {}
    return world.evidence.read("shop", "r1")


def test_a_canary_is_compared_with_what_the_live_version_answers_to_the_same_rows() -> None:
    world = RolloutWorld()
    found = compared(
        world,
        world.lines("e1", 4, [C1 | {"amount": 100}, C1 | {"amount": 900}]),
        world.lines("e2", 3, [C1 | {"amount": 5}]),
    )
    assert elements(found, "event", "row", "candidate", "paired", "failed", "step") == [
        ("e1", 0, True, True, False, 0),
        ("e1", 1, True, True, False, 0),
        ("e2", 0, False, False, False, 0),
    ]
    live = [shop_probability(100, 1, 4), shop_probability(900, 1, 4), np.nan]
    fragile = [1 / (1 + np.exp(-(0.1 * np.log(a) - 0.1 + 0.8))) for a in (100, 900)]
    np.testing.assert_allclose(found.live_score, live, rtol=1e-6)
    np.testing.assert_allclose(found.candidate_score, [*fragile, np.nan], rtol=1e-6)
    assert found.changed.tolist() == [False] * 3
    assert found.at.tolist() == [NOW] * 3
    assert found.ms.tolist() == [12.5] * 3
    assert len(set(found.entity.tolist())) == 1
    assert world.judged == [("shop", "r1")]
    assert list(world.captures.keys("raw/model=shop/")) == sorted(world.feed.keys)  # no shadow


def test_rows_without_a_pair_are_evidence_of_what_their_callers_got() -> None:
    world = RolloutWorld()
    large = json.loads(world.lines("large", 4, [C1 | {"amount": 3}])[0])
    del large["features"]
    failed = json.loads(world.lines("failed", 4, [C1 | {"amount": 3}])[0])
    for name in ("features", "outputs", "ages", "entities"):
        del failed[name]
    failed["failure"] = "ModelFailure"
    found = compared(
        world,
        world.lines("rule", 4, [C2 | {"amount": 3}]),
        world.lines("refused", 4, [C1 | {"amount": -1}, C1 | {"amount": 0}, C1 | {"amount": 1}]),
        [json.dumps(large)],
        [json.dumps(failed)],
    )
    assert elements(found, "event", "row", "failed", "paired") == [
        ("failed", -1, True, False),
        ("large", 0, False, False),
        ("refused", 0, False, False),  # for what the caller sent
        ("refused", 1, True, True),  # for an output that is not finite
        ("refused", 2, False, True),
        ("rule", 0, False, False),
    ]


def test_the_live_version_is_asked_about_rows_that_the_candidate_failed_on() -> None:
    world = RolloutWorld()
    rows = [C1 | {"amount": amount} for amount in (3, 0, -1)]
    found = compared(world, world.lines("e1", 4, rows))
    columns = ("row", "failed", "paired", "live_failed", "candidate_failed")
    assert elements(found, *columns) == [
        (0, False, True, False, False),
        (1, True, True, False, True),  # an output that is not finite
        (2, False, False, False, False),  # refused for what the caller sent
    ]
    assert len(set(found.entity.tolist())) == 1
    assert np.isnan(found.candidate_score).tolist() == [False, True, True]
    assert np.isnan(found.live_score).tolist() == [False, True, True]


def test_a_request_that_failed_as_a_whole_is_compared_as_a_whole() -> None:
    world = RolloutWorld(shop_graph(), live=fragile_graph())  # the live version fails on 0
    contract = world.contracts[4]
    plan: CapturePlan = contract.compiled[CapturePlan]
    requests = []
    for event, amounts in (("fine", (5, 7)), ("fails", (0, 7))):
        rows = [C1 | {"amount": amount, "visits": 1} for amount in amounts]
        batch = from_records(contract, rows)
        batch.columns["orders_90d"] = np.full(2, 4, dtype=np.float32)
        told = {"event": event, "event_time": NOW, "route": "canary", "rollout": "r1#0"}
        line = failure_line(plan, told, ModelFailure("x"), 3, (batch, np.array([0, 2])))
        requests.append([line.decode()])
    found = compared(world, *requests)
    columns = ("event", "row", "failed", "paired", "live_failed", "candidate_failed")
    assert elements(found, *columns) == [
        ("fails", 0, True, True, True, True),
        ("fails", 2, True, True, True, True),
        ("fine", 0, True, True, False, True),
        ("fine", 2, True, True, False, True),
    ]
    assert len(set(found.entity.tolist())) == 1


def test_in_shadow_the_candidate_fails_row_by_row_and_leaves_captures() -> None:
    world = RolloutWorld(rollout=SHADOW)
    amounts = (100, 0, 900)
    rows = [C1 | {"amount": amount} for amount in amounts]
    found = compared(world, world.lines("e1", 3, rows, rollout="r1#-1"))
    assert elements(found, "paired", "live_failed", "candidate_failed", "step", "candidate") == [
        (True, False, bad, -1, False) for bad in (False, True, False)
    ]
    shadow = [key for key in world.captures.objects if "/v4-7d" in key]
    assert len(shadow) == 1
    world.captures.objects = {key: world.captures.objects[key] for key in shadow}
    names = ("event", "row", "version", "route", "rollout", "outcome", "feature_amount", "entity")
    assert records(table(world.captures), *names) == [
        ("e1", 0, 4, "shadow", "r1#-1", "scored", 100.0, "c1"),
        ("e1", 1, 4, "shadow", "r1#-1", "failed", 0.0, "c1"),
        ("e1", 2, 4, "shadow", "r1#-1", "scored", 900.0, "c1"),
    ]
    probabilities = dict(records(table(world.captures), "row", "output_probability"))
    assert probabilities[1] is None
    assert probabilities[0] == pytest.approx(found.candidate_score[0])


def test_labels_of_both_versions_are_compared() -> None:
    world = RolloutWorld(rollout=SHADOW)
    rows = [C1 | {"amount": 10, "items": items} for items in (1, 8.5)]
    found = compared(world, world.lines("e1", 3, rows, rollout="r1#-1"))
    assert found.changed.tolist() == [False, True]
    assert (found.live_score > 0.5).tolist() == [True, False]
    assert (found.candidate_score > 0.5).tolist() == [True, True]


def test_outputs_that_a_caller_did_not_ask_for_are_not_compared() -> None:
    world = RolloutWorld(rollout=SHADOW)
    rows = [C1 | {"amount": 10, "items": 8.5}]
    lines = [json.loads(world.lines(f"e{n}", 3, rows, rollout="r1#-1")[0]) for n in range(3)]
    del lines[0]["outputs"]["probability"]
    del lines[1]["outputs"]["label"]
    found = compared(world, [json.dumps(line) for line in lines])
    assert found.paired.tolist() == [True] * 3
    assert found.changed.tolist() == [True, False, True]
    assert np.isnan(found.live_score).tolist() == [True, False, False]
    assert np.isnan(found.candidate_score).tolist() == [True, False, False]


def test_a_retry_and_a_duplicate_change_nothing() -> None:
    world = RolloutWorld()
    keys = [*world.put(world.lines("e1", 4, [C1 | {"amount": 1}] * 3))]
    keys += world.put(world.lines("e2", 4, [C1 | {"amount": 2}]))
    world.comparer().compare([keys, keys[:1]])
    first = world.evidence.read("shop", "r1")
    world.comparer().compare([[key] for key in keys])
    second = world.evidence.read("shop", "r1")
    assert len(first) == 4
    for column in fields(Evidence):
        np.testing.assert_array_equal(
            getattr(first, column.name), getattr(second, column.name), column.name
        )


def test_captures_with_faults_are_all_compared_after_retries_and_none_twice() -> None:
    draws = np.random.default_rng(1)

    class Faulty(MemoryEvidence):
        """Puts of which one in ten is lost, or done and not answered."""

        def put(self, model: str, rollout: str, step: int, key: str, evidence: Evidence) -> None:
            fate = draws.random()
            if fate >= 0.05:
                super().put(model, rollout, step, key, evidence)
            if fate < 0.1:
                raise Transient("no answer")

    world = RolloutWorld()
    world.evidence = Faulty()
    waiting = []
    for number in range(100):
        version = 3 + number % 2
        waiting += world.put(world.lines(f"e{number:03d}", version, [C1 | {"amount": number + 1}]))
    rounds = 0
    while waiting:
        rounds += 1
        done = world.comparer().compare([[key] for key in waiting])
        waiting = list(done.failed)
    assert rounds > 1
    found = world.evidence.read("shop", "r1")
    assert sorted(found.event.tolist()) == [f"e{number:03d}" for number in range(100)]
    assert found.paired.tolist() == found.candidate.tolist()


def test_a_candidate_that_does_not_load_fails_every_row_of_the_live_version() -> None:
    world = RolloutWorld(ModelFailure("no graph"), rollout=SHADOW)
    found = compared(world, world.lines("e1", 3, [C1 | {"amount": 1}] * 2, rollout="r1#-1"))
    assert elements(found, "paired", "live_failed", "candidate_failed") == [(True, False, True)] * 2


def test_a_live_version_that_does_not_load_says_nothing_of_the_candidate() -> None:
    world = RolloutWorld()
    lines = world.lines("e1", 4, [C1 | {"amount": 1}])
    world.graphs[3] = ModelFailure("no graph")
    world.loader.graphs = world.graphs
    assert elements(compared(world, lines), "paired", "failed") == [(False, False)]


def test_a_candidate_that_kills_the_process_fails_the_rows_instead_of_being_tried_forever() -> None:
    world = RolloutWorld(rollout=SHADOW)
    world.models.crashes = crashes = CrashLog(lambda: NOW)
    slot = crashes.slot("shop", 4)
    crashes._known["crashes"][slot] = (NOW - 3, NOW - 2, NOW - 1)
    found = compared(world, world.lines("e1", 3, [C1 | {"amount": 1}], rollout="r1#-1"))
    assert found.candidate_failed.tolist() == [True]
    assert world.loader.loads == []


def test_a_registry_that_does_not_answer_is_tried_again() -> None:
    world = RolloutWorld()
    keys = world.put(world.lines("e1", 4, [C1 | {"amount": 1}]))
    world.graphs[3] = Transient("the registry is away")
    world.loader.graphs = world.graphs
    done = world.comparer().compare([keys])
    assert done.failed == {keys[0]: "the registry is away"}
    assert world.evidence.stored == {}


@pytest.mark.parametrize(
    ("rollout", "label"),
    [
        (None, "r1#0"),
        (replace(ROLLOUT, id="r2"), "r1#0"),
        (replace(ROLLOUT, phase="watching", step=2), "r1#2"),
    ],
)
def test_captures_of_a_rollout_that_ended_are_dropped(rollout: Any, label: str) -> None:
    world = RolloutWorld(rollout=rollout)
    keys = world.put(world.lines("e1", 4, [C1 | {"amount": 1}], rollout=label))
    done = world.comparer().compare([[*keys, "raw/gone", keys[0].replace("v4", "v9")]])
    assert (done.dropped, done.rows, done.failed) == (3, 0, {})
    assert world.evidence.stored == {}
    assert world.judged == []


@pytest.mark.parametrize("name", ["amount", "items"])
def test_a_model_with_a_sensitive_feature_has_no_pairs(name: str) -> None:
    contracts: list[Contract] = []
    for one in (LIVE, CANDIDATE):  # of items, which has a default, the value is not known either
        features = tuple(replace(f, sensitive=f.name == name) for f in one.features)
        contracts.append(replace(one, features=features))
    world = RolloutWorld(contracts=contracts)
    found = compared(world, world.lines("e1", 4, [C1 | {"amount": 1}]))
    assert elements(found, "paired", "failed") == [(False, False)]


def sealed(contract: Contract) -> Contract:
    """A contract whose amount is captured encrypted."""
    features = tuple(replace(one, sensitive=one.name == "amount") for one in contract.features)
    return replace(contract, features=features, capture=Capture(days=7, sensitive="encrypted"))


def failed_as_a_whole(world: RolloutWorld) -> list[str]:
    """The capture of a canary's request of two rows that the model failed on as a whole."""
    contract = world.contracts[4]
    batch = from_records(contract, [C1 | {"amount": a, "visits": 1} for a in (5, 7)])
    batch.columns["orders_90d"] = np.full(2, 4, dtype=np.float32)
    plan: CapturePlan = contract.compiled[CapturePlan]
    told = {"event": "fails", "event_time": NOW, "route": "canary", "rollout": "r1#0"}
    asked, error = (batch, np.array([0, 2])), ModelFailure("x")
    return [failure_line(plan, told, error, 3, asked, seal=world.seal).decode()]


@pytest.mark.parametrize(("rollout", "version"), [(ROLLOUT, 4), (SHADOW, 3)])
def test_encrypted_features_give_the_pairs_that_plain_ones_give(
    rollout: Rollout, version: int
) -> None:
    """Of rows that were answered, failed, refused, and of a request that failed as a whole."""
    rows = [C1 | {"amount": amount} for amount in (7_777, 0, -1, 3)]
    label = f"r1#{rollout.step}"
    evidence = []
    for contracts in ((LIVE, CANDIDATE), (sealed(LIVE), sealed(CANDIDATE))):
        world = RolloutWorld(contracts=contracts, rollout=rollout)
        requests = [world.lines("e1", version, rows, rollout=label)]
        if version == 4:
            requests.append(failed_as_a_whole(world))
        evidence.append(compared(world, *requests))
    plain, found = evidence
    assert found.paired.any()
    for column in fields(Evidence):
        left, right = (getattr(one, column.name) for one in (plain, found))
        np.testing.assert_array_equal(left, right, column.name)
    assert not any("7777" in line for lines in requests for line in lines)
    for body in world.captures.objects.values():
        stored = read_parquet(body)
        assert "feature_amount" not in stored.column_names
        is_shadow = set(stored["route"].to_pylist()) == {"shadow"}
        assert ("sealed" in stored.column_names) == (not is_shadow)


def test_rows_whose_key_is_disabled_are_evidence_without_a_pair() -> None:
    world = RolloutWorld(contracts=(sealed(LIVE), sealed(CANDIDATE)))
    keys = world.put(world.lines("e1", 4, [C1 | {"amount": 5}, C1 | {"amount": 7}]))
    world.keys.enabled = False
    done = world.comparer().compare([keys])
    assert (done.rows, done.pairs, done.unopened, done.failed) == (2, 0, 2, {})
    assert elements(world.evidence.read("shop", "r1"), "paired", "failed") == [(False, False)] * 2


def test_a_feature_that_the_other_version_alone_has_takes_its_default() -> None:
    added = Feature(name="visits", dtype="float32", default=0.0, range=(0, 1))
    contracts = [LIVE, replace(CANDIDATE, features=(*LIVE.features, added))]
    world = RolloutWorld(shop_graph(), contracts=contracts, rollout=SHADOW)
    found = compared(world, world.lines("e1", 3, [C1 | {"amount": 1}], rollout="r1#-1"))
    np.testing.assert_array_equal(found.candidate_score, found.live_score)


def test_evidence_is_the_same_after_it_was_stored_and_once_however_often_it_came() -> None:
    world = RolloutWorld()
    found = compared(world, world.lines("e1", 4, [C1 | {"amount": 1}] * 2))
    twice = once([from_parquet(to_parquet(found)), found])
    for column in fields(Evidence):
        np.testing.assert_array_equal(
            getattr(found, column.name), getattr(twice, column.name), column.name
        )


def test_the_beginning_of_a_request_is_evidence_apart_from_its_outcome() -> None:
    line = {
        "begun": 1,
        "event": "e1",
        "event_time": NOW,
        "request_id": "q1",
        "model": "shop",
        "version": 4,
        "route": "canary",
        "rollout": "r1#0",
        "entity": "00000000000000ff",
    }
    world = RolloutWorld()
    feed = begun([line, line | {"event": "e2", "route": "live", "rollout": "r1#1"}])
    assert set(feed) == {("shop", "r1", 0), ("shop", "r1", 1)}
    for (model, rollout, step), evidence in feed.items():
        world.evidence.put(model, rollout, step, "key", evidence)
    found = compared(world, world.lines("e1", 4, [C1 | {"amount": 1}]))
    assert elements(found, "event", "row", "begun", "candidate", "step") == [
        ("e1", -1, True, True, 0),
        ("e1", 0, False, True, 0),
        ("e2", -1, True, False, 1),
    ]
    assert found.entity[0] == 255


def test_a_judge_that_takes_long_looks_less_often() -> None:
    now, looks = [0.0], []

    def judge(model: str, rollout: str) -> None:
        looks.append((rollout, now[0]))
        now[0] += 2  # seconds

    paced = Paced(judge, lambda: now[0])
    for _ in range(30):
        paced("shop", "r1")
        now[0] += 1
    paced("shop", "r2")
    assert looks == [("r1", 0.0), ("r1", 20.0), ("r2", 34.0)]
