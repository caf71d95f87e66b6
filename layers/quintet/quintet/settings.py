"""Each function's settings, read once from the environment that template.yaml sets."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from quintet.record import Record

__all__ = [
    "AcceptSettings",
    "AgesSettings",
    "ApiSettings",
    "AuthoriseSettings",
    "CaptureSettings",
    "CompareSettings",
    "DropSettings",
    "GetScoresSettings",
    "LabelSettings",
    "MonitorSettings",
    "NotifySettings",
    "PlanSettings",
    "PredictSettings",
    "ReportDaySettings",
    "ReportSettings",
    "RolloutSettings",
    "RunsSettings",
    "ScoreSettings",
    "SealSettings",
    "SettingsError",
    "StreamSettings",
    "SubmitSettings",
    "SweepSettings",
    "WorkSettings",
    "read",
]

Settings = TypeVar("Settings")


class SettingsError(Exception):
    """An environment variable is missing or invalid."""


class ApiSettings(Record):
    """Settings of functions that answer HTTP requests; `auth` none admits anonymous callers.

    It is how the API authenticates: iam, keys, jwt or none.
    """

    stage: str
    auth: str = "iam"


class AuthoriseSettings(Record):
    """Settings of `authorise`: `auth` is keys or jwt.

    `shared_plan_key` names the usage plan of callers without a rate. An empty `jwt_keys_url` is
    found by the issuer's discovery.
    """

    auth: str
    keys_table: str
    shared_plan_key: str
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_keys_url: str = ""


class SealSettings(Record):
    """Settings of functions that encrypt sensitive features in captures, or open them.

    `capture_key` is the ARN of the stage's key; empty with SealedCaptures off.
    """

    stage: str
    capture_key: str = ""


class AcceptSettings(ApiSettings):
    """Settings of functions that accept jobs."""

    jobs_table: str
    endpoints_table: str
    payloads_bucket: str
    work_queue_url: str
    job_retention_days: int


class PredictSettings(AcceptSettings, SealSettings):
    """Settings of `predict`. Names have no default."""

    registry_bucket: str
    registry_table: str
    features_table: str
    candidates_table: str
    preload: tuple[str, ...] = ()
    model_memory_mb: int = 512
    feature_cache_seconds: Annotated[float, "how long stored features are kept in memory"] = 5.0
    feature_connect_seconds: Annotated[
        float, "how long connecting to the feature store may take"
    ] = 0.25
    feature_read_seconds: Annotated[float, "how long one read of the feature store may take"] = 0.5
    breaker_failures: Annotated[
        int, "failures in a row that open an environment's circuit to the feature store"
    ] = 3
    breaker_recovery_seconds: Annotated[
        int, "how long the circuit stays open before one request tries the feature store again"
    ] = 10
    prediction_cache_entries: Annotated[
        int, "answers that the prediction cache of one environment keeps"
    ] = 1_000


class SubmitSettings(AcceptSettings):
    """Settings of `submit`."""

    registry_bucket: str
    registry_table: str
    notify_queue_url: str


class WorkSettings(SealSettings):
    """Settings of `work`."""

    registry_bucket: str
    registry_table: str
    features_table: str
    model_memory_mb: int
    jobs_table: str
    payloads_bucket: str
    work_queue_url: str
    work_dead_letters_url: str
    notify_queue_url: str
    work_timeout_seconds: int
    job_retention_days: int


class NotifySettings(Record):
    """Settings of `notify`."""

    stage: str
    jobs_table: str
    endpoints_table: str
    endpoint_secrets_table: str
    notify_queue_url: str
    notify_dead_letters_url: str
    notify_max_concurrency: int
    jobs_topic_arn: str
    callback_hosts: str  # public, or loopback to allow this machine, too
    job_retention_days: int
    stream_table: str


class SweepSettings(Record):
    """Settings of `sweep`."""

    stage: str
    jobs_table: str
    payloads_bucket: str
    work_queue_url: str
    work_dead_letters_url: str
    work_visibility_seconds: int
    notify_queue_url: str
    job_retention_days: int


class StreamSettings(SealSettings):
    """Settings of `score_stream`; `stream_model` is the model of records that name none."""

    registry_bucket: str
    registry_table: str
    features_table: str
    model_memory_mb: int
    stream_bucket: str
    stream_table: str
    scores_table: str
    captures_bucket: str
    compare_queue_url: str
    alerts_topic_arn: str
    notify_queue_url: str
    alert_endpoint: str = ""
    stream_model: str = ""
    scores_retention_days: int = 30


class DropSettings(Record):
    """Settings of `drop`."""

    state_machine_arn: str
    drop_dead_letters_url: str


class PlanSettings(Record):
    """Settings of `plan_run`; `unit_bytes` is the approximate input size of one unit."""

    registry_bucket: str
    registry_table: str
    scores_bucket: str
    unit_bytes: int


class ScoreSettings(Record):
    """Settings of `score_unit`."""

    registry_bucket: str
    scores_bucket: str
    features_table: str
    captures_bucket: str
    candidates_table: str


class ReportDaySettings(Record):
    """Settings of `report_day`."""

    stage: str
    registry_bucket: str
    registry_table: str
    captures_bucket: str
    rollout_queue_url: str


class ReportSettings(Record):
    """Settings of `report_run`; `unit_memory_mb` is the memory of `score_unit`."""

    registry_bucket: str
    scores_bucket: str
    scores_database: str
    candidates_table: str
    unit_memory_mb: int


class RunsSettings(ApiSettings):
    """Settings of `runs`."""

    registry_table: str
    inbox_bucket: str
    scores_bucket: str
    endpoints_table: str
    state_machine_arn: str


class CapturesSettings(Record):
    """Settings of functions that read captures."""

    stage: str
    captures_bucket: str


class CaptureSettings(CapturesSettings):
    """Settings of `capture` and `compact`."""

    compare_queue_url: str


class CompareSettings(CaptureSettings, SealSettings):
    """Settings of `compare`; see `RolloutSettings`."""

    registry_bucket: str
    registry_table: str
    model_memory_mb: int
    compare_dead_letters_url: str
    compare_timeout_seconds: int
    answer_timeouts: tuple[int, ...]
    alarm_topic_arn: str = ""


class LabelSettings(ApiSettings):
    """Settings of `add_labels`."""

    registry_bucket: str
    registry_table: str
    captures_bucket: str


class AgesSettings(CapturesSettings):
    """Settings of `watch_ages`."""

    registry_bucket: str
    registry_table: str


class MonitorSettings(Record):
    """Settings of `monitor`; without a topic, it sends no notices."""

    stage: str
    registry_bucket: str
    registry_table: str
    rollout_queue_url: str
    alarm_topic_arn: str = ""


class RolloutSettings(Record):
    """Settings of `rollout`; without a topic, it sends no notices.

    `answer_timeouts` are those of the functions that answer with a rollout's versions, in seconds.
    """

    stage: str
    registry_bucket: str
    registry_table: str
    captures_bucket: str
    rollout_queue_url: str
    rollout_dead_letters_url: str
    answer_timeouts: tuple[int, ...]
    alarm_topic_arn: str = ""


class GetScoresSettings(ApiSettings):
    """Settings of `get_scores`."""

    registry_bucket: str
    registry_table: str
    scores_table: str


def read(kind: type[Settings], environ: Mapping[str, str]) -> Settings:
    """Read settings from the environment: the field `registry_table` is QUINTET_REGISTRY_TABLE.

    A tuple is a comma-separated text.

    Raises:
        SettingsError: a variable is missing, or does not have its field's type.
    """
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        variable = f"QUINTET_{field.name.upper()}"
        text = environ.get(variable)
        if text is None:
            if field.default is dataclasses.MISSING:
                raise SettingsError(f"{variable} is not set")
            continue
        values[field.name] = _convert(variable, hints[field.name], text)
    return kind(**values)


def _convert(variable: str, hint: Any, text: str) -> Any:
    if typing.get_origin(hint) is tuple:
        of = typing.get_args(hint)[0]
        parts = (part.strip() for part in text.split(","))
        return tuple(_convert(variable, of, part) for part in parts if part)
    try:
        return hint(text)
    except ValueError:
        raise SettingsError(f"{variable} must be of type {hint.__name__}, not {text!r}") from None
