"""The stage after it has stood for a while: its schedule, and a second deployment."""

from __future__ import annotations

import pytest
from tests.kits.local_aws import eventually
from tests.localstack.conftest import SECONDS, Deployed
from tests.localstack.kit import STAGE, said

from quintet_cli.stage import Stage

pytestmark = pytest.mark.localstack


def test_the_sweep_is_called_by_its_schedule(deployed: Deployed) -> None:
    found = deployed.at.client("cloudformation").describe_stack_resource(
        StackName=f"quintet-{STAGE}", LogicalResourceId="Sweep"
    )
    group = f"/aws/lambda/{found['StackResourceDetail']['PhysicalResourceId']}"
    logs = deployed.at.client("logs")

    def swept() -> bool:
        events = logs.filter_log_events(logGroupName=group)["events"]
        return any('"message":"swept"' in event["message"] for event in events)

    eventually(swept, SECONDS)


@pytest.mark.xfail(
    reason="a change is modelled before SAM's transform, which parts resources that refer to each "
    "other, such as the API and its functions: that recurses without end",
    strict=True,
)
def test_deploying_again_without_a_change_succeeds(deployed: Deployed) -> None:
    """The stage keeps its models and addresses.

    LocalStack takes every SAM template for a change and updates the stack; AWS finds none, and
    samconfig.toml says that this is no failure.
    """
    before = deployed.at.quintet("models")
    ran = deployed.at.deploy(deployed.template)
    assert ran.returncode == 0, said(ran)
    assert "Successfully created/updated stack" in ran.stdout
    assert Stage.open(STAGE).outputs == deployed.stage.outputs
    assert deployed.at.quintet("models") == before
