"""What LocalStack does not honour, each held to it: a test that fails here is good news.

Then remove the line from docs/localstack.md, and its workaround from adapt.py and the other tests.
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.kits.local_aws import eventually
from tests.localstack.conftest import Deployed, Probe
from tests.localstack.kit import ENGINE, Localstack

pytestmark = [
    pytest.mark.localstack,
    pytest.mark.skipif(ENGINE != "localstack", reason="what another engine lacks is not listed"),
]

QUEUE = "arn:aws:sqs:us-east-1:000000000000:probe"
ROLE = "arn:aws:iam::000000000000:role/probe"
SECONDS = 120
MACHINE = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Result": "${Number}", "End": True}}}
MAP = {
    "Type": "Map",
    "ToleratedFailurePercentage": 100,
    "ItemProcessor": {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "A",
        "States": {"A": {"Type": "Pass", "End": True}},
    },
    "End": True,
}


def failure_of(localstack: Localstack, name: str, resources: dict[str, Any]) -> str:
    """Why a stack of these resources cannot be made."""
    client = localstack.client("cloudformation")
    client.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))

    def reasons() -> str | None:
        events = client.describe_stack_events(StackName=name)["StackEvents"]
        assert "CREATE_COMPLETE" not in {
            e["ResourceStatus"] for e in events if e["LogicalResourceId"] == name
        }
        failed = [e for e in events if e["ResourceStatus"] == "CREATE_FAILED"]
        return " ".join(e.get("ResourceStatusReason", "") for e in failed) or None

    return eventually(reasons, SECONDS)


def machine(**properties: Any) -> dict[str, Any]:
    return {
        "Machine": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {"RoleArn": ROLE, **properties},
        }
    }


def test_references_to_what_sam_makes_are_not_resolved(localstack: Localstack) -> None:
    """Hence StreamFailuresAlarm is left out."""
    function = {
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "InlineCode": "handler = None",
        "Events": {"Arrived": {"Type": "SQS", "Properties": {"Queue": QUEUE}}},
    }
    template = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {
            "Probe": {"Type": "AWS::Serverless::Function", "Properties": function},
            "Topic": {
                "Type": "AWS::SNS::Topic",
                "Properties": {"DisplayName": {"Ref": "ProbeArrived"}},
            },
        },
    }
    with pytest.raises(ClientError, match=r"Unresolved resource dependencies \[ProbeArrived\]"):
        localstack.client("cloudformation").create_change_set(
            StackName="references",
            ChangeSetName="references",
            ChangeSetType="CREATE",
            TemplateBody=json.dumps(template),
            Capabilities=["CAPABILITY_IAM"],
        )


def test_a_definition_in_yaml_is_not_read(localstack: Localstack) -> None:
    """Hence adapt.py writes the state machine as JSON."""
    s3 = localstack.client("s3")
    s3.create_bucket(Bucket="definitions")
    body = "StartAt: A\nStates: {A: {Type: Succeed}}\n"
    s3.put_object(Bucket="definitions", Key="machine.yaml", Body=body)
    place = {"Bucket": "definitions", "Key": "machine.yaml"}
    failed = failure_of(localstack, "yaml-definition", machine(DefinitionS3Location=place))
    assert "InvalidDefinition" in failed


def test_a_substitution_must_be_a_text(localstack: Localstack) -> None:
    """Hence adapt.py makes texts of the numbers."""
    properties = {"DefinitionString": json.dumps(MACHINE), "DefinitionSubstitutions": {"Number": 7}}
    failed = failure_of(localstack, "number-substitution", machine(**properties))
    assert "must be str, not int" in failed


def test_a_whole_percentage_is_no_number(localstack: Localstack) -> None:
    """Hence adapt.py writes a point; and the percentage does nothing."""
    states = localstack.client("stepfunctions")
    definition = json.dumps({"StartAt": "Each", "States": {"Each": MAP}})
    with pytest.raises(ClientError, match="InvalidDefinition"):
        states.create_state_machine(name="percentage", roleArn=ROLE, definition=definition)
    states.create_state_machine(
        name="percentage", roleArn=ROLE, definition=definition.replace(": 100", ": 100.0")
    )
    assert "ToleratedFailurePercentage declarations currently have no effect" in (
        localstack.log.read_text()
    )


def test_there_is_no_glue_catalog(localstack: Localstack) -> None:
    """Hence scores have no table in Athena; reports are written all the same."""
    with pytest.raises(ClientError, match="not yet been emulated"):
        localstack.client("glue").get_databases()


def test_the_api_answers_requests_that_nobody_signed(deployed: Deployed) -> None:
    """So that a caller is anonymous there."""
    with urllib.request.urlopen(f"{deployed.stage.api_url}/v2/health/live") as answer:
        assert answer.status == 200


def test_metrics_in_log_lines_do_not_become_metrics(deployed: Deployed) -> None:
    with urllib.request.urlopen(f"{deployed.stage.api_url}/v2") as answer:
        assert answer.status == 200
    assert deployed.at.client("cloudwatch").list_metrics(Namespace="Quintet")["Metrics"] == []


def test_tumbling_windows_are_not_kept(probe: Probe) -> None:
    """Hence no window of a stream is ever closed, and no feature of windows known."""
    probe.read("windows", records=2, poison=-1, TumblingWindowInSeconds=30)
    (called,) = probe.told(1)
    assert set(called["event"]) == {"Records"}


def test_a_failed_batch_is_not_bisected(probe: Probe) -> None:
    """The retries have the whole batch."""
    mapping = {"BisectBatchOnFunctionError": True, "MaximumRetryAttempts": 2}
    probe.read("bisect", records=4, poison=1, **mapping)
    called = probe.told(3)
    assert [len(call["event"]["Records"]) for call in called] == [4, 4, 4]
