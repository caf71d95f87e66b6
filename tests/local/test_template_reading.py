"""From template.yaml to a plan: parameters, expansion, intrinsics, conditions, identities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quintet_local.intrinsics import NO_VALUE, IntrinsicError, Scope, references, resolve
from quintet_local.plan import Plan, plan
from quintet_local.stack import describe
from quintet_local.template import TemplateError, load

ENDPOINT = "http://127.0.0.1:4566"
CONDITIONS = {
    "IsBig": {"Fn::Equals": [{"Ref": "Size"}, "3"]},
    "IsSmall": {"Fn::Not": [{"Condition": "IsBig"}]},
    "Both": {"Fn::And": [{"Condition": "IsBig"}, {"Fn::Equals": ["a", "a"]}]},
    "Either": {"Fn::Or": [{"Condition": "IsSmall"}, {"Condition": "IsBig"}]},
}
SCOPE = Scope(
    values={"Size": 3, "Name": "n", "AWS::Region": "us-east-1"},
    conditions=CONDITIONS,
    mappings={"M": {"k": {"v": "found"}}},
    ref={"Bucket": "the-bucket"}.get,
    attribute=lambda name, key: f"{name}-{key}" if name == "Bucket" else None,
)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"Ref": "Name"}, "n"),
        ({"Ref": "Bucket"}, "the-bucket"),
        ({"Ref": "Other"}, {"Ref": "Other"}),
        ({"Fn::GetAtt": ["Bucket", "Arn"]}, "Bucket-Arn"),
        ({"Fn::GetAtt": "Bucket.Arn"}, "Bucket-Arn"),
        ({"Fn::Sub": "${Name}/${Bucket.Arn}/${!Keep}"}, "n/Bucket-Arn/${Keep}"),
        ({"Fn::Sub": ["${x}-${Name}", {"x": {"Ref": "Size"}}]}, "3-n"),
        ({"Fn::Sub": "${Name}/${Other.Arn}"}, {"Fn::Sub": "n/${Other.Arn}"}),
        ({"Fn::Join": ["-", ["a", {"Ref": "Size"}]]}, "a-3"),
        ({"Fn::Select": ["1", {"Fn::Split": [",", "a,b"]}]}, "b"),
        ({"Fn::FindInMap": ["M", "k", "v"]}, "found"),
        ({"Fn::If": ["IsBig", "big", "small"]}, "big"),
        ({"Fn::If": ["IsSmall", "small", {"Ref": "AWS::NoValue"}]}, NO_VALUE),
        ({"a": {"Ref": "AWS::NoValue"}, "b": [{"Ref": "AWS::NoValue"}, 1]}, {"b": [1]}),
        ({"Fn::Base64": "a"}, "YQ=="),
        ({"Fn::ToJsonString": {"a": {"Ref": "Size"}}}, '{"a": 3}'),
    ],
)
def test_intrinsics_resolve_as_far_as_is_known(node: Any, expected: Any) -> None:
    assert resolve(node, SCOPE) == expected


@pytest.mark.parametrize(
    ("name", "holds"), [("IsBig", True), ("IsSmall", False), ("Both", True), ("Either", True)]
)
def test_conditions(name: str, holds: bool) -> None:
    assert SCOPE.condition(name) is holds


def test_a_condition_that_does_not_exist_is_refused() -> None:
    with pytest.raises(IntrinsicError, match="condition Nobody"):
        resolve({"Fn::If": ["Nobody", 1, 2]}, SCOPE)


def test_references_that_are_left_are_found() -> None:
    node = {"a": [{"Ref": "A"}, {"Fn::GetAtt": ["B", "Arn"]}], "b": {"Fn::Sub": "${C.X}${D}"}}
    assert list(references(node)) == ["A", "B", "C", "D"]


HEAD = "Transform: AWS::Serverless-2016-10-31\n"
BUCKET = HEAD + "Resources: {Bucket: {Type: AWS::S3::Bucket}}\n"


def read(folder: Path, text: str, **parameters: str) -> Plan:
    path = folder / "template.yaml"
    path.write_text(text)
    return plan(load(path, parameters), ENDPOINT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Resources: [", "while parsing"),
        ("a: 1", "not a template, it has no Resources"),
        (BUCKET + "Outputs: {B: {Value: !Ref Nowhere}}", "output B: refers to Nowhere"),
        (BUCKET + "Outputs: {B: {Value: !GetAtt Bucket.No}}", "output B: refers to Bucket"),
        (BUCKET + "Parameters: {P: {Type: String}}", "parameter P: has no default"),
        (
            HEAD + "Resources: {F: {Type: AWS::Serverless::Function, Properties: {Handlr: a}}}",
            r"\[F\] is invalid",
        ),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        read(tmp_path, text)


def test_a_parameter_that_the_template_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="parameter Nobody: not in the template, which has P"):
        read(tmp_path, BUCKET + "Parameters: {P: {Type: String, Default: a}}", Nobody="1")


STAGED = """
Parameters:
  Stage: {Type: String, Default: dev}
  Size: {Type: Number, Default: 1}
Conditions: {IsBig: !Equals [!Ref Size, 3]}
Resources:
  Always: {Type: AWS::S3::Bucket, Properties: {BucketName: !Sub "${Stage}-${Size}"}}
  Sometimes: {Type: AWS::S3::Bucket, Condition: IsBig}
Outputs:
  Always: {Value: !Ref Always}
  Sometimes: {Condition: IsBig, Value: !Ref Sometimes}
"""


def test_parameters_come_from_the_command_then_samconfig_then_the_local_stage(
    tmp_path: Path,
) -> None:
    text = HEAD + STAGED
    assert read(tmp_path, text).outputs == {"Always": "local-1"}
    config = "[local.deploy.parameters]\nparameter_overrides = 'Stage=cfg Size=2'\n"
    (tmp_path / "samconfig.toml").write_text(config)
    assert read(tmp_path, text).outputs == {"Always": "cfg-2"}
    assert read(tmp_path, text, Size="3").outputs == {
        "Always": "cfg-3",
        "Sometimes": "quintet-local-sometimes",
    }


MACHINE = """
Resources:
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: machine.asl.yaml
      Role: arn:aws:iam::123456789012:role/r
      DefinitionSubstitutions: {Seconds: 3, Text: a}
"""


def test_a_definition_gets_its_substitutions(tmp_path: Path) -> None:
    definition = (
        "StartAt: W\nStates: {W: {Type: Wait, Seconds: ${Seconds}, Comment: '${Text}', End: true}}"
    )
    (tmp_path / "machine.asl.yaml").write_text(definition)
    (machine,) = describe(read(tmp_path, HEAD + MACHINE), tmp_path).machines
    assert machine.definition == {
        "StartAt": "W",
        "States": {"W": {"Type": "Wait", "Seconds": 3, "Comment": "a", "End": True}},
    }


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (None, "Machine: machine.asl.yaml: No such file"),
        ("{", "Machine: its definition is not YAML"),
        ("[]", "Machine: its definition is not an object"),
    ],
)
def test_a_definition_that_cannot_be_used_is_refused(
    tmp_path: Path, definition: str | None, message: str
) -> None:
    if definition is not None:
        (tmp_path / "machine.asl.yaml").write_text(definition)
    with pytest.raises(TemplateError, match=message):
        describe(read(tmp_path, HEAD + MACHINE), tmp_path)
