"""predict's handler, from API Gateway's event to its response, on moto's services."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.functions.conftest import OnlineAws, Predict, fresh_handler
from tests.kits.aws import ROOT
from tests.kits.models import (
    CONTRACTS,
    GRAPHS,
    LOG,
    ROWS,
    TEXT,
    Answer,
    event,
    publish_graph,
    renamed,
    shop_probability,
)
from tests.kits.registries import registry_at

from quintet.aws.client import AwsClient
from quintet.aws.rollouts import Rollouts
from quintet.contract import Capture, Slo
from quintet.errors import Transient
from quintet.rollouts.store import Cause
from quintet.rollouts.transitions import start
from quintet.wiring import predict as wiring

JSON = {"Content-Type": "application/json"}
GOOD = json.dumps({"records": [{"x": 3, "y": 1}]})

RECORDS, OIP, SAGEMAKER = (
    "/models/{}/predict",
    "/v2/models/{}/infer",
    "/endpoints/{}/invocations",
)


def lines(text: str) -> list[dict[str, Any]]:
    """The JSON documents that were printed: log lines and metrics."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def oip(data: str, shape: str = "[1, 2]") -> str:
    return f'{{"inputs": [{{"name": "XY", "datatype": "FP32", "shape": {shape}, "data": {data}}}]}}'


# ---- answers -------------------------------------------------------------------------------------


def test_records_are_scored(predict: Predict) -> None:
    body = json.dumps({"records": [{"x": 3, "y": 1}, {"x": 2.5}]})
    answer = predict("POST", "/models/log/predict", body, JSON)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json() == {
        "model": "log",
        "version": 1,
        "predictions": [
            {"logs": pytest.approx(np.log([4, 2]).tolist(), rel=1e-6)},
            {"logs": pytest.approx(np.log([2.5, 2.5]).tolist(), rel=1e-6)},
        ],
    }


def test_the_api_describes_itself(predict: Predict) -> None:
    whole = predict("GET", "/openapi.json")
    assert (whole.status, whole.headers["Content-Type"]) == (200, "application/json")
    for name in ("log", "shop"):
        one = predict("GET", f"/models/{name}/openapi.json").json()
        assert one["info"]["version"] == str(CONTRACTS[name].version)
        assert one["paths"].keys() <= whole.json()["paths"].keys()
    assert predict("GET", "/models/nobody/openapi.json").status == 404
    assert predict("POST", "/openapi.json").headers["Allow"] == "GET, HEAD, OPTIONS"


def test_stored_features_come_from_the_table(
    predict: Predict, online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    online_aws.put_features("customer", "fresh", {"orders_90d": 4})
    online_aws.put_features("customer", "stale", {"orders_90d": 4}, age=7200)
    asked = [{"customer": c, "amount": 100} for c in ("fresh", "stale", "nobody", "fresh")]
    answer = predict("POST", "/models/shop/predict", json.dumps({"records": asked}))
    found = answer.json()["predictions"]
    assert [p["fallback"] for p in found] == [False, True, True, False]
    assert found[0]["probability"] == pytest.approx(shop_probability(100, 1, 4), rel=1e-6)
    assert [p["probability"] for p in found[1:3]] == [0.25, 0.25]
    assert found[0] == found[3]
    assert answer.headers["X-Quintet-Fallback"] == "2"


def test_raw_tensors_pass_through_the_gateway_in_base64(predict: Predict) -> None:
    raw = np.array([[3, 1]], dtype="<f4").tobytes()
    text = json.dumps(
        {
            "inputs": [
                {
                    "name": "XY",
                    "datatype": "FP32",
                    "shape": [1, 2],
                    "parameters": {"binary_data_size": 8},
                }
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    header = "Inference-Header-Content-Length"
    answer = predict("POST", "/v2/models/log/infer", text + raw, {header: str(len(text))})
    assert answer.headers["Content-Type"] == "application/octet-stream"
    values = np.frombuffer(answer.body[int(answer.headers[header]) :], "<f4")
    assert values.tolist() == pytest.approx(np.log([4, 2]).tolist(), rel=1e-6)


def test_headers_say_what_answered(predict: Predict) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = predict(
        "POST", "/models/log/predict", GOOD, {"X-Request-Id": "mine-1", "traceparent": trace}
    )
    assert answer.headers == {
        "Content-Type": "application/json",
        "X-Request-Id": "mine-1",
        "traceparent": trace,
        "X-Quintet-Model": "log",
        "X-Quintet-Version": "1",
        "X-Quintet-Route": "live",
    }
    pinned = predict("POST", "/models/log/versions/1/predict", GOOD)
    assert pinned.headers["X-Quintet-Route"] == "pinned"


@pytest.mark.parametrize("own", ["", "a b", "x" * 129, "a\r\nX-Evil: 1", "é"])
def test_an_odd_request_id_gives_way_to_the_gateways(predict: Predict, own: str) -> None:
    answer = predict("POST", "/models/log/predict", GOOD, {"x-request-id": own})
    assert answer.headers["X-Request-Id"] == "gateway-id"


@pytest.mark.parametrize("trace", ["x", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "ff-1-2-3"])
def test_a_traceparent_that_is_none_is_not_echoed(predict: Predict, trace: str) -> None:
    answer = predict("POST", "/models/log/predict", GOOD, {"traceparent": trace})
    assert (answer.status, "traceparent" in answer.headers) == (200, False)


def test_the_prediction_cache_says_hit_or_miss_where_the_contract_has_it_on(
    predict: Predict, online_aws: OnlineAws
) -> None:
    online_aws.publish(renamed(LOG, version=7, cache_ttl=60.0))
    path = "/models/log/versions/7/predict"
    first, again = (predict("POST", path, GOOD) for _ in range(2))
    other = predict("POST", path, GOOD.replace("3", "4"))
    assert [a.headers["X-Quintet-Cache"] for a in (first, again, other)] == ["miss", "hit", "miss"]
    assert first.body == again.body != other.body


def test_a_store_that_is_lost_leaves_the_answer_to_the_rule_and_opens_the_circuit(
    predict: Predict,
    online_aws: OnlineAws,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    online_aws.put_features("customer", "known", {"orders_90d": 4})

    def ask(customer: str) -> bool:
        body = json.dumps({"records": [{"customer": customer, "amount": 1}]})
        answer = predict("POST", "/models/shop/predict", body)
        assert answer.status == 200
        fallback: bool = answer.json()["predictions"][0]["fallback"]
        return fallback

    assert not ask("known")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
    assert [ask(f"unread-{number}") for number in range(5)] == [True] * 5
    assert not ask("known")  # what is remembered does not need the store
    told = [line for line in lines(capfd.readouterr().out) if line.get("circuit")]
    assert [(line["message"], line["state"]) for line in told] == [("circuit changed", "OPEN")]


# ---- bad input, in every form --------------------------------------------------------------------

BAD = {
    "a wrong type": ('{"records": [{"x": "3"}]}', oip('["3", 1]'), '[["3", 1]]', 400),
    "a wrong number of elements": (
        '{"records": [{"x": [3, 1]}]}',
        oip("[3]"),
        "[[3]]",
        400,
    ),
    "a wrong shape": (
        '{"records": [{"x": [[3]]}]}',
        oip("[3, 1]", "[2, 1]"),
        "[[[3], [1]]]",
        400,
    ),
    "an unknown field": (
        '{"records": [{"x": 3, "z": 1}]}',
        oip("[3, 1]").replace("XY", "Z"),
        '[{"x": 3, "z": 1}]',
        400,
    ),
    "NaN": ('{"records": [{"x": NaN}]}', oip("[NaN, 1]"), "[[NaN, 1]]", 400),
    "infinity": ('{"records": [{"x": Infinity}]}', oip("[Infinity, 1]"), "[[Infinity, 1]]", 400),
    "1e999": ('{"records": [{"x": 1e999}]}', oip("[1e999, 1]"), "[[1e999, 1]]", 400),
    "past float32": ('{"records": [{"x": 1e39}]}', oip("[1e39, 1]"), "[[1e39, 1]]", 400),
    "a repeated key": (
        '{"records": [{"x": 3, "x": 4}]}',
        oip("[3, 1]").replace('"name"', '"name": "XY", "name"'),
        '[{"x": 3, "x": 4}]',
        400,
    ),
    "5,000 levels": ("[" * 5000, "[" * 5000, "[" * 5000, 400),
    "900 levels": (
        '{"records": ' + "[" * 900 + "]" * 900 + "}",
        oip("[" * 900 + "]" * 900),
        "[" * 900 + "]" * 900,
        400,
    ),
    "5,000 digits": (
        '{"records": [{"x": ' + "1" * 5000 + "}]}",
        oip("[" + "1" * 5000 + ", 1]"),
        "[[" + "1" * 5000 + ", 1]]",
        400,
    ),
    "30 digits": (
        '{"records": [{"x": ' + "1" * 30 + "}]}",
        oip("[" + "1" * 30 + ", 1]"),
        "[[" + "1" * 30 + ", 1]]",
        400,
    ),
    "an empty batch": ('{"records": []}', oip("[]", "[0, 2]"), "[]", 400),
    "a record too many": (
        json.dumps({"records": [{"x": 3}] * 11}),
        oip(str([3] * 22), "[11, 2]"),
        json.dumps([[3, 1]] * 11),
        413,
    ),
    "a body too large": (" " * 4_500_001, " " * 4_500_001, " " * 4_500_001, 413),
    "no JSON": ("x", "x", "x", 400),
    "nothing": ("", "", "", 400),
    "NaN out of the model": (
        '{"records": [{"x": -3}]}',
        oip("[-3, 1]"),
        "[[-3, 1]]",
        424,
    ),
}


def check_refusal(family: str, answer: Answer, status: int) -> None:
    """A refusal in the family's form, with nothing of the house in it."""
    told = answer.json()
    if family == RECORDS:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert told["status"] == status
        assert told["detail"]
        assert (status == 424) == ("errors" not in told)
    elif family == OIP:
        assert list(told) == ["error"]
        assert told["error"]
    else:
        kind = "ModelError" if status == 424 else "ValidationError"
        assert answer.headers["x-amzn-errortype"] == kind
        assert told["Message"]
    assert answer.status == status
    text = answer.body.decode()
    for secret in ("Traceback", "arn:", "site-packages", str(ROOT), ".py"):
        assert secret not in text


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("position", range(3), ids=["records", "oip", "sagemaker"])
def test_bad_input_is_refused_clearly(predict: Predict, case: str, position: int) -> None:
    family = (RECORDS, OIP, SAGEMAKER)[position]
    body = str(BAD[case][position])
    answer = predict("POST", family.format("log"), body, JSON)
    check_refusal(family, answer, int(BAD[case][3]))


@pytest.mark.parametrize("family", [RECORDS, OIP, SAGEMAKER])
@pytest.mark.parametrize("name", ["nope", "LOG", "..", "log%2Fx", "a" * 300, "é", "log'--"])
def test_an_unknown_model_is_refused_clearly(predict: Predict, family: str, name: str) -> None:
    answer = predict("POST", family.format(name), GOOD, JSON)
    check_refusal(family, answer, 400 if family == SAGEMAKER else 404)
    assert "X-Quintet-Model" not in answer.headers


@pytest.mark.parametrize("family", [RECORDS, OIP, SAGEMAKER])
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"\xff\xfe", JSON, 400),
        (b'{"records": [{"x": "\xc3\x28"}]}', JSON, 400),
        (gzip.compress(b"{}" * 5_000_000), {"Content-Encoding": "gzip"}, 413),
        (b"{}", {"Content-Encoding": "br"}, 415),
        (b"{}", {"Content-Type": "image/png"}, 415),
    ],
    ids=["a byte order mark", "not UTF-8", "a bomb", "brotli", "a picture"],
)
def test_bytes_that_are_no_request_are_refused_clearly(
    predict: Predict, family: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    check_refusal(family, predict("POST", family.format("log"), body, headers), status)


def test_an_entity_too_long_for_a_key_is_one_that_is_not_stored(predict: Predict) -> None:
    for _ in range(5):  # and no circuit opens
        body = json.dumps({"records": [{"customer": "ä" * 1500, "amount": 1}]})
        answer = predict("POST", "/models/shop/predict", body)
        assert (answer.status, answer.json()["predictions"][0]["fallback"]) == (200, True)
        assert answer.json()["predictions"][0]["features_age_s"] == {"orders_90d": None}


@pytest.mark.parametrize("family", [RECORDS, OIP, SAGEMAKER])
def test_base64_that_is_none_is_refused_clearly(
    online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    with fresh_handler(online_aws.environ, monkeypatch) as handler:
        for raw in ("***", "abc", "é"):
            asked = event("POST", family.format("log"), b"x") | {"body": raw}
            check_refusal(family, Answer.of(handler(asked, None)), 400)
        lone = event("POST", family.format("log")) | {"body": "\ud800"}
        check_refusal(family, Answer.of(handler(lone, None)), 400)


@pytest.mark.parametrize("family", [RECORDS, OIP, SAGEMAKER])
def test_what_was_not_foreseen_is_logged_and_not_told(
    online_aws: OnlineAws,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    family: str,
) -> None:
    with fresh_handler(online_aws.environ, monkeypatch) as handler:
        broken = event("POST", family.format("log"), GOOD) | {"body": [0]}
        answer = Answer.of(handler(broken, None))
    assert answer.status == 500
    assert "internal error" in answer.body.decode()
    assert "gateway-id" in answer.body.decode()
    assert "TypeError" not in answer.body.decode()
    (line,) = [line for line in lines(capfd.readouterr().out) if line.get("message") == "failed"]
    assert (line["level"], line["error"]) == ("ERROR", "TypeError")
    assert any("answer" in frame for frame in line["stack"])


def test_a_registry_that_does_not_answer_is_a_503(
    online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = {**online_aws.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    with fresh_handler(lost, monkeypatch) as handler:
        for family in (RECORDS, OIP, SAGEMAKER):
            answer = Answer.of(handler(event("POST", family.format("log"), GOOD), None))
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


def test_a_known_route_serves_on_and_one_line_says_so(
    online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def lost(*_: Any) -> Any:
        raise Transient("DynamoDB does not answer")

    monkeypatch.setattr("quintet.serving.model_cache.ROUTE_SECONDS", 0.0)
    with fresh_handler(online_aws.environ, monkeypatch) as handler:
        asked = event("POST", RECORDS.format("log"), GOOD)
        assert Answer.of(handler(asked, None)).status == 200
        monkeypatch.setattr("quintet.aws.registry.Registry.route", lost)
        assert [Answer.of(handler(asked, None)).status for _ in range(3)] == [200] * 3
    found = lines(capfd.readouterr().out)
    (line,) = [one for one in found if one.get("message") == "old route used"]
    assert (line["level"], line["model"]) == ("WARNING", "log")
    assert line["reason"] == "DynamoDB does not answer"
    assert line["age_s"] >= 0


# ---- logs and metrics ----------------------------------------------------------------------------


def test_a_request_leaves_one_line_and_its_metrics(
    predict: Predict, capfd: pytest.CaptureFixture[str]
) -> None:
    predict("POST", "/models/log/predict", GOOD, {"X-Request-Id": "r1"})
    line, metrics = lines(capfd.readouterr().out)
    times = {name for name in line if name.endswith("_ms")}
    assert times == {"load_ms", "decode_ms", "features_ms", "score_ms", "total_ms"}
    fixed = {name: line[name] for name in line if name not in times | {"timestamp"}}
    assert fixed == {
        "level": "INFO",
        "message": "predicted",
        "service": "predict",
        "stage": "test",
        "request_id": "r1",
        "caller": "anonymous",
        "route": "POST /models/{model}/predict",
        "model": "log",
        "version": 1,
        "served": "live",
        "rows": 1,
        "refused_rows": 0,
        "fallback_rows": 0,
        "bytes_in": line["bytes_in"],
        "bytes_out": line["bytes_out"],
        "status": 200,
    }
    (directive,) = metrics["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Quintet"
    assert set(directive["Dimensions"][0]) == {"service", "stage", "model", "route"}
    units = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
    assert units == {
        "requests_count": "Count",
        "rows_count": "Count",
        **dict.fromkeys(times, "Milliseconds"),
    }
    assert (metrics["model"], metrics["route"], metrics["rows_count"]) == ("log", "live", [1.0])


def test_a_pinned_version_counts_as_live_in_metrics(
    predict: Predict, capfd: pytest.CaptureFixture[str]
) -> None:
    predict("POST", "/models/log/versions/1/predict", GOOD)
    line, metrics = lines(capfd.readouterr().out)
    assert (line["served"], line["version"]) == ("pinned", 1)
    assert (metrics["route"], "version" in metrics) == ("live", False)


def test_an_answer_later_than_the_objective_counts_as_slow(
    predict: Predict, online_aws: OnlineAws, capfd: pytest.CaptureFixture[str]
) -> None:
    online_aws.publish(renamed(LOG, name="late", slo=Slo(p95_ms=1e-6)))
    predict("POST", "/models/late/predict", GOOD)
    predict("POST", "/models/late/predict", b"{}")
    _, answered, _, refused = lines(capfd.readouterr().out)
    assert answered["slow_requests_count"] == [1.0]
    assert "slow_requests_count" not in refused and refused["refused_requests_count"] == [1.0]


def test_a_refusal_is_logged_without_what_was_refused(
    predict: Predict, capfd: pytest.CaptureFixture[str]
) -> None:
    body = json.dumps({"records": [{"x": "3"}, {"x": 1}]})
    predict("POST", "/models/log/predict", body)
    line, metrics = lines(capfd.readouterr().out)
    names = ("level", "message", "error", "refusals", "rows", "refused_rows", "status")
    assert [line[name] for name in names] == ["INFO", "refused", "BadInput", 1, 2, 1, 400]
    assert metrics["refused_requests_count"] == [1.0]


def test_nothing_of_a_request_is_found_in_logs_or_metrics(
    predict: Predict, capfd: pytest.CaptureFixture[str]
) -> None:
    canary = "canary7f3a"
    for body in (
        {"records": [{"text": canary}]},
        {"records": [{"text": [canary]}]},
        {"records": [{canary: "x", "text": "y"}]},
        {canary: 1},
        {"records": [{"text": "x"}], "outputs": [canary]},
        {"inputs": [{"name": canary, "datatype": canary, "shape": [canary], "data": [canary]}]},
        {"inputs": canary, "id": canary},
        [canary],
        canary,
    ):
        for family in (RECORDS, OIP, SAGEMAKER):
            for model in ("text", "log", "shop"):
                predict("POST", family.format(model), json.dumps(body), {"X-Own": canary})
                predict("POST", family.format(model), json.dumps(body)[:-1])
    predict(
        "POST", "/endpoints/text/invocations", f"text\n{canary}\n", {"Content-Type": "text/csv"}
    )
    predict("POST", "/endpoints/log/invocations", f"{canary},1", {"Content-Type": canary})
    written = capfd.readouterr()
    assert len(lines(written.out)) >= 2 * 2 * 9 * 9
    assert canary not in written.out + written.err


def test_values_are_in_lines_of_captures_alone_and_sensitive_ones_nowhere(
    predict: Predict, online_aws: OnlineAws, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, version in (("shop", 14), ("text", 14)):
        online_aws.publish(replace(CONTRACTS[name], version=version, capture=Capture()))
    canary, hidden = "canary-7f3a", "hidden-9b1c"
    shop, text = (f"/models/{name}/versions/14/predict" for name in ("shop", "text"))
    answer = predict("POST", shop, json.dumps({"records": [{"customer": canary, "amount": 1}]}))
    assert answer.status == 200
    assert predict("POST", text, json.dumps({"records": [{"text": hidden}]})).status == 200
    for body in (
        {"records": [{"customer": hidden, "amount": hidden}]},
        {"records": [{"customer": "c", "amount": -1, hidden: hidden}]},
        {"records": [{"text": [hidden]}], "outputs": [hidden]},
        {hidden: 1},
    ):
        for path in (shop, text):
            assert predict("POST", path, json.dumps(body), {"X-Own": hidden}).status == 400
    written = capfd.readouterr()
    assert hidden not in written.out + written.err
    (line,) = [line for line in lines(written.out) if canary in json.dumps(line)]
    assert (line["capture"], line["entities"]) == (1, [canary])
    assert line["event"] == answer.headers["X-Quintet-Event"]
    assert sum(line.get("capture") == 1 for line in lines(written.out)) == 2 + 8


def test_without_a_key_it_is_said_once_that_sensitive_features_are_left_out(
    predict: Predict, online_aws: OnlineAws, capfd: pytest.CaptureFixture[str]
) -> None:
    s3, dynamodb = online_aws.client("s3"), online_aws.client("dynamodb")
    registry = registry_at(s3, dynamodb, bucket="registry-bucket", table="registry")
    capture = Capture(sensitive="encrypted")
    for version in (1, 2):
        contract = replace(TEXT, name="sealed", version=version, capture=capture)
        publish_graph(contract, GRAPHS["text"](), ROWS["text"], registry)
    rollouts = Rollouts(AwsClient("dynamodb", environ=online_aws.environ), "registry")
    cause = Cause(at=time.time(), by="test")
    assert rollouts.write(start(rollouts.read("sealed"), 2, cause, id="r1", steps=(1.0,)))
    body = json.dumps({"records": [{"text": "hidden-5d20"}]})
    for _ in range(3):
        assert predict("POST", "/models/sealed/predict", body).status == 200
    written = lines(capfd.readouterr().out)
    captured = [line for line in written if line.get("capture") == 1]
    assert [(line["features"], "sealed" in line) for line in captured] == [([], False)] * 3
    assert [
        (line["level"], line["reason"])
        for line in written
        if line.get("message") == "sensitive features not captured"
    ] == [("WARNING", "SealedCaptures is off: deploy the stage with SealedCaptures=on")]
    assert "hidden-5d20" not in json.dumps(written)


# ---- the house -----------------------------------------------------------------------------------


#: runs in a process of its own: init, one request, and the modules that are loaded after it
COLD = f"""
import json, sys
sys.path.insert(0, {str(ROOT / "functions/predict")!r})
import app
event = json.loads(sys.stdin.read())
answer = app.handler(event, None)
print("STATUS", answer["statusCode"], file=sys.stderr)
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def loaded_by_a_cold_start(
    aws: OnlineAws, asked: dict[str, Any], status: int, **environ: str
) -> set[str]:
    """The modules of a process that has begun and answered one request."""
    done = subprocess.run(
        [sys.executable, "-c", COLD],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
        env={
            **aws.environ,
            "QUINTET_PRELOAD": "shop",
            "PYTHONPATH": str(ROOT / "layers/quintet"),
            **environ,
        },
    )
    answered, modules = done.stderr.splitlines()[-2:]
    assert answered == f"STATUS {status}"
    return set(json.loads(modules))


ONE = '{"records": [{"customer": "c", "amount": 1}]}'


def test_a_cold_start_loads_the_modules_of_the_list(online_aws: OnlineAws) -> None:
    asked = event("POST", "/models/shop/predict", ONE)
    modules = loaded_by_a_cold_start(online_aws, asked, 200)
    heavy = {"boto3", "botocore.session", "pydantic", "arro3", "urllib3", "cryptography"}
    heavy |= {"aws_lambda_powertools", "tempfile", "html", "csv"}
    heavy |= {"logging", "decimal", "traceback", "numpy.typing"}
    assert modules & heavy == set()
    ours = sorted(name for name in modules if name.startswith("quintet"))
    # a module more is a slower cold start: add it to the list only if the first answer needs it
    assert ours == Path(__file__).with_name("cold_modules.txt").read_text().split()


def test_who_asks_for_a_job_loads_no_heavy_module_either(online_aws: OnlineAws) -> None:
    asked = event("POST", "/models/shop/predict", ONE, {"Prefer": "respond-async"})
    modules = loaded_by_a_cold_start(online_aws, asked, 202)
    heavy = {"boto3", "botocore.session", "botocore.client", "pydantic", "arro3", "urllib3"}
    heavy |= {"aws_lambda_powertools", "quintet.telemetry.traces"}
    heavy |= {"cryptography", "quintet.captures.sealing", "quintet.aws.keys"}
    assert modules & heavy == set()


def test_an_init_that_nobody_waits_for_loads_every_protocol(online_aws: OnlineAws) -> None:
    asked = event("POST", "/models/shop/predict", ONE)
    kind = {"AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"}
    protocols = {f"quintet.protocols.{name}" for name in ("kserve", "oip_infer", "sagemaker")}
    assert protocols <= loaded_by_a_cold_start(online_aws, asked, 200, **kind)


@pytest.mark.parametrize(
    ("kind", "late"), [("on-demand", True), ("provisioned-concurrency", False)]
)
def test_golden_rows_wait_for_the_second_answer_where_a_caller_waits_for_init(
    online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch, kind: str, late: bool
) -> None:
    environ = {**online_aws.environ, "AWS_LAMBDA_INITIALIZATION_TYPE": kind}
    with fresh_handler({**environ, "QUINTET_PRELOAD": "log"}, monkeypatch) as handler:
        asked, models = event("POST", "/models/log/predict", GOOD), wiring.online().models
        assert Answer.of(handler(asked, None)).status == 200
        (model, _) = models._loaded["log", 1]
        assert (model.due is not None) == late
        assert Answer.of(handler(asked, None)).status == 200
        assert model.due is None


def test_importing_the_handler_needs_no_environment() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import app"],
        cwd=ROOT / "functions/predict",
        env={"PYTHONPATH": str(ROOT / "layers/quintet")},  # as a layer is on /opt
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_model_that_cannot_be_preloaded_does_not_stop_the_others(
    online_aws: OnlineAws, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    environ = {**online_aws.environ, "QUINTET_PRELOAD": "nope, log"}
    with fresh_handler(environ, monkeypatch) as handler:
        (line,) = lines(capfd.readouterr().out)
        assert (line["message"], line["model"]) == ("not preloaded", "nope")
        assert Answer.of(handler(event("POST", "/models/log/predict", GOOD), None)).status == 200
