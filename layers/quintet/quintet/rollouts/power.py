"""How much evidence the gates of a rollout need before they may say ok."""

from __future__ import annotations

import math

import numpy as np

from quintet.contract import RolloutRule
from quintet.rollouts.sequential import (
    EVEN,
    ODDS_WEIGHTS,
    RARE,
    Bets,
    Floats,
    log_bets,
    log_odds,
)

__all__ = ["ALPHA", "CRASHES", "FAILURES", "LABELS", "SHIFT", "SLOW", "log_threshold", "needed"]

#: the chance that a rollout of a version as good as the live one is rolled back
ALPHA = 0.01
# What must be found, in 95 of 100 rollouts, by the time a gate says ok:
#: failed rows and changed labels over the margin, in shares; the score's shift, in sd
FAILURES, LABELS, SHIFT = 0.01, 0.05, 0.3
#: the share of entities with a crash or an error, where the live version has none
CRASHES = 0.1
#: the share of requests slower than the margin times the live version's 95th percentile
SLOW = 0.3
#: the sd of the differences of two versions' scores, in sd of the score
_NOISE = 0.4
_Z = 1.645  # of 95 %


def log_threshold(rule: RolloutRule) -> float:
    """The logarithm of the evidence at which a gate is bad: those that are on share ALPHA."""
    on = list(rule.gates.modes.values()).count("on")
    return math.log(max(on, 1) / ALPHA)


def needed(rule: RolloutRule, share: float) -> dict[str, int]:
    """How many rows, or entities of the candidate, each gate needs before it may say ok.

    `share` is that of the candidate, more than 0 and less than 1; only the gates of entities depend
    on it. Estimates by the normal approximation of what the evidence grows by.
    """
    level, margins = log_threshold(rule), rule.margins
    crashes = _entities(level, share, CRASHES, 0.0)
    return {
        "failures": _rows(level, RARE, *failing(margins.failures, margins.failures + FAILURES)),
        "score": _rows(level + math.log(2), EVEN, *_shifted()),
        "labels": _rows(level, EVEN, *changing(margins.labels, margins.labels + LABELS)),
        "crashes": crashes,
        "errors": crashes,
        "latency": _entities(level + math.log(2), share, SLOW, 0.05),
    }


def failing(margin: float, more: float) -> tuple[Floats, Floats, float]:
    """Values of a pair over the margin (worse, better, alike), their chances, and the lowest."""
    values = np.array([1.0, -1.0, 0.0]) - margin
    return values, np.array([more, 0.0, 1 - more]), -1.0 - margin


def changing(margin: float, share: float) -> tuple[Floats, Floats, float]:
    """Values of a label over the margin (changed, not), their chances, and the lowest."""
    values = np.array([1.0, 0.0]) - margin
    share = min(share, 1.0)
    return values, np.array([share, 1 - share]), -max(margin, 1e-3)


def _shifted() -> tuple[Floats, Floats, float]:
    points = np.linspace(-4, 4, 81)
    chances = np.exp(-(points**2) / 2)
    return np.clip(SHIFT + _NOISE * points, -1, 1), chances / chances.sum(), -1.0


def _rows(level: float, bets: Bets, values: Floats, chances: Floats, lowest: float) -> int:
    growth = log_bets(values, lowest, bets)
    mean = chances @ growth
    spread = np.sqrt(np.maximum(chances @ growth**2 - mean**2, 0))
    return _count(level - np.log(bets.weights), mean, spread)


def _entities(level: float, share: float, candidate: float, live: float) -> int:
    by_candidate, by_live = log_odds(share)
    each = (1 - share) / share  # entities of the live version, for one of the candidate's
    mean = candidate * by_candidate + each * live * by_live
    spread = np.sqrt(candidate * by_candidate**2 + each * live * by_live**2)
    return _count(level - np.log(ODDS_WEIGHTS), mean, spread)


def _count(levels: Floats, mean: Floats, spread: Floats) -> int:
    """The least n, over the alternatives, with n mean - 1.645 spread sqrt(n) >= level."""
    able = mean > 0
    mean, spread, levels = mean[able], spread[able], levels[able]
    root = (_Z * spread + np.sqrt((_Z * spread) ** 2 + 4 * mean * levels)) / (2 * mean)
    return math.ceil(float((root**2).min()))
