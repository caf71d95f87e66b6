"""The built template as LocalStack takes it: `python tests/localstack/adapt.py [BUILD]`.

Everything that has to differ is here, with its reason; tests/localstack/test_limits.py deploys
what is left out, and fails once LocalStack takes it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

__all__ = ["adapt", "definition", "write"]

BUILD = ".aws-sam/build"
MACHINE = "AWS::Serverless::StateMachine"

#: References are resolved before SAM's transform has made what they name: an event source, the
#: subscriptions of logs, an alias; the dashboard names the first alarm.
#: What Lambda gave up cannot be put into a bucket.
LEFT_OUT = (
    *("StreamFailuresAlarm", "CaptureDeliveryAlarm", "PredictFromApi", "Dashboard"),
    "CaptureCalled",
)
#: DefinitionSubstitutions must be texts; a Ref to a number is none, and a Sub of one neither.
NUMBERS = {
    "MaxConcurrency": "${MaxConcurrency}",
    # a percentage needs a point: its grammar refuses 100, and takes 100.0
    "ToleratedFailurePercentage": "${ToleratedFailurePercentage}.0",
}


def adapt(template: dict[str, Any]) -> dict[str, Any]:
    """The template without what LocalStack cannot read; state machines' files are JSON."""
    resources = {
        name: {**resource, "Properties": _machine(resource["Properties"])}
        if resource["Type"] == MACHINE
        else resource
        for name, resource in template["Resources"].items()
        if name not in LEFT_OUT
    }
    adapted: dict[str, Any] = _looked_up(template | {"Resources": resources}, template)
    return adapted


def _machine(properties: dict[str, Any]) -> dict[str, Any]:
    substitutions = properties["DefinitionSubstitutions"]
    texts = {
        name: {"Fn::Join": ["", [substitutions[name]]]} for name in NUMBERS if name in substitutions
    }
    return properties | {
        "DefinitionUri": _in_json(properties["DefinitionUri"]),
        "DefinitionSubstitutions": substitutions | texts,
    }


def _in_json(file: str) -> str:
    """Where a state machine's JSON is, beside the adapted template."""
    return Path(file).with_suffix(".json").name


def _looked_up(part: Any, template: dict[str, Any]) -> Any:
    """What is found in a mapping by a parameter, by its default: localemu looks a number up among
    the texts that are a mapping's keys, and fails.
    """
    if isinstance(part, list):
        return [_looked_up(item, template) for item in part if not _is_left_out(item)]
    if not isinstance(part, dict):
        return part
    match part.get("Fn::FindInMap"):
        case [mapping, {"Ref": name}, key]:
            found = str(template["Parameters"][name]["Default"])
            return template["Mappings"][mapping][found][key]
    return {name: _looked_up(value, template) for name, value in part.items()}


def _is_left_out(item: Any) -> bool:
    """Whether an item of a list is the ARN of what is left out."""
    match item:
        case {"Fn::GetAtt": [name, _]}:
            return name in LEFT_OUT
    return False


def definition(text: str) -> str:
    """A state machine's YAML as JSON: definitions in S3 are not read as YAML."""
    found = json.dumps(yaml.safe_load(text), indent=1)
    for name, number in NUMBERS.items():
        found = found.replace(f'"${{{name}}}"', number)
    return found


def write(build: Path) -> Path:
    """Write the adapted template beside the built one; where it is."""
    template = yaml.safe_load((build / "template.yaml").read_text())
    for resource in template["Resources"].values():
        if resource["Type"] == MACHINE:
            file = resource["Properties"]["DefinitionUri"]
            (build / _in_json(file)).write_text(definition((build / file).read_text()))
    adapted = build / "localstack.yaml"
    adapted.write_text(yaml.safe_dump(adapt(template), sort_keys=False))
    return adapted


if __name__ == "__main__":
    write(Path(*sys.argv[1:] or [BUILD]))
