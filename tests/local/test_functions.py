"""How the Lambda plane runs functions, seen through boto3."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.kits.local_aws import LocalAws, eventually

ECHO = "quintet-local-Echo"


def call(
    stack: LocalAws, event: dict[str, Any], name: str = ECHO, **options: Any
) -> tuple[Any, dict[str, Any]]:
    """The function's answer, decoded, and what came with it."""
    answer = stack.client("lambda").invoke(
        FunctionName=name, Payload=json.dumps(event).encode(), **options
    )
    return json.loads(answer["Payload"].read() or b"null"), answer


def test_an_environment_is_warm_for_the_next_call(stack: LocalAws) -> None:
    first, _ = call(stack, {})
    second, _ = call(stack, {})
    assert (second["pid"], second["calls"]) == (first["pid"], first["calls"] + 1)


def test_a_function_sees_what_lambda_gives_it(stack: LocalAws) -> None:
    context = base64.b64encode(json.dumps({"custom": {"who": "me"}}).encode()).decode()
    answer, response = call(stack, {}, ClientContext=context)
    assert 0 < answer.pop("remaining_ms") <= 1000
    assert len(answer.pop("request_id")) == 36
    del answer["pid"], answer["calls"]
    assert answer == {
        "version": "$LATEST",
        "arn": f"arn:aws:lambda:us-east-1:123456789012:function:{ECHO}",
        "memory": "96",
        "client_context": {"who": "me"},
        "environment": {
            "STAGE": "local",
            "TABLE": "quintet-local-Table",
            "AWS_REGION": "us-east-1",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "TZ": ":UTC",
        },
        "tmp_is_own": True,
    }
    assert (response["StatusCode"], response["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in response


def test_a_layer_is_on_the_path(stack: LocalAws) -> None:
    assert call(stack, {"do": "shared"})[0] == "from the layer"


def test_an_exception_is_the_answer_and_the_environment_lives_on(stack: LocalAws) -> None:
    before, _ = call(stack, {})
    error, response = call(stack, {"do": "raise"})
    after, _ = call(stack, {})
    assert response["FunctionError"] == "Unhandled"
    assert (error["errorType"], error["errorMessage"]) == ("LookupError", "as asked")
    assert "raise LookupError" in "".join(error["stackTrace"])
    assert after["pid"] == before["pid"]


def test_an_answer_that_is_not_json_is_a_marshal_error(stack: LocalAws) -> None:
    error, _ = call(stack, {"do": "unserialisable"})
    assert error["errorType"] == "Runtime.MarshalError"


@pytest.mark.parametrize(
    ("event", "kind", "message"),
    [
        ({"do": "sleep", "seconds": 30}, "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
        ({"do": "crash"}, "Runtime.ExitError", "Runtime exited with error: exit status 4"),
        ({"do": "exit"}, "Runtime.ExitError", "Runtime exited with error: exit status 3"),
        (
            {"do": "eat", "mb": 200},
            "Runtime.ExitError",
            "Runtime exited with error: signal: killed",
        ),
    ],
)
def test_an_environment_that_ends_is_replaced(
    stack: LocalAws, event: dict[str, Any], kind: str, message: str
) -> None:
    before, _ = call(stack, {})
    error, response = call(stack, event)
    after, _ = call(stack, {})
    assert response["FunctionError"] == "Unhandled"
    request_id = error["errorMessage"].split()[1]
    assert error == {"errorType": kind, "errorMessage": f"RequestId: {request_id} Error: {message}"}
    assert after["pid"] != before["pid"]


def test_an_import_that_fails_is_told(stack: LocalAws) -> None:
    error, response = call(stack, {}, "quintet-local-Broken")
    assert response["FunctionError"] == "Unhandled"
    assert error["errorType"] == "Runtime.ImportModuleError"
    assert error["errorMessage"] == (
        "Unable to import module 'app': No module named 'nowhere_to_be_found'"
    )


def test_calls_at_once_get_environments_of_their_own(stack: LocalAws) -> None:
    event = {"do": "sleep", "seconds": 0.5}
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: call(stack, event)[0], range(3)))
    assert len({answer["pid"] for answer in answers}) == 3


def test_reserved_concurrency_throttles(stack: LocalAws) -> None:
    name = "quintet-local-Reserved"
    client = stack.client("lambda")
    call(stack, {}, name)
    with ThreadPoolExecutor(1) as pool:

        def slept() -> tuple[Any, Any] | None:
            try:
                return call(stack, {"do": "sleep", "seconds": 1.5}, name)
            except client.exceptions.TooManyRequestsException:
                return None  # a call from below was there first

        slow = pool.submit(eventually, slept)

        def throttled() -> str | None:
            try:
                call(stack, {}, name)
            except client.exceptions.TooManyRequestsException as error:
                return str(error.response["Reason"])
            return None

        assert eventually(throttled) == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert "FunctionError" not in slow.result()[1]
    assert call(stack, {}, name)[0]["calls"] >= 2


def test_an_alias_shares_its_calls_by_weight(stack: LocalAws) -> None:
    versions = [call(stack, {}, stack.outputs["Live"])[0]["version"] for _ in range(40)]
    # the chance that a fair share misses one of the two is 2 in 2**40
    assert set(versions) == {"1", "2"}


def test_provisioned_environments_are_started_before_the_first_call(stack: LocalAws) -> None:
    log = eventually(lambda: _inits(stack, "Provisioned", 2))
    assert "START RequestId" not in log
    answer, response = call(stack, {}, stack.outputs["ProvisionedLive"], LogType="Tail")
    assert answer["environment"]["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"
    assert (answer["version"], answer["calls"]) == ("1", 1)
    tail = base64.b64decode(response["LogResult"]).decode()
    assert "Init Duration" not in tail


def _inits(stack: LocalAws, function: str, count: int) -> str | None:
    log = stack.logs(function)
    return log if log.count("INIT_START") == count else None


def test_the_log_has_start_lines_end_and_report(stack: LocalAws) -> None:
    answer, response = call(stack, {"do": "print", "text": "one line of a log"}, LogType="Tail")
    lines = base64.b64decode(response["LogResult"]).decode().splitlines()
    request_id = answer["request_id"]
    assert lines[:3] == [
        f"START RequestId: {request_id} Version: $LATEST",
        "one line of a log",
        f"END RequestId: {request_id}",
    ]
    names = [part.split(":")[0] for part in lines[3].split("\t") if part]
    assert lines[3].startswith(f"REPORT RequestId: {request_id}\tDuration: ")
    assert names[:5] == [
        "REPORT RequestId",
        "Duration",
        "Billed Duration",
        "Memory Size",
        "Max Memory Used",
    ]
    assert "one line of a log\n" in stack.logs("Echo")


def test_logs_reach_cloudwatch_logs(stack: LocalAws) -> None:
    call(stack, {"do": "print", "text": "for CloudWatch"})
    logs = stack.client("logs")

    def found() -> list[str] | None:
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{ECHO}")["events"]
        return [e["message"] for e in events if e["message"] == "for CloudWatch"]

    assert eventually(found) == ["for CloudWatch"]


def test_embedded_metrics_become_metrics(stack: LocalAws) -> None:
    entry = {
        "_aws": {
            "Timestamp": 1_700_000_000_000,
            "CloudWatchMetrics": [
                {
                    "Namespace": "LocalTest",
                    "Dimensions": [["service"]],
                    "Metrics": [{"Name": "score_ms", "Unit": "Milliseconds"}],
                }
            ],
        },
        "service": "echo",
        "score_ms": [1.5, 2.5],
    }
    call(stack, {"do": "print", "text": json.dumps(entry)})
    metrics = stack.client("cloudwatch")
    found = eventually(lambda: metrics.list_metrics(Namespace="LocalTest")["Metrics"])
    assert found == [
        {
            "Namespace": "LocalTest",
            "MetricName": "score_ms",
            "Dimensions": [{"Name": "service", "Value": "echo"}],
        }
    ]


def test_an_event_is_retried_and_its_failure_is_sent_on(stack: LocalAws) -> None:
    event = {"do": "raise", "why": "asynchronous"}
    answer = stack.client("lambda").invoke(
        FunctionName="quintet-local-Later", InvocationType="Event", Payload=json.dumps(event)
    )
    assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
    sqs = stack.client("sqs")
    (message,) = eventually(
        lambda: sqs.receive_message(QueueUrl=stack.outputs["FailuresUrl"]).get("Messages")
    )
    record = json.loads(message["Body"])
    assert record["requestPayload"] == event
    assert record["responsePayload"]["errorType"] == "LookupError"
    context = record["requestContext"]
    assert (context["condition"], context["approximateInvokeCount"]) == ("RetriesExhausted", 2)


def test_a_dry_run_calls_nothing(stack: LocalAws) -> None:
    answer = stack.client("lambda").invoke(FunctionName=ECHO, InvocationType="DryRun")
    assert answer["StatusCode"] == 204


@pytest.mark.parametrize("name", ["nobody", f"{ECHO}:9", f"{ECHO}:nobody", "a:b:c:d"])
def test_an_unknown_function_or_version_is_not_found(stack: LocalAws, name: str) -> None:
    client = stack.client("lambda")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        call(stack, {}, name)


def test_a_payload_that_is_not_json_is_refused(stack: LocalAws) -> None:
    client = stack.client("lambda")
    with pytest.raises(client.exceptions.InvalidRequestContentException):
        client.invoke(FunctionName=ECHO, Payload=b"{")


def test_payloads_over_six_megabytes_are_refused_both_ways(stack: LocalAws) -> None:
    client = stack.client("lambda")
    with pytest.raises(client.exceptions.RequestTooLargeException):
        call(stack, {"x": "x" * 6_291_456})
    error, _ = call(stack, {"do": "large", "bytes": 6_300_000})
    assert error["errorType"] == "Function.ResponseSizeTooLarge"


def test_functions_and_aliases_are_described(stack: LocalAws) -> None:
    client = stack.client("lambda")
    names = {f["FunctionName"] for f in client.list_functions()["Functions"]}
    assert {ECHO, "quintet-local-Weighted"} <= names
    found = client.get_function(FunctionName="quintet-local-Reserved")
    assert found["Configuration"]["Timeout"] == 10
    assert found["Concurrency"] == {"ReservedConcurrentExecutions": 1}
    alias = client.get_alias(FunctionName="quintet-local-Weighted", Name="live")
    assert alias["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.5}}
