"""A rollout and its evidence as stored and joined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quintet.rollouts.evidence import Evidence, concat, no_evidence
from quintet.rollouts.state import Phase, Rollout, from_json, to_json

ROLLOUT = Rollout(
    id="r1",
    model="fraud",
    live=3,
    candidate=4,
    phase="canary",
    steps=(0.01, 0.1, 1.0),
    step=1,
    started=1_000.0,
    entered=1_060.0,
    by="ann",
    reason="new data",
)


def test_a_rollout_is_the_same_after_it_was_stored() -> None:
    assert from_json(to_json(ROLLOUT)) == ROLLOUT


def test_the_share_follows_the_phase() -> None:
    phases: list[Phase] = ["shadow", "canary", "watching"]
    assert [replace(ROLLOUT, phase=phase).share for phase in phases] == [0.0, 0.1, 1.0]


def test_evidence_is_joined_and_taken_by_its_elements() -> None:
    one = Evidence(
        event=np.array(["e1"]),
        row=np.array([0]),
        entity=np.array([7], np.uint64),
        step=np.array([1]),
        at=np.array([5.0]),
        candidate=np.array([True]),
        begun=np.array([False]),
        failed=np.array([False]),
        paired=np.array([True]),
        live_failed=np.array([False]),
        candidate_failed=np.array([True]),
        live_score=np.array([0.5]),
        candidate_score=np.array([np.nan]),
        changed=np.array([False]),
        ms=np.array([3.0]),
        cold=np.array([False]),
    )
    both = concat([one, one])
    assert (len(no_evidence()), len(both), str(both.entity.dtype)) == (0, 2, "uint64")
    assert both.event.tolist() == ["e1", "e1"]
    assert len(both.take(np.array([True, False]))) == 1
