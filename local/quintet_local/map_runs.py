"""The tolerated failures of a Distributed Map's children: moto reads the setting and ignores it.

https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html#maprun-fail-threshold
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["exceeds", "no_idle_workers", "tolerating", "with_fractions"]


def with_fractions(definition: str) -> str:
    """Return a JSON definition whose percentages have the decimal point that moto requires."""
    return re.sub(r'("ToleratedFailurePercentage": \d+)(?=[,}])', r"\1.0", definition)


def exceeds(failed: int, total: int, count: int, percentage: float) -> bool:
    """Whether more children failed than tolerated; without a limit, none is tolerated."""
    return failed > max(count, total * percentage / 100)


def tolerating(evaluate: Callable[[Any, Any, Any], None]) -> Callable[[Any, Any, Any], None]:
    """Wrap moto's worker of one child so that the map ends once too many children have failed.

    Running children finish, as they may on AWS.
    """

    def evaluate_child(worker: Any, env: Any, job: Any) -> None:
        evaluate(worker, env, job)
        record = worker._map_run_record
        failed = record.execution_counter.failed.get()
        total = worker._job_pool._jobs_number
        tolerated = record.tolerated_failure_count, record.tolerated_failure_percentage
        if exceeds(failed, total, *tolerated):
            job.job_output = _too_many(env)

    return evaluate_child


def no_idle_workers(launch: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap moto's start of a map's worker, a thread: as many are needed as there are items.

    moto starts as many as may run at once, 40 for a run of one unit.
    """

    def launch_worker(component: Any, env: Any, eval_input: Any, job_pool: Any) -> Any:
        launched = vars(job_pool).get("launched", 0)
        if launched == job_pool._jobs_number:
            return None
        job_pool.launched = launched + 1
        return launch(component, env=env, eval_input=eval_input, job_pool=job_pool)

    return launch_worker


def _too_many(env: Any) -> Exception:
    """Return the error with which the map fails, for its Catch to name."""
    from moto.stepfunctions.parser.api import HistoryEventType, MapRunFailedEventDetails
    from moto.stepfunctions.parser.asl.component.common.error_name import (
        failure_event,
        states_error_name,
        states_error_name_type,
    )
    from moto.stepfunctions.parser.asl.eval.event import event_detail

    make: Any = event_detail.EventDetails  # its type requires every kind of details at once
    kind = states_error_name_type.StatesErrorNameType.StatesExceedToleratedFailureThreshold
    name = states_error_name.StatesErrorName(kind)
    details = MapRunFailedEventDetails(
        error=name.error_name, cause="The specified tolerated failure threshold was exceeded"
    )
    event = failure_event.FailureEvent(
        env=env,
        error_name=name,
        event_type=HistoryEventType.MapRunFailed,
        event_details=make(mapRunFailedEventDetails=details),
    )
    return failure_event.FailureEventException(event)
