"""Traces through the whole stack, and `quintet trace`."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from typing import Any

from tests.kits.local_aws import ROOT, LocalAws, eventually
from typer.testing import CliRunner

from quintet.batch.plans import run_context, run_name
from quintet_cli.app import app
from quintet_cli.receiver import Receiver, receiving
from quintet_cli.traces import spans_of
from quintet_local.spans import kept_spans

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def command(local: LocalAws, *words: str) -> str:
    """The output of `quintet`."""
    result = CliRunner().invoke(app, [*words, "--state", str(local.state)])
    assert result.exit_code == 0, result.output
    return result.output


def spans(local: LocalAws, identity: str, names: list[str]) -> dict[str, dict[str, Any]]:
    """The spans of an id by name, once those names are there."""

    def found() -> dict[str, dict[str, Any]]:
        known = spans_of(kept_spans(local.state / "logs"), identity)
        return {str(span["name"]): dict(span) for span in known}

    eventually(lambda: set(names) <= set(found()), 30)
    assert sorted(found()) == sorted(names)
    return found()


def test_a_job_is_one_trace_from_its_request_to_its_callback(local_aws: LocalAws) -> None:
    command(local_aws, "publish", str(ROOT / "models/tickets"))
    name, receiver = f"t{time.time_ns()}", Receiver()
    with receiving(receiver) as url:
        added = command(local_aws, "endpoints", "add", name, url)
        receiver.secrets = re.findall(r"whsec_\S+", added)
        request = urllib.request.Request(
            f"{local_aws.api_url}/models/tickets/predict",
            b'{"records": [{"text": "my parcel has not come"}]}',
            {
                "Content-Type": "application/json",
                "Prefer": "respond-async",
                "X-Quintet-Callback": name,
                "traceparent": f"00-{TRACE}-{CALLER}-01",
            },
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            job, answered = json.loads(answer.read())["id"], answer.headers["traceparent"]
        found = spans(local_aws, job, ["predict", "work", "notify"])
    ours = found["predict"]["id"]
    assert answered == f"00-{TRACE}-{ours}-01"
    assert [received.headers["traceparent"] for received in receiver.received] == [answered]
    about = {
        span: {
            key: found[span]["annotations"].get(key) for key in ("w3c_trace", "w3c_parent", "job")
        }
        for span in found
    }
    under = {"w3c_trace": TRACE, "w3c_parent": ours, "job": job}
    assert about == {"predict": {**under, "w3c_parent": CALLER}, "work": under, "notify": under}
    assert found["predict"]["start_time"] <= found["work"]["start_time"]
    assert found["work"]["start_time"] <= found["notify"]["start_time"]
    # X-Ray's trace is another one in each function
    assert len({span["trace_id"] for span in found.values()}) == 3
    drawn = command(local_aws, "trace", job).splitlines()
    assert drawn[0].startswith(f"trace {TRACE}: 3 spans in ")
    assert [line.split()[0] for line in drawn[2:]] == [
        *("predict", "load", "decode", "work", "notify")
    ]


def test_a_run_is_one_trace_from_its_file_to_its_report(local_aws: LocalAws) -> None:
    command(local_aws, "publish", str(ROOT / "models/tickets"))
    bucket, key = local_aws.outputs["InboxBucketName"], f"tickets/t{time.time_ns()}.csv"
    put = local_aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"text\nno parcel\n")
    run = run_name(bucket, key, put["VersionId"])
    names = ["drop", "plan_run", "score_unit", "report_run"]
    found = spans(local_aws, run, names)
    context = run_context(run)
    assert {span["annotations"]["w3c_trace"] for span in found.values()} == {context[3:35]}
    assert found["drop"]["id"] == context[36:52]
    assert [found[name]["annotations"].get("w3c_parent") for name in names] == [
        None,
        *[context[36:52]] * 3,
    ]
    drawn = command(local_aws, "trace", run).splitlines()
    assert [line.split()[0] for line in drawn[2:]] == names


def test_a_record_of_a_stream_is_found_by_its_number(local_aws: LocalAws) -> None:
    put = local_aws.client("kinesis").put_record(
        StreamName=local_aws.outputs["EventsStreamName"], Data=b"{}", PartitionKey="k"
    )
    number = put["SequenceNumber"]
    eventually(lambda: spans_of(kept_spans(local_aws.state / "logs"), number), 30)
    drawn = command(local_aws, "trace", number)
    assert f"/{put['ShardId']} records=" in drawn
    assert drawn.splitlines()[2].startswith("score_stream")
