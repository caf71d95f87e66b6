"""E-processes against brute force: means over everything that can happen, and many walks."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import betaincc, betaln
from tests.kits.evidence import evidence

from quintet.rollouts.outcomes import errors, new_entities, requests_of
from quintet.rollouts.sequential import (
    EVEN,
    ODDS_WEIGHTS,
    RARE,
    Bets,
    log_above_zero,
    log_bets,
    log_mean,
    log_more_often,
    log_odds,
    log_other_share,
)


def test_weights_are_those_of_a_mean() -> None:
    for weights in (EVEN.weights, RARE.weights, ODDS_WEIGHTS):
        assert weights.sum() == pytest.approx(1)


def test_evidence_is_the_mean_of_what_each_bet_grows_to() -> None:
    """Values of 1 and -1 over a lowest of -2, seen 3 and 1 times: bets are on halves of them."""
    for bets in (EVEN, RARE):
        growth = (1 + bets.sizes / 2) ** 3 * (1 - bets.sizes / 2)
        found = log_above_zero([1, -1], [[3, 1], [0, 0]], -2, bets)
        assert found == pytest.approx([np.log(bets.weights @ growth), 0])


def test_evidence_of_events_is_the_mean_over_the_odds() -> None:
    """At 20 %, two events of the candidate's and one of the live version's."""
    share, odds = 0.2, np.array([1.5, 2.0, 4.0, 8.0, 16.0, 64.0, 1e4])
    near = np.array([1.05, 1.1, 1.25, 1.5, 2.0, 4.0, 16.0])
    either = np.concatenate([near, 1 / near])
    both: list[tuple[NDArray[np.float64], object]] = [
        (odds, log_more_often),
        (either, log_other_share),
    ]
    for of, evidence_of in both:
        total = 1 - share + of * share
        growth = (of / total) ** 2 / total
        weights = ODDS_WEIGHTS if len(of) == 7 else np.full(14, 1 / 14)
        found = evidence_of([2], [1], [share])  # type: ignore[operator]
        assert found == pytest.approx(np.log(weights @ growth))


@pytest.mark.parametrize("evidence_of", [log_more_often, log_other_share])
@pytest.mark.parametrize("shares", [(0.01,), (0.5,), (0.01, 0.1, 0.5), (0.3, 0.9)])
def test_mean_over_all_allocations_of_events_is_one(
    evidence_of: object, shares: tuple[float, ...]
) -> None:
    """Three events of each kind, each of the candidate with its share: all 2^n ways."""
    share, mean = np.array(shares), 0.0
    for ways in product((0, 1), repeat=3 * len(shares)):
        ours = np.array(ways).reshape(3, len(shares))
        chance = np.where(ours, share, 1 - share).prod()
        found = evidence_of(ours.sum(axis=0), 3 - ours.sum(axis=0), share)  # type: ignore[operator]
        mean += chance * float(np.exp(found))
    assert mean == pytest.approx(1)


@pytest.mark.parametrize("bets", [EVEN, RARE])
@pytest.mark.parametrize(
    ("values", "chances", "lowest"),
    [
        ([1, -1, 0], [0.2, 0.2, 0.6], -1.0),
        ([0.9, -1.1, -0.1], [0.4, 0.3, 0.3], -1.1),
        ([0.95, -0.05], [0.05, 0.95], -0.05),
    ],
)
def test_mean_over_all_values_is_one_where_their_mean_is_zero(
    values: list[float], chances: list[float], lowest: float, bets: Bets
) -> None:
    assert np.dot(values, chances) == pytest.approx(0)
    mean = 0.0
    for ways in product(range(len(values)), repeat=7):
        counts = np.bincount(ways, minlength=len(values))
        chance = np.prod(np.array(chances)[list(ways)])
        mean += chance * float(np.exp(log_above_zero(values, counts, lowest, bets)))
    assert mean == pytest.approx(1)


def test_mean_over_all_routes_of_entities_is_one_however_often_they_fail() -> None:
    """Entities keep their version while shares grow: each way that their buckets may fall.

    The first fails in every step, the second in the first and the third, the third in the second
    alone, the fourth twice in one step, and the fifth never.
    """
    shares = np.array([0.1, 0.4, 0.7])
    fails = {0: (0, 1, 2), 1: (0, 2), 2: (1,), 3: (1, 1), 4: ()}
    requests = [(who, step) for who in fails for step in range(3)]
    requests += [(who, step) for who, steps in fails.items() for step in steps]
    entity, step = np.array(requests).T
    failed = np.arange(len(requests)) >= len(fails) * 3
    chances = np.diff([0, *shares, 1])
    mean = mean_ratio = 0.0
    for buckets in product(range(4), repeat=len(fails)):
        candidate = np.array(buckets)[entity] <= step
        parts = {"entity": entity, "step": step, "candidate": candidate, "failed": failed}
        found = requests_of(evidence(len(requests), **parts), shares)
        seen, first = errors(found, shares), new_entities(found, shares)
        chance = chances[list(buckets)].prod()
        mean += chance * np.exp(log_more_often(seen.by_candidate, seen.by_live, seen.share))
        mean_ratio += chance * np.exp(
            log_other_share(first.by_candidate, first.by_live, first.share)
        )
    assert mean == pytest.approx(1)
    assert mean_ratio == pytest.approx(1)


def ever(logs: NDArray[np.float64], alpha: float) -> int:
    """How many walks (walks, times) ever reach 1 / alpha."""
    return int((logs >= np.log(1 / alpha)).any(axis=1).sum())


def test_walks_without_a_difference_cross_no_more_often_than_alpha_says() -> None:
    random, walks, times = np.random.default_rng(3), 2000, 1000
    flips = random.random((walks, times)) < 0.1
    by_candidate, by_live = log_odds(0.1)
    logs = np.where(flips[..., None], by_candidate, by_live).cumsum(axis=1)
    crossed = ever(log_mean(logs, ODDS_WEIGHTS), 0.05)
    assert 0 < crossed <= 0.05 * walks
    values = random.choice([0.95, -0.05], (walks, times), p=[0.05, 0.95])
    bets = log_bets([0.95, -0.05], -0.05, EVEN)
    logs = np.where(values[..., None] > 0, bets[0], bets[1]).cumsum(axis=1)
    crossed = ever(log_mean(logs, EVEN.weights), 0.05)
    assert 0 < crossed <= 0.05 * walks


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_grid_of_odds_is_near_a_mixture_over_all_of_them(share: float) -> None:
    """The mixture in closed form: a candidate's chance that is uniform from its share to 1."""
    for ours in range(1, 60):
        for live in (0, 1, ours // 4, ours):
            log = betaln(ours + 1, live + 1) + np.log(betaincc(ours + 1, live + 1, share))
            log -= np.log(1 - share) + ours * np.log(share) + live * np.log(1 - share)
            if 2 < log < 9:  # about the threshold, at 6.4: within a factor of 6
                assert float(log_more_often([ours], [live], [share])) > log - 1.8
