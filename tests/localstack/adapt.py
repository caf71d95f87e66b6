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
DEFINITION = "batch_scoring.asl.json"
MACHINE = "BatchScoring"

#: References are resolved before SAM's transform has made what they name (ScoreStreamArrived); the
#: dashboard names that alarm.
LEFT_OUT = ("StreamFailuresAlarm", "Dashboard")
#: DefinitionSubstitutions must be texts; a Ref to a number is none, and a Sub of one neither.
NUMBERS = {
    "MaxConcurrency": "${MaxConcurrency}",
    # a percentage needs a point: its grammar refuses 100, and takes 100.0
    "ToleratedFailurePercentage": "${ToleratedFailurePercentage}.0",
}


def adapt(template: dict[str, Any]) -> dict[str, Any]:
    """The template without what LocalStack cannot read; the state machine's file is JSON."""
    resources = {n: r for n, r in template["Resources"].items() if n not in LEFT_OUT}
    machine = resources[MACHINE]["Properties"]
    substitutions = machine["DefinitionSubstitutions"]
    texts = {name: {"Fn::Join": ["", [substitutions[name]]]} for name in NUMBERS}
    resources[MACHINE]["Properties"] = machine | {
        "DefinitionUri": DEFINITION,
        "DefinitionSubstitutions": substitutions | texts,
    }
    return template | {"Resources": resources}


def definition(text: str) -> str:
    """A state machine's YAML as JSON: definitions in S3 are not read as YAML."""
    found = json.dumps(yaml.safe_load(text), indent=1)
    for name, number in NUMBERS.items():
        found = found.replace(f'"${{{name}}}"', number)
    return found


def write(build: Path) -> Path:
    """Write the adapted template beside the built one; where it is."""
    template = yaml.safe_load((build / "template.yaml").read_text())
    machine = build / template["Resources"][MACHINE]["Properties"]["DefinitionUri"]
    (build / DEFINITION).write_text(definition(machine.read_text()))
    adapted = build / "localstack.yaml"
    adapted.write_text(yaml.safe_dump(adapt(template), sort_keys=False))
    return adapted


if __name__ == "__main__":
    write(Path(*sys.argv[1:] or [BUILD]))
