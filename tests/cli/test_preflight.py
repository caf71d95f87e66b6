"""What `make deploy` refuses before it builds."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kits.aws import ROOT, client, environ, moto_server

from quintet_cli.preflight import Deployment, check
from quintet_cli.quotas import Account
from quintet_cli.stacks import StageError

TEMPLATE = ROOT / "template.yaml"
NEW = Account(executions=10, unreserved=10)
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
[long.deploy.parameters]
stack_name = "quintet-{long}"
parameter_overrides = ["Stage=long"]
[upper.deploy.parameters]
stack_name = "Quintet-Upper"
parameter_overrides = "Stage=upper"
[days.deploy.parameters]
stack_name = "quintet-days"
parameter_overrides = "Stage=days LogRetentionDays=31"
[shifts.deploy.parameters]
stack_name = "quintet-shifts"
parameter_overrides = [
  "Stage=shifts", "CodeRollout=Canary10Percent5Minutes", "PredictProvisionedConcurrency=2"]
[prod.deploy.parameters]
stack_name = "quintet-prod"
parameter_overrides = [
  "Stage=prod", "PredictProvisionedConcurrency=2", "PredictMaxProvisionedConcurrency=10",
  "BatchScheduleExpression=\\"cron(0 6 1 * ? *)\\"",
  "BatchScheduleModel=churn", "BatchSchedulePrefix=a/"]
""".replace("{long}", "x" * 60)


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
        check(stage, config, TEMPLATE, Account())
    return str(told.value)


def test_a_first_deployment_and_one_over_the_same_stage(url: str, config: Path) -> None:
    assert check("dev", config, TEMPLATE, Account()) == Deployment()
    deploy(url, "ApiUrl", "RegistryBucketName")
    assert check("dev", config, TEMPLATE, Account()) == Deployment()


@pytest.mark.parametrize("stage", ["localstack", "dev", "prod"])
def test_the_stages_that_ship_can_be_deployed(stage: str, url: str) -> None:
    check(stage, ROOT / "samconfig.toml", TEMPLATE, Account())


def test_a_name_that_another_application_has(url: str, config: Path) -> None:
    deploy(url, "SiteUrl")
    assert refusal("dev", config) == (
        "stack quintet-dev is another application's, whose resources would be deleted: "
        "take another stack_name in samconfig.toml"
    )


def test_a_stage_that_is_not_set_up(config: Path) -> None:
    assert refusal("local", config).endswith(
        "samconfig.toml has no stage local to deploy: it has dev, third, long, upper, days, "
        "shifts, prod"
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
        ("ROLLBACK_COMPLETE", "cannot be deployed over; to remove it"),
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


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ("long", "has 68 characters, at most 67 fit: the state machine is named after it"),
        ("upper", "stack_name Quintet-Upper: expected lower-case letters, digits and hyphens"),
        (
            "shifts",
            "rule CodeRolloutsTakeNoProvisionedConcurrency: CodeRollout gives the alias of predict "
            "weights, and Lambda provisions no concurrency of an alias with weights; set "
            "PredictProvisionedConcurrency to 0, or CodeRollout to AllAtOnce.",
        ),
        ("days", "parameter LogRetentionDays: expected one of 1, 3, 5, 7"),
    ],
)
def test_settings_that_only_aws_would_refuse(stage: str, told: str, config: Path) -> None:
    assert told in refusal(stage, config)


def test_prod_is_deployed_in_a_new_account_without_provisioned_concurrency(
    url: str, config: Path
) -> None:
    found = check("prod", config, TEMPLATE, NEW)
    assert found.notes[0].startswith(
        "this account runs 10 executions at once, of which 0 can be provisioned: "
        "PredictProvisionedConcurrency=2 would be refused"
    )
    assert found.arguments == (
        "--parameter-overrides",
        "Stage=prod",
        'BatchScheduleExpression="cron(0 6 1 * ? *)"',
        "BatchScheduleModel=churn",
        "BatchSchedulePrefix=a/",
        "PredictProvisionedConcurrency=0",
        "PredictMaxProvisionedConcurrency=0",
    )


def test_make_deploy_passes_the_arguments_on_as_they_are(url: str, config: Path) -> None:
    """The shell of the recipe splits them as the preflight has quoted them."""
    recipe = 'eval ".venv-sam/bin/sam deploy --config-env $(STAGE) $$(cat .aws-sam/deploy.args)"'
    assert f"\t{recipe}\n" in (ROOT / "Makefile").read_text()
    assert (
        'eval ".venv-sam/bin/sam deploy --config-env $(STAGE) $$(cat .aws-sam/deploy.args)"'
        in recipe
    )
    arguments = check("prod", config, TEMPLATE, NEW).arguments
    shown = subprocess.run(
        ["sh", "-c", "eval \"printf '%s\\n' $(cat)\""],
        input=shlex.join(arguments),
        capture_output=True,
        text=True,
        check=True,
    )
    assert tuple(shown.stdout.splitlines()) == arguments
