"""Settings come from the environment, and say which variable is wrong."""

from __future__ import annotations

import pytest

from quintet.settings import PredictSettings, RolloutSettings, SettingsError, read

ENVIRON = {
    "QUINTET_STAGE": "dev",
    "QUINTET_REGISTRY_BUCKET": "bucket",
    "QUINTET_REGISTRY_TABLE": "registry",
    "QUINTET_FEATURES_TABLE": "features",
    "QUINTET_CANDIDATES_TABLE": "candidates",
    "QUINTET_JOBS_TABLE": "jobs",
    "QUINTET_ENDPOINTS_TABLE": "endpoints",
    "QUINTET_PAYLOADS_BUCKET": "payloads",
    "QUINTET_WORK_QUEUE_URL": "http://queues/work",
    "QUINTET_JOB_RETENTION_DAYS": "7",
}


def test_what_is_set_is_read_and_the_rest_has_defaults() -> None:
    environ = {**ENVIRON, "QUINTET_PRELOAD": "a, b,,", "QUINTET_MODEL_MEMORY_MB": "64"}
    assert read(PredictSettings, environ) == PredictSettings(
        stage="dev",
        registry_bucket="bucket",
        registry_table="registry",
        features_table="features",
        candidates_table="candidates",
        jobs_table="jobs",
        endpoints_table="endpoints",
        payloads_bucket="payloads",
        work_queue_url="http://queues/work",
        job_retention_days=7,
        preload=("a", "b"),
        model_memory_mb=64,
    )


def test_a_missing_variable_is_named() -> None:
    environ = {name: value for name, value in ENVIRON.items() if name != "QUINTET_FEATURES_TABLE"}
    with pytest.raises(SettingsError, match=r"^QUINTET_FEATURES_TABLE is not set$"):
        read(PredictSettings, environ)


def test_a_variable_of_another_type_is_named() -> None:
    with pytest.raises(SettingsError, match=r"^QUINTET_MODEL_MEMORY_MB must be of type int"):
        read(PredictSettings, {**ENVIRON, "QUINTET_MODEL_MEMORY_MB": "much"})


def test_a_list_is_read_by_the_type_of_its_parts() -> None:
    others = ("CAPTURES_BUCKET", "ROLLOUT_QUEUE_URL", "ROLLOUT_DEAD_LETTERS_URL")
    environ = ENVIRON | {f"QUINTET_{name}": "there" for name in others}
    environ["QUINTET_ANSWER_TIMEOUTS"] = "30, 60,900"
    assert read(RolloutSettings, environ).answer_timeouts == (30, 60, 900)
    environ["QUINTET_ANSWER_TIMEOUTS"] = "30,long"
    with pytest.raises(
        SettingsError, match=r"^QUINTET_ANSWER_TIMEOUTS must be of type int, not 'l"
    ):
        read(RolloutSettings, environ)
