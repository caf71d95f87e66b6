"""Builds what the batch functions need, from their settings."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from quintet.settings import DropSettings, PlanSettings, ReportSettings, ScoreSettings, read
from quintet.wiring import common

if TYPE_CHECKING:
    from quintet.aws.client import AwsClient
    from quintet.batch.drops import RunStarter
    from quintet.batch.planning import RunRequest
    from quintet.batch.plans import Plan, RefusedPlan, RunPaths, Unit
    from quintet.batch.stores import ConditionalObjects, InputBucket, ObjectStore
    from quintet.onnx_model import OnnxModel

__all__ = [
    "bury_drop",
    "crash_noter",
    "planner",
    "redriver",
    "reporter",
    "runs",
    "scorer",
    "starting",
    "traced",
    "traced_unit",
]


@cache
def _s3() -> AwsClient:
    from quintet.aws.client import AwsClient

    # runs can wait for a throttled bucket and for ranges of many megabytes
    return AwsClient("s3", read_seconds=60.0, attempts=5, backoff_seconds=1.0)


def _inbox(*own: str) -> InputBucket:
    from quintet.aws.input_bucket import S3InputBucket

    return S3InputBucket(_s3(), own)


def _store(bucket: str) -> ObjectStore:
    from quintet.aws.scores_bucket import S3ObjectStore

    return S3ObjectStore(_s3(), bucket)


def _cells(bucket: str) -> ConditionalObjects:
    from quintet.aws.scores_bucket import S3ConditionalObjects

    return S3ConditionalObjects(_s3(), bucket)


@cache
def runs() -> RunStarter:
    """Starts runs, for `drop`."""
    from quintet.aws.executions import StateMachineExecutions

    settings = read(DropSettings, os.environ)
    return StateMachineExecutions(common.client("states"), settings.state_machine_arn)


@contextmanager
def starting(run: str) -> Iterator[None]:
    """Trace the start of a run: the span that the run's other spans are under."""
    from quintet.batch.plans import run_context

    with common.traced() as span:
        if span is not None:
            span.become(run_context(run))
            span.about["run"] = run
        yield


@contextmanager
def traced(run: str, request: Mapping[str, Any]) -> Iterator[str]:
    """Trace a step of a run with that request; yields the run's W3C context."""
    from quintet.batch.plans import run_context

    context = str(request.get("traceparent") or run_context(run))
    with common.traced(context) as span:
        if span is not None:
            span.about["run"] = run
        yield context


@contextmanager
def traced_unit(unit: Unit) -> Iterator[None]:
    """Trace the scoring of a unit."""
    from quintet.batch.plans import run_context

    context = _planned(unit.model, unit.run).traceparent or run_context(unit.run)
    with common.traced(context) as span:
        if span is not None:
            span.about |= {"run": unit.run, "model": unit.model, "unit": unit.unit}
            span.about["rows"] = unit.rows
        yield


def bury_drop(body: str) -> None:
    """Send a message of the drop queue to its dead-letter queue. Raises Transient."""
    from quintet.aws.queues import DeadLetterQueue

    url = read(DropSettings, os.environ).drop_dead_letters_url
    DeadLetterQueue(common.client("sqs"), url).put(body)


@cache
def planner() -> Callable[[RunRequest, bool], Plan | RefusedPlan]:
    """The planner of runs; it also plans a refused run again."""
    from quintet.aws.catalog import RegistryCatalog
    from quintet.batch.planning import plan_run

    settings = read(PlanSettings, os.environ)
    catalog = RegistryCatalog(
        common.registry(settings.registry_table), common.artifacts(settings.registry_bucket)
    )
    inbox = _inbox(settings.scores_bucket, settings.registry_bucket)
    store = _store(settings.scores_bucket)
    cells = _cells(settings.scores_bucket)

    def plan(request: RunRequest, again: bool) -> Plan | RefusedPlan:
        return plan_run(
            request,
            catalog=catalog,
            inbox=inbox,
            store=store,
            cells=cells,
            unit_bytes=settings.unit_bytes,
            again=again,
        )

    return plan


@cache
def redriver() -> Callable[[Plan, str], tuple[str, int]]:
    """The planner of an execution that scores the rest of a run."""
    from quintet.batch.executions import plan_redrive

    store = _store(read(PlanSettings, os.environ).scores_bucket)
    return lambda plan, execution: plan_redrive(plan, execution, store)


@cache
def scorer() -> Callable[[Unit], dict[str, Any]]:
    """The scorer of units. The last used models and plans stay loaded between invocations."""
    from quintet.aws.candidates import CandidateTable
    from quintet.aws.captures import CaptureBucket
    from quintet.batch.memory import peak_mb
    from quintet.batch.units import score_unit
    from quintet.onnx_model import available_threads

    settings = read(ScoreSettings, os.environ)
    inbox, store = _inbox(), _store(settings.scores_bucket)
    cells = _cells(settings.scores_bucket)
    features = common.features(settings.features_table)
    captures = CaptureBucket(_s3(), settings.captures_bucket)
    candidates = CandidateTable(common.client("dynamodb"), settings.candidates_table)
    # one thread per processor scores rows, so each session needs only one
    artifacts = common.artifacts(settings.registry_bucket, threads=1, cached=True)
    threads = available_threads(os.environ)

    @lru_cache(maxsize=1)
    def load(model: str, version: int, seal: str) -> OnnxModel:
        return artifacts.load(model, version, seal)

    @lru_cache(maxsize=1)
    def baseline(model: str, version: int, seal: str) -> dict[str, Any]:
        return artifacts.baseline(model, version, seal)

    def score(unit: Unit) -> dict[str, Any]:
        plan = _planned(unit.model, unit.run)
        return score_unit(
            unit,
            plan,
            model=lambda: load(plan.model, plan.version, plan.seal),
            inbox=inbox,
            store=store,
            cells=cells,
            features=features,
            clock=time.perf_counter,
            peak_mb=peak_mb,
            threads=threads,
            baseline=lambda: baseline(plan.model, plan.version, plan.seal),
            captures=captures,
            candidates=candidates,
        )

    return score


@lru_cache(maxsize=4)
def _planned(model: str, run: str) -> Plan:
    from quintet.batch.plans import Plan, RunPaths, plan_from
    from quintet.errors import NotFound

    found = _store(read(ScoreSettings, os.environ).scores_bucket).get(RunPaths(model, run).plan)
    plan = plan_from(found) if found else None
    if not isinstance(plan, Plan):
        raise NotFound.of("run", "a planned run", run)
    return plan


@cache
def crash_noter() -> Callable[[Unit, Mapping[str, Any]], dict[str, Any]]:
    """The writer of a result for a unit whose invocation left none."""
    from quintet.batch.crashes import note_crash

    settings = read(ScoreSettings, os.environ)
    inbox, store = _inbox(), _store(settings.scores_bucket)
    cells = _cells(settings.scores_bucket)
    artifacts = common.artifacts(settings.registry_bucket)

    def note(unit: Unit, failure: Mapping[str, Any]) -> dict[str, Any]:
        plan = _planned(unit.model, unit.run)
        return note_crash(
            unit,
            plan,
            failure,
            contract=lambda: artifacts.contract(plan.model, plan.version, plan.seal),
            inbox=inbox,
            store=store,
            cells=cells,
        )

    return note


@cache
def reporter() -> Callable[[RunPaths, str | None], dict[str, Any]]:
    """The reporter of runs; if a run succeeded, it moves the pointers of its model to it."""
    from quintet.aws.candidates import CandidatePointers
    from quintet.aws.glue import GlueDatabase
    from quintet.batch.athena import follow_pointer
    from quintet.batch.candidates import show_candidates
    from quintet.batch.reports import report_run
    from quintet.batch.tables import current_run, show_run, shows_itself
    from quintet.errors import ModelFailure, Transient
    from quintet.monitoring.samples import Reference

    settings = read(ReportSettings, os.environ)
    store, cells = _store(settings.scores_bucket), _cells(settings.scores_bucket)
    pointers = CandidatePointers(common.client("dynamodb"), settings.candidates_table)
    artifacts = common.artifacts(settings.registry_bucket)

    def now() -> datetime:
        return datetime.now(UTC)

    def reference(plan: Plan) -> Reference | None:
        version = (plan.model, plan.version, plan.seal)
        try:
            return Reference(artifacts.contract(*version), artifacts.baseline(*version))
        except ModelFailure:  # report without contract and baseline
            return None

    def report(folder: RunPaths, failure: str | None) -> dict[str, Any]:
        summary = report_run(
            folder,
            store=store,
            cells=cells,
            clock=now,
            failure=failure,
            reference=reference,
            live=lambda: current_run(folder.model, None, pointers),
            memory_mb=settings.unit_memory_mb,
        )
        if summary["status"] == "succeeded" and shows_itself(folder, store):
            catalogue(show_run(folder, store=store, cells=cells, clock=now))
            show_candidates(folder, store=store, cells=pointers, clock=now)
        return summary

    def catalogue(pointer: dict[str, Any]) -> None:
        try:
            follow_pointer(
                pointer,
                bucket=settings.scores_bucket,
                store=store,
                cells=cells,
                tables=GlueDatabase(common.client("glue"), settings.scores_database),
                contract=lambda plan: artifacts.contract(plan.model, plan.version, plan.seal),
            )
        except (ModelFailure, Transient) as error:  # the run is complete, and its pointer moved
            common.logger().warning("not catalogued", run=pointer["run"], reason=str(error))

    return report
