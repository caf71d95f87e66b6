"""What the gates of a rollout find, and how often they take back a version that is as good.

    python -m benchmarks.rollouts [--rollouts 1000] [--json | --write]

prints the tables of docs/rollout-gates.md, and writes them there. All rollouts have the default
rule and are drawn from seeds: the figures repeat. There are 100,000 entities. Each has an error
rate and a score of its own and sends, in one world as many requests as any other, in the other as
Zipf's law with exponent 1.1 says. Evidence is looked at after every request.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from quintet.contract import RolloutRule
from quintet.rollouts.gates import QUANTILES, SAMPLE_RATIO_ALPHA
from quintet.rollouts.outcomes import Requests, exposed
from quintet.rollouts.power import (
    CRASHES,
    FAILURES,
    LABELS,
    SHIFT,
    SLOW,
    changing,
    failing,
    log_threshold,
    needed,
)
from quintet.rollouts.sequential import (
    EVEN,
    ODDS_WEIGHTS,
    RARE,
    Bets,
    log_bets,
    log_mean,
    log_more_often,
    log_odds,
    log_other_share,
)

PAGE = Path("docs/rollout-gates.md")
START, END = "<!-- rollouts -->\n", "<!-- end of rollouts -->\n"
WORLDS = ("uniform", "zipf")
ENTITIES, EXPONENT = 100_000, 1.1
#: the mean error rate; that of an entity is from a gamma distribution
ERRORS, SHAPE = 0.01, 0.3
RULE = RolloutRule()
LEVEL = log_threshold(RULE)
#: requests after which a step may end: ten minutes of twenty a second
CHUNK = 12_000
#: chunks after which a step without a verdict pauses: a day
CHUNKS = 144
BATCH = 50  # rollouts simulated together

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class World:
    """Entities: how busy each is, as a running sum of their weights, and how often each fails."""

    busy: Floats
    rates: Floats

    def requests(self, random: np.random.Generator, count: int) -> Ints:
        """The entities of some requests."""
        found: Ints = np.searchsorted(self.busy, random.random(count) * self.busy[-1])
        return found

    def split(self, random: np.random.Generator, share: float, count: int) -> tuple[Ints, Ints]:
        """The entities of the first requests to the candidate, and to the live version."""
        canary = random.random(ENTITIES) < share
        busy, found = np.diff(self.busy, prepend=0.0), []
        for side in (canary, ~canary):
            ours = np.flatnonzero(side)
            sums = busy[ours].cumsum()
            found.append(ours[np.searchsorted(sums, random.random(count) * sums[-1])])
        return found[0], found[1]


@cache
def world(name: str) -> World:
    """The world of that name."""
    random = np.random.default_rng(WORLDS.index(name))
    weights = np.arange(1.0, ENTITIES + 1) ** (-EXPONENT if name == "zipf" else 0.0)
    return World(weights.cumsum(), np.minimum(random.gamma(SHAPE, ERRORS / SHAPE, ENTITIES), 1))


# ---- bad versions, found at one share ----------------------------------------------------------

#: makes the evidence after each request, from the entities of the requests to the candidate and of
#: as many to the live version, all (rollouts, requests)
Line = Callable[[World, np.random.Generator, Ints, Ints], Floats]


def more_failures(rate: float) -> Line:
    """Rows that the candidate alone fails on, beside those that both fail on."""

    def logs(of: World, random: np.random.Generator, who: Ints, others: Ints) -> Floats:
        values, _, lowest = failing(RULE.margins.failures, 0.0)
        both = random.random(who.shape) < of.rates[who]
        worse = (random.random(who.shape) < rate) & ~both
        return _walk(log_bets(values, lowest, RARE)[np.where(worse, 0, 2)], RARE.weights)

    return logs


def shifted_scores(by: float) -> Line:
    """Scores shifted by so many sd over the margin; differences have an sd of 0.4 besides."""

    def logs(of: World, random: np.random.Generator, who: Ints, others: Ints) -> Floats:
        differences = RULE.margins.score + by + 0.4 * random.normal(size=who.shape)
        return _score_logs(differences)

    return logs


def changed_labels(rate: float) -> Line:
    """Labels that change for a share of the rows."""

    def logs(of: World, random: np.random.Generator, who: Ints, others: Ints) -> Floats:
        values, _, lowest = changing(RULE.margins.labels, 0.0)
        changed = random.random(who.shape) < rate
        return _walk(log_bets(values, lowest, EVEN)[np.where(changed, 0, 1)], EVEN.weights)

    return logs


def more_events(rate: float, share: float, live: float = 0.0) -> Line:
    """Crashes or errors, which cannot be paired: an entity counts at its first.

    Those of the live version are for a share of one half.
    """

    def logs(of: World, random: np.random.Generator, who: Ints, others: Ints) -> Floats:
        by_candidate, by_live = log_odds(share)
        grown = first_of_each(who, random.random(who.shape) < rate)[..., None] * by_candidate
        if live:
            failed = random.random(who.shape) < live
            grown = grown + first_of_each(others, failed)[..., None] * by_live
        return _walk(grown, ODDS_WEIGHTS)

    return logs


def own_errors(share: float, once: bool) -> Line:
    """Errors of versions that are alike, at a share of one half: each entity's own rate.

    `once` counts an entity at its first error, as the gate does; otherwise each error counts.
    """

    def logs(of: World, random: np.random.Generator, who: Ints, others: Ints) -> Floats:
        grown: Any = 0.0
        for entities, by in zip((who, others), log_odds(share), strict=True):
            failed = random.random(entities.shape) < of.rates[entities]
            grown += (first_of_each(entities, failed) if once else failed)[..., None] * by
        return _walk(grown, ODDS_WEIGHTS)

    return logs


def first_of_each(who: Ints, event: Mask) -> Mask:
    """Where each entity of each rollout (rollouts, requests) has its first event."""
    first = np.zeros(who.shape, dtype=np.bool_)
    for rollout, (entities, events) in enumerate(zip(who, event, strict=True)):
        at = np.flatnonzero(events)
        first[rollout, at[np.unique(entities[at], return_index=True)[1]]] = True
    return first


def _score_logs(differences: Floats) -> Floats:
    ways = [np.clip(way * differences - RULE.margins.score, -1, 1) for way in (1, -1)]
    both = np.stack([_walk(log_bets(way, -1.0, EVEN), EVEN.weights) for way in ways], axis=-1)
    return log_mean(both, np.full(2, 0.5))


def _walk(grown: Floats, weights: Floats) -> Floats:
    return log_mean(grown.cumsum(axis=1), weights)


def found_after(line: Line, name: str, rollouts: int, share: float, most: int) -> Floats:
    """After how many canary requests each rollout is rolled back; infinite if not by `most`."""
    found = []
    of = world(name)
    for start in range(0, rollouts, BATCH):
        random = np.random.default_rng([start, most, WORLDS.index(name)])
        size = min(BATCH, rollouts - start)
        both = [of.split(random, share, most) for _ in range(size)]
        who, others = (np.stack(part) for part in zip(*both, strict=True))
        crossed = line(of, random, who, others) >= LEVEL
        found.append(np.where(crossed.any(axis=1), crossed.argmax(axis=1) + 1.0, np.inf))
    return np.concatenate(found)


# ---- a version that is as good, through all steps ----------------------------------------------


@dataclass(slots=True)
class Good:
    """A rollout of a version that is as good: other scores, labels and flaky failures, no worse.

    `end` is promoted, or the gate that rolled it back or paused it.
    """

    end: str
    requests: int
    canary: int


def good(name: str, number: int, shares: Sequence[float], chunk: int) -> Good:
    """Simulate shadow, the steps of `shares` and promotion, in chunks of requests.

    A step ends after a chunk if all gates have what they need.
    """
    random, of = np.random.default_rng([number, chunk]), world(name)
    buckets = random.random(ENTITIES)
    rates, speeds = (np.roll(of.rates, int(random.integers(ENTITIES))) for _ in range(2))
    rows, entities, requests, canary = Pairs(), Entities(shares), chunk, 0
    rows.add(random, chunk)  # in shadow
    for share in shares:
        for _ in range(CHUNKS):
            who = of.requests(random, chunk)
            ours = buckets[who] < share
            requests, canary = requests + chunk, canary + int(ours.sum())
            rows.add(random, int(ours.sum()))
            if share < 1:
                failed = random.random(chunk) < rates[who]
                # some entities are slow
                ms = np.exp(random.normal(size=chunk) * 0.5 + 20 * speeds[who])
                entities.add(who, ours, failed, ms)
            if end := rows.bad or entities.bad:
                return Good(end, requests, canary)
            if share == 1 or (entities.enough() and rows.enough()):
                break
        else:
            return Good("max_minutes", requests, canary)
        if share < 1:
            entities.next_step()
    return Good("promoted", requests, canary)


class Pairs:
    """The paired gates, after each row."""

    FLAKY, CHANGED, NOISE = 0.002, 0.03, 0.5

    def __init__(self) -> None:
        self.rows, self.bad = 0, ""
        self._sums: dict[str, Floats] = {}

    def add(self, random: np.random.Generator, count: int) -> None:
        """Rows on which each version fails alone as often as the other."""
        margins, self.rows = RULE.margins, self.rows + count
        values, _, lowest = failing(margins.failures, 0.0)
        kinds = random.choice(3, count, p=[self.FLAKY, self.FLAKY, 1 - 2 * self.FLAKY])
        self._walk("failures", log_bets(values, lowest, RARE)[kinds], RARE)
        values, _, lowest = changing(margins.labels, 0.0)
        same = (random.random(count) >= self.CHANGED).astype(np.int64)
        self._walk("labels", log_bets(values, lowest, EVEN)[same], EVEN)
        shift = self.NOISE * random.normal(size=count)
        for way in (1, -1):
            values = np.clip(way * shift - margins.score, -1, 1)
            # the mean of both ways, to which the other adds next to nothing
            self._walk(f"score {way}", log_bets(values, -1.0, EVEN), EVEN, np.log(2))

    def _walk(self, gate: str, grown: Floats, bets: Bets, more: float = 0.0) -> None:
        before = self._sums.get(gate, np.zeros(len(bets.sizes)))
        walk = before + grown.cumsum(axis=0)
        self._sums[gate] = walk[-1] if len(walk) else before
        if crossed(walk, bets.weights, LEVEL + more):
            self.bad = gate

    def enough(self) -> bool:
        """Whether the paired gates have what they need."""
        least = needed(RULE, 0.5)
        return self.rows >= max(least[name] for name in ("failures", "score", "labels"))


def crossed(walk: Floats, weights: Floats, level: float) -> bool:
    """Whether evidence ever reaches a level; cheap where no alternative alone does."""
    return bool((walk >= level).any() and (log_mean(walk, weights) >= level).any())


class Entities:
    """The gates on entities: after each event, but latency at the end of each chunk.

    `logs` is their evidence by now.
    """

    def __init__(self, shares: Sequence[float]) -> None:
        self.bad, self.logs = "", dict[str, float]()
        self._shares, self._step, self._counted = np.array(shares), 0, 0
        self._here: list[tuple[Ints, Mask, Mask, Floats]] = []
        self._firsts: list[tuple[Ints, Ints, Mask, Floats]] = []  # of earlier steps
        self._before: Floats = np.zeros(len(ODDS_WEIGHTS))
        self._known = np.zeros(ENTITIES)  # the least that the bucket of an entity may be
        self._told = np.zeros(ENTITIES, dtype=np.bool_)  # by an event on the candidate
        self._seen = np.zeros(ENTITIES, dtype=np.bool_)
        self._new = np.zeros((2, len(shares)), dtype=np.int64)  # live, candidate

    def add(self, who: Ints, ours: Mask, failed: Mask, ms: Floats) -> None:
        """Requests of the present step: on the candidate or not, failed, and how long."""
        self._here.append((who, ours, failed, ms))
        who, ours, failed, ms = (np.concatenate(part) for part in zip(*self._here, strict=True))
        first = np.sort(np.unique(who, return_index=True)[1])
        self._first = who[first], np.full(len(first), self._step), ours[first], ms[first]
        self._failures(who[failed], ours[failed])
        self._latency()
        self._ratio(who[first], ours[first])

    def next_step(self) -> None:
        """Remember what the present step told."""
        who, ours = self._failed
        self._told[who] |= ours
        self._known[who[~ours]] = self._shares[self._step]
        self._before = self._walk[-1]
        self._new[:, self._step] = self._here_new
        self._seen[self._first[0]] = True
        self._counted += int(self._first[2].sum())
        self._firsts.append(self._first)
        self._step, self._here = self._step + 1, []

    def enough(self) -> bool:
        """Whether the gates on entities have what they need."""
        least = needed(RULE, float(self._shares[self._step]))
        most = max(least[name] for name in ("crashes", "errors", "latency"))
        return self._counted + int(self._first[2].sum()) >= most

    def _failures(self, who: Ints, ours: Mask) -> None:
        first = np.sort(np.unique(who, return_index=True)[1])
        self._failed = who, ours = who[first], ours[first]
        least = self._known[who]
        chance = np.where(self._told[who], 1.0, (self._shares[self._step] - least) / (1 - least))
        by_candidate, by_live = log_odds(np.where(chance < 1, chance, 0.5))
        grown = np.where(ours[:, None], by_candidate, by_live) * (chance < 1)[:, None]
        self._walk = self._before + np.vstack([np.zeros_like(self._before), grown]).cumsum(axis=0)
        self.logs["errors"] = float(log_mean(self._walk[-1], ODDS_WEIGHTS))
        if crossed(self._walk, ODDS_WEIGHTS, LEVEL):
            self.bad = "errors"

    def _latency(self) -> None:
        parts = zip(*self._firsts, self._first, strict=True)
        who, steps, ours, ms = (np.concatenate(part) for part in parts)
        of = requests(who, steps, ours)
        times = np.where(ours, ms / RULE.margins.latency, ms)
        logs = []
        for quantile in QUANTILES:
            seen = exposed(of, of.take(times > np.quantile(times, quantile)), self._shares)
            logs.append(log_more_often(seen.by_candidate, seen.by_live, seen.share))
        self.logs["latency"] = float(log_mean(np.array(logs), np.full(2, 0.5)))
        if self.logs["latency"] >= LEVEL:
            self.bad = "latency"

    def _ratio(self, who: Ints, ours: Mask) -> None:
        new = ours[~self._seen[who]]
        counts = np.repeat(self._new[:, None, :], len(new) + 1, axis=1)
        counts[:, 1:, self._step] = (~new).cumsum(), new.cumsum()
        self._here_new = counts[:, -1, self._step]
        part, some = self._shares < 1, slice(None, None, -10)
        live, candidate = counts[0][some, part], counts[1][some, part]
        logs = log_other_share(candidate, live, self._shares[part])
        self.logs["sample ratio"] = float(logs[0])
        if (logs >= np.log(1 / SAMPLE_RATIO_ALPHA)).any():
            self.bad = "sample ratio"


def requests(who: Ints, steps: Ints, ours: Mask) -> Requests:
    """Requests in order, by entity, step and version."""
    no, order = np.zeros(len(who), dtype=np.bool_), np.arange(len(who))
    entity, at = who.astype(np.uint64), order.astype(np.float64)
    return Requests(order, entity, steps, at, ours, no, at, no)


# ---- the tables --------------------------------------------------------------------------------


def upper(some: int, count: int) -> float:
    """The 95 % upper bound of a share (Clopper and Pearson)."""
    return 1.0 if some == count else float(beta.ppf(0.95, some + 1, count - some))


#: what each gate finds in 95 of 100 rollouts by the time it may say ok
FINDS = {
    "failures": f"{FAILURES:.0%} of the rows more than the margin",
    "score": f"a shift of {SHIFT:g} sd more than the margin",
    "labels": f"{LABELS:.0%} of the rows more than the margin",
    "crashes": f"{CRASHES:.0%} of the entities, where the live version has none",
    "errors": f"{CRASHES:.0%} of the entities, where the live version has none",
    "latency": f"{SLOW:.0%} of the requests above the margin times the live 95th percentile",
}
Case = tuple[str, Line, float, int]
#: versions that are alike: the false rollbacks of a test that counts requests, and of the gate
ALIKE: tuple[Case, ...] = (
    ("each request", own_errors(0.5, once=False), 0.5, 8_000),
    ("each entity once, as the gate does", own_errors(0.5, once=True), 0.5, 8_000),
)
#: title, line, the share of the candidate, canary requests after which it counts as not found
TARGETS: tuple[Case, ...] = (
    ("5 % more failed rows", more_failures(0.05), 0.01, 1_000),
    ("1 % more failed rows", more_failures(0.01), 0.01, 4_000),
    ("score 0.3 sd over its margin", shifted_scores(0.3), 0.01, 400),
    ("crashes at 5 %, share 1 %", more_events(0.05, 0.01), 0.01, 2_000),
    ("crashes at 5 %, share 50 %", more_events(0.05, 0.5), 0.5, 2_000),
)
POWER: tuple[Case, ...] = (
    ("0.5 % more failed rows", more_failures(0.005), 0.01, 8_000),
    ("0.1 % more failed rows", more_failures(0.001), 0.01, 8_000),
    ("score 0.1 sd over its margin", shifted_scores(0.1), 0.01, 8_000),
    ("score 0.03 sd over its margin", shifted_scores(0.03), 0.01, 8_000),
    ("10 % of the labels changed", changed_labels(0.1), 0.01, 8_000),
    ("6 % of the labels changed", changed_labels(0.06), 0.01, 8_000),
    ("crashes at 1 %, share 1 %", more_events(0.01, 0.01), 0.01, 8_000),
    ("crashes at 1 %, share 50 %", more_events(0.01, 0.5), 0.5, 8_000),
    ("errors at 5 %, live 1 %, share 50 %", more_events(0.05, 0.5, 0.01), 0.5, 8_000),
    ("errors at 2 %, live 1 %, share 50 %", more_events(0.02, 0.5, 0.01), 0.5, 8_000),
    ("errors at 1 %, live 0.5 %, share 50 %", more_events(0.01, 0.5, 0.005), 0.5, 8_000),
)


def bad_versions(lines: Sequence[Case], rollouts: int) -> list[dict[str, Any]]:
    """How soon the versions of some lines are rolled back, in each world."""
    rows = []
    for title, line, share, most in lines:
        for name in WORLDS:
            after = found_after(line, name, rollouts, share, most)
            missed = int(np.isinf(after).sum())
            half, late = np.quantile(after, [0.5, 0.95], method="higher")
            rows.append(
                {
                    "version": title,
                    "world": name,
                    "found": 1 - missed / rollouts,
                    "missed_upper": upper(missed, rollouts),
                    "median": None if np.isinf(half) else int(half),
                    "p95": None if np.isinf(late) else int(late),
                    "most": most,
                }
            )
    return rows


def good_versions(
    rollouts: int, shares: Sequence[float] = RULE.steps, chunk: int = CHUNK
) -> list[dict[str, Any]]:
    """How rollouts of a version that is as good end, in each world."""
    rows = []
    for name in WORLDS:
        ended = [good(name, number, shares, chunk) for number in range(rollouts)]
        ends = Counter(one.end for one in ended)
        waiting = ends["promoted"] + ends["sample ratio"] + ends["max_minutes"]
        back = rollouts - waiting
        rows.append(
            {
                "world": name,
                "rolled_back": back / rollouts,
                "rolled_back_upper": upper(back, rollouts),
                "promoted": ends["promoted"] / rollouts,
                "ends": dict(ends),
                "requests": int(np.median([one.requests for one in ended])),
            }
        )
    return rows


def needs() -> list[str]:
    """The table of what gates need before they may say ok, by the candidate's share."""
    shares = [share for share in RULE.steps if share < 1]
    least = [needed(RULE, share) for share in shares]
    lines = [
        f"| gate | finds | {' | '.join(f'at {share:.0%}' for share in shares)} |",
        f"|---|---|{'---|' * len(shares)}",
    ]
    for gate, finds in FINDS.items():
        counts = " | ".join(f"{of[gate]:,}" for of in least)
        lines.append(f"| `{gate}` | {finds} | {counts} |")
    return lines


def tables(found: dict[str, list[dict[str, Any]]], rollouts: int) -> str:
    """The tables in Markdown."""
    lines = [
        f"A version that is as good, of {rollouts:,} rollouts; in brackets the 95 % upper bound:",
        "",
        "| traffic | rolled back | promoted | requests to the promotion, median |",
        "|---|---|---|---|",
    ]
    for row in found["good"]:
        back = f"{row['rolled_back']:.1%} ({row['rolled_back_upper']:.1%})"
        lines.append(f"| {row['world']} | {back} | {row['promoted']:.1%} | {row['requests']:,} |")
    lines += [
        "",
        "Errors of versions that are alike, at a share of 50 %: rolled back within 8,000 requests:",
        "",
        "| counted | traffic | rolled back |",
        "|---|---|---|",
    ]
    for row in found["alike"]:
        lines.append(f"| {row['version']} | {row['world']} | {row['found']:.1%} |")
    for title, rows in (
        ("A version that is worse: canary requests until it is rolled back", found["bad"]),
        ("Smaller differences, and what cannot be seen", found["power"]),
    ):
        lines += [
            "",
            f"{title}:",
            "",
            "| version | traffic | found | within | missed, at most | median | 95th percentile |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in rows:
            times = " | ".join(
                "never" if value is None else f"{value:,}" for value in (row["median"], row["p95"])
            )
            shares = f"{row['found']:.1%} | {row['most']:,} | {row['missed_upper']:.1%}"
            lines.append(f"| {row['version']} | {row['world']} | {shares} | {times} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=1_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    found = {
        "good": good_versions(given.rollouts),
        "bad": bad_versions(TARGETS, given.rollouts),
        "power": bad_versions(POWER, given.rollouts),
        "alike": bad_versions(ALIKE, given.rollouts),
    }
    text = tables(found, given.rollouts)
    print(json.dumps(found, indent=1) if given.json else text)
    if given.write:
        head, rest = PAGE.read_text("utf-8").split(START, 1)
        PAGE.write_text(head + START + text + END + rest.split(END, 1)[1], "utf-8")


if __name__ == "__main__":
    main()
