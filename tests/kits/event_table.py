"""The one table of the events of events/: who is asked what, and what is answered.

Those of tests/kits/events.py, which have an effect to look at, come first; others find what they
left. Whatever runs the functions is held to it: tests/local/test_events.py as the local AWS has
them, tests/built/test_events.py as they are built.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

from tests.kits.events import CASES, INBOX, RUN, Case
from tests.kits.models import shop_probability

__all__ = ["ALL", "functions"]

SETTLED: dict[str, Any] = {"batchItemFailures": []}
ANN_S_JOB = "0f8c2f0e5d6b4d0a9b1e3c7a5f4e2d1c"
STARTED = "2026-11-20T08:00:00.000Z"
#: the line of capture_lines is of an hour to come
NOTHING_TO_COMPACT = dict.fromkeys(
    (
        *("redelivered", "hours", "rows", "duplicates", "left", "damaged", "expired"),
        *("merged_labels", "merged_feedback"),
    ),
    0,
)
COUNTS = {"rows": 50, "scored": 49, "quarantined": 1, "fallback": 0, "unaccounted": 0}


def http(status: int, body: Any, *, encoded: bool = False) -> dict[str, Any]:
    """A proxy answer; the clients' tests look at headers."""
    return {"statusCode": status, "headers": ANY, "body": body, "isBase64Encoded": encoded}


def refused(status: int, title: str, detail: str, **error: Any) -> dict[str, Any]:
    """A problem with one error."""
    told = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    errors = [{"row": None, **error}]
    return http(status, {**told, "errors": errors, "refused": 1, "request_id": ANY})


def _tensor(name: str, datatype: str, *shape: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape), **more}


_SHOP = {
    "model": "shop",
    "version": 3,
    "predictions": [
        {
            "label": 1,
            "label_class": "cancelled",
            "probability": shop_probability(120.5, 2, 2),
            "fallback": False,
            "features_age_s": {"orders_90d": ANY},
        },
        {
            "label": 0,
            "label_class": "kept",
            "probability": 0.25,
            "fallback": True,
            "features_age_s": {"orders_90d": None},
        },
    ],
}


def _job(state: str, step: str) -> dict[str, Any]:
    """Ann's job, which is worked on by nobody."""
    times = dict.fromkeys(("created", "updated", "deadline"), ANY)
    told = {"id": ANN_S_JOB, "model": "log", "version": 1, "attempts": 0, "state": state}
    return {**told, **times, "progress": {"step": step, "since": ANY}}


_BINARY = (
    "eyJtb2RlbF9uYW1lIjoibG9nIiwibW9kZWxfdmVyc2lvbiI6IjEiLCJvdXRwdXRzIjpbeyJuYW1lIjoibG9ncyIsInNo"
    "YXBlIjpbMSwyXSwiZGF0YXR5cGUiOiJGUDMyIiwicGFyYW1ldGVycyI6eyJiaW5hcnlfZGF0YV9zaXplIjo4fX1dfRhy"
    "sT8YcjE/"  # the last eight bytes are two float32: the logarithms of 4 and 2
)
_REPORT = {
    "run": RUN,
    "model": "tiny",
    "status": "succeeded",
    "cause": "",
    "report": f"runs/tiny/{RUN}/report.json",
    "page": f"runs/tiny/{RUN}/report.html",
    "counts": COUNTS,
    "drift": {"compared": 0, "moved": 0},
    "callback": None,
    "seconds": ANY,
    "finished": ANY,
    "traceparent": ANY,
}
_RUN = {
    "run": RUN,
    "model": "tiny",
    "version": 3,
    "status": "succeeded",
    "cause": "",
    "counts": COUNTS,
    "input": {"bucket": INBOX, "key": "tiny/customers.csv", "version_id": None},
    "units": {"planned": 1, "done": 1},
    "started": STARTED,
    "finished": ANY,
}


_PLANNED = {"status": "planned", "units": 1, "units_key": ANY}


_TEXTS = [0.93356603, 0.00083887466, 0.031572443, 0.0034861632, 0.029497597, 0.0010388637]

#: function and event, and what is answered
_ANSWERS: tuple[tuple[str, str, Any], ...] = (
    (
        "Predict",
        "predict_infer",
        http(
            200,
            {
                "model_name": "tickets",
                "model_version": "1",
                "id": "1",
                "outputs": [
                    _tensor("label", "BYTES", 1, data=["Bottoms"]),
                    _tensor("probabilities", "FP32", 1, 6, data=_TEXTS),
                ],
            },
        ),
    ),
    ("Predict", "predict_oip_infer_binary", http(200, _BINARY, encoded=True)),
    (
        "Predict",
        "predict_oip_model",
        http(
            200,
            {
                "name": "shop",
                "versions": ["3"],
                "platform": "onnx_onnxv1",
                "inputs": [
                    _tensor("amount", "FP32", -1),
                    _tensor("items", "FP32", -1),
                    _tensor("customer", "BYTES", -1),
                ],
                "outputs": [
                    _tensor("label", "INT64", -1),
                    _tensor("probability", "FP32", -1, 1),
                ],
            },
        ),
    ),
    ("Predict", "predict_oip_ready", http(200, {"live": True, "ready": True})),
    (
        "Predict",
        "predict_oip_server",
        http(200, {"name": "quintet", "version": ANY, "extensions": ANY}),
    ),
    ("Predict", "predict_records", http(200, _SHOP)),
    ("Predict", "predict_records_version", http(200, _SHOP)),
    (
        "Predict",
        "predict_records_async",
        http(202, {"id": ANY, "model": "log", "version": 1, "state": "ACCEPTED"}),
    ),
    (
        "Predict",
        "predict_custom_domain",
        http(202, {"id": ANY, "model": "log", "version": 1, "state": "ACCEPTED"}),
    ),
    (
        "Predict",
        "predict_records_unknown_model",
        refused(
            404,
            "Not Found",
            "Request for unknown model: 'nope' is not found",
            field="model",
            expected="a published model",
            got="'nope'",
        ),
    ),
    (
        "Predict",
        "predict_sagemaker_csv",
        http(200, "1.3862944,0.6931472\n0.91629076,0.91629076\n"),
    ),
    (
        "Predict",
        "predict_sagemaker_json",
        http(
            200,
            {
                "model": "log",
                "version": 1,
                "predictions": [
                    {"logs": [1.3862944, 0.6931472]},
                    {"logs": [0.91629076, 0.91629076]},
                ],
            },
        ),
    ),
    ("Submit", "submit_job", http(200, _job("ACCEPTED", "waiting"))),
    ("Submit", "submit_cancel", http(200, _job("CANCELLED", "ended"))),
    ("Submit", "submit_invoke_inline", http(202, {"InferenceId": "mine"})),
    ("Submit", "submit_invoke_s3", http(202, {"InferenceId": ANY})),
    ("Submit", "submit_list", http(200, {"jobs": ANY, "next": None})),
    # the role's other session made one; the other callers have none
    ("Submit", "submit_list_assumed_role", http(200, {"jobs": [ANY], "next": None})),
    ("Submit", "submit_list_identity_pool", http(200, {"jobs": [], "next": None})),
    ("Submit", "submit_list_user_pool", http(200, {"jobs": [], "next": None})),
    ("Work", "work_delivered_twice", SETTLED),
    ("Work", "work_last_receive", SETTLED),
    ("Work", "work_not_ours", SETTLED),
    ("Sweep", "sweep_schedule", {"expired": 0, "buried": 0, "announced": 0, "failed": 0}),
    ("Capture", "capture_lines", None),
    ("Capture", "capture_control", None),
    ("Compact", "compact_schedule", NOTHING_TO_COMPACT),
    ("Notify", "notify_completed", SETTLED),
    ("Notify", "notify_alert", SETTLED),
    ("Notify", "notify_not_ours", SETTLED),
    ("Drop", "drop_several", SETTLED),
    ("Drop", "drop_test_event", SETTLED),
    ("Drop", "drop_not_ours", SETTLED),
    ("Rollout", "rollout_look", {"done": True, "wait": 0, "event": None}),
    ("Rollout", "rollout_alarm", SETTLED),
    ("PlanRun", "plan_run_file", _PLANNED),
    ("PlanRun", "plan_run_prefix", _PLANNED),
    ("PlanRun", "plan_run_unknown_model", {"status": "refused", "units": 0, "units_key": None}),
    ("ReportRun", "report_run_scored", _REPORT),
    ("ReportRun", "report_run_failed", _REPORT),  # what a report says is not taken back
    ("Runs", "runs_list", http(200, {"runs": ANY, "next": None})),
    ("Runs", "runs_show", http(200, {**_RUN, "links": {"page": ANY, "report": ANY}})),
    (
        "Runs",
        "runs_stop",
        refused(
            404,
            "Not Found",
            "run: expected a run of tiny, got 'tiny-month-2026-01-0'",
            field="run",
            expected="a run of tiny",
            got="'tiny-month-2026-01-0'",
        ),
    ),
    ("Runs", "runs_start", http(202, {"model": "tiny", "run": ANY, "status": "starting"})),
    ("Runs", "runs_scheduled", {"model": "tiny", "run": ANY, "new": True}),
    (
        "GetScores",
        "get_scores",
        http(
            200,
            {
                "model": "tiny",
                "version": 3,
                "customer": "c7",
                "outputs": {"score": 0.5},
                "scored": "2027-01-15T08:00:00.000Z",
                "source": "stream",
            },
        ),
    ),
    ("AddLabels", "add_labels", http(200, {"model": "shop", "labels": 1})),
    ("AddLabels", "add_feedback", http(200, {"model": "shelf", "feedback": 2})),
    ("ScoreStream", "score_stream_poison", SETTLED),
    ("ScoreStream", "score_stream_final", {"state": {}, **SETTLED}),
    ("ScoreStream", "score_stream_final_without_records", {"state": {}, **SETTLED}),
    ("ScoreStream", "score_stream_terminated_early", {"state": {}, **SETTLED}),
)

ALL: tuple[Case, ...] = (*CASES, *(Case(*answer) for answer in _ANSWERS))


def functions() -> list[str]:
    """Who is asked, by logical id."""
    return sorted({case.function for case in ALL})
