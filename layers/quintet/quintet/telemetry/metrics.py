"""Every metric that a function writes, with its meaning; the suffix of a name is its unit.

`python -m docs.generate --write` puts them into docs/metrics.md.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
"""

from __future__ import annotations

from typing import Literal

__all__ = [
    "AGES",
    "CALLBACKS",
    "CAPTURES",
    "COMPARISONS",
    "DRIFT",
    "LOADS",
    "METRICS",
    "REQUESTS",
    "ROLLOUTS",
    "SLO",
    "STREAM",
    "Unit",
]

Unit = Literal["Count", "Milliseconds", "None", "Seconds"]

#: metrics of `predict`, by stage, and by model and route if the model was found
REQUESTS = {
    "requests_count": "requests",
    "refused_requests_count": "requests refused for what the caller sent",
    "failed_requests_count": "requests that failed on our side",
    "slow_requests_count": "requests answered later than the contract's `slo.p95_ms`",
    "rows_count": "rows asked for",
    "refused_rows_count": "rows refused",
    "fallback_rows_count": "rows that the fallback rule answered",
    "cache_hits_count": "requests that the prediction cache answered",
    "circuit_opened_count": "times the circuit to the feature store opened",
    "recommended_reranked_count": "recommendations in the order of the ranker",
    "recommended_candidates_count": "recommendations of candidates in their own order",
    "recommended_segment_count": "recommendations of what is popular in the user's segment",
    "recommended_popular_count": "recommendations of what is popular",
    "hidden_failures_count": "recommendations whose ranker failed, which a fallback answered",
    "load_ms": "finding, and at first loading, the model",
    "read_ms": "reading candidates and stored features, for a recommendation",
    "decode_ms": "reading the request; of a recommendation, making the rows",
    "features_ms": "reading stored features",
    "score_ms": "running the model",
    "filter_ms": "ordering and filtering a recommendation",
    "total_ms": "the whole request",
}
#: metrics of `notify` for each attempt, by stage, model and channel (webhook, sns)
CALLBACKS = {
    "callbacks_delivered_count": "callbacks that the receiver took",
    "callbacks_retried_count": "attempts that failed and are repeated later",
    "callbacks_given_up_count": "callbacks that failed for a day",
    "callbacks_stopped_count": "callbacks to an endpoint that is gone or disabled",
    "callback_age_seconds": "time from the job's end to its delivery",
    "callback_waiting_seconds": "time from the job's end to an attempt that failed, by stage alone",
}
#: metrics of `score_stream` for each invocation, by stage
STREAM = {
    "records_count": "records received",
    "undecodable_records_count": "records that could not be read, now in quarantine",
    "repeated_records_count": "records that an earlier invocation had scored",
    "failed_batches_count": "batches that Lambda delivers again",
    "late_rows_count": "rows of windows that had closed",
    "out_of_order_rows_count": "rows older than a row before them",
    "window_parts_count": "parts of windows closed",
    "window_spills_count": "parts stored early because the window's state grew too large",
    "window_state_lost_count": "windows whose state did not come back from Lambda",
    "alerts_count": "alerts raised",
    "suppressed_alerts_count": "alerts not raised, in an entity's cool-down",
    "record_age_ms": "age of the oldest record when it was scored",
    "sink_ms": "writing predictions, quarantine, latest scores and alerts",
    "windows_ms": "aggregating windows",
}
#: metrics of `capture` and `compact`, by stage
CAPTURES = {
    "captured_rows_count": "rows of captures written",
    "unreadable_captures_count": "lines of captures that could not be read, and are lost",
    "redelivered_captures_count": "deliveries that Lambda had given up, written by compact",
    "compacted_rows_count": "new rows merged into their hour",
    "duplicate_captures_count": "rows that had come more than once",
    "damaged_captures_count": "damaged objects of captures, labels or feedback, which stay",
    "expired_captures_count": "objects deleted because their contract's days were over",
}
#: metrics of `compare`, by stage
COMPARISONS = {
    "compared_rows_count": "captured rows of rollouts of which evidence was written",
    "paired_rows_count": "those of them that both versions answered",
    "shadow_captures_count": "rows that a candidate answered in shadow",
    "dropped_comparisons_count": "objects of captures that were gone, or whose rollout was",
    "failed_comparisons_count": "objects of captures that are compared again later",
}
#: metrics of `report_day`, by stage and model
DRIFT = {
    "moved_features_count": "features, outputs and labels whose distribution had moved on the day",
    "drifting_features_count": "features, outputs and labels that had moved on two of three days",
    "drifting_models_count": "models with such a feature, by stage alone",
}
#: metrics of every function that loads a model, by stage and model
LOADS = {
    "golden_warnings_count": "loads that serve with `when_golden_differs: warn`, although golden "
    "outputs differ by more than their tolerance",
}
#: metrics of `monitor`: by stage, model and window, and by stage and pair of windows
SLO = {
    "burn_ratio": "how many times too fast a model's error budget is spent",
    "burning_models_count": "models whose error budget burns too fast over a pair of windows",
}
#: metrics of `watch_ages`: by stage and model, and by stage
AGES = {
    "feature_age_ratio": "the 95th percentile of a stored feature's ages as a share of its "
    "`max_age`; of several features, the largest",
    "aging_features_count": "stored features for which that is above 0.8",
}
#: metrics of `rollout` and `compare`, by stage and model
ROLLOUTS = {
    "rollout_changes_count": "changes of a rollout, also by event (advanced, paused, promoted, "
    "rolled_back, finished)",
    "unjudged_rollouts_count": "looks at a rollout without a verdict, because its evidence could "
    "not be judged",
}
_UNITS: dict[str, Unit] = {
    "count": "Count",
    "ms": "Milliseconds",
    "ratio": "None",
    "seconds": "Seconds",
}

_ALL = (
    *(REQUESTS, CALLBACKS, STREAM, CAPTURES, COMPARISONS),
    *(DRIFT, LOADS, SLO, AGES, ROLLOUTS),
)

#: the CloudWatch unit of each metric
METRICS: dict[str, Unit] = {
    name: _UNITS[name.rpartition("_")[2]] for names in _ALL for name in names
}
