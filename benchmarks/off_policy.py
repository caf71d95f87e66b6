"""What an off-policy evaluation can tell by the size of its log: python -m benchmarks.off_policy

Simulated logs of answers with 20 items, in the item-position model with users of two moods. The
version orders the shown items by their appeal, the ranker at random: both agree at one place of 20.
Prints how often the 95 % intervals of the difference hold the truth, and how wide they are.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np

from quintet_cli.impressions.estimators import METHODS, Weighted, values
from quintet_cli.impressions.rewards import fitted_rewards

ITEMS, PLACES = 60, 20
#: each user's answers, on average
ANSWERS = 3
LOOKS = 1 / np.log2(np.arange(PLACES) + 2)
APPEAL = np.random.default_rng(1).beta(1, 12, ITEMS)
LOGS = ((2_000, 0.05), (5_000, 0.05), (10_000, 0.05), (5_000, 0.2))


def simulated(random: np.random.Generator, answers: int, explore: float) -> list[Weighted]:
    """A log: rows for the version's order, then for the ranker's."""
    users = answers // ANSWERS
    user = random.integers(0, users, answers)
    mood = random.choice([0.5, 1.5], users)[user][:, None]
    ranked = np.argsort(random.random((answers, ITEMS)), axis=1)[:, :PLACES]
    drawn = np.argsort(random.random((answers, PLACES)), axis=1)
    explored = random.random(answers)[:, None] < explore
    items = np.where(explored, np.take_along_axis(ranked, drawn, axis=1), ranked)
    propensity = (1 - explore) * (items == ranked) + explore / PLACES
    clicked = random.random(items.shape) < np.minimum(mood * APPEAL[items] * LOOKS, 1)
    by_appeal = np.argsort(-APPEAL[ranked], axis=1, kind="stable")
    orders = (np.take_along_axis(ranked, by_appeal, axis=1), ranked)
    rows = np.arange(items.size)
    answer, position = rows // PLACES, rows % PLACES + 1
    reward = clicked.reshape(-1).astype(np.float64)
    fitted, *expected = np.split(
        fitted_rewards(
            user=user[answer],
            position=position,
            item=items.reshape(-1),
            reward=reward,
            asked=np.concatenate([one.reshape(-1) for one in (items, *orders)]),
            of=np.tile(rows, 3),
        ),
        3,
    )
    return [
        Weighted(
            answer=answer,
            user=user[answer],
            position=position,
            reward=reward,
            weight=((items == order) / propensity).reshape(-1),
            support=np.ones(items.size),
            fitted=fitted,
            expected=value,
        )
        for order, value in zip(orders, expected, strict=True)
    ]


def difference() -> float:
    """What the version earns an answer more than the ranker, on average."""
    random = np.random.default_rng(0)
    ranked = APPEAL[np.argsort(random.random((200_000, ITEMS)), axis=1)[:, :PLACES]]
    return float(((-np.sort(-ranked, axis=1) - ranked) @ LOOKS).mean())


def measured(answers: int, explore: float, draws: int, truth: float) -> str:
    """A line of the table."""
    random = np.random.default_rng(answers)
    held: defaultdict[str, list[bool]] = defaultdict(list)
    widths, matches, rewards = [], [], []
    for _ in range(draws):
        version, then = simulated(random, answers, explore)
        found = values(version, then)
        matches.append(np.count_nonzero(version.weight * (then.weight == 0)))
        rewards.append(found["logged"]["value"])
        for name in METHODS[1:]:
            gap = found[name] and found[name]["difference"]
            if gap:
                held[name].append(gap["low"] <= truth <= gap["high"])
        widths.append(found["dr"]["difference"]["high"] - found["dr"]["difference"]["low"])
    shares = " | ".join(f"{np.mean(held[name]):.0%}" for name in METHODS[1:])
    return (
        f"| {answers:,} | {explore:.0%} | {np.mean(matches):,.0f} | {shares} | "
        f"±{np.median(widths) / 2 / np.mean(rewards):.0%} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=100, help="Logs of each size.")
    draws, truth = parser.parse_args().draws, difference()
    print(f"the version earns {truth:.3f} clicks an answer more")
    print("| Answers | `explore` | Matches | IPS | SNIPS | Doubly robust | Its interval |")
    print("|---|---|---|---|---|---|---|")
    for answers, explore in LOGS:
        print(measured(answers, explore, draws, truth), flush=True)


if __name__ == "__main__":
    main()
