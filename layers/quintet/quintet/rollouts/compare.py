"""Comparison of the two versions of a rollout on the rows that one of them answered.

In shadow the candidate is asked about what the live version answered, as a canary the live version
about what the candidate answered. Everything here is from captures: the caller is answered long
ago. Gathering and writing is `quintet.rollouts.comparer`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from arro3 import core
from numpy.typing import NDArray

from quintet.captures.plans import CapturePlan
from quintet.captures.tables import FIXED, concat, predictions, table_of, take, value_columns
from quintet.columns import Batch
from quintet.contract import Contract
from quintet.errors import ModelFailure
from quintet.rollouts.answers import Answers, Asked, captured_answers
from quintet.rollouts.evidence import Evidence, unpaired
from quintet.rollouts.state import Rollout
from quintet.serving.routing import entity_hash

__all__ = ["Seen", "begun", "pair", "pairable", "rows_of", "seen", "shadow_rows"]

#: columns of a capture that are of the version that answered, or of the time that it took
_OF_ANSWER = {
    *("version", "digest", "route", "outcome", "failure", "refusals"),
    *("fallback", "fallback_reason", "without_features", "cold"),
    *("load_ms", "decode_ms", "features_ms", "score_ms", "total_ms"),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """The rows of an object of captures that a rollout has routed, and what is known of them.

    `rows` and `evidence` are of the same rows, the evidence without pairs. `asking` is the version
    that did not answer them, None if no other is asked; `where` are the positions of rows that it
    can be asked about.
    """

    rows: core.Table
    evidence: Evidence
    asking: int | None
    where: NDArray[np.int64]


def rows_of(rows: core.Table, rollout: Rollout) -> core.Table:
    """The predictions that a rollout has routed, before the promotion of its candidate."""
    rows = predictions(rows)
    ours = {f"{rollout.id}#{step}" for step in range(-1, len(rollout.steps))}
    labels = rows["rollout"].to_pylist()
    return take(rows, np.array([n for n, one in enumerate(labels) if one in ours], dtype=np.int64))


def seen(rows: core.Table, rollout: Rollout, contract: Contract) -> Seen:
    """What rows of one version say without the other; `contract` is of the version that answered.

    A refusal of what the caller sent is an answer; an output that is not finite is a failure.
    """
    version = contract.version
    names = ("event", "entity", "rollout", "outcome")
    text: dict[str, list[str]] = {name: list(rows[name].to_pylist()) for name in names}
    steps = np.array([int(one.rpartition("#")[2]) for one in text["rollout"]], dtype=np.int64)
    keys = [entity or event for entity, event in zip(text["entity"], text["event"], strict=True)]
    hashes = {key: entity_hash(rollout.model, key) for key in set(keys)}
    failed = _failed(rows, contract, text["outcome"])
    count = rows.num_rows
    evidence = unpaired(
        count,
        event=np.array(text["event"], dtype=np.str_),
        row=np.array([-1 if row is None else row for row in rows["row"].to_pylist()], np.int64),
        entity=np.array([hashes[key] for key in keys], dtype=np.uint64),
        step=steps,
        at=rows["event_time"].combine_chunks().cast(core.DataType.int64()).to_numpy() / 1e6,
        candidate=np.full(count, version == rollout.candidate),
        failed=failed,
        ms=np.array(rows["total_ms"].to_pylist(), dtype=np.float64),
        cold=_flags(rows, "cold"),
    )
    where = np.union1d(pairable(rows), np.flatnonzero(failed))
    if version == rollout.candidate:
        return Seen(rows, evidence, rollout.live, where)
    where = where[steps[where] < 0]  # of a canary's time, live answers are not compared
    return Seen(rows, evidence, rollout.candidate if len(where) else None, where)


def begun(lines: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, int], Evidence]:
    """The evidence of lines that tell the beginning of a request, by model, rollout and step."""
    found: defaultdict[tuple[str, str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        rollout, _, step = line["rollout"].rpartition("#")
        found[line["model"], rollout, int(step)].append(line)
    return {of: _begun(some, of[2]) for of, some in found.items()}


def _begun(lines: Sequence[Mapping[str, Any]], step: int) -> Evidence:
    count = len(lines)
    return unpaired(
        count,
        event=np.array([line["event"] for line in lines], dtype=np.str_),
        entity=np.array([int(line["entity"], 16) for line in lines], dtype=np.uint64),
        step=np.full(count, step),
        at=np.array([line["event_time"] for line in lines], dtype=np.float64),
        candidate=np.array([line["route"] == "canary" for line in lines], dtype=np.bool_),
        begun=np.ones(count, dtype=np.bool_),
    )


def pairable(rows: core.Table) -> NDArray[np.int64]:
    """The positions of rows that the model itself answered, captured with their features."""
    outcomes = rows["outcome"].to_pylist()
    scored = np.array([one == "scored" for one in outcomes], dtype=np.bool_)
    return np.flatnonzero(scored & ~_flags(rows, "fallback") & ~_flags(rows, "without_features"))


def _failed(rows: core.Table, contract: Contract, outcomes: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows the version failed on, as their callers saw it."""
    fields = {output.name for output in contract.outputs} | {"model"}

    def by_model(refusals: str | None) -> bool:
        reasons = (refusals or "").split("; ")
        return any(one.partition(":")[0].partition("[")[0] in fields for one in reasons)

    refusals = rows["refusals"].to_pylist()
    return np.array(
        [
            outcome == "failed" or (outcome == "refused" and by_model(why))
            for outcome, why in zip(outcomes, refusals, strict=True)
        ],
        dtype=np.bool_,
    )


def pair(found: Seen, rollout: Rollout, contract: Contract, part: Asked, other: Answers) -> Seen:
    """The rows with the answers of the version that was asked: `other`, about `part`.

    `contract` is of the version that answered the callers.
    """
    evidence, at = found.evidence, part.index
    score, label = captured_answers(contract, found.rows, at)
    failed = evidence.failed[at]
    other = replace(other, failed=_as_asked(found, at, other.failed))
    # of what was not asked for, failed, or is not finite by its contract, no scores are compared
    others = np.where(np.isfinite(score), other.score, np.nan)
    changed = np.zeros(len(at), dtype=np.bool_)
    if other.label is not None:
        known = np.array([one is not None for one in label], dtype=np.bool_)
        changed = known & ~failed & ~other.failed & np.asarray(label != other.label, np.bool_)
    by_candidate = contract.version == rollout.candidate
    live, candidate = (0, 1) if by_candidate else (1, 0)  # of (the other, its own)

    def known_at(column: NDArray[Any], values: Any) -> NDArray[Any]:
        column = column.copy()
        column[at] = values
        return column

    paired = replace(
        evidence,
        paired=known_at(evidence.paired, True),
        live_failed=known_at(evidence.live_failed, (other.failed, failed)[live]),
        candidate_failed=known_at(evidence.candidate_failed, (other.failed, failed)[candidate]),
        live_score=known_at(evidence.live_score, (others, score)[live]),
        candidate_score=known_at(evidence.candidate_score, (others, score)[candidate]),
        changed=known_at(evidence.changed, changed),
    )
    return replace(found, evidence=paired)


def _as_asked(found: Seen, at: NDArray[np.int64], failed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows a version fails on, if they are asked together as their caller asked them.

    Where a request failed as a whole, one row fails all of its rows, of the other version too.
    """
    outcomes = take(found.rows, at)["outcome"].to_pylist()
    whole = np.array([one == "failed" for one in outcomes], dtype=np.bool_)
    _, request = np.unique(found.evidence.event[at], return_inverse=True)
    fails = np.bincount(request, failed & whole) > 0
    return failed | (whole & fails[request])


def shadow_rows(found: Seen, contract: Contract, part: Asked, answers: Answers) -> core.Table:
    """What the candidate (its `contract`) would have answered to `part`, as captures.

    They have the events and the rows of the live version's captures, and the route shadow.
    """
    plan: CapturePlan = contract.compiled[CapturePlan]
    about, count = plan.about, len(part.index)
    batch = Batch(count, dict(part.columns))
    own = {"version": about.version, "digest": about.digest, "route": "shadow", "fallback": False}

    def table(failed: bool) -> core.Table:
        some = np.flatnonzero(answers.failed == failed)
        rows = take(found.rows, part.index[some])
        fixed = {name: rows[name].combine_chunks() for name in FIXED if name not in _OF_ANSWER}
        outcome = {"outcome": "failed", "failure": ModelFailure.__name__}
        ages = np.full((len(some), len(about.ages)), np.nan, dtype=np.float32)
        for position, name in enumerate(about.ages):
            if f"age_{name}" in rows.column_names:
                ages[:, position] = rows[f"age_{name}"].to_pylist()
        outputs = {} if failed else {name: one[some] for name, one in answers.outputs.items()}
        values = value_columns(about, plan.features(batch, some), ages, outputs)
        return table_of(
            len(some), fixed | own | (outcome if failed else {"outcome": "scored"}), values
        )

    return concat([table(False), table(True)])


def _flags(rows: core.Table, name: str) -> NDArray[np.bool_]:
    return np.array([bool(one) for one in rows[name].to_pylist()], dtype=np.bool_)
