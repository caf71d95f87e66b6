"""What the gates find, and what they leave alone, in 300 simulated rollouts of each kind."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.rollouts import (
    ALIKE,
    PAGE,
    TARGETS,
    WORLDS,
    Entities,
    bad_versions,
    changed_labels,
    found_after,
    good_versions,
    more_events,
    more_failures,
    needs,
    shifted_scores,
    world,
)
from tests.kits.evidence import evidence

from quintet.contract import Gates, RolloutRule
from quintet.rollouts.evidence import concat
from quintet.rollouts.gates import judge
from quintet.rollouts.power import CRASHES, FAILURES, LABELS, SHIFT, needed

ROLLOUTS = 300


def test_version_that_is_as_good_is_promoted_and_not_rolled_back() -> None:
    for row in good_versions(ROLLOUTS, (0.1, 0.5, 1.0), 1_500):
        assert row["rolled_back_upper"] <= 0.01, row
        assert row["promoted"] >= 0.98, row


def test_errors_that_are_counted_by_request_would_take_back_versions_that_are_alike() -> None:
    rows = {(row["version"], row["world"]): row["found"] for row in bad_versions(ALIKE, 100)}
    assert rows["each request", "zipf"] > 0.05
    assert rows["each entity once, as the gate does", "zipf"] <= 0.01


def test_versions_that_are_worse_are_found_in_time() -> None:
    found = {(row["version"], row["world"]): row for row in bad_versions(TARGETS, ROLLOUTS)}
    for name in WORLDS:
        rows = [found[case[0], name] for case in TARGETS]
        five, one, score, crashes, crashes_half = rows
        assert (five["found"], five["median"] <= 220, five["p95"] <= 350) == (1, True, True), five
        assert (one["found"] >= 0.98, one["p95"] <= 2_100) == (True, True), one
        assert (score["found"], score["p95"] <= 100) == (1, True), score
        for row in (crashes, crashes_half):
            assert (row["found"], row["p95"] <= 1_700) == (1, True), row


@pytest.mark.parametrize(
    ("gate", "line", "share"),
    [
        ("failures", more_failures(0.0005 + FAILURES), 0.01),
        ("score", shifted_scores(SHIFT), 0.01),
        ("labels", changed_labels(0.05 + LABELS), 0.01),
        ("crashes", more_events(CRASHES, 0.01), 0.01),
        ("crashes", more_events(CRASHES, 0.5), 0.5),
    ],
)
def test_what_a_gate_needs_finds_what_must_be_found(gate: str, line: object, share: float) -> None:
    enough = needed(RolloutRule(), share)[gate]
    after = found_after(line, "uniform", ROLLOUTS, share, 2 * enough)  # type: ignore[arg-type]
    assert 0.91 <= np.mean(after <= enough) <= 0.995


def test_page_has_what_gates_need() -> None:
    assert "\n".join(needs()) in PAGE.read_text("utf-8")


def test_fewer_gates_and_wider_margins_need_less() -> None:
    few = RolloutRule(gates=Gates(labels="off", latency="dry_run"))
    least, all_on = needed(few, 0.1), needed(RolloutRule(), 0.1)
    assert all(least[gate] < all_on[gate] for gate in least)


def test_simulated_evidence_of_entities_is_that_of_the_judge() -> None:
    shares, random = (0.1, 0.5), np.random.default_rng(5)
    buckets, of = random.random(100_000), world("zipf")
    simulated, parts = Entities(shares), []
    for number in range(4):
        who = of.requests(random, 800)
        step = number // 2
        ours = buckets[who] < shares[step]
        failed = random.random(800) < 0.05
        ms = random.lognormal(size=800)
        simulated.add(who, ours, failed, ms)
        if number == 1:
            simulated.next_step()
        parts.append(
            evidence(
                800,
                event=np.char.add(f"{number}-", np.arange(800).astype(np.str_)),
                entity=who,
                at=np.arange(800) + 800.0 * number,
                step=step,
                candidate=ours,
                failed=failed,
                ms=ms,
            )
        )
    everything = concat(parts)
    # of a request that failed, the time says nothing of the version's
    answered = replace(everything, failed=np.zeros(len(everything), dtype=np.bool_))
    rule = RolloutRule(steps=shares)
    for gates, seen in ((("errors", "sample ratio"), everything), (("latency",), answered)):
        found = judge(rule, seen, step=1, share=0.5, phase="canary", now=1e6, timeout=1)
        shown = {row.metric: row.evidence for row in found.rows}
        for gate in gates:
            assert shown[gate] == float(f"{math.exp(simulated.logs[gate]):.4g}")
