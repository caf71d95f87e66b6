"""What a job keeps of its model's route, and the route that its rows are answered by."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.kits.canary import ROUTE
from tests.kits.jobs import job

from quintet.jobs.job import JobRollout
from quintet.jobs.routing import rollout_of, route_of
from quintet.serving.routes import Route

HALF = JobRollout("r1", 1, 4, 0.5)
SHADOW = replace(ROUTE, canary=None, canary_share=0.0, shadow=4, step=-1)
PROMOTED = replace(ROUTE, live=4, canary=None, canary_share=0.0)
ENDED = replace(ROUTE, canary=None, canary_share=0.0, rollout="", step=0)


@pytest.mark.parametrize(
    ("route", "kept"),
    [
        (None, None),
        (ENDED, None),
        (ROUTE, HALF),
        (SHADOW, JobRollout("r1", -1, None, 0.0)),
        (PROMOTED, JobRollout("r1", 1, 4, 1.0)),
        (replace(PROMOTED, step=0), JobRollout("r1", 0, 4, 1.0)),
    ],
)
def test_a_job_keeps_its_models_rollout(route: Route | None, kept: JobRollout | None) -> None:
    assert rollout_of(route) == kept


def test_a_job_without_a_rollout_has_one_version() -> None:
    assert route_of(job(), ROUTE) is None


def test_rows_are_answered_as_when_the_job_was_accepted() -> None:
    """The share has grown since, and an override was set: it holds within its rollout."""
    now = replace(ROUTE, canary_share=0.9, step=2, revision=9, overrides={"c1": 4})
    kept = replace(now, live=3, canary=4, canary_share=0.5, rollout="r1", step=1)
    assert route_of(job(version=3, rollout=HALF), now) == kept
    of_another = replace(now, rollout="r2")
    assert route_of(job(version=3, rollout=HALF), of_another) == replace(kept, overrides={})


def test_a_candidate_that_was_promoted_answers_all_rows_of_its_jobs() -> None:
    asked = job(version=4, rollout=JobRollout("r1", 1, 4, 1.0))
    assert route_of(asked, PROMOTED) == replace(PROMOTED, canary_share=1.0)


def test_a_job_of_before_the_promotion_keeps_both_versions() -> None:
    assert route_of(job(version=3, rollout=HALF), PROMOTED) == ROUTE


def test_rows_are_routed_anew_after_a_rollback() -> None:
    asked = job(version=3, rollout=HALF)
    assert route_of(asked, ENDED) is ENDED
    other = replace(ROUTE, canary=5, rollout="r2", step=0)
    assert route_of(asked, other) is other


def test_a_job_of_a_shadow_is_answered_by_its_version() -> None:
    asked = job(version=3, rollout=JobRollout("r1", -1))
    assert route_of(asked, ROUTE) == replace(ROUTE, canary=None, canary_share=0.0, step=-1)
