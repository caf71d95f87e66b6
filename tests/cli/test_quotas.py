"""A stage's parameters against an account's quotas."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.kits.aws import ROOT

from quintet_cli.quotas import DROP_CONCURRENCY, STAGE_BURST, Account, account_of, judge
from quintet_local.parameters import parameters
from quintet_local.template import read

SOURCE = read(ROOT / "template.yaml")
LARGE = Account(executions=1000, unreserved=1000, burst=5000, log_policies={})
PROD = {"PredictProvisionedConcurrency": "2", "PredictMaxProvisionedConcurrency": "10"}


def found(account: Account, **given: str) -> Any:
    return judge(parameters(SOURCE, given), account)


def test_a_grown_account_takes_every_stage_as_it_is() -> None:
    for given in ({}, PROD):
        judged = found(LARGE, **given)
        assert (judged.refusals, judged.notes, judged.overrides) == ([], [], {})


def test_a_stage_that_provisions_nothing_is_deployed_as_it_is() -> None:
    assert found(Account(1000, 50)).overrides == {}


def test_a_code_rollout_waits_until_no_concurrency_is_provisioned() -> None:
    rollout = {"CodeRollout": "Canary10Percent5Minutes"}
    assert found(LARGE, **rollout).refusals == []
    judged = found(replace(LARGE, provisioned=2), **rollout)
    assert judged.refusals == [
        "CodeRollout=Canary10Percent5Minutes gives the alias of predict weights, and Lambda "
        "provisions no concurrency of such an alias, which has 2 environments now: deploy first "
        "with PredictProvisionedConcurrency=0 and CodeRollout=AllAtOnce, then with "
        "CodeRollout=Canary10Percent5Minutes"
    ]
    assert found(replace(LARGE, provisioned=2)).refusals == []


def test_quotas_that_could_not_be_read_stop_nothing() -> None:
    judged = found(Account(unread=("quotas of lambda are not checked: no",)), **PROD)
    assert (judged.refusals, judged.overrides) == ([], {})
    assert judged.notes == ["quotas of lambda are not checked: no"]


@pytest.mark.parametrize(
    ("executions", "unreserved", "lowered"),
    [(10, 10, True), (50, 50, True), (101, 101, True), (102, 102, False), (1000, 101, True)],
)
def test_provisioned_concurrency_leaves_what_lambda_keeps(
    executions: int, unreserved: int, lowered: bool
) -> None:
    judged = found(Account(executions, unreserved), **PROD)
    zero = {"PredictProvisionedConcurrency": "0", "PredictMaxProvisionedConcurrency": "0"}
    assert judged.overrides == (zero if lowered else {})
    assert judged.refusals == []


@pytest.mark.parametrize(
    ("account", "refused"),
    [
        (Account(10, 10), True),
        (Account(1000, 1000), False),
        (Account(1000, 105), True),
        (Account(1000, 105, reserved=7), False),  # it is deployed already
    ],
)
def test_reserves_leave_what_lambda_keeps(account: Account, refused: bool) -> None:
    reserves = {"PredictReservedConcurrency": "5", "WorkReservedConcurrency": "2"}
    judged = judge({**parameters(SOURCE, PROD), **reserves}, account)
    assert bool(judged.refusals) is refused
    assert judged.overrides == {}  # predict provisions of its own reserve
    if refused:
        assert judged.refusals[0].startswith(
            "PredictReservedConcurrency=5 + WorkReservedConcurrency=2 is more than the "
        )


def test_predict_provisions_no_more_than_it_reserves() -> None:
    given = {**parameters(SOURCE, PROD), "PredictReservedConcurrency": "1"}
    assert judge(given, LARGE).refusals == [
        "PredictProvisionedConcurrency=2 is over PredictReservedConcurrency=1, of which it is "
        "taken: lower it, or reserve more"
    ]
    assert judge({**given, "PredictReservedConcurrency": "-1"}, LARGE).refusals == []


def test_scaling_stops_where_the_account_does() -> None:
    judged = found(Account(105, 105), **PROD)
    assert judged.notes[0].startswith(
        "PredictMaxProvisionedConcurrency=10 is over the 5 executions that this account can "
    )


def test_a_maximum_under_the_minimum_is_refused() -> None:
    given = {"PredictProvisionedConcurrency": "5", "PredictMaxProvisionedConcurrency": "2"}
    assert found(LARGE, **given).refusals == [
        "PredictMaxProvisionedConcurrency=2 is under PredictProvisionedConcurrency=5: "
        "set it to 5 or more, or to 0"
    ]


def test_concurrencies_are_compared_with_the_accounts() -> None:
    (note,) = found(Account(10, 10)).notes
    assert note.startswith(
        "WorkMaxConcurrency=10 + NotifyMaxConcurrency=10 + BatchMaxConcurrency=40 + "
        "StreamShards=1 + 5 for dropped files may take 66 executions at once, and this account "
        "has 10: "
    )
    few = {"WorkMaxConcurrency": "2", "NotifyMaxConcurrency": "2", "BatchMaxConcurrency": "2"}
    assert found(Account(20, 20), **few).notes == []


def test_a_small_regions_burst_is_said() -> None:
    (note,) = found(Account(1000, 1000, burst=1250)).notes
    assert note.startswith("API Gateway takes bursts of 1,250 requests in this region, not the")


def test_log_policies_that_are_full_are_refused() -> None:
    (many,) = found(Account(log_policies={str(n): "" for n in range(10)})).refusals
    assert many.startswith("CloudWatch Logs has 10 resource policies in this account")
    (long,) = found(Account(log_policies={"AWSLogDeliveryWrite20150319": "x" * 5000})).refusals
    assert "has 5,000 of its 5,120 characters" in long
    vended = "x" * 5000 + "/aws/vendedlogs/*"
    assert found(Account(log_policies={"AWSLogDeliveryWrite20150319": vended})).refusals == []


@pytest.mark.parametrize(("now", "kept"), [(None, set()), (2, set()), (7, {"7"}), (11, set())])
def test_what_scaling_has_reached_is_kept_by_a_deployment(now: int | None, kept: set[str]) -> None:
    judged = found(Account(1000, 1000, provisioned=now), **PROD)
    assert set(judged.overrides.values()) == kept
    assert set(judged.overrides) == ({"PredictScaledConcurrency"} if kept else set())


def test_what_the_template_itself_sets_is_known() -> None:
    resources = SOURCE["Resources"]
    drop = resources["DropDropped"]["Properties"]["ScalingConfig"]["MaximumConcurrency"]
    (settings,) = resources["Api"]["Properties"]["MethodSettings"]
    assert (drop, settings["ThrottlingBurstLimit"]) == (DROP_CONCURRENCY, STAGE_BURST)


class Aws:
    """Clients of an account; Logs refuses."""

    def __call__(self, service: str) -> Any:
        return self

    def get_account_settings(self) -> dict[str, Any]:
        return {"AccountLimit": {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 9}}

    def get_account(self) -> dict[str, Any]:
        return {"throttleSettings": {"burstLimit": 1250, "rateLimit": 2500.0}}

    def describe_resource_policies(self) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeIt")

    def describe_stack_resource(self, **_: str) -> dict[str, Any]:
        return {"StackResourceDetail": {"PhysicalResourceId": "quintet-dev-Predict-1"}}

    def describe_stacks(self, **_: str) -> dict[str, Any]:
        values = {"PredictReservedConcurrency": "5", "Stage": "dev"}
        found = [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]
        return {"Stacks": [{"Parameters": found}]}

    def get_provisioned_concurrency_config(self, **given: str) -> dict[str, Any]:
        assert given == {"FunctionName": "quintet-dev-Predict-1", "Qualifier": "live"}
        return {"RequestedProvisionedConcurrentExecutions": 4}


def test_the_quotas_of_an_account() -> None:
    account = account_of(Aws(), "quintet-dev")
    assert (account.executions, account.unreserved, account.burst) == (10, 9, 1250)
    assert (account.log_policies, account.provisioned, account.reserved) == (None, 4, 5)
    assert account.unread == (
        "quotas of logs are not checked: An error occurred (AccessDenied) when calling the "
        "DescribeIt operation: no",
    )
