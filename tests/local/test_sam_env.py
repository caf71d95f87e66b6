"""What `sam local --env-vars` is given: the functions' environments as the local AWS has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.kits.local_aws import ROOT, LocalAws

from quintet_local.template import read

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
}


def as_containers_see(url: str) -> str:
    return url.replace("127.0.0.1", "host.docker.internal")


def sam_env(local: LocalAws) -> dict[str, dict[str, str]]:
    told: dict[str, dict[str, str]] = json.loads((local.state / "sam-env.json").read_text())
    return told


def functions(template: Path) -> dict[str, dict[str, Any]]:
    """The properties of a template's functions, as written; of those that have no condition."""
    resources = read(template)["Resources"].items()
    kind = "AWS::Serverless::Function"
    return {
        name: r["Properties"] for name, r in resources if r["Type"] == kind and "Condition" not in r
    }


def test_every_function_has_its_variables_with_their_values(stack: LocalAws) -> None:
    told = sam_env(stack)
    assert set(told) == set(functions(ROOT / "tests/local/stack/template.yaml"))
    common = {**CREDENTIALS, "AWS_ENDPOINT_URL": as_containers_see(stack.endpoint_url)}
    assert told["Broken"] == common
    assert told["Echo"] == {**common, "STAGE": "local", "TABLE": "quintet-local-Table"}


@pytest.mark.parametrize("name", sorted(functions(ROOT / "template.yaml")))
def test_sam_finds_each_variable_in_the_template(local_aws: LocalAws, name: str) -> None:
    # sam leaves out, without a word, what the template does not name; keys are the shell's there
    source = read(ROOT / "template.yaml")["Globals"]["Function"]["Environment"]["Variables"]
    own = functions(ROOT / "template.yaml")[name]["Environment"]["Variables"]
    assert set(sam_env(local_aws)[name]) - set(CREDENTIALS) == {*source, *own}


def test_queues_are_named_by_their_address_for_containers(local_aws: LocalAws) -> None:
    url = sam_env(local_aws)["Submit"]["QUINTET_WORK_QUEUE_URL"]
    assert url == as_containers_see(local_aws.outputs["WorkQueueUrl"])
    assert url.startswith(as_containers_see(local_aws.endpoint_url))
