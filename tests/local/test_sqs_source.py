"""The queue's event source: the pure state machine, and one run of it against a queue."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.kits.local_aws import LocalAws, eventually

from quintet_local.sources.sqs import (
    Config,
    Gathering,
    Invoke,
    Receive,
    Wait,
    decide,
    event,
    gathered,
    handled,
    settled,
)


def message(name: str, body: str = "{}") -> dict[str, Any]:
    return {
        "MessageId": name,
        "ReceiptHandle": f"handle-{name}",
        "Body": body,
        "MD5OfBody": "md5",
        "Attributes": {"ApproximateReceiveCount": "1"},
        "MessageAttributes": {"kind": {"DataType": "String", "StringValue": "x"}},
    }


BATCH = (message("a"), message("b"), message("c"))


def ids(messages: tuple[Any, ...]) -> list[str]:
    return [m["MessageId"] for m in messages]


PARTIAL = Config(partial=True)


@pytest.mark.parametrize(
    ("answer", "deleted"),
    [
        # success of the whole batch
        ("null", "abc"),
        ('""', "abc"),
        ("[]", "abc"),
        ("{}", "abc"),
        ("", "abc"),
        ('{"batchItemFailures": []}', "abc"),
        ('{"batchItemFailures": null}', "abc"),
        ('{"statusCode": 200}', "abc"),
        # some failed
        ('{"batchItemFailures": [{"itemIdentifier": "b"}]}', "ac"),
        ('{"batchItemFailures": [{"itemIdentifier": "b"}, {"itemIdentifier": "b"}]}', "ac"),
        ('{"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "c"}]}', "b"),
        # failure of the whole batch
        ("not json", ""),
        ('"text"', ""),
        ('{"batchItemFailures": "a"}', ""),
        ('{"batchItemFailures": [{"itemIdentifier": ""}]}', ""),
        ('{"batchItemFailures": [{"itemIdentifier": null}]}', ""),
        ('{"batchItemFailures": [{"itemIdentifier": 1}]}', ""),
        ('{"batchItemFailures": [{"messageId": "a"}]}', ""),
        ('{"batchItemFailures": ["a"]}', ""),
        ('{"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "unknown"}]}', ""),
    ],
)
def test_what_an_answer_deletes(answer: str, deleted: str) -> None:
    assert ids(settled(PARTIAL, BATCH, answer.encode(), failed=False)) == list(deleted)


def test_without_report_batch_item_failures_any_answer_is_success() -> None:
    answer = b'{"batchItemFailures": [{"itemIdentifier": "b"}]}'
    assert settled(Config(), BATCH, answer, failed=False) == BATCH


@pytest.mark.parametrize("config", [Config(), PARTIAL])
def test_an_error_deletes_nothing(config: Config) -> None:
    assert settled(config, BATCH, b'{"batchItemFailures": []}', failed=True) == ()


def test_a_message_that_came_twice_in_a_batch_is_deleted_once() -> None:
    twice = (*BATCH, BATCH[0])
    assert ids(settled(PARTIAL, twice, b"{}", failed=False)) == list("abc")
    failures = b'{"batchItemFailures": [{"itemIdentifier": "a"}]}'
    assert ids(settled(PARTIAL, twice, failures, failed=False)) == list("bc")


def test_without_a_window_what_came_is_handled_at_once() -> None:
    config = Config(batch_size=10)
    state, action = decide(config, Gathering(), now=0)
    assert action == Receive(count=10, wait=20)
    state = gathered(state, BATCH, now=5)
    state, action = decide(config, state, now=5)
    assert action == Invoke(BATCH)
    assert state == Gathering((), 5, in_flight=1)
    assert handled(state).in_flight == 0


def test_a_window_waits_for_more_until_it_is_over_or_the_batch_is_full() -> None:
    config = Config(batch_size=4, window=10)
    state = gathered(Gathering(), BATCH, now=100)
    state, action = decide(config, state, now=103)
    assert action == Receive(count=1, wait=7)
    assert decide(config, gathered(state, [], now=110), now=110)[1] == Invoke(BATCH)
    full = gathered(state, [message("d")], now=104)
    assert decide(config, full, now=104)[1] == Invoke((*BATCH, message("d")))


def test_a_batch_has_at_most_its_size_and_six_megabytes() -> None:
    state = gathered(Gathering(), BATCH, now=0)
    state, action = decide(Config(batch_size=2), state, now=0)
    assert isinstance(action, Invoke)
    assert (ids(action.batch), ids(state.messages)) == (["a", "b"], ["c"])
    large = [message(name, "x" * 2_500_000) for name in "abc"]
    state, action = decide(Config(window=60), gathered(Gathering(), large, now=0), now=0)
    assert isinstance(action, Invoke)
    assert (ids(action.batch), ids(state.messages)) == (["a", "b"], ["c"])


def test_no_more_batches_at_once_than_the_maximum() -> None:
    config = Config.of({"BatchSize": 1, "ScalingConfig": {"MaximumConcurrency": 2}})
    assert decide(config, Gathering(in_flight=2), now=0)[1] == Wait()
    assert decide(config, Gathering(in_flight=1), now=0)[1] == Receive(count=1, wait=20)


def test_the_event_has_lambdas_form() -> None:
    assert event([message("a", "body")], "arn:aws:sqs:us-east-1:123456789012:q") == {
        "Records": [
            {
                "messageId": "a",
                "receiptHandle": "handle-a",
                "body": "body",
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {
                    "kind": {
                        "stringValue": "x",
                        "stringListValues": [],
                        "binaryListValues": [],
                        "dataType": "String",
                    }
                },
                "md5OfBody": "md5",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:q",
                "awsRegion": "us-east-1",
            }
        ]
    }


def test_failed_messages_come_again_and_end_among_the_dead_letters(stack: LocalAws) -> None:
    sqs, dynamodb = stack.client("sqs"), stack.client("dynamodb")
    entries = [
        {"Id": str(n), "MessageBody": json.dumps({"id": f"job-{n}", "bad": n == 1})}
        for n in range(3)
    ]
    sqs.send_message_batch(QueueUrl=stack.outputs["JobsUrl"], Entries=entries)
    (dead,) = eventually(
        lambda: sqs.receive_message(QueueUrl=stack.outputs["DeadJobsUrl"]).get("Messages")
    )
    assert json.loads(dead["Body"]) == {"id": "job-1", "bad": True}
    keys = [{"id": {"S": f"job-{n}"}} for n in range(3)]
    table = stack.outputs["Table"]
    found = dynamodb.batch_get_item(RequestItems={table: {"Keys": keys}})["Responses"][table]
    # the good ones once, the bad one as often as maxReceiveCount says
    assert {item["id"]["S"]: item["seen"]["N"] for item in found} == {
        "job-0": "1",
        "job-1": "2",
        "job-2": "1",
    }
