"""Callers with a key, on the local AWS: who is let in, to which models, how often, and as whom."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import numpy as np
import pytest
import tritonclient.http as triton
from botocore import UNSIGNED
from botocore.config import Config
from tests.kits import models
from tests.kits.aws import environ
from tests.kits.events import event
from tests.kits.local_aws import LocalAws, eventually, start_local_aws
from typer.testing import CliRunner

from quintet.aws.caller_keys import KeyTable
from quintet.aws.client import AwsClient
from quintet.callers.keys import make_key
from quintet_cli.app import app

PREDICT = "/models/log/predict"
RECORDS = {"records": [{"x": 2.0, "y": 1.0}]}
SECONDS = 90


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    found = start_local_aws(tmp_path_factory.mktemp("callers"), parameters={"ApiAuth": "keys"})
    registry = (found.outputs[f"Registry{kind}Name"] for kind in ("Bucket", "Table"))
    bucket, table = registry
    for name in ("log", "shop"):
        contract = models.CONTRACTS[name]
        models.publish(contract, found.client("s3"), found.client("dynamodb"), bucket, table)
    yield found
    found.stop()


def quintet(local: LocalAws, *arguments: str) -> Any:
    """What a command prints with --json."""
    result = CliRunner().invoke(app, [*arguments, "--json", "--state", str(local.state)])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def key(local: LocalAws, name: str, *options: str) -> str:
    """A new key of a caller."""
    found: str = quintet(local, "keys", "create", name, *options)["key"]
    return found


def ask(
    local: LocalAws, sent: str | None, path: str = PREDICT, value: Any = RECORDS, **given: Any
) -> tuple[int, dict[str, str], Any]:
    """A request with a key; its status, headers and JSON. A value of None is a GET."""
    body = None if value is None else json.dumps(value).encode()
    headers = {"Content-Type": "application/json", **given.get("headers", {})}
    if sent is not None:
        headers["Authorization"] = f"Bearer {sent}"
    request = urllib.request.Request(
        local.api_url + path, body, headers, method=given.get("method")
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, _lower(answer.headers), json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, _lower(error.headers), json.loads(error.read())


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def test_a_key_is_let_in_by_either_header_and_stands_in_the_log(local: LocalAws) -> None:
    sent = key(local, "web-shop")
    status, _, body = ask(local, sent)
    assert (status, body["model"]) == (200, "log")
    status, _, _ = ask(local, None, headers={"x-api-key": sent})
    assert status == 200
    assert eventually(lambda: '"caller":"web-shop"' in local.logs("Predict"))
    assert sent not in local.logs("Predict") + local.logs("Authorise")


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (None, "expected a credential in Authorization: Bearer or x-api-key, got none"),
        ("qk_aaaaaaaaaaaaaaaa_" + "A" * 43, "the key is not known"),
        ("hunter2", "expected a key of this API (qk_...), got something else"),
    ],
)
def test_without_a_key_of_the_stage_nobody_is_let_in(
    local: LocalAws, sent: str | None, message: str
) -> None:
    for path, value in ((PREDICT, RECORDS), ("/v2/health/ready", None), ("/jobs", None)):
        status, headers, body = ask(local, sent, path, value)
        assert (status, body) == (401, {"message": message})
        assert headers["www-authenticate"] == "Bearer"
        assert headers["content-type"] == "application/json"
    request = urllib.request.Request(local.api_url + PREDICT, method="OPTIONS")
    with urllib.request.urlopen(request, timeout=60) as answer:  # a browser asks without
        assert answer.status == 204


def test_a_key_that_has_expired_or_was_revoked_is_refused_with_the_reason(local: LocalAws) -> None:
    expired, text = make_key("old-shop", 1_000_000_000.0, expires=1_000_000_001.0)
    client = AwsClient("dynamodb", environ=environ(local.endpoint_url))
    KeyTable(client, local.outputs["KeysTableName"]).add(expired)
    status, _, body = ask(local, text)
    assert (status, body) == (
        401,
        {"message": f"the key {expired.id} expired on 2001-09-09; ask for another"},
    )
    made = quintet(local, "keys", "create", "gone-shop")
    assert ask(local, made["key"])[0] == 200
    assert quintet(local, "keys", "revoke", made["id"])["state"] == "revoked"

    def refused() -> Any:  # the authoriser keeps a key for some seconds
        status, _, body = ask(local, made["key"])
        return body["message"] if status == 401 else None

    assert f"the key {made['id']} was revoked on" in eventually(refused, SECONDS)
    states = {one["name"]: one["state"] for one in quintet(local, "keys", "ls")}
    assert (states["old-shop"], states["gone-shop"]) == ("expired", "revoked")


#: every way to name a model: method, path and body
NAMED: list[tuple[str, str, Any]] = [
    ("POST", "/models/shop/predict", RECORDS),
    ("POST", "/models/shop/versions/1/predict", RECORDS),
    ("GET", "/models/shop/openapi.json", None),
    ("GET", "/models/shop/recommendations/u1", None),
    ("POST", "/models/shop/recommendations/u1", {}),
    ("POST", "/v2/models/shop/infer", {"inputs": []}),
    ("POST", "/v2/models/shop/versions/1/infer", {"inputs": []}),
    ("GET", "/v2/models/shop", None),
    ("GET", "/v2/models/shop/ready", None),
    ("GET", "/v2/models/shop/versions/1/stats", None),
    ("POST", "/v2/repository/models/shop/load", {}),
    ("POST", "/v2/repository/models/shop/unload", {}),
    ("GET", "/v1/models/shop", None),
    ("POST", "/v1/models/shop:predict", {"instances": []}),
    ("POST", "/endpoints/shop/invocations", {}),
    ("POST", "/endpoints/shop/invocations-response-stream", {}),
    ("POST", "/endpoints/shop/async-invocations", {}),
    ("GET", "/scores/shop/ann", None),
    ("POST", "/runs", {"model": "shop", "prefix": "x/"}),
    ("GET", "/runs?model=shop", None),
    ("GET", "/runs/shop/r1", None),
    ("DELETE", "/runs/shop/r1", None),
    ("POST", "/labels", {"model": "shop", "labels": [{}]}),
    ("POST", "/feedback", {"model": "shop", "feedback": [{}]}),
]


@pytest.fixture(scope="module")
def limited(local: LocalAws) -> str:
    """A key that may ask the model log alone."""
    return key(local, "limited-shop", "--models", "log,other")


@pytest.mark.parametrize(("method", "path", "value"), NAMED, ids=lambda one: str(one)[:40])
def test_a_key_asks_its_own_models_alone(
    local: LocalAws, limited: str, method: str, path: str, value: Any
) -> None:
    status, _, body = ask(local, limited, path, value, method=method)
    assert status == 403, body
    assert "one that this caller may ask: log, other" in json.dumps(body)
    unlimited = key(local, "unlimited-shop")
    assert ask(local, unlimited, path, value, method=method)[0] != 403


def test_a_job_of_another_model_is_refused_too(local: LocalAws, limited: str) -> None:
    prefer = {"Prefer": "respond-async"}
    for path in ("/models/shop/predict", "/v2/models/shop/infer", "/endpoints/shop/invocations"):
        assert ask(local, limited, path, RECORDS, headers=prefer)[0] == 403
    assert ask(local, limited, PREDICT, RECORDS, headers=prefer)[0] == 202


def test_lists_name_the_models_that_a_key_may_ask(local: LocalAws, limited: str) -> None:
    assert ask(local, limited)[0] == 200
    assert ask(local, limited, "/v1/models", None)[2] == {"models": ["log"]}
    assert ask(local, limited, "/v2/models", None)[2] == {"models": ["log"]}
    index = ask(local, limited, "/v2/repository/index", {})[2]
    assert [one["name"] for one in index] == ["log"]
    document = json.dumps(ask(local, limited, "/openapi.json", None)[2])
    assert "/models/log/predict" in document
    assert "/models/shop/" not in document
    stats = ask(local, limited, "/v2/models/stats", None)[2]
    assert {one["name"] for one in stats["model_stats"]} <= {"log"}


def test_callers_do_not_see_each_others_jobs(local: LocalAws) -> None:
    ann, bob = key(local, "ann"), key(local, "bob")
    status, _, job = ask(local, ann, headers={"Prefer": "respond-async"})
    assert status == 202
    path = f"/jobs/{job['id']}"
    assert ask(local, ann, path, None)[0] == 200
    assert ask(local, bob, path, None)[0] == 404
    assert ask(local, bob, path, None, method="DELETE")[0] == 404
    assert ask(local, bob, "/jobs", None)[2]["jobs"] == []
    assert [one["id"] for one in ask(local, ann, "/jobs", None)[2]["jobs"]] == [job["id"]]
    # another key of the same caller is the same caller
    assert ask(local, key(local, "ann"), path, None)[0] == 200


def test_a_rate_throttles_its_own_key(local: LocalAws) -> None:
    slow, quick = key(local, "slow-shop", "--rate", "1"), key(local, "quick-shop")

    def throttled() -> Any:
        status, headers, body = ask(local, slow)
        assert status in (200, 429), body
        return (headers, body) if status == 429 else None

    headers, body = eventually(throttled, SECONDS)
    assert body == {"message": "too many requests a second; try again in a second"}
    assert headers["retry-after"] == "1"
    assert ask(local, quick)[0] == 200
    revoked = next(one for one in quintet(local, "keys", "ls") if one["name"] == "slow-shop")
    quintet(local, "keys", "revoke", revoked["id"])
    names = [k["name"] for k in local.client("apigateway").get_api_keys()["items"]]
    assert not [name for name in names if "/slow-shop/" in name]


def test_unmodified_clients_send_a_key(local: LocalAws) -> None:
    sent = key(local, "clients")
    client = triton.InferenceServerClient(urlsplit(local.api_url).netloc)
    inputs = []
    for name, value in (("x", 2.0), ("y", 1.0)):
        inputs.append(triton.InferInput(name, [1], "FP32"))
        inputs[-1].set_data_from_numpy(np.array([value], np.float32))
    found = client.infer("log", inputs, headers={"x-api-key": sent})
    assert found.get_response()["model_name"] == "log"
    client.close()

    def with_key(params: dict[str, Any], **_: Any) -> None:
        params["headers"]["Authorization"] = f"Bearer {sent}"

    runtime = boto3.client(
        "sagemaker-runtime",
        endpoint_url=local.api_url,
        region_name="us-east-1",
        config=Config(signature_version=UNSIGNED),
    )
    runtime.meta.events.register("before-call.sagemaker-runtime", with_key)
    answer = runtime.invoke_endpoint(
        EndpointName="log", ContentType="application/json", Body=json.dumps(RECORDS)
    )
    assert json.loads(answer["Body"].read())["model"] == "log"

    curl = ["curl", "-sS", "-H", f"Authorization: Bearer {sent}", "-d", json.dumps(RECORDS)]
    printed = subprocess.run([*curl, local.api_url + PREDICT], capture_output=True, check=True)
    assert json.loads(printed.stdout)["model"] == "log"


def test_keys_and_their_rates_outlive_a_restart(tmp_path: Any) -> None:
    first = start_local_aws(tmp_path, parameters={"ApiAuth": "keys"})
    sent = key(first, "kept-shop", "--rate", "100")
    path = "/v2/health/ready"
    assert ask(first, sent, path, None)[0] == 200
    first.stop()
    again = start_local_aws(tmp_path, parameters={"ApiAuth": "keys"})
    try:
        assert ask(again, sent, path, None)[0] == 200
        (plan,) = again.client("apigateway").get_usage_plans()["items"]
        assert plan["throttle"] == {"rateLimit": 100.0, "burstLimit": 100}
    finally:
        again.stop()


def test_the_command_sends_a_key_of_its_user(
    local: LocalAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    records = tmp_path / "records.json"
    records.write_text(json.dumps(RECORDS))
    asked = ["predict", "log", "--records", str(records), "--state", str(local.state)]
    refused = CliRunner().invoke(app, asked)
    assert refused.exit_code != 0
    monkeypatch.setenv("QUINTET_KEY", key(local, "ann"))
    found = CliRunner().invoke(app, asked)
    assert found.exit_code == 0, found.output


def test_the_sample_event_asks_the_authoriser(local: LocalAws) -> None:
    asked = event("authorise_key")

    def answered() -> tuple[str, str, list[str]]:
        answer = local.client("lambda").invoke(
            FunctionName="quintet-local-Authorise", Payload=json.dumps(asked)
        )
        found = json.loads(answer["Payload"].read())
        (statement,) = found["policyDocument"]["Statement"]
        return found["principalId"], statement["Effect"], sorted(found["context"])

    assert answered() == ("refused", "Deny", ["message"])  # nobody has made its key
    asked["multiValueHeaders"]["x-api-key"] = [key(local, "events", "--models", "log")]
    assert answered() == ("events", "Allow", ["models"])
