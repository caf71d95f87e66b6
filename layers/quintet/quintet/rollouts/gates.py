"""The gates of a rollout: a verdict on what both versions did, that anyone may ask for any time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from quintet.contract import RolloutRule
from quintet.rollouts.evidence import Evidence
from quintet.rollouts.outcomes import (
    Exposed,
    Pairs,
    Seen,
    crashes,
    errors,
    new_entities,
    pairs,
    requests_of,
    slow,
    warm,
)
from quintet.rollouts.power import changing, failing, log_threshold, needed
from quintet.rollouts.sequential import (
    EVEN,
    RARE,
    Floats,
    log_above_zero,
    log_bets,
    log_mean,
    log_more_often,
    log_other_share,
)
from quintet.rollouts.state import Phase, Rollout

__all__ = ["PAIRED", "UNPAIRED", "GateRow", "Verdict", "judge", "rule_for", "unknown"]

#: gates that compare both versions' answers to the same row, and those that compare entities
PAIRED = ("failures", "score", "labels")
UNPAIRED = ("crashes", "errors", "latency")
#: the chance that the router is called broken while it is not
SAMPLE_RATIO_ALPHA = 0.001
#: age in seconds from which requests count: the evidence of the two versions arrives at different
#: times, and until then the later one would seem to have no entities, or no errors
SETTLED = 10.0
QUANTILES = (0.5, 0.95)  # of latency
_LARGEST = 1e12  # evidence that is shown

Answer = Literal["ok", "bad", "no evidence"]


@dataclass(frozen=True, slots=True)
class GateRow:
    """What a gate says.

    `live` and `canary` are the versions' values of the metric, None if unknown: shares of failed or
    changed rows, of entities with a crash or an error, mean scores, the 95th percentile of
    milliseconds, shares of new entities. `n` counts rows, or entities of the candidate, of which
    `needed` are needed. `evidence` is an e-value: the gate is bad from `threshold` on.
    """

    metric: str
    live: float | None
    canary: float | None
    n: int
    needed: int
    evidence: float
    threshold: float
    verdict: Answer | Literal["broken"]
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gates that decide say together, and what each says.

    `bad` is to be rolled back; `broken` to be paused: the router does not give the candidate its
    share. `no evidence` is to be waited on. `reason` says why it is not ok, in a sentence.
    """

    verdict: Answer | Literal["broken"]
    reason: str
    rows: tuple[GateRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """The verdict as JSON-ready values."""
        return {**asdict(self), "rows": [asdict(row) for row in self.rows]}


def judge(
    rule: RolloutRule,
    evidence: Evidence,
    *,
    step: int,
    share: float,
    phase: Phase,
    now: float,
    timeout: float,
) -> Verdict:
    """The verdict on all evidence of a rollout, of all its steps (-1 is that of its shadow), in
    which each element is `once`.

    `share` (0 to 1) is the candidate's at the present `step`. Requests that began more than
    `timeout` seconds before `now` (epoch seconds) and have no outcome have crashed. Gates on
    entities wait for the canary, and are off if no step leaves entities to the live version; they
    look at what is older than SETTLED seconds.
    """
    shares = np.array(rule.steps, dtype=np.float64)
    if phase == "canary" and 0 <= step < len(shares):
        shares[step] = share
    rows = list(_paired(rule, pairs(evidence)))
    if phase != "shadow" and (shares < 1).any():
        present = share if 0 < share < 1 else float(shares[shares < 1].max())
        seen = requests_of(evidence.take(evidence.at < now - SETTLED), shares)
        rows += _unpaired(rule, seen, shares, present, now - timeout)
        rows.append(_sample_ratio(new_entities(seen, shares)))
    return _together(rows)


def rule_for(rollout: Rollout, rule: RolloutRule) -> RolloutRule:
    """A contract's rule as it holds for a rollout: with the rollout's steps, and without the gates
    that compare both versions' scores of a row if it has no such pairs."""
    off: dict[str, Any] = {} if rollout.paired else dict.fromkeys(PAIRED, "off")
    return replace(rule, steps=rollout.steps, gates=replace(rule.gates, **off))


def unknown(reason: str) -> Verdict:
    """The verdict where the evidence could not be read or judged: there is none."""
    return Verdict("no evidence", reason, ())


# ---- both versions on the same row -------------------------------------------------------------


def _paired(rule: RolloutRule, seen: Pairs) -> Iterator[GateRow]:
    gate = _Gate(rule, 0.5)
    rows, margins = seen.rows, rule.margins
    values, _, lowest = failing(margins.failures, 0.0)
    counts = [seen.worse, seen.better, rows - seen.worse - seen.better]
    log = log_above_zero(values, counts, lowest, RARE)
    shares = _share(seen.live_failed, rows), _share(seen.candidate_failed, rows)
    yield from gate.row("failures", shares, rows, log)

    live, canary = seen.live_score, seen.candidate_score
    log = _shift(live, canary, margins.score)
    yield from gate.row("score", (_mean(live), _mean(canary)), len(live), log)

    values, _, lowest = changing(margins.labels, 0.0)
    counts = [seen.changed, seen.labelled - seen.changed]
    log = log_above_zero(values, counts, lowest, EVEN)
    changed = _share(seen.changed, seen.labelled)
    yield from gate.row("labels", (0.0 if seen.labelled else None, changed), seen.labelled, log)


def _shift(live: Floats, candidate: Floats, margin: float) -> Floats:
    """Evidence that the score is shifted by more than the margin, either way.

    Differences are in sd of the live score, and count as at most 1 beyond the margin, so that a few
    of any size prove nothing. Scores that are constant have no sd: any difference then counts as 1.
    """
    if not len(live):
        return np.zeros(())
    # what is smaller than rounding in float32 is no difference
    sd = max(float(np.std(live)), 1e-6 * float(np.abs(live).max()), 1e-300)
    with np.errstate(over="ignore"):
        differences = (candidate - live) / sd
    ways = [np.clip(way * differences - margin, -1, 1) for way in (1, -1)]
    return _either([log_mean(log_bets(way, -1.0, EVEN).sum(axis=0), EVEN.weights) for way in ways])


# ---- entities, each on one version -------------------------------------------------------------


def _unpaired(
    rule: RolloutRule, seen: Seen, shares: Floats, share: float, before: float
) -> Iterator[GateRow]:
    gate = _Gate(rule, share)
    for metric, of in (
        ("crashes", crashes(seen, shares, before)),
        ("errors", errors(seen, shares)),
    ):
        live, canary = _share(of.live_events, of.lives), _share(of.candidate_events, of.candidates)
        log = log_more_often(of.by_candidate, of.by_live, of.share)
        yield from gate.row(metric, (live, canary), of.candidates, log)
    first = warm(seen)
    slower = [slow(first, shares, rule.margins.latency, quantile) for quantile in QUANTILES]
    log = _either([log_more_often(of.by_candidate, of.by_live, of.share) for of in slower])
    times = [first.ms[first.candidate == version] for version in (False, True)]
    live, canary = (float(np.quantile(ms, 0.95)) if len(ms) else None for ms in times)
    yield from gate.row("latency", (live, canary), slower[0].candidates, log)


def _sample_ratio(seen: Exposed) -> GateRow:
    """Whether new entities go to the candidate by its share."""
    log = log_other_share(seen.by_candidate, seen.by_live, seen.share)
    count = seen.candidates + seen.lives
    threshold = 1 / SAMPLE_RATIO_ALPHA
    return GateRow(
        "sample ratio",
        _share(seen.lives, count),
        _share(seen.candidates, count),
        count,
        0,
        _shown(log),
        threshold,
        "broken" if log >= math.log(threshold) else "ok",
    )


# ---- rows, and all of them ---------------------------------------------------------------------


class _Gate:
    """Makes the rows of gates at a share of the candidate; of those that are off, none."""

    def __init__(self, rule: RolloutRule, share: float) -> None:
        self._modes, self._level = rule.gates.modes, log_threshold(rule)
        self._needed = needed(rule, share)

    def row(
        self, metric: str, values: tuple[float | None, float | None], n: int, log: Floats
    ) -> Iterator[GateRow]:
        least = self._needed[metric]
        answer: Answer = "ok" if n >= least else "no evidence"
        answer = "bad" if log >= self._level else answer
        threshold = round(math.exp(self._level), 1)
        dry_run = self._modes[metric] == "dry_run"
        if self._modes[metric] != "off":
            yield GateRow(metric, *values, n, least, _shown(log), threshold, answer, dry_run)


def _together(rows: Sequence[GateRow]) -> Verdict:
    deciding = [row for row in rows if not row.dry_run]
    for kind in ("bad", "broken", "no evidence"):
        if those := [row for row in deciding if row.verdict == kind]:
            return Verdict(kind, "; ".join(map(_reason, those)), tuple(rows))
    if not any(row.metric != "sample ratio" for row in deciding):
        return Verdict("no evidence", "no gate is on", tuple(rows))
    return Verdict("ok", "", tuple(rows))


def _reason(row: GateRow) -> str:
    if row.verdict == "no evidence":
        return f"{row.metric}: {row.n} of the {row.needed} that are needed"
    values = " against ".join(
        "unknown" if value is None else f"{value:.4g}" for value in (row.canary, row.live)
    )
    return (
        f"{row.metric}: {values}, evidence {row.evidence:.4g} of {row.threshold:.4g}, n = {row.n}"
    )


def _either(logs: Sequence[Floats]) -> Floats:
    """The mean of two e-values."""
    return log_mean(np.array(logs), np.full(len(logs), 1 / len(logs)))


def _shown(log: Floats) -> float:
    return float(f"{min(math.exp(min(float(log), 100.0)), _LARGEST):.4g}")


def _share(some: int, count: int) -> float | None:
    return some / count if count else None


def _mean(values: Floats) -> float | None:
    return float(np.mean(values)) if len(values) else None
