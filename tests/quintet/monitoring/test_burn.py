"""Error budgets: burn by window, what is reported, and the notice. Time is steps of counts."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.contract import Slo
from quintet.monitoring.budgets import MemoryCounts, notice, watch
from quintet.monitoring.burn import LEAST, PAIRS, STEP, WINDOWS, Counts, burn, burning, newly

SLO = Slo(p95_ms=200, availability=0.999)
STEPS = WINDOWS["3d"] // STEP + 1
FAST, MEDIUM, SLOW = PAIRS
NOW = 1_800_000_030.0
END = 1_799_999_700.0  # the last full step that ended a minute before NOW


def counts(each: float = 100, **last: tuple[int, float]) -> Counts:
    """`each` requests a step; a keyword gives a count for each of the last n steps."""
    found = {name: np.zeros(STEPS) for name in ("refused", "failed", "slow")}
    for name, (steps, value) in last.items():
        found[name][STEPS - steps :] = value
    return Counts(np.full(STEPS, each), **found)


def pairs(of: Counts) -> list[str]:
    return [pair.name for pair in burning(burn(SLO, of))]


def test_a_burn_is_the_share_of_failures_over_the_budget() -> None:
    found = burn(SLO, counts(failed=(6, 2.0)))
    assert {name: round(one.rate, 4) for name, one in found.items()} == {
        "5m": 20.0,
        "30m": 20.0,
        "1h": 10.0,
        "6h": 1.6667,
        "3d": 0.1389,
    }
    assert {one.of for one in found.values()} == {"availability"}
    assert found["1h"].counts.requests == 1200 and found["1h"].counts.failed == 12


def test_slow_answers_spend_their_own_budget_of_one_in_twenty() -> None:
    found = burn(SLO, counts(failed=(1, 20.0), slow=(STEPS, 16.0)))
    # of the answers, of which failures are none: 80 in the last step, 16 of them slow
    assert (found["5m"].of, round(found["5m"].rate)) == ("availability", 200)
    assert (found["3d"].of, round(found["3d"].rate, 3)) == ("latency", 3.201)


def test_requests_refused_for_what_the_caller_sent_dilute_nothing() -> None:
    assert burn(SLO, counts(200, refused=(STEPS, 100.0), failed=(1, 1.0)))["5m"].rate == (
        pytest.approx(10)
    )
    nothing = counts(100, refused=(STEPS, 100.0))
    assert burn(SLO, nothing) == {}


def test_a_window_of_few_requests_has_no_burn() -> None:
    # one request of each step fails: 1 in 1, but 12 an hour only
    few = counts(1, failed=(STEPS, 1.0))
    assert set(burn(SLO, few)) == {"6h", "3d"}
    assert LEAST == 50
    assert pairs(few) == ["slow"]


@pytest.mark.parametrize(
    ("steps", "failed", "expected"),
    [
        (12, 1.45, ["fast"]),
        (12, 1.43, []),
        (72, 0.61, ["medium"]),
        (STEPS, 0.11, ["slow"]),
        (STEPS, 2.0, ["fast", "medium", "slow"]),
    ],
)
def test_both_windows_of_a_pair_must_burn(steps: int, failed: float, expected: list[str]) -> None:
    assert pairs(counts(failed=(steps, failed))) == expected


def test_what_is_over_is_not_reported() -> None:
    over = counts(failed=(12, 3.0))
    over.failed[-1] = 0
    assert burn(SLO, over)["1h"].rate > FAST.rate
    assert pairs(over) == []


def test_a_notice_goes_out_once_when_a_burn_begins() -> None:
    of = counts()
    began = []
    for step in range(STEPS - 24, STEPS):  # an outage in which every second request fails
        of.failed[step] = 50
        until = Counts(
            *(np.roll(a, STEPS - 1 - step) for a in (of.requests, of.refused, of.failed, of.slow))
        )
        began += [pair.name for pair in newly(SLO, until)]
    assert began == ["fast", "medium", "slow"]


def test_a_watch_names_the_models_and_their_counts() -> None:
    of = {
        "churn": counts(),
        "fraud": counts(failed=(1, 90.0)),
        "tickets": counts(slow=(24, 100.0)),
    }
    slos = dict.fromkeys(of, SLO)
    watched = watch(slos, MemoryCounts(END, of), NOW)
    assert {pair.name: models for pair, models in watched.burning.items()} == {
        "fast": ["fraud", "tickets"],
        "slow": ["fraud"],
        "medium": ["fraud", "tickets"],
    }
    assert {pair.name: models for pair, models in watched.newly.items()} == {
        "fast": ["fraud"],
        "medium": ["fraud"],
        "slow": ["fraud"],
    }
    subject, text = notice(watched, "prod", slos)
    assert subject == "Quintet prod: error budget burns (page): fraud"
    assert text.splitlines() == [
        "fraud: 90 of 1,200 requests failed, 75.0 times what 0.999 allows in 1h; page",
        "fraud: 90 of 7,200 requests failed, 12.5 times what 0.999 allows in 6h; page",
        "fraud: 90 of 86,400 requests failed, 1.0 times what 0.999 allows in 3d; ticket",
        "quintet slo --stage prod shows what is left of each budget.",
    ]
