"""Off-policy evaluation on real impressions: the Open Bandit sample."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.kits.open_bandit import CAMPAIGNS, Log, log_of

from quintet_cli.impressions.estimators import ENOUGH, METHODS, Weighted, values
from quintet_cli.impressions.rewards import fitted_rewards

Table = NDArray[np.float64]


def shares(log: Log, items: int) -> Table:
    """How often each item was shown at each position, (3, items): of `bts`, whose probabilities
    moved within the week, the mean policy."""
    counts = np.zeros((3, items))
    np.add.at(counts, (log.position - 1, log.item), 1)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def evaluated(log: Log, target: Table) -> Weighted:
    """The impressions as rows for a target's probabilities, (3, items). The sample names no users:
    each impression is of one of its own."""
    rows, items = len(log.item), target.shape[1]
    alone = np.arange(rows)
    everything = np.concatenate([log.item, np.tile(np.arange(items), rows)])
    of = np.concatenate([alone, np.repeat(alone, items)])
    fitted = fitted_rewards(
        user=alone,
        position=log.position,
        item=log.item,
        reward=log.click,
        asked=everything,
        of=of,
    )
    probabilities = target[log.position - 1]
    expected = (probabilities * fitted[rows:].reshape(rows, items)).sum(axis=1)
    weight = probabilities[alone, log.item] / log.propensity
    return Weighted(
        alone, alone, log.position, log.click, weight, np.ones(rows), fitted[:rows], expected
    )


@cache
def cases(campaign: str) -> dict[str, tuple[Weighted, float]]:
    """Each policy on the impressions of the other, and the click rate of its own impressions."""
    random, bts = log_of("random", campaign), log_of("bts", campaign)
    items = int(random.item.max()) + 1
    uniform = np.full((3, items), 1 / items)
    return {
        "bts": (evaluated(random, shares(bts, items)), float(bts.click.mean())),
        "random": (evaluated(bts, uniform), float(random.click.mean())),
    }


@pytest.mark.parametrize("campaign", CAMPAIGNS)
@pytest.mark.parametrize("policy", ["bts", "random"])
def test_the_others_impressions_tell_the_click_rate_of_a_policy(campaign: str, policy: str) -> None:
    shown, own = cases(campaign)[policy]
    found = values(shown)
    for method in METHODS[1:]:
        assert found[method]["low"] <= own <= found[method]["high"], (method, found[method])


def test_an_interval_holds_the_truth_in_about_95_of_100_samples_of_real_impressions() -> None:
    """Samples are drawn from the impressions, in which the truth is known: the estimate on all."""
    random, draws = np.random.default_rng(2), 40
    held = dict.fromkeys(METHODS, 0)
    tried = 0
    for campaign in CAMPAIGNS:
        for shown, _ in cases(campaign).values():
            found = values(shown)
            if found["effective"] < ENOUGH:
                continue
            tried += draws
            for _ in range(draws):
                rows = random.integers(0, len(shown.user), len(shown.user))
                again = values(_alone(shown, rows))
                for method in METHODS:
                    one = again[method]
                    held[method] += one["low"] <= found[method]["value"] <= one["high"]
    assert tried == 4 * draws
    # 0.95 +- 3 standard errors of a share of 160 draws
    assert all(0.9 <= held[method] / tried <= 1 for method in METHODS), (held, tried)


def _alone(shown: Weighted, rows: NDArray[np.int64]) -> Weighted:
    """Some rows, each an answer to a user of its own."""
    alone = np.arange(len(rows))
    others = (getattr(shown, name)[rows] for name in Weighted.__slots__[2:])
    return Weighted(alone, alone, *others)


def test_propensities_that_leave_little_to_learn_from_are_told_by_the_effective_sample() -> None:
    """Thompson sampling showed some items of the women's campaign once in a million: two of its
    impressions weigh as much as all others."""
    shown, _ = cases("women")["random"]
    assert values(shown)["effective"] < 3
