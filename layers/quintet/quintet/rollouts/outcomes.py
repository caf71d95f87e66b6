"""What the gates of a rollout count: pairs of answers, and first outcomes of entities."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from quintet.rollouts.evidence import Evidence

__all__ = [
    "Exposed",
    "Pairs",
    "Requests",
    "Seen",
    "crashes",
    "errors",
    "exposed",
    "new_entities",
    "pairs",
    "requests_of",
    "slow",
    "warm",
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


def pairs(evidence: Evidence) -> Pairs:
    """The pairs of evidence, in which each row of an event is once.

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
class Requests:
    """Requests as steps routed them, one element for each; all columns are (n,).

    `event` is a number for each event, `entity` a hash of that of its first row. The others are as
    in `Evidence`.
    """

    event: Counts
    entity: NDArray[np.uint64]
    step: Counts
    at: Floats
    candidate: Mask
    failed: Mask
    ms: Floats
    cold: Mask

    def take(self, some: Mask | Counts) -> Requests:
        """Some of the requests, by position or mask."""
        return Requests(*(getattr(self, column.name)[some] for column in fields(Requests)))


@dataclass(frozen=True, slots=True)
class Seen:
    """What the steps of a canary have seen.

    `ended` are requests with an outcome, by their first row: rows of one request may share their
    route and their fate, so they are not counted apart. `begun` are their beginnings, one for each
    version that ran, in the order of time; the live version runs last.
    """

    ended: Requests
    begun: Requests


def requests_of(evidence: Evidence, shares: Floats) -> Seen:
    """The requests of steps that leave some entities to the live version.

    A request that failed as a whole has no row, and so no entity: it has that of its beginning.
    """
    step = evidence.step
    two = (step >= 0) & (step < len(shares)) & (shares[np.clip(step, 0, len(shares) - 1)] < 1)
    of = evidence.take(two)
    events = _codes(of.event)
    every = Requests(events, of.entity, of.step, of.at, of.candidate, of.failed, of.ms, of.cold)
    begun = every.take(_ordered(every, np.flatnonzero(of.begun)))
    outcomes = np.flatnonzero(~of.begun)
    first = outcomes[_firsts((events[outcomes],), of.row[outcomes], of.at[outcomes])]
    ended, whole = every.take(first), of.row[first] < 0
    entity = ended.entity.copy()
    for version in (True, False):
        some = np.flatnonzero(whole & (ended.candidate == version))
        entity[some] = _entities(ended.take(some), begun.take(begun.candidate == version))
    return Seen(replace(ended, entity=entity), begun)


def _ordered(of: Requests, some: Counts) -> Counts:
    """Positions in the order of time, the live version's beginning of a request last."""
    return some[np.lexsort((~of.candidate[some], of.at[some]))]


def _entities(of: Requests, begun: Requests) -> NDArray[np.uint64]:
    """The entities of requests, from their beginnings where there is one."""
    order = np.argsort(begun.event, kind="stable")
    events = begun.event[order]
    place = np.searchsorted(events, of.event)
    known = np.flatnonzero(place < len(events))
    known = known[events[place[known]] == of.event[known]]
    entity = of.entity.copy()
    entity[known] = begun.entity[order[place[known]]]
    return entity


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


def errors(seen: Seen, shares: Floats) -> Exposed:
    """Entities, and those that got a failure."""
    return exposed(seen.ended, seen.ended.take(seen.ended.failed), shares)


def crashes(seen: Seen, shares: Floats, before: float) -> Exposed:
    """Entities whose requests began `before`, and those of which one never ended.

    A process that dies writes no more: the version that began last has crashed.
    """
    begun = seen.begun
    last = len(begun.at) - 1 - np.unique(begun.event[::-1], return_index=True)[1]
    lost = last[(begun.at[last] < before) & ~np.isin(begun.event[last], seen.ended.event)]
    return exposed(begun.take(begun.at < before), begun.take(lost), shares)


def warm(seen: Seen) -> Requests:
    """Entities by their first warm request in each step."""
    of = seen.ended
    of = of.take(~of.cold & ~of.failed & np.isfinite(of.ms))
    return of.take(_firsts((of.entity, of.step), of.at))


def slow(of: Requests, shares: Floats, ratio: float, quantile: float) -> Exposed:
    """Entities of `warm`, and those whose request was slow.

    Slow is longer than the quantile of all, of which the candidate's count as `ratio` times as
    fast.
    """
    times = np.where(of.candidate, of.ms / ratio, of.ms)
    over = times > np.quantile(times, quantile) if len(times) else np.zeros(0, dtype=np.bool_)
    return exposed(of, of.take(over), shares)


def new_entities(seen: Seen, shares: Floats) -> Exposed:
    """Entities that a rollout had not seen before, each once: all are events."""
    of = seen.ended
    of = of.take(_firsts((of.entity,), of.step, of.at))
    return exposed(of, of, shares)


def exposed(of: Requests, events: Requests, shares: Floats) -> Exposed:
    """Entities and events, each entity once a step: at its first event, if it has one.

    Routes are hashes, so an entity's version is independent of what happens to it, if versions are
    alike: at its first event in a step it is the candidate's with the chance of the step's share.
    Errors of one entity are not independent, and count once. Routes are sticky: of an entity whose
    event was the candidate's in an earlier step, a later one tells nothing; of one whose event was
    the live version's with the share s, the chance at the share t is (t - s) / (1 - s).
    """
    all_of = of.take(_firsts((of.entity, of.step), of.at))
    hit = events.take(_firsts((events.entity, events.step), events.at))
    _, who = np.unique(hit.entity, return_inverse=True)
    known = np.zeros(len(who))  # the entity's bucket is at least this
    told = np.zeros(len(who), dtype=np.bool_)
    chance = np.empty(len(who))
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
        candidates=int(all_of.candidate.sum()),
        lives=int((~all_of.candidate).sum()),
        candidate_events=int(hit.candidate.sum()),
        live_events=int((~hit.candidate).sum()),
        share=kinds,
        by_candidate=np.bincount(kind[ours], minlength=len(kinds)),
        by_live=np.bincount(kind[~ours], minlength=len(kinds)),
    )


def _codes(events: NDArray[np.str_]) -> Counts:
    """A number for each event; hashing is much faster than sorting texts."""
    return np.fromiter(map(hash, events.tolist()), np.int64, len(events))


def _firsts(keys: tuple[NDArray[np.generic], ...], *by: NDArray[np.generic]) -> Counts:
    """The positions of the first of each group of equal keys, by the order of `by`."""
    order = np.lexsort((*reversed(by), *reversed(keys)))
    new = np.zeros(len(order), dtype=np.bool_)
    new[:1] = True
    for key in keys:
        of = key[order]
        new[1:] |= of[1:] != of[:-1]
    return order[new]
