"""Estimators of a ranking's value: exact by enumeration, and their intervals on simulated logs."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from quintet_cli.impressions.estimators import METHODS, Weighted, interval, values
from quintet_cli.impressions.rewards import fitted_rewards

#: the chance of a click on each of five items, and of a look at each of three positions
APPEAL = np.array([0.9, 0.5, 0.2, 0.4, 0.1])
LOOKS = np.array([1.0, 0.6, 0.3])
ESTIMATES = [name for name in METHODS if name != "logged"]


def enumerated(explore: float, target: tuple[int, ...], fitted: float) -> Weighted:
    """Every permutation of three items as often as exploration shows it, with its mean rewards."""
    ranked = (0, 1, 2)
    orders = list(itertools.permutations(ranked))
    same = round((1 - explore + explore / 6) / (explore / 6))
    orders += [ranked] * (same - 1)
    item, place = np.array(orders).reshape(-1), np.tile(np.arange(3), len(orders))
    propensity = (1 - explore) * (item == place) + explore / 3
    shown = np.array(target)[place]
    return Weighted(
        answer=np.repeat(np.arange(len(orders)), 3),
        user=np.repeat(np.arange(len(orders)), 3),
        position=place + 1,
        reward=LOOKS[place] * APPEAL[item],
        weight=(item == shown) / propensity,
        support=np.isin(shown, ranked).astype(np.float64),
        fitted=np.full(len(item), fitted),
        expected=np.full(len(item), fitted),
    )


@pytest.mark.parametrize("target", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("fitted", [0.0, 0.3])
def test_every_estimate_is_exact_on_all_logs_by_their_probability(
    target: tuple[int, ...], fitted: float
) -> None:
    found = values(enumerated(0.5, target, fitted))
    truth = LOOKS * APPEAL[list(target)]
    for name in ESTIMATES:
        assert found[name]["value"] == pytest.approx(truth.sum()), name
        at = [row[name]["value"] for row in found["by_position"]]
        assert at == pytest.approx(truth.tolist()), name
    assert (found["support"], found["mean_weight"]["value"]) == pytest.approx((1, 1))


def test_what_was_shown_has_its_mean_reward_and_a_difference_of_none_from_itself() -> None:
    shown = enumerated(0.5, (0, 1, 2), 0.0)
    same = replace(shown, weight=np.ones(len(shown.user)))
    found = values(same)
    assert found["logged"]["value"] == pytest.approx(same.reward.sum() / 12)
    for name in ("ips", "snips", "dr"):
        assert found[name]["difference"] == pytest.approx({"value": 0, "low": 0, "high": 0})
    assert found["effective"] == pytest.approx(len(same.user))


def test_items_that_were_never_shown_count_nothing_as_the_rest_or_by_the_model() -> None:
    """Of three positions the target fills the second with an item that has no propensity."""
    found = values(enumerated(0.5, (1, 4, 0), 0.25))
    second = found["by_position"][1]
    assert second["support"] == 0
    assert second["ips"]["value"] == 0
    assert second["snips"] is None
    assert second["dr"]["value"] == 0.25
    assert found["support"] == pytest.approx(2 / 3)
    assert found["mean_weight"]["value"] == pytest.approx(2 / 3)
    assert found["snips"] is None


def test_short_answers_count_at_their_positions_only() -> None:
    """Two answers of two items and one of one: 2 + 1 rewards in three answers."""
    ones = np.ones(5)
    shown = Weighted(
        answer=np.array([0, 0, 1, 1, 2]),
        user=np.array([0, 0, 1, 1, 1]),
        position=np.array([1, 2, 1, 2, 1]),
        reward=np.array([1.0, 0, 1, 1, 0]),
        weight=ones,
        support=ones,
        fitted=0 * ones,
        expected=0 * ones,
    )
    found = values(shown)
    assert [found[name]["value"] for name in METHODS] == pytest.approx([1.0] * 4)
    assert [row["rows"] for row in found["by_position"]] == [3, 2]
    assert [row["ips"]["value"] for row in found["by_position"]] == pytest.approx([2 / 3, 1 / 2])


def test_an_interval_without_skewness_is_the_normal_one() -> None:
    influence = np.array([-1.0, 1.0] * 50) / 100
    found = interval(3.0, influence, np.arange(100))
    error = 1.959964 / np.sqrt(99)
    assert found == pytest.approx((3.0, 3.0 - error, 3.0 + error))


def test_a_skewed_interval_reaches_further_to_the_long_side() -> None:
    rewards = np.zeros(1000)
    rewards[:3] = 1
    found = interval(0.003, (rewards - 0.003) / 1000, np.arange(1000))
    assert found.low is not None and found.high is not None
    assert found.low > 0  # a normal interval ends below 0
    assert found.high - 0.003 > 2 * (0.003 - found.low)


def test_users_who_do_not_differ_have_no_interval() -> None:
    """Nobody clicked: that is no proof of nothing to come."""
    assert interval(0.0, np.zeros(40), np.arange(40)) == (0.0, None, None)


def test_rows_of_one_user_widen_the_interval_and_one_user_has_none() -> None:
    rewards = np.tile([1.0, 0.0], 20)
    influence = (rewards - 0.5) / 40
    apart = interval(0.5, influence, np.arange(40))
    together = interval(0.5, influence, np.tile([0, 1], 20) + 2 * np.repeat(np.arange(4), 10))
    assert apart.high is not None and together.high is not None
    assert together.high - 0.5 > 2 * (apart.high - 0.5)
    assert interval(0.5, influence, np.zeros(40, np.int64)) == (0.5, None, None)


def simulated(random: np.random.Generator, users: int, explore: float) -> list[Weighted]:
    """Answers of three of five items to users of different moods, in the item-position model.

    A user has one to four answers, and likes everything more or less than others; the ranker that
    was shown has its own order for each answer. The target orders the same items by their number.
    It comes first, then the order of the ranker.
    """
    each = random.integers(1, 5, users)
    user = np.repeat(np.arange(users), each)
    mood = random.choice([0.4, 1.0], users)[user]
    answers = len(user)
    ranked = np.argsort(random.random((answers, 5)), axis=1)[:, :3]
    mixed = np.take_along_axis(ranked, np.argsort(random.random((answers, 3)), axis=1), axis=1)
    explored = random.random(answers) < explore
    items = np.where(explored[:, None], mixed, ranked)
    propensity = (1 - explore) * (items == ranked) + explore / 3
    chance = mood[:, None] * APPEAL[items] * LOOKS
    reward = (random.random((answers, 3)) < chance).astype(np.float64)
    target = np.sort(ranked, axis=1)
    row = np.repeat(np.arange(answers), 3)
    place = np.tile(np.arange(3), answers)
    flat: dict[str, NDArray[np.int64]] = {
        "user": user[row],
        "position": place + 1,
        "item": items.reshape(-1),
    }
    asked = np.concatenate([one.reshape(-1) for one in (items, target, ranked)])
    of = np.tile(np.arange(3 * answers), 3)
    found = fitted_rewards(**flat, reward=reward.reshape(-1), asked=asked, of=of)
    fitted, *expected = np.split(found, 3)
    return [
        Weighted(
            answer=row,
            user=flat["user"],
            position=flat["position"],
            reward=reward.reshape(-1),
            weight=((items == order) / propensity).reshape(-1),
            support=np.ones(3 * answers),
            fitted=fitted,
            expected=value,
        )
        for order, value in zip((target, ranked), expected, strict=True)
    ]


def truths() -> tuple[float, float]:
    """The expected rewards of an answer of the target, and of what was shown or ranked."""
    mood = np.mean([0.4, 1.0])
    subsets = np.array([sorted(some) for some in itertools.combinations(range(5), 3)])
    target = float((APPEAL[subsets] * LOOKS).sum(axis=1).mean())
    return float(mood * target), float(mood * APPEAL.mean() * LOOKS.sum())


@pytest.mark.parametrize("explore", [0.1, 0.5])
def test_95_percent_intervals_hold_the_truth_in_about_95_of_100_logs(explore: float) -> None:
    random = np.random.default_rng(7)
    target, logged = truths()
    draws = 200
    held = dict.fromkeys((*METHODS, *(f"{name} - logged" for name in ESTIMATES)), 0)
    middle = dict.fromkeys(ESTIMATES, 0.0)
    for _ in range(draws):
        found = values(*simulated(random, 300, explore))
        for name in METHODS:
            one = found[name]
            truth = logged if name == "logged" else target
            held[name] += one["low"] <= truth <= one["high"]
            if name != "logged":
                gap = one["difference"]
                held[f"{name} - logged"] += gap["low"] <= target - logged <= gap["high"]
                middle[name] += one["value"] / draws
    shares = {name: count / draws for name, count in held.items()}
    # 0.95 +- 3 standard errors of a share of 200 draws
    assert all(0.905 <= share <= 0.995 for share in shares.values()), shares
    assert middle == pytest.approx(dict.fromkeys(ESTIMATES, target), rel=0.03)


def test_the_doubly_robust_interval_is_the_narrowest() -> None:
    random = np.random.default_rng(3)
    found = values(*simulated(random, 2_000, 0.2))
    width = {name: found[name]["high"] - found[name]["low"] for name in ESTIMATES}
    assert width["dr"] < width["ips"]


def test_a_fitted_reward_is_its_positions_mean_times_its_items_factor() -> None:
    """Learned from the other user: user 1 saw item 8 first and then item 7."""
    known = {
        "user": np.array([0, 0, 1, 1]),
        "position": np.array([1, 2, 1, 2]),
        "item": np.array([7, 8, 8, 7]),
    }

    def fitted(reward: list[float], of: list[int]) -> list[float]:
        asked = np.array([7, 8, 9])
        found = fitted_rewards(**known, reward=np.array(reward), asked=asked, of=np.array(of))
        return list(found.tolist())

    # an item that earns what is usual at its positions, or was never shown, has the factor 1
    assert fitted([1, 0, 0.6, 0.2], [0, 0, 0]) == pytest.approx([0.6, 0.6, 0.6])
    assert fitted([1, 0, 0.6, 0.2], [1, 1, 1]) == pytest.approx([0.2, 0.2, 0.2])
    assert fitted([1, 0, 0, 1], [2, 3, 2]) == pytest.approx([1, 0, 1])


def test_an_item_that_earns_more_than_usual_has_a_larger_factor() -> None:
    """Item 7 earned 20 and item 8 nothing at a position whose mean is a half: 21 and 1 of 11."""
    rows = np.arange(80)
    item, user = np.where(rows % 2, 8, 7), np.where(rows < 40, 0, 1)
    reward = np.where((item == 7) & (user == 1), 1.0, 0.0)
    found = fitted_rewards(
        user=user,
        position=np.ones(80, np.int64),
        item=item,
        reward=reward,
        asked=np.array([7, 8]),
        of=np.array([0, 0]),
    )
    assert found == pytest.approx([0.5 * 21 / 11, 0.5 * 1 / 11])


def test_a_users_rewards_take_no_part_in_what_is_fitted_for_them() -> None:
    random = np.random.default_rng(1)
    user, item = random.integers(0, 50, 500), random.integers(0, 9, 500)
    known = {"user": user, "position": random.integers(1, 4, 500), "item": item, "asked": item}
    reward, rows = random.random(500), np.arange(500)
    before = fitted_rewards(**known, reward=reward, of=rows)
    changed = np.where(user == 17, 1 - reward, reward)
    after = fitted_rewards(**known, reward=changed, of=rows)
    assert (before == after)[user == 17].all()
    assert (before != after)[user % 5 != 17 % 5].all()
