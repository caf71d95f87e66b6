"""Rehearsal: a version scores what another one has answered, on captures of the past.

Hour by hour: what is kept of an hour are sums, and some rows drawn at random.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from arro3 import core
from numpy.typing import NDArray

from quintet.captures.queries import find, hourly
from quintet.captures.store import CaptureObjects
from quintet.captures.tables import predictions, take
from quintet.errors import BadInput
from quintet.rollouts.answers import Answers, Asked, ask, asked, captured_answers
from quintet.rollouts.compare import pairable
from quintet.rollouts.drawn import Drawn, in_sd
from quintet.rollouts.measures import Measures
from quintet.scoring import Model

__all__ = ["Rehearsal", "rehearse"]

#: rows of one run of each version: what their latency is measured on
RUN_ROWS = 1_000
#: rows that differ most, and changes of label, that are named
WORST, CHANGES = 20, 10

Floats = NDArray[np.float64]


def rehearse(
    objects: CaptureObjects, live: Model, candidate: Model, since: float, until: float
) -> Rehearsal:
    """Rehearse on the captures of the live version from `since` to before `until` (epoch seconds),
    by whole hours, each read by itself.

    Raises:
        BadInput: an object of captures is damaged.
        Transient: the captures could not be read.
    """
    contract = live.contract
    found = find(objects, contract.name, since, until)
    rehearsal = Rehearsal(live, candidate)
    for rows in hourly(objects, [one for one in found if one.hour.version == contract.version]):
        rehearsal.add(rows)
    return rehearsal


@dataclass
class _Sums:
    """Sums over the rows whose score both versions have."""

    rows: int = 0
    live: float = 0.0
    live_squares: float = 0.0
    shift: float = 0.0
    distance: float = 0.0

    def add(self, live: Floats, candidate: Floats) -> None:
        difference = candidate - live
        self.rows += len(live)
        self.live += float(live.sum())
        self.live_squares += float((live**2).sum())
        self.shift += float(difference.sum())
        self.distance += float(np.abs(difference).sum())

    @property
    def sd(self) -> float:
        """The standard deviation of the live version's score; 0 of constant ones."""
        mean = self.live / self.rows
        return float(np.sqrt(max(self.live_squares / self.rows - mean**2, 0.0)))


@dataclass
class Rehearsal:
    """A candidate on the captured answers of the live version; both are loaded on this machine.

    `timer` is in seconds.
    """

    live: Model
    candidate: Model
    timer: Callable[[], float] = time.perf_counter
    outcomes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._sums = _Sums()
        self._changes: Counter[tuple[str, str]] = Counter()
        self._labelled = 0
        self._took: dict[str, list[float]] = {"live": [], "candidate": []}
        self._worst: list[tuple[float, int, dict[str, Any]]] = []
        self._seen = 0
        self._drawn = Drawn(self.live.contract)

    def add(self, rows: core.Table) -> None:
        """Add captures of the live version, such as an hour of them; shadow is left out, and so
        are impressions, which are no predictions."""
        rows = predictions(rows)
        routes = rows["route"].to_pylist()
        rows = take(rows, np.flatnonzero([route != "shadow" for route in routes]))
        outcomes = rows["outcome"].to_pylist()
        self.outcomes.update({"rows": len(outcomes), **Counter(outcomes)})
        for name in ("fallback", "without_features"):
            self.outcomes[name] += sum(map(bool, rows[name].to_pylist()))
        of = self.live.contract
        part = asked(self.candidate.contract, of, rows, pairable(rows))
        own = asked(of, of, rows, part.index)  # none if it has features that are not captured
        whole = len(own.index) == len(part.index)
        for start in range(0, len(part.index), RUN_ROWS):
            some = slice(start, start + RUN_ROWS)
            self._compare(rows, part.part(some), own.part(some) if whole else None)

    def _run(self, name: str, model: Model, part: Asked) -> Answers:
        """The answers of a version, and how long they take."""
        if not self._took[name]:  # the first run of a session allocates
            ask(model, [part])
        begun = self.timer()
        (answers,) = ask(model, [part])
        self._took[name].append((self.timer() - begun) / len(part.index))
        return answers

    def _compare(self, rows: core.Table, part: Asked, own: Asked | None) -> None:
        count = len(part.index)
        if own is not None:
            self._run("live", self.live, own)
        answers = self._run("candidate", self.candidate, part)
        score, label = captured_answers(self.live.contract, rows, part.index)
        fine = ~answers.failed
        both = fine & np.isfinite(score) & np.isfinite(answers.score)
        self.outcomes["pairs"] += count
        self.outcomes["candidate_failed"] += int(answers.failed.sum())
        self._sums.add(score[both], answers.score[both])
        changed = np.zeros(count, dtype=np.bool_)
        if answers.label is not None:
            known = np.array([one is not None for one in label], dtype=np.bool_) & fine
            changed = known & np.asarray(label != answers.label, dtype=np.bool_)
            self._labelled += int(known.sum())
            before, after = (one[changed].tolist() for one in (label, answers.label))
            measures: Measures = self.live.contract.compiled[Measures]
            self._changes.update(
                (measures.name(one), measures.name(other))
                for one, other in zip(before, after, strict=True)
            )
        difference = np.where(both, answers.score - score, np.nan)
        candidate = np.where(both, answers.score, np.nan)
        self._name_worst(rows, part.index, score, candidate, answers.failed)
        self._drawn.add(
            rows,
            part.index,
            {
                "live": np.where(both, score, np.nan),
                "difference": difference,
                "changed": changed,
                "failed": answers.failed,
            },
        )

    def _name_worst(
        self,
        rows: core.Table,
        index: NDArray[np.int64],
        live: Floats,
        candidate: Floats,
        failed: NDArray[np.bool_],
    ) -> None:
        """Keep the rows that differ most, by their ids; one that the candidate fails on is worse
        than any difference."""
        distance = np.where(failed, np.inf, np.nan_to_num(np.abs(candidate - live), nan=0.0))
        for at in np.argsort(-distance, kind="stable")[:WORST].tolist():
            if distance[at] == 0:
                break
            row = int(index[at])
            about = {
                "event": rows["event"][row].as_py(),
                "row": rows["row"][row].as_py(),
                "live": _number(live[at]),
                "candidate": _number(candidate[at]),
                "failed": bool(failed[at]),
            }
            self._seen += 1  # decides between equal distances: the earlier
            heapq.heappush(self._worst, (float(distance[at]), -self._seen, about))
        self._worst = heapq.nlargest(WORST, self._worst)
        heapq.heapify(self._worst)

    def document(self) -> dict[str, Any]:
        """The figures, as JSON.

        Raises:
            BadInput: no row could be compared; it says why.
        """
        counts = self.outcomes
        if not counts["pairs"]:
            raise BadInput.of("captures", "rows that both versions can score", self._no_pairs())
        sums, pairs, contract = self._sums, counts["pairs"], self.candidate.contract
        names = ("rows", "scored", "refused", "failed", "fallback", "without_features")
        found: dict[str, Any] = {
            "model": contract.name,
            "live": self.live.contract.version,
            "candidate": contract.version,
            "captured": {name: counts[name] for name in names},
            "pairs": pairs,
            "failures": {"rows": counts["candidate_failed"]}
            | {"share": counts["candidate_failed"] / pairs},
            "score": None,
            "labels": None,
            "latency_us": {name: _micros(took) for name, took in self._took.items()},
            "margins": {
                name: getattr(contract.rollout.margins, name)
                for name in ("failures", "score", "labels", "latency")
            },
        }
        if sums.rows:
            sd = sums.sd
            found["score"] = {
                "rows": sums.rows,
                "live_mean": sums.live / sums.rows,
                "candidate_mean": (sums.live + sums.shift) / sums.rows,
                "sd": sd,
                "shift": in_sd(sums.shift / sums.rows, sd),
                "distance": in_sd(sums.distance / sums.rows, sd),
                **self._drawn.scores(sd),
            }
        if self._labelled:
            changed = self._changes.total()
            found["labels"] = {
                "rows": self._labelled,
                "changed": changed,
                "share": changed / self._labelled,
                "agreement": 1 - changed / self._labelled,
                "changes": [
                    {"from": before, "to": after, "rows": rows}
                    for (before, after), rows in self._changes.most_common(CHANGES)
                ],
            }
        found["segments"] = self._drawn.segments(sums.sd if sums.rows else 0.0)
        found["drawn"] = self._drawn.rows
        found["worst"] = [about for _, _, about in sorted(self._worst, reverse=True)]
        return found

    def _no_pairs(self) -> str:
        counts = self.outcomes
        if not counts["rows"]:
            return "no captures of the live version in that time; --since takes an earlier one"
        reasons = {name: counts[name] for name in ("refused", "failed", "fallback")}
        reasons["without features"] = counts["without_features"]
        told = ", ".join(f"{rows} {name}" for name, rows in reasons.items() if rows)
        return f"none of {counts['rows']} captured rows ({told or 'features that are missing'})"


def _micros(took: Sequence[float]) -> float | None:
    """The median time of a row in microseconds."""
    return float(np.median(took)) * 1e6 if took else None


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
