"""What `make deploy` refuses before it builds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kits.aws import ROOT, client, environ, moto_server

from quintet_cli.preflight import check
from quintet_cli.stacks import StageError

CONFIG = """\
version = 0.1
[local.deploy.parameters]
parameter_overrides = ["Stage=local"]
[dev.deploy.parameters]
stack_name = "quintet-dev"
parameter_overrides = ["Stage=dev"]
[third.deploy.parameters]
stack_name = "quintet-third"
parameter_overrides = ["LogRetentionDays=7"]
"""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with moto_server() as address:
        for name, value in environ(address).items():
            monkeypatch.setenv(name, value)
        yield address
        client("cloudformation", address).delete_stack(StackName="quintet-dev")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "samconfig.toml"
    path.write_text(CONFIG)
    return path


def deploy(url: str, *outputs: str, resources: Any = None) -> None:
    template = {
        "Resources": resources or {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": "a"} for name in outputs},
    }
    client("cloudformation", url).create_stack(
        StackName="quintet-dev", TemplateBody=json.dumps(template)
    )


def refusal(stage: str, config: Path) -> str:
    with pytest.raises(StageError) as told:
        check(stage, config)
    return str(told.value)


def test_a_first_deployment_and_one_over_the_same_stage(url: str, config: Path) -> None:
    check("dev", config)
    deploy(url, "ApiUrl", "RegistryBucketName")
    check("dev", config)


@pytest.mark.parametrize("stage", ["localstack", "dev", "prod"])
def test_the_stages_that_ship_can_be_deployed(stage: str, url: str) -> None:
    check(stage, ROOT / "samconfig.toml")


def test_a_name_that_another_application_has(url: str, config: Path) -> None:
    deploy(url, "SiteUrl")
    assert refusal("dev", config) == (
        "stack quintet-dev is another application's, whose resources would be deleted: "
        "take another stack_name in samconfig.toml"
    )


def test_a_stage_that_is_not_set_up(config: Path) -> None:
    assert refusal("local", config).endswith(
        "samconfig.toml has no stage local to deploy: it has dev, third"
    )


def test_a_stage_without_its_parameter(config: Path) -> None:
    assert refusal("third", config).endswith(
        "samconfig.toml: parameter_overrides of stage third must have Stage=third, "
        "or it would be named as the stage dev is"
    )


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("UPDATE_IN_PROGRESS", "another deployment is under way, wait for it"),
        ("ROLLBACK_COMPLETE", "`quintet destroy --stage dev` removes it"),
    ],
)
def test_a_stack_that_cannot_be_changed(status: str, told: str, url: str, config: Path) -> None:
    from moto.cloudformation.models import cloudformation_backends

    deploy(url, "ApiUrl", "RegistryBucketName")
    backend = cloudformation_backends["123456789012"]["us-east-1"]
    backend.get_stack("quintet-dev").status = status
    text = refusal("dev", config)
    assert text.startswith(f"stack quintet-dev is {status}")
    assert text.endswith(told)
