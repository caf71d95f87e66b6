"""A version on logged impressions: its value, what is left out, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.cli.impressions.test_export import CLOSED, Sent, feedback_of
from tests.kits.impressions import RANKER, SCORES, SECOND, ImpressionWorld, explored, ranker_graph
from tests.kits.models import NOW

from quintet.contract import Contract, Feature, Filters
from quintet.errors import BadInput
from quintet.onnx_model import OnnxModel
from quintet_cli.impressions.evaluation import evaluated
from quintet_cli.impressions.logged import logged
from quintet_cli.impressions.targets import NOTHING, targets


def evaluate(
    world: ImpressionWorld,
    sent: Sequence[Sent] = (),
    *,
    contract: Contract = SECOND,
    graph: bytes | None = None,
    reward: str = "click",
    now: float = CLOSED,
) -> dict[str, Any]:
    model = OnnxModel(contract, graph or ranker_graph(-1.0))
    hours = logged(world.captures, "ranker", 0, NOW + 1000, world.contracts.get)
    return evaluated(hours, model, feedback_of(sent), reward=reward, now=now)


def test_a_version_earns_what_its_order_would_have_earned() -> None:
    """Item 5 is clicked wherever it is first, which version 2 does always, and version 1 hardly."""
    world = ImpressionWorld()
    shown = explored(world)
    clicks: list[Sent] = [(event, 5, "click", NOW + 1) for event, order in shown if order[0] == 5]
    found = evaluate(world, [*clicks, (shown[0][0], 17, "purchase", NOW + 1)])
    assert (found["impressions"], found["users"], found["rewards"]) == (12, 6, 2)
    assert found["logged"]["value"] == pytest.approx(2 / 12)
    for method in ("ips", "snips"):
        assert found[method]["value"] == pytest.approx(1), method
        # of the order then, in which item 5 is the last
        assert found[method]["difference"]["value"] == pytest.approx(1), method
    first, second, third = found["by_position"]
    assert first["snips"]["value"] == 1
    assert (second["ips"]["value"], third["snips"]["value"]) == (0, 0)
    assert (found["agreement"], found["support"], found["matches"]) == (1 / 3, 1, 4)
    assert found["mean_weight"]["value"] == pytest.approx(1)
    assert found["feedback"]["counted"] == 3
    assert [one.split(";")[0].split(",")[0] for one in found["warnings"]] == [
        "where the orders differ",
        "6 users are too few for intervals",
    ]
    assert evaluate(world, clicks, reward="purchase")["ips"]["value"] == 0


def test_the_version_that_was_live_earns_what_was_shown_before_exploration() -> None:
    world = ImpressionWorld()
    shown = explored(world)
    clicks: list[Sent] = [
        (event, order[0], "click", NOW + 1) for event, order in shown if order[0] == 28
    ]
    found = evaluate(world, clicks, contract=RANKER, graph=ranker_graph())
    assert (found["agreement"], found["matches"]) == (1, 0)
    assert found["ips"]["value"] == pytest.approx(1)
    assert found["logged"]["value"] == pytest.approx(8 / 12)
    assert found["dr"]["difference"] == {"value": 0, "low": 0, "high": 0}


def test_items_that_were_not_shown_are_said_to_be_unknown() -> None:
    """Version 3 has item 41 first, which exploration never shows."""
    world = ImpressionWorld()
    explored(world)
    found = evaluate(world, graph=ranker_graph(10.0))
    assert found["support"] == pytest.approx(2 / 3)
    assert found["by_position"][0]["support"] == 0
    assert found["snips"] is None
    assert "at 33% of the places the version has an item that was not among the shown" in "".join(
        found["warnings"]
    )


def test_wrong_propensities_are_noticed() -> None:
    world = ImpressionWorld()
    for number in range(40):
        order = [(28, 17, 5), (5, 17, 28)][number % 2]
        world.show(f"u{number}", SCORES, order=order, propensity=[0.01, 0.9, 0.01])
    told = evaluate(world)["warnings"]
    assert any("the mean weight is" in one and "should be 1.000" in one for one in told)


def test_impressions_that_say_nothing_are_left_out_by_reason() -> None:
    world = ImpressionWorld()
    explored(world)
    world.show("u1", SCORES)
    world.show("u1", {}, order=[7, 5], propensity=[0.5, 0.5])
    world.show("u1", SCORES, propensity=[0.9] * 3, step="candidates", why="budget")
    world.show("u1", SCORES, at=NOW + 1, propensity=[0.9] * 3)
    found = evaluate(world)
    assert found["impressions"] == 12
    assert found["left_out"] == {
        **{"open": 1, "not_ranked": 2, "no_exploration": 1},
        **{"without_features": 0, "failed": 0},
    }


def test_an_evaluation_without_exploration_is_refused() -> None:
    world = ImpressionWorld()
    world.show("u1", SCORES)
    with pytest.raises(BadInput, match=r"got 1 without exploration.*explore: 0.05"):
        evaluate(world)
    with pytest.raises(BadInput, match="none in that time; --since takes an earlier one"):
        evaluate(ImpressionWorld())
    world.show("u1", {}, order=[5])
    with pytest.raises(BadInput, match="only 1 that the ranker did not rank, 1 without expl"):
        evaluate(world)


def test_a_version_that_needs_another_feature_is_refused() -> None:
    world = ImpressionWorld()
    explored(world)
    more = Feature(name="visits", dtype="float32")
    contract = replace(SECOND, features=(*RANKER.features, more))
    with pytest.raises(BadInput, match="only 12 whose rows lack a feature of the version"):
        evaluate(world, contract=contract)
    known = replace(more, default=0.0)
    found = evaluate(world, contract=replace(SECOND, features=(*RANKER.features, known)))
    assert found["impressions"] == 12


def test_an_impression_with_a_row_that_was_not_captured_is_left_out() -> None:
    """A list without one of its candidates is not what the version would have shown."""
    world = ImpressionWorld()
    explored(world)
    world.show("u1", SCORES, propensity=[0.9] * 3, rows=5)
    assert evaluate(world)["left_out"]["without_features"] == 1


def test_an_impression_on_which_the_version_fails_is_left_out() -> None:
    world = ImpressionWorld()
    explored(world)
    world.show("u1", {5: 7.0, 50: 9.0}, propensity=[0.9] * 2)
    found = evaluate(world, graph=ranker_graph(8e36))  # 50 times as much is not finite
    assert (found["left_out"]["failed"], found["impressions"]) == (1, 12)


def listed(world: ImpressionWorld, contract: Contract, of_item: float) -> list[int]:
    """The list of a version for the only impression."""
    (hour,) = logged(world.captures, "ranker", 0, NOW + 1000, world.contracts.get)
    model = OnnxModel(contract, ranker_graph(of_item))
    found = targets(model, hour, np.ones(1, dtype=np.bool_))
    return [int(item) for item in found.items.tolist()]


def test_a_versions_list_has_the_filters_of_its_contract() -> None:
    world = ImpressionWorld()
    scores = {21: 9.0, 22: 8.0, 23: 7.0, 30: 6.0, 1: 5.0, 32: 4.5, 31: 4.0}
    world.show("u1", scores, order=[30, 21, 22], filtered={"stock": [30], "seen": [32]})
    # 1 is in the session, 32 was seen before it, 30 was sold out; at most two are of one category
    assert listed(world, SECOND, 0.0) == [21, 22, 31]
    loose = replace(RANKER.recommend, filters=Filters(seen=False))  # type: ignore[type-var]
    assert listed(world, replace(SECOND, recommend=loose), 0.0) == [21, 22, 23]
    assert listed(world, replace(SECOND, recommend=loose), -10.0) == [1, 21, 22]


def test_a_list_may_be_shorter_than_what_was_shown() -> None:
    world = ImpressionWorld()
    world.show("u1", {21: 1.0, 22: 2.0, 23: 3.0}, order=[21, 22, 23])
    assert listed(world, SECOND, 0.0) == [23, 22, NOTHING]


def test_equal_ranks_are_listed_as_they_are_served() -> None:
    world = ImpressionWorld()
    world.show("u1", {40: 1.0, 5: 1.0, 28: 1.0}, order=[5, 28, 40])
    assert listed(world, SECOND, 0.0) == [40, 5, 28]


def test_a_run_of_the_version_has_rows_of_several_impressions() -> None:
    """Lists are by impression, whatever the runs: 1,000 candidates each for three."""
    world = ImpressionWorld()
    wide = Feature(name="item", dtype="int64", range=(1, 1000))
    features = tuple(wide if one.name == "item" else one for one in RANKER.features)
    world.contracts[1] = replace(RANKER, features=features)
    for number in range(3):
        scores = {item: float((item * 7 + number) % 1000) for item in range(1, 1001)}
        world.show(f"u{number}", scores, order=[1, 2, 3])
    (hour,) = logged(world.captures, "ranker", 0, NOW + 1000, world.contracts.get)
    loose = replace(RANKER.recommend, filters=Filters(seen=False))  # type: ignore[type-var]
    contract = replace(world.contracts[1], version=2, recommend=loose)
    found = targets(OnnxModel(contract, ranker_graph()), hour, np.ones(3, dtype=np.bool_))
    expected = []
    for number in range(3):
        items = sorted(range(1, 1001), key=lambda item: -((item * 7 + number) % 1000))
        expected += items[:3]
    assert found.items.tolist() == expected
