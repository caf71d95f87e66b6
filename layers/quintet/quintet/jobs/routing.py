"""Jobs pin their versions when they are accepted; those of a version that was rolled back are
routed anew when they are worked. Pure."""

from __future__ import annotations

from dataclasses import replace

from quintet.jobs.job import Job, JobRollout
from quintet.serving.routes import Route

__all__ = ["rollout_of", "route_of"]


def rollout_of(route: Route | None) -> JobRollout | None:
    """What a job keeps of its model's route; None without a rollout."""
    if route is None or not route.rollout:
        return None
    candidate, share = route.canary, route.canary_share
    if candidate is None and route.step >= 0:  # promoted, and still watched
        candidate, share = route.live, 1.0
    return JobRollout(route.rollout, route.step, candidate, share)


def route_of(job: Job, current: Route) -> Route | None:
    """The route by which a job's rows are answered; None if one version answers them all for good.

    It is the route of the job's acceptance, unless its candidate is neither live nor a canary any
    more: then `current`. Overrides are those of the same rollout now.
    """
    kept = job.rollout
    if kept is None:
        return None
    if kept.candidate is not None and kept.candidate not in (current.live, current.canary):
        return current
    return replace(
        current,
        live=job.version,
        canary=kept.candidate if kept.candidate != job.version else None,
        canary_share=kept.share,
        overrides=current.overrides if current.rollout == kept.id else {},
        rollout=kept.id,
        step=kept.step,
    )
