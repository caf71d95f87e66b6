"""The verdict of a rollout's gates on evidence made by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tests.kits.evidence import evidence, paired

from quintet.contract import Gates, Margins, RolloutRule
from quintet.rollouts.evidence import Evidence, concat, no_evidence, once
from quintet.rollouts.gates import GateRow, Verdict, judge, rule_for, unknown
from quintet.rollouts.power import needed
from quintet.rollouts.sequential import (
    EVEN,
    ODDS,
    ODDS_WEIGHTS,
    RARE,
    log_above_zero,
    log_bets,
    log_mean,
)
from quintet.rollouts.state import Phase, Rollout

RULE = RolloutRule(steps=(0.1, 0.5))


def verdict(
    *parts: Evidence,
    rule: RolloutRule = RULE,
    step: int = 1,
    phase: Phase = "canary",
    now: float = 1e6,
) -> Verdict:
    share = rule.steps[step] if step >= 0 else 0.0
    return judge(rule, concat(parts), step=step, share=share, phase=phase, now=now, timeout=30)


def rows_of(found: Verdict) -> dict[str, GateRow]:
    return {row.metric: row for row in found.rows}


def canary(count: int, start: int = 0, **columns: Any) -> list[Evidence]:
    """Requests of entities of both versions, half and half, at step 1: begun, and ended."""
    number = np.arange(start, start + count)
    who = {"event": np.char.add("r", number.astype(str)), "entity": number, "at": number}
    alike = {**who, "candidate": number % 2 == 1, "step": 1}
    ms = np.resize([8.0, 9.0, 10.0, 11.0, 12.0], count)
    return [
        evidence(count, **alike, begun=True, row=-1),
        evidence(count, **{**alike, "ms": ms, **columns}),
    ]


def test_without_evidence_no_gate_is_ok() -> None:
    found = verdict(no_evidence())
    least = needed(RULE, 0.5)
    assert found.verdict == "no evidence"
    assert found.rows == (
        *(
            GateRow(name, None, None, 0, least[name], 1.0, 600.0, "no evidence")
            for name in ("failures", "score", "labels", "crashes", "errors", "latency")
        ),
        GateRow("sample ratio", None, None, 0, 0, 1.0, 1000.0, "ok"),
    )


def test_alike_versions_are_ok_once_there_is_enough() -> None:
    found = verdict(paired(2000), *canary(1200))
    assert [(row.metric, row.verdict) for row in found.rows] == [
        ("failures", "ok"),
        ("score", "ok"),
        ("labels", "ok"),
        ("crashes", "ok"),
        ("errors", "ok"),
        ("latency", "ok"),
        ("sample ratio", "ok"),
    ]
    assert (found.verdict, found.reason) == ("ok", "")
    fewer = verdict(paired(1000), *canary(1200))
    assert (fewer.verdict, fewer.reason) == (
        "no evidence",
        "failures: 1000 of the 1705 that are needed",
    )


def test_shadow_has_the_gates_of_pairs_only() -> None:
    found = verdict(paired(2000), step=-1, phase="shadow")
    assert [row.metric for row in found.rows] == ["failures", "score", "labels"]
    assert found.verdict == "ok"


def test_eleven_rows_that_the_candidate_alone_fails_on_are_bad_and_nine_are_not() -> None:
    failed = np.arange(200) < 11
    found = verdict(paired(200, candidate_failed=failed, candidate_score=np.nan))
    assert rows_of(found)["failures"] == GateRow(
        "failures", 0.0, 1.0, 200, 1705, 1e12, 600.0, "bad"
    )
    some = paired(200, candidate_failed=failed)
    assert rows_of(verdict(some))["failures"].verdict == "bad"
    assert rows_of(verdict(some.take(np.arange(2, 200))))["failures"].verdict == "no evidence"


def test_rows_that_both_fail_on_or_the_live_version_alone_are_not_bad() -> None:
    failed = np.arange(2000) < 500
    both = paired(2000, live_failed=failed, candidate_failed=failed)
    better = paired(2000, live_failed=failed)
    assert rows_of(verdict(both))["failures"].verdict == "ok"
    assert rows_of(verdict(better))["failures"].verdict == "ok"


def test_scores_that_are_not_finite_where_the_live_versions_are_are_failures() -> None:
    scores = paired(100).live_score
    for value in (np.nan, np.inf, -np.inf):
        broken = np.where(np.arange(100) < 12, value, scores)
        assert rows_of(verdict(paired(100, candidate_score=broken)))["failures"].verdict == "bad"
    neither = paired(2000, live_score=np.nan, candidate_score=np.nan)
    found = rows_of(verdict(neither))
    assert (found["failures"].verdict, found["score"].verdict) == ("ok", "no evidence")


@pytest.mark.parametrize("way", [1, -1])
def test_constant_shift_beyond_the_margin_is_found_and_one_within_is_not(way: int) -> None:
    live = paired(2000).live_score
    sd = float(np.std(live))
    within = paired(2000, candidate_score=live + way * 0.09 * sd)
    beyond = paired(80, candidate_score=live[:80] + way * 0.4 * sd)
    assert rows_of(verdict(within))["score"].verdict == "ok"
    found = rows_of(verdict(beyond))["score"]
    assert found.verdict == "bad"
    assert found.canary == pytest.approx(float(live[:80].mean()) + way * 0.4 * sd)


def test_few_differences_of_any_size_prove_no_shift() -> None:
    live = paired(2000).live_score
    wild = np.where(np.arange(2000) < 5, 1e300, live)
    assert rows_of(verdict(paired(2000, candidate_score=wild)))["score"].verdict == "ok"


def test_constant_scores_are_ok_if_they_stay_and_bad_if_not() -> None:
    same = paired(500, live_score=0.5, candidate_score=0.5)
    rounded = paired(500, live_score=0.5, candidate_score=np.float32(0.5) + 2e-8)
    other = paired(500, live_score=0.5, candidate_score=0.500001)
    zero = paired(500, live_score=0.0, candidate_score=1e-9)
    zeros = paired(500, live_score=0.0, candidate_score=0.0)
    scored = (same, rounded, zeros, other, zero)
    found = [rows_of(verdict(one))["score"].verdict for one in scored]
    assert found == ["ok", "ok", "ok", "bad", "bad"]
    assert rows_of(verdict(zeros))["score"].evidence < 1


def test_changed_labels_beyond_the_margin_are_bad() -> None:
    changed = np.arange(1000) % 20 == 0
    assert rows_of(verdict(paired(1000, changed=changed)))["labels"].verdict == "ok"
    changed = np.arange(1000) % 8 == 0
    found = rows_of(verdict(paired(1000, changed=changed)))["labels"]
    assert (found.canary, found.verdict) == (0.125, "bad")
    no_change = RolloutRule(margins=Margins(labels=0.0))
    few = paired(1000, changed=np.arange(1000) < 2)
    assert rows_of(verdict(few, rule=no_change))["labels"].verdict == "bad"


def test_requests_that_began_and_never_ended_are_crashes_after_their_timeout() -> None:
    begun, ended = canary(200)
    alive = ended.take(ended.entity % np.uint64(8) != 1)
    # 25 of 25 crashes are of the candidate, which answers half
    evidence_of = float(ODDS_WEIGHTS @ (2 * ODDS / (1 + ODDS)) ** 25)
    assert rows_of(verdict(begun, alive, now=200.0 + 31))["crashes"] == GateRow(
        "crashes", 0.0, 0.25, 100, 183, float(f"{evidence_of:.4g}"), 600.0, "bad"
    )
    soon = rows_of(verdict(begun, alive, now=20.0))["crashes"]
    assert (soon.n, soon.verdict) == (0, "no evidence")


def test_crash_of_a_request_with_rows_of_both_versions_is_of_the_one_that_began_last() -> None:
    number = np.arange(40)
    who = {"event": number.astype(np.str_), "row": -1, "begun": True, "step": 1}
    candidate = evidence(40, **who, entity=number, candidate=True)
    live = evidence(40, **who, entity=number + 100, at=number + 0.2)
    both, alone = verdict(candidate, live), verdict(candidate)
    found = [(row.live, row.canary) for row in (rows_of(of)["crashes"] for of in (both, alone))]
    assert found == [(1.0, 0.0), (None, 1.0)]


def test_requests_that_failed_as_a_whole_count_by_the_entity_that_they_began_with() -> None:
    number = np.arange(500)
    who = {"event": number.astype(np.str_), "row": -1, "candidate": True, "step": 1}
    begun = evidence(500, **who, begun=True, entity=7)
    failed = evidence(500, **who, failed=True, entity=number + 1000)
    found = rows_of(verdict(begun, failed))["errors"]
    assert (found.canary, found.n, found.evidence < 3) == (1.0, 1, True)
    assert rows_of(verdict(failed))["errors"].n == 500


def test_rows_of_one_request_count_once() -> None:
    rows = evidence(300, event="one", row=np.arange(300), candidate=True, failed=True, step=1)
    found = rows_of(verdict(rows))
    assert (found["errors"].n, found["sample ratio"].n) == (1, 1)


def test_one_entity_that_always_fails_is_counted_once_a_step() -> None:
    number = np.arange(500)
    loud = evidence(500, entity=7, candidate=True, failed=True, step=1)
    quiet = evidence(500, event=np.char.add("q", number.astype(str)), entity=number + 10, step=1)
    found = rows_of(verdict(loud, quiet))["errors"]
    assert (found.canary, found.n, found.evidence < 3) == (1.0, 1, True)


def test_errors_of_many_entities_of_the_candidate_are_bad() -> None:
    failed = (np.arange(200) % 2 == 1) & (np.arange(200) < 40)
    found = rows_of(verdict(*canary(200, failed=failed)))["errors"]
    assert (found.live, found.canary, found.verdict) == (0.0, 0.2, "bad")


def test_slow_candidate_is_bad_and_one_within_the_ratio_is_not() -> None:
    number = np.arange(1200)
    times = np.resize([8.0, 9.0, 10.0, 11.0, 12.0], 1200)
    within = np.where(number % 2 == 1, times * 1.2, times)
    twice = np.where(number % 2 == 1, times * 2, times)
    assert rows_of(verdict(*canary(1200, ms=within)))["latency"].verdict == "ok"
    found = rows_of(verdict(*canary(1200, ms=twice)))["latency"]
    assert (found.live, found.canary, found.verdict) == (12.0, 24.0, "bad")


def test_requests_that_loaded_a_version_or_have_no_time_say_nothing_of_latency() -> None:
    cold = canary(1200, cold=True)
    unknown = canary(1200, ms=np.nan)
    for some in (cold, unknown):
        found = rows_of(verdict(*some))["latency"]
        assert (found.n, found.live, found.canary, found.verdict) == (0, None, None, "no evidence")


def test_router_that_gives_the_candidate_another_share_is_broken() -> None:
    shifted = evidence(600, step=1, candidate=np.arange(600) % 3 == 1)
    found = verdict(shifted)
    row = rows_of(found)["sample ratio"]
    assert (row.canary, row.n, row.verdict) == (200 / 600, 600, "broken")
    assert found.verdict == "broken"
    assert found.reason.startswith("sample ratio: 0.3333 against 0.6667, evidence ")


def test_bad_is_rolled_back_though_the_router_is_broken() -> None:
    shifted = evidence(600, step=1, candidate=np.arange(600) % 3 == 1)
    failing = paired(100, candidate_failed=True)
    assert verdict(shifted, failing).verdict == "bad"


def test_gate_in_dry_run_is_shown_and_does_not_decide_and_one_that_is_off_is_not_shown() -> None:
    gates = Gates(failures="dry_run", crashes="off", errors="off", latency="off", labels=False)
    found = verdict(paired(500, candidate_failed=np.arange(500) < 300), rule=rule_with(gates))
    assert [(row.metric, row.verdict, row.dry_run) for row in found.rows] == [
        ("failures", "bad", True),
        ("score", "ok", False),
        ("sample ratio", "ok", False),
    ]
    assert found.verdict == "ok"
    assert found.rows[0].threshold == 100.0  # one gate is on, and has all of 1 %


def rule_with(gates: Gates) -> RolloutRule:
    return RolloutRule(steps=(0.1, 0.5), gates=gates)


def test_no_gate_that_decides_is_no_evidence() -> None:
    modes: dict[str, Any] = dict.fromkeys(RULE.gates.modes, "dry_run")
    gates = Gates(**modes)
    found = verdict(paired(5000), rule=rule_with(gates))
    assert (found.verdict, found.reason) == ("no evidence", "no gate is on")
    assert [row.metric for row in found.rows] == [*RULE.gates.modes, "sample ratio"]


def test_order_and_repetition_of_evidence_change_nothing() -> None:
    failed = np.arange(400) % 50 == 1
    parts = [paired(300, candidate_failed=np.arange(300) < 9), *canary(400, failed=failed)]
    found = verdict(*parts)
    backwards = concat(parts)
    backwards = backwards.take(np.arange(len(backwards))[::-1])
    assert verdict(backwards) == found
    assert verdict(once([*parts, backwards, *parts])) == found
    assert found.verdict == "no evidence"


def test_a_beginning_that_comes_again_counts_from_the_first_time() -> None:
    again = [evidence(1, event="e", row=-1, begun=True, at=at) for at in (30.0, 10.0, 20.0)]
    assert once(again).at.tolist() == [10.0]


def test_steps_that_the_rule_does_not_have_are_left_out_and_a_full_step_compares_nothing() -> None:
    rule = RolloutRule(steps=(0.5, 1.0))
    full = evidence(500, candidate=True, failed=True, step=1)
    found = rows_of(verdict(full, rule=rule, step=1))
    assert (found["errors"].n, found["errors"].verdict) == (0, "no evidence")
    other = evidence(500, candidate=True, failed=True, step=7)
    assert rows_of(verdict(other, rule=rule, step=1))["errors"].n == 0
    only_full = RolloutRule(steps=(1.0,))
    assert [row.metric for row in verdict(paired(9), rule=only_full, step=0).rows] == [
        "failures",
        "score",
        "labels",
    ]


def test_promotion_does_not_change_what_the_last_step_has_seen() -> None:
    parts = canary(400, failed=np.arange(400) % 50 == 1)
    before = verdict(*parts)
    after = judge(RULE, concat(parts), step=1, share=1.0, phase="watching", now=1e6, timeout=30)
    assert after == before


def shown(log: Any) -> float:
    """Evidence as a row shows it."""
    return float(f"{np.exp(float(log)):.4g}")


def test_evidence_of_pairs_is_of_what_differs_beyond_the_margins() -> None:
    """Of 60 rows the candidate alone fails on 4, the live version alone on 2; 3 labels change."""
    number = np.arange(60)
    candidate_failed, live_failed = number < 4, (number >= 4) & (number < 6)
    changed = (number >= 6) & (number < 9)
    found = rows_of(
        verdict(
            paired(60, candidate_failed=candidate_failed, live_failed=live_failed, changed=changed)
        )
    )
    values = np.array([1.0, -1.0, 0.0]) - 0.0005
    failures = log_above_zero(values, [4, 2, 54], -1.0005, RARE)
    labels = log_above_zero(np.array([1.0, 0.0]) - 0.05, [3, 51], -0.05, EVEN)
    least = needed(RULE, 0.5)
    rows = [found[name] for name in ("failures", "labels")]
    assert [(row.live, row.canary, row.n, row.needed, row.evidence) for row in rows] == [
        (2 / 60, 4 / 60, 60, least["failures"], shown(failures)),
        (0.0, 3 / 54, 54, least["labels"], shown(labels)),
    ]


def test_evidence_of_a_shift_is_the_mean_of_both_ways() -> None:
    shift = np.resize([0.5, -0.3, 0.2, 4.0], 40)
    live = paired(40).live_score
    sd = float(np.std(live))
    found = rows_of(verdict(paired(40, candidate_score=live + shift * sd)))["score"]
    ways = [np.clip(way * shift - 0.1, -1, 1) for way in (1, -1)]
    logs = [log_mean(log_bets(way, -1.0, EVEN).sum(axis=0), EVEN.weights) for way in ways]
    assert (found.n, found.live) == (40, float(live.mean()))
    assert found.canary == pytest.approx(float(live.mean()) + 1.1 * sd)
    both = (np.exp(logs[0]) + np.exp(logs[1])) / 2
    assert found.evidence == pytest.approx(float(both), rel=1e-3)


@pytest.mark.parametrize(("share", "present"), [(0.1, 0.1), (0.3, 0.3), (1.0, 0.5), (0.0, 0.5)])
def test_entities_that_are_needed_are_of_the_present_share(share: float, present: float) -> None:
    """Where all or none are the candidate's, of the largest share that compares."""
    asked: dict[str, Any] = {"step": 1, "phase": "watching", "now": 1e6, "timeout": 30}
    found = judge(RULE, no_evidence(), share=share, **asked)
    least = needed(RULE, present)
    assert {row.metric: row.needed for row in found.rows} == {**least, "sample ratio": 0}


@pytest.mark.parametrize("step", [0, 1])
def test_a_canarys_share_stands_for_that_of_its_step(step: int) -> None:
    """Someone set 30 % in the middle of a step: entities were drawn by it."""
    failed = np.arange(400) % 50 == 1
    seen = concat([*canary(400, failed=failed), evidence(60, step=0, candidate=True, failed=True)])
    asked: dict[str, Any] = {"share": 0.3, "now": 1e6, "timeout": 30}
    steps = tuple(0.3 if number == step else of for number, of in enumerate(RULE.steps))
    found = judge(RULE, seen, step=step, phase="canary", **asked)
    rule = RolloutRule(steps=steps)
    assert found == judge(rule, seen, step=step, phase="canary", **asked)
    watched = judge(RULE, seen, step=step, phase="watching", **asked)
    assert watched != found
    assert watched == judge(RULE, seen, step=len(RULE.steps), phase="canary", **asked)


def test_crashes_where_nobody_saw_the_live_version_are_told_so() -> None:
    number = np.arange(40)
    who = {"event": number.astype(np.str_), "row": -1, "begun": True, "step": 1}
    found = verdict(evidence(40, **who, entity=number, candidate=True))
    assert found.reason.startswith("crashes: 1 against unknown, evidence ")


def test_evidence_that_cannot_be_read_is_none() -> None:
    assert unknown("S3 did not answer") == Verdict("no evidence", "S3 did not answer", ())


def test_verdict_is_ready_for_json() -> None:
    rule = rule_with(Gates(score="off", labels="off", crashes="off", errors="off", latency="off"))
    found = verdict(paired(1000, candidate_failed=np.arange(1000) < 20), rule=rule)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == {
        "verdict": "bad",
        "reason": "failures: 0.02 against 0, evidence 4.434e+05 of 100, n = 1000",
        "rows": [
            {
                "metric": "failures",
                "live": 0.0,
                "canary": 0.02,
                "n": 1000,
                "needed": 1367,
                "evidence": 4.434e5,
                "threshold": 100.0,
                "verdict": "bad",
                "dry_run": False,
            },
            {
                "metric": "sample ratio",
                "live": None,
                "canary": None,
                "n": 0,
                "needed": 0,
                "evidence": 1.0,
                "threshold": 1000.0,
                "verdict": "ok",
                "dry_run": False,
            },
        ],
    }


@pytest.mark.parametrize("paired", [True, False])
def test_rollout_without_pairs_has_the_gates_of_entities_only(paired: bool) -> None:
    rollout = Rollout(
        id="r1",
        model="fraud",
        live=3,
        candidate=4,
        phase="canary",
        steps=(0.2, 1.0),
        step=0,
        started=0.0,
        entered=0.0,
        paired=paired,
    )
    rule = rule_for(rollout, RolloutRule(gates=Gates(latency="dry_run")))
    off = {} if paired else {"failures": "off", "score": "off", "labels": "off"}
    assert rule == RolloutRule(steps=(0.2, 1.0), gates=Gates(latency="dry_run", **off))  # type: ignore[arg-type]


def test_requests_whose_rows_went_to_both_versions_do_not_break_the_router() -> None:
    """At 10 %, requests of 100 rows begin on both versions, the candidate first."""
    number = np.arange(300)
    event = np.char.add("r", number.astype(str))
    began = {"event": event, "row": -1, "step": 0, "begun": True}
    first = np.random.default_rng(3).random(300) < 0.1  # the version of the first row's entity
    found = verdict(
        evidence(300, **began, entity=number, at=number, candidate=True),
        evidence(300, **began, entity=1000 + number, at=number + 0.1),
        evidence(300, event=event, step=0, entity=2000 + number, at=number, candidate=first),
        step=0,
    )
    row = rows_of(found)["sample ratio"]
    assert (row.verdict, row.n, row.canary) == ("ok", 300, float(first.mean()))


def test_what_came_of_one_version_before_the_other_is_not_looked_at_yet() -> None:
    rule = RolloutRule(steps=(0.5, 1.0))
    number = np.arange(100)
    late = {"entity": number, "candidate": True, "failed": True}
    now = 2e6
    recent = evidence(100, **late, at=now - 5)
    older = evidence(100, **late, at=now - 15)
    seen = [rows_of(verdict(one, rule=rule, step=0, now=now)) for one in (recent, older)]
    assert [(of["errors"].verdict, of["sample ratio"].verdict) for of in seen] == [
        ("no evidence", "ok"),
        ("bad", "broken"),
    ]
