"""Evidence that may be looked at as often as one likes: e-processes, as natural logarithms.

An e-process is at least 0, and its mean is at most 1 whenever one stops, if what it tests holds.
So it ever reaches 1/alpha with a chance of at most alpha (Ville's inequality). Products over
independent parts and means of several are e-processes too; both forms here are means over a grid of
alternatives, of products over what was seen. They need counts and no order.

Sources: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (2024);
Ramdas et al., "Game-theoretic statistics and safe anytime-valid inference" (2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "EVEN",
    "ODDS",
    "ODDS_WEIGHTS",
    "RARE",
    "Bets",
    "Floats",
    "log_above_zero",
    "log_bets",
    "log_mean",
    "log_more_often",
    "log_odds",
    "log_other_share",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bets:
    """Shares (0 to 1) of what may be lost at once that are bet on each value; weights sum to 1."""

    sizes: Floats
    weights: Floats


#: finds a mean that is over zero by much or little
EVEN = Bets(
    np.array([0.9, 0.6, 0.3, 0.12, 0.04, 0.015]), np.array([0.25, 0.35, 0.2, 0.1, 0.06, 0.04])
)
#: finds soonest what never happens the other way, as failures of the candidate alone
RARE = Bets(
    np.array([0.9995, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01]),
    np.array([0.7, 0.08, 0.06, 0.06, 0.05, 0.03, 0.02]),
)
#: how much more often than the live version the candidate has an event
ODDS = np.array([1.5, 2.0, 4.0, 8.0, 16.0, 64.0, 1e4])
ODDS_WEIGHTS = np.array([0.1, 0.15, 0.15, 0.15, 0.1, 0.1, 0.25])


def log_mean(logs: Floats, weights: Floats) -> Floats:
    """The logarithm of a weighted mean over the last axis of exp(logs)."""
    weighted = logs + np.log(weights)
    most = weighted.max(axis=-1, keepdims=True)
    total: Floats = np.log(np.exp(weighted - most).sum(axis=-1)) + most[..., 0]
    return total


def log_bets(values: ArrayLike, lowest: float, bets: Bets) -> Floats:
    """The growth by each bet on values of at least `lowest` (< 0): shape (..., bets)."""
    found: Floats = np.log1p(np.multiply.outer(values, bets.sizes / -lowest))
    return found


def log_above_zero(values: ArrayLike, counts: ArrayLike, lowest: float, bets: Bets) -> Floats:
    """Evidence against a mean of at most 0, of values that are at least `lowest` (< 0).

    `values` is (kinds,), `counts` how often each was seen (..., kinds).
    """
    return log_mean(np.asarray(counts) @ log_bets(values, lowest, bets), bets.weights)


def log_odds(share: ArrayLike, odds: Floats = ODDS) -> tuple[Floats, Floats]:
    """The growth by an event of the candidate's, and by one of the live version's: (..., odds).

    `share` (above 0, below 1) is the chance that an event is the candidate's if versions are alike.
    """
    of = np.asarray(share)[..., None]
    total = 1 - of + odds * of
    return np.log(odds / total), np.log(1 / total)


def log_more_often(candidate: ArrayLike, live: ArrayLike, share: ArrayLike) -> Floats:
    """Evidence that events are the candidate's more often than by its share.

    `share` is (kinds,), as in `log_odds`; the events of each version are (..., kinds).
    """
    return _allocated(candidate, live, share, ODDS, ODDS_WEIGHTS)


def log_other_share(candidate: ArrayLike, live: ArrayLike, share: ArrayLike) -> Floats:
    """Evidence that the candidate's share is not `share`: more, or less; as `log_more_often`."""
    both = np.concatenate([_NEAR, 1 / _NEAR])
    return _allocated(candidate, live, share, both, np.full(len(both), 1 / len(both)))


_NEAR = np.array([1.05, 1.1, 1.25, 1.5, 2.0, 4.0, 16.0])


def _allocated(
    candidate: ArrayLike, live: ArrayLike, share: ArrayLike, odds: Floats, weights: Floats
) -> Floats:
    by_candidate, by_live = log_odds(share, odds)
    logs = np.asarray(candidate) @ by_candidate + np.asarray(live) @ by_live
    return log_mean(logs, weights)
