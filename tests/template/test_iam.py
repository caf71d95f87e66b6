"""The IAM of the template: who may do what, each permission named or its reason beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.kits.aws import ROOT
from tests.kits.iam import actions, listed, problems, resources, statements

from quintet_local.plan import Plan, plan
from quintet_local.template import load

TEMPLATE = ROOT / "template.yaml"
EVERYTHING = {
    "PredictProvisionedConcurrency": "1",
    "PredictMaxProvisionedConcurrency": "2",
    "BatchScheduleExpression": "rate(1 day)",
    "BatchScheduleModel": "churn",
    "BatchSchedulePrefix": "_data/churn/",
    "BatchInputBucketArn": "arn:aws:s3:::their-files",
    "SealedCaptures": "on",
}


def test_every_permission_is_named_or_has_its_reason_beside_it() -> None:
    assert problems(TEMPLATE, EVERYTHING) == []
    assert problems(TEMPLATE, {}) == []


#: of predict's statements: the first, which reads published versions, and the start of the next
NARROW = """            - Effect: Allow
              Action: s3:GetObject
              Resource: !Sub "${RegistryBucket.Arn}/models/*"
            - Effect: Allow
              Action: [dynamodb:Query, dynamodb:Scan]
"""
PLANTED = {
    "an action of every name": (
        NARROW,
        NARROW.replace("s3:GetObject", "s3:*"),
        "PredictRole: s3:* has no reason in a comment beside it",
    ),
    "a part of an action's name": (
        NARROW,
        NARROW.replace("s3:GetObject", '["s3:GetObject", "s3:List*"]'),
        "PredictRole: s3:List* has no reason in a comment beside it",
    ),
    "every resource": (
        NARROW,
        NARROW.replace('!Sub "${RegistryBucket.Arn}/models/*"', '"*"'),
        "PredictRole: * has no reason in a comment beside it",
    ),
    "any bucket": (
        NARROW,
        NARROW.replace("${RegistryBucket.Arn}/models", "arn:aws:s3:::quintet-*"),
        "PredictRole: arn:aws:s3:::quintet-*/* has no reason in a comment beside it",
    ),
    "any table": (
        "              Resource: [!GetAtt FeaturesTable.Arn, !GetAtt CandidatesTable.Arn]\n"
        "            - &accepts_jobs\n",
        '              Resource: !Sub "arn:aws:dynamodb:us-east-1:${AWS::AccountId}:table/*"\n'
        "            - &accepts_jobs\n",
        "PredictRole: arn:aws:dynamodb:us-east-1:123456789012:table/* has no "
        "reason in a comment beside it",
    ),
    "a reason taken away": (
        "            # log delivery and X-Ray have no resource-level permissions\n",
        "",
        "BatchScoringRole: * has no reason in a comment beside it",
    ),
    "all but one action": (
        NARROW,
        NARROW.replace("Action: s3:GetObject", "NotAction: s3:DeleteObject"),
        "PredictRole: NotAction allows what nobody has named",
    ),
    "a role handed on": (
        NARROW,
        NARROW.replace("s3:GetObject", "iam:PassRole"),
        "PredictRole: iam:PassRole is no function's affair",
    ),
    "a managed policy": (
        '      Policies:\n        - Version: "2012-10-17"\n          Statement:\n' + NARROW,
        '      Policies:\n        - AmazonS3FullAccess\n        - Version: "2012-10-17"\n'
        "          Statement:\n" + NARROW,
        "PredictRole: arn:aws:iam::aws:policy/AmazonS3FullAccess is broader than what its "
        "statements could name",
    ),
    "a queue as an event": (
        "  DropDropped:\n    Type: AWS::Lambda::EventSourceMapping\n    Properties:\n"
        "      FunctionName: !Ref Drop\n      EventSourceArn: !GetAtt DropQueue.Arn\n",
        "      Events:\n        Dropped:\n          Type: SQS\n          Properties:\n"
        "            Queue: !GetAtt DropQueue.Arn\n  Elsewhere:\n"
        "    Type: AWS::Lambda::EventSourceMapping\n    Properties:\n"
        "      FunctionName: !Ref Drop\n      EventSourceArn: !GetAtt DropQueue.Arn\n",
        "DropRole: arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole is broader "
        "than what its statements could name",
    ),
    "anybody's objects": (
        '            Effect: Deny\n            Principal: "*"\n            Action: s3:*\n'
        "            Resource: [!GetAtt InboxBucket.Arn",
        '            Effect: Allow\n            Principal: "*"\n            Action: s3:*\n'
        "            Resource: [!GetAtt InboxBucket.Arn",
        "InboxBucketPolicy: allows *",
    ),
    "any account's queue": (
        '            Condition: {StringEquals: {"aws:SourceAccount": !Ref AWS::AccountId}}\n'
        "  DropDeadLettersAlarm:",
        "  DropDeadLettersAlarm:",
        "DropQueuePolicy: allows a service without saying whose",
    ),
    "a key for whoever may use keys": (
        "              - kms:GetKeyPolicy\n",
        "              - kms:GetKeyPolicy\n              - kms:Decrypt\n",
        "CaptureKey: allows kms:Decrypt to arn:aws:iam::123456789012:root",
    ),
    "a person in a function's role": (
        "            Principal: {Service: scheduler.amazonaws.com}\n",
        "            Principal: {AWS: !Ref AWS::AccountId}\n",
        "BatchScheduleRole: may be assumed by {'AWS': '123456789012'}",
    ),
}


@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_too_broad_is_found(tmp_path: Path, plant: str) -> None:
    old, new, said = PLANTED[plant]
    text = TEMPLATE.read_text()
    assert text.count(old) == 1
    planted = tmp_path / "template.yaml"
    planted.write_text(text.replace(old, new))
    found = problems(planted, EVERYTHING)
    assert said in [re.sub(r" policy \d+ statement \d+", "", line) for line in found]


# ---- what functions need -------------------------------------------------------------------------

PLAN = plan(load(TEMPLATE, EVERYTHING), "http://127.0.0.1:4566")

#: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
#: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html
READS = {
    "sqs": {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"},
    "kinesis": {
        "kinesis:DescribeStream",
        "kinesis:DescribeStreamSummary",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
        "kinesis:ListStreams",
    },
}


def allowed(role: str, of: Plan, resource: str) -> set[str]:
    """What a role may do with a resource by its ARN, or with all of them."""
    return {
        action
        for statement in statements(of)
        if statement.place[0] == role and {resource, "*"} & set(resources(statement.body))
        for action in actions(statement.body)
    }


@pytest.mark.parametrize("name", sorted(PLAN.of_type("AWS::Lambda::EventSourceMapping")))
def test_lambda_may_read_what_it_hands_to_a_function(name: str) -> None:
    mapping = PLAN.of_type("AWS::Lambda::EventSourceMapping")[name]
    (owner,) = (
        logical_id
        for logical_id in PLAN.of_type("AWS::Lambda::Function")
        if PLAN.identities[logical_id].ref == mapping["FunctionName"]
    )
    source = mapping["EventSourceArn"]
    assert allowed(f"{owner}Role", PLAN, source) >= READS[source.split(":")[2]]


def test_lambda_may_write_what_it_gave_up_into_the_streams_bucket() -> None:
    bucket = PLAN.identities["StreamBucket"].attributes["Arn"]
    # https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
    assert "s3:ListBucket" in allowed("ScoreStreamRole", PLAN, bucket)
    assert "s3:PutObject" in allowed("ScoreStreamRole", PLAN, f"{bucket}/aws/lambda/*")


def test_a_distributed_map_may_start_see_and_stop_its_own_children_alone() -> None:
    machine = PLAN.identities["BatchScoring"].ref
    assert machine.endswith(":stateMachine:quintet-local-BatchScoring")
    assert "states:StartExecution" in allowed("BatchScoringRole", PLAN, machine)
    runs = machine.replace(":stateMachine:", ":execution:")
    for children in (f"{runs}:*", f"{runs}/*"):
        assert allowed("BatchScoringRole", PLAN, children) >= {
            "states:DescribeExecution",
            "states:StopExecution",
        }


def test_three_functions_seal_captures_and_one_opens_them() -> None:
    policy = PLAN.of_type("AWS::KMS::Key")["CaptureKey"]["KeyPolicy"]
    of_role = {PLAN.identities[n].attributes["Arn"]: n for n in PLAN.of_type("AWS::IAM::Role")}
    found = {
        (of_role[principal], action)
        for statement in policy["Statement"]
        for principal in listed(statement["Principal"]["AWS"])
        if principal in of_role
        for action in actions(statement)
    }
    seals = {(f"{name}Role", "kms:GenerateDataKey") for name in ("Predict", "Work", "ScoreStream")}
    assert found == {*seals, ("CompareRole", "kms:Decrypt")}
    for parameters, sealed in ((EVERYTHING, True), ({}, False)):
        of = plan(load(TEMPLATE, parameters), "http://127.0.0.1:4566")
        key = of.identities["CaptureKey"].attributes["Arn"] if sealed else ""
        given = {
            name: properties["Environment"]["Variables"].get("QUINTET_CAPTURE_KEY")
            for name, properties in of.of_type("AWS::Lambda::Function").items()
        }
        names = ("Predict", "Work", "ScoreStream", "Compare")
        assert {name: one for name, one in given.items() if one is not None} == dict.fromkeys(
            names, key
        )
        layers = [n for n in of.of_type("AWS::Lambda::LayerVersion") if n.startswith("Sealing")]
        layer = of.identities[layers[0]].ref if sealed else None
        for name, properties in of.of_type("AWS::Lambda::Function").items():
            assert (layer in properties["Layers"]) == (sealed and name in names), name
        assert of.outputs.get("CaptureKeyArn", "") == key
        assert of.outputs["SealedCaptures"] == ("on" if sealed else "off")
