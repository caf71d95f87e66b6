"""The rules of how a new version comes into service. Pure."""

from __future__ import annotations

from itertools import pairwise

from quintet.contract import Margins, RolloutRule
from quintet.rollouts.transitions import LEAST_SHARE
from quintet_publish.rules.terms import Found, under

__all__ = ["check_rollout"]

MAX_STEPS = 20
MAX_MINUTES = 20_160  # two weeks
MAX_SHIFT = 10.0
MAX_RATIO = 100.0


def check_rollout(rule: RolloutRule) -> Found:
    """List the fields of a rollout that cannot be followed, and what was expected."""
    shares = list(rule.steps)
    ascending = all(one < other for one, other in pairwise(shares))
    if not 1 <= len(shares) <= MAX_STEPS:
        yield ("steps",), f"expected from 1 to {MAX_STEPS} shares, got {len(shares)}"
    elif not (ascending and shares[0] >= LEAST_SHARE and shares[-1] <= 1):
        yield ("steps",), f"expected ascending shares from {LEAST_SHARE:f} to 1, got {shares}"
    for name in ("minutes", "watch_minutes"):
        if not 0 <= (minutes := getattr(rule, name)) <= MAX_MINUTES:
            yield (name,), f"expected minutes from 0 to {MAX_MINUTES}, got {minutes:g}"
    if not max(rule.minutes, 0) < rule.max_minutes <= MAX_MINUTES:
        least = f"more than `minutes`, {rule.minutes:g}"
        got = f"{rule.max_minutes:g}"
        yield ("max_minutes",), f"expected {least}, and at most {MAX_MINUTES}, got {got}"
    yield from under(("margins",), _margins(rule.margins))


def _margins(margins: Margins) -> Found:
    for name in ("failures", "labels"):
        if not 0 <= (share := getattr(margins, name)) < 1:
            yield (name,), f"expected a share from 0 to less than 1, got {share:g}"
    if not 0 <= margins.score <= MAX_SHIFT:
        yield ("score",), f"expected from 0 to {MAX_SHIFT:g}, got {margins.score:g}"
    if not 1 <= margins.latency <= MAX_RATIO:
        yield ("latency",), f"expected a ratio from 1 to {MAX_RATIO:g}, got {margins.latency:g}"
