"""Evaluation against serving: the propensities that it logs, and the lists that it shows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.kits.impressions import ImpressionWorld
from tests.kits.models import NOW
from tests.kits.recommending import RANKER, RULE, Shop, ranker_graph, sold_out

from quintet.contract import Filters
from quintet.onnx_model import OnnxModel
from quintet.recommend.exploration import explored
from quintet_cli.impressions.estimators import Weighted, values
from quintet_cli.impressions.logged import logged
from quintet_cli.impressions.targets import targets


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_logged_propensities_are_those_of_the_orders_that_are_shown(share: float) -> None:
    """Weights by them have the mean 1, whichever order of five items the target has."""
    answers, count = 3_000, 5
    orders = [
        explored(hashlib.sha256(f"{number}".encode()).hexdigest()[:32], count, share)
        for number in range(answers)
    ]
    places = np.array([order.places for order in orders])
    propensity = np.array([order.propensity for order in orders])
    answer = np.repeat(np.arange(answers), count)
    nothing = np.zeros(answers * count)
    for target in ((0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (1, 0, 2, 4, 3)):
        shown = Weighted(
            answer=answer,
            user=answer,
            position=np.tile(np.arange(count), answers) + 1,
            reward=(places == np.array(target)).reshape(-1).astype(np.float64),
            weight=((places == np.array(target)) / propensity).reshape(-1),
            support=nothing + 1,
            fitted=nothing,
            expected=nothing,
        )
        found = values(shown)
        mean, low, high = found["mean_weight"].values()
        assert 2 * (low - mean) <= 1 - mean <= 2 * (high - mean)  # four standard errors
        # each item is a reward at its place in the target: all of them, and nothing else
        assert found["snips"]["value"] == pytest.approx(count)


RULES: list[dict[str, Any]] = [
    {},
    {"explore": 1.0},
    {"category": "category", "filters": Filters(per_category=1, seen=False)},
    {"explore": 0.5, "category": "category", "filters": Filters(per_category=2)},
    {"explore": 1.0, "filters": Filters(stock_max_age=7200)},
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_ranking_again_gives_the_list_that_was_ranked(rule: dict[str, Any]) -> None:
    shop, world = Shop(rule=rule), ImpressionWorld()
    shop.shows({"": [40, 41]}, sold_out=sold_out(12, 21), stock_at=NOW - 60)
    ids = [10, 12, 13, 21, 22, 24, 30, 33, 45]
    for user in range(4):
        shop.has(
            f"u{user}", ids[user:], np.linspace(9, 1, len(ids) - user).tolist(), taste=0.5 * user
        )
    lines = []
    for number in range(24):
        context = [13, 22, 30, 5][number % 5 : number % 5 + 2]
        told = shop.post(f"u{number % 4}", {"items": context, "top": 2 + number % 3})
        assert told.body["step"] == "reranked"
        lines += [json.dumps(line) for line in told.captures]
    world.put(lines)
    contract = replace(RANKER, recommend=replace(RULE, **rule))
    (hour,) = logged(world.captures, "ranker", 0, 2 * NOW, lambda version: contract)
    found = targets(OnnxModel(contract, ranker_graph()), hour, np.ones(24, dtype=np.bool_))
    assert not (found.missing | found.failed).any()
    ranked = [item for one in hour.documents for item in one["ranked"]]
    assert found.items.tolist() == ranked
    # and each of them has the row in which it was ranked
    assert (hour.rows_of(hour.shown.answer, hour.shown.item) >= 0).all()
