"""What the gates of a rollout count: pairs of answers, and first outcomes of entities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.rollouts.evidence import Evidence

__all__ = [
    "Exposed",
    "Pairs",
    "crashes",
    "errors",
    "exposed",
    "new_entities",
    "once",
    "pairs",
    "slow",
]

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows that both versions scored.

    `worse` are those on which the candidate alone fails, `better` the live version alone. The
    scores, (n,), are of rows with both; `labelled` is the number of rows that neither failed on.
    """

    rows: int
    worse: int
    better: int
    live_failed: int
    candidate_failed: int
    live_score: Floats
    candidate_score: Floats
    labelled: int
    changed: int


def once(evidence: Evidence) -> Evidence:
    """Each row of an event once, and each begin: the earliest, whatever the order."""
    events = _codes(evidence)
    return evidence.take(_firsts((evidence.begun, events, evidence.row), evidence.at))


def pairs(evidence: Evidence) -> Pairs:
    """The pairs of evidence.

    A version also fails where its score is not finite and the other's is.
    """
    paired = evidence.take(evidence.paired & ~evidence.begun)
    live_number = np.isfinite(paired.live_score)
    candidate_number = np.isfinite(paired.candidate_score)
    live_failed = paired.live_failed | (candidate_number & ~live_number)
    candidate_failed = paired.candidate_failed | (live_number & ~candidate_number)
    neither = ~(live_failed | candidate_failed)
    both = neither & live_number
    return Pairs(
        rows=len(paired),
        worse=int((candidate_failed & ~live_failed).sum()),
        better=int((live_failed & ~candidate_failed).sum()),
        live_failed=int(live_failed.sum()),
        candidate_failed=int(candidate_failed.sum()),
        live_score=paired.live_score[both],
        candidate_score=paired.candidate_score[both],
        labelled=int(neither.sum()),
        changed=int((paired.changed & neither).sum()),
    )


@dataclass(frozen=True, slots=True)
class Exposed:
    """Entities of each version, once a step, and those with an event.

    `candidates` and `lives` count the entities, `candidate_events` and `live_events` those with an
    event. For the evidence, events are grouped by the `share` (kinds,) of the candidate: the chance
    that the entity of an event is the candidate's, by what was known before; `by_candidate` and
    `by_live` are (kinds,).
    """

    candidates: int
    lives: int
    candidate_events: int
    live_events: int
    share: Floats
    by_candidate: Counts
    by_live: Counts


def errors(evidence: Evidence, shares: Floats) -> Exposed:
    """Entities, and those that got a failure."""
    of = _routed(evidence, ~evidence.begun, shares)
    return exposed(of, of.failed, shares)


def crashes(evidence: Evidence, shares: Floats, before: float) -> Exposed:
    """Entities whose requests began `before`, and those of which one never ended.

    Where one event began on both versions, as may be with its rows, the version that crashed is
    not known, and it does not count.
    """
    of = _routed(evidence, evidence.begun & (evidence.at < before), shares)
    events = _codes(of)
    ended = np.isin(events, _codes(evidence.take(~evidence.begun)))
    begun = evidence.take(evidence.begun)
    mixed = np.intersect1d(
        _codes(begun.take(begun.candidate)), _codes(begun.take(~begun.candidate))
    )
    known = ~np.isin(events, mixed)
    return exposed(of.take(known), ~ended[known], shares)


def slow(evidence: Evidence, shares: Floats, ratio: float, quantile: float) -> Exposed:
    """Entities by their first warm request, and those whose was slow.

    Slow is longer than the quantile of all, of which the candidate's count as `ratio` times as
    fast.
    """
    warm = ~evidence.begun & ~evidence.cold & ~evidence.failed & np.isfinite(evidence.ms)
    of = _routed(evidence, warm, shares)
    of = of.take(_firsts((of.entity, of.step), of.at))
    times = np.where(of.candidate, of.ms / ratio, of.ms)
    over = times > np.quantile(times, quantile) if len(times) else np.zeros(0, dtype=np.bool_)
    return exposed(of, over, shares)


def new_entities(evidence: Evidence, shares: Floats) -> Exposed:
    """Entities that a rollout had not seen before, each once: all are events."""
    of = _routed(evidence, np.ones(len(evidence), dtype=np.bool_), shares)
    of = of.take(_firsts((of.entity,), of.step, of.at))
    return exposed(of, np.ones(len(of), dtype=np.bool_), shares)


def exposed(of: Evidence, event: Mask, shares: Floats) -> Exposed:
    """Entities and events, each entity once a step: at its first event, if it has one.

    Routes are hashes, so an entity's version is independent of what happens to it, if versions are
    alike: at its first event in a step it is the candidate's with the chance of the step's share.
    Errors of one entity are not independent, and count once. Routes are sticky: of an entity whose
    event was the candidate's in an earlier step, a later one tells nothing; of one whose event was
    the live version's with the share s, the chance at the share t is (t - s) / (1 - s).
    """
    seen = of.take(_firsts((of.entity, of.step), of.at))
    hit = of.take(event)
    hit = hit.take(_firsts((hit.entity, hit.step), hit.at))
    _, who = np.unique(hit.entity, return_inverse=True)
    known = np.zeros(len(who))  # the entity's bucket is at least this
    told = np.zeros(len(who), dtype=np.bool_)
    chance = np.empty(len(hit))
    for step in np.unique(hit.step).tolist():
        here = hit.step == step
        of_these = who[here]
        share, least = shares[step], known[of_these]
        chance[here] = np.where(told[of_these], 1.0, (share - least) / (1 - least))
        told[of_these] |= hit.candidate[here]
        known[of_these] = np.where(hit.candidate[here], least, share)
    open_ = (chance > 0) & (chance < 1)
    kinds, kind = np.unique(chance[open_], return_inverse=True)
    ours = hit.candidate[open_]
    return Exposed(
        candidates=int(seen.candidate.sum()),
        lives=int((~seen.candidate).sum()),
        candidate_events=int(hit.candidate.sum()),
        live_events=int((~hit.candidate).sum()),
        share=kinds,
        by_candidate=np.bincount(kind[ours], minlength=len(kinds)),
        by_live=np.bincount(kind[~ours], minlength=len(kinds)),
    )


def _routed(evidence: Evidence, some: Mask, shares: Floats) -> Evidence:
    """Those that a step routed to one of the two versions; of each event one, its first row.

    Rows of one event may share their route and their fate, so they are not counted apart.
    """
    step = evidence.step
    two = (step >= 0) & (step < len(shares)) & (shares[np.clip(step, 0, len(shares) - 1)] < 1)
    of = evidence.take(two & some)
    return of.take(_firsts((_codes(of),), of.row, of.at))


def _codes(evidence: Evidence) -> NDArray[np.int64]:
    """A number for each event; hashing is much faster than sorting texts."""
    return np.fromiter(map(hash, evidence.event.tolist()), np.int64, len(evidence))


def _firsts(keys: tuple[NDArray[np.generic], ...], *by: NDArray[np.generic]) -> Counts:
    """The positions of the first of each group of equal keys, by the order of `by`."""
    order = np.lexsort((*reversed(by), *reversed(keys)))
    new = np.zeros(len(order), dtype=np.bool_)
    new[:1] = True
    for key in keys:
        of = key[order]
        new[1:] |= of[1:] != of[:-1]
    return order[new]
