"""An account's quotas, and the check of a stage's parameters against them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

__all__ = ["Account", "Findings", "account_of", "judge"]

#: executions that Lambda keeps for functions without a reservation
#: https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
KEPT = 100
#: from template.yaml: the limit of the queue of dropped files, and the burst of the API's stage
DROP_CONCURRENCY = 5
STAGE_BURST = 2000
#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
LOG_POLICIES, LOG_POLICY_CHARACTERS = 10, 5120
LOG_POLICY = "AWSLogDeliveryWrite20150319"
MORE = "ask for 1,000 `Concurrent executions` of Lambda in Service Quotas"

Client = Callable[..., Any]


@dataclass(frozen=True)
class Account:
    """Quotas of an account in a region; None if one could not be read."""

    executions: int | None = None
    unreserved: int | None = None
    burst: int | None = None
    #: the resource policies of CloudWatch Logs, by name
    log_policies: Mapping[str, str] | None = None
    #: environments that the stage's alias of predict has pre-started now
    provisioned: int | None = None
    #: executions that the stage's deployed parameters reserve now
    reserved: int = 0
    unread: tuple[str, ...] = ()


@dataclass
class Findings:
    """What prevents a deployment, notes, and parameters to override."""

    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    overrides: dict[str, str] = field(default_factory=dict)


def account_of(client: Client, stack: str) -> Account:
    """Read the quotas, as far as the caller may; `client` creates a client of a service."""
    unread: list[str] = []

    def read(service: str, look: Callable[[Any], Any]) -> Any:
        try:
            return look(client(service))
        except (BotoCoreError, ClientError, NotImplementedError) as error:
            unread.append(f"quotas of {service} are not checked: {error}")
            return None

    limits = read("lambda", lambda c: c.get_account_settings()["AccountLimit"]) or {}
    throttle = read("apigateway", lambda c: c.get_account()["throttleSettings"]) or {}
    policies = read("logs", lambda c: c.describe_resource_policies()["resourcePolicies"])
    return Account(
        executions=limits.get("ConcurrentExecutions"),
        unreserved=limits.get("UnreservedConcurrentExecutions"),
        burst=throttle.get("burstLimit"),
        log_policies=None
        if policies is None
        else {p["policyName"]: p["policyDocument"] for p in policies},
        provisioned=_provisioned_now(client, stack),
        reserved=_reserved_now(client, stack),
        unread=tuple(unread),
    )


def _provisioned_now(client: Client, stack: str) -> int | None:
    try:
        found = client("cloudformation").describe_stack_resource(
            StackName=stack, LogicalResourceId="Predict"
        )
        function = found["StackResourceDetail"]["PhysicalResourceId"]
        config = client("lambda").get_provisioned_concurrency_config(
            FunctionName=function, Qualifier="live"
        )
    except (BotoCoreError, ClientError):  # a first deployment, or none is provisioned
        return None
    return int(config["RequestedProvisionedConcurrentExecutions"])


def _reserved_now(client: Client, stack: str) -> int:
    try:
        (found,) = client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except (BotoCoreError, ClientError):  # a first deployment
        return 0
    deployed = {p["ParameterKey"]: p["ParameterValue"] for p in found.get("Parameters", [])}
    return sum(_reserves(deployed).values())


def _reserves(parameters: Mapping[str, str]) -> dict[str, int]:
    """Return the parameters that reserve executions for a function."""
    suffix = "ReservedConcurrency"
    return {n: int(v) for n, v in parameters.items() if n.endswith(suffix) and int(v) > 0}


def judge(parameters: Mapping[str, str], account: Account) -> Findings:
    """Check the values of a stage's parameters against the account's quotas."""
    found = Findings(notes=list(account.unread))
    _reserved(parameters, account, found)
    _provisioned(parameters, account, found)
    _kept(parameters, account, found)
    _code_rollout(parameters, account, found)
    _shared(parameters, account, found)
    if account.burst is not None and account.burst < STAGE_BURST:
        found.notes.append(
            f"API Gateway takes bursts of {account.burst:,} requests in this region, not the "
            f"stage's {STAGE_BURST:,}: above it callers get 429"
        )
    _log_policies(account, found)
    return found


def _reserved(parameters: Mapping[str, str], account: Account, found: Findings) -> None:
    reserves = _reserves(parameters)
    if not reserves or account.unreserved is None or account.executions is None:
        return
    room = account.unreserved + account.reserved - min(KEPT, account.executions)
    if sum(reserves.values()) > room:
        terms = " + ".join(f"{name}={value}" for name, value in reserves.items())
        found.refusals.append(
            f"{terms} is more than the {max(room, 0):,} executions that this account can reserve, "
            f"of {account.executions:,}: lower it, or {MORE}"
        )


def _provisioned(parameters: Mapping[str, str], account: Account, found: Findings) -> None:
    wanted = int(parameters["PredictProvisionedConcurrency"])
    most = int(parameters["PredictMaxProvisionedConcurrency"])
    if 0 < most < wanted:
        found.refusals.append(
            f"PredictMaxProvisionedConcurrency={most} is under PredictProvisionedConcurrency="
            f"{wanted}: set it to {wanted} or more, or to 0"
        )
    reserve = _reserves(parameters).get("PredictReservedConcurrency")
    if reserve is not None and wanted > reserve:
        found.refusals.append(
            f"PredictProvisionedConcurrency={wanted} is over PredictReservedConcurrency={reserve}, "
            "of which it is taken: lower it, or reserve more"
        )
    if reserve is not None or not wanted:
        return
    if account.unreserved is None or account.executions is None:
        return
    room = account.unreserved - min(KEPT, account.executions)
    if wanted > room:
        found.overrides |= dict.fromkeys(
            ("PredictProvisionedConcurrency", "PredictMaxProvisionedConcurrency"), "0"
        )
        found.notes.append(
            f"this account runs {account.executions:,} executions at once, of which "
            f"{max(room, 0):,} can be provisioned: PredictProvisionedConcurrency={wanted} would be "
            "refused and the stack rolled back, so it is deployed as 0 (cold starts); "
            f"{MORE}, and deploy again"
        )
    elif most > room:
        found.notes.append(
            f"PredictMaxProvisionedConcurrency={most} is over the {room:,} executions that this "
            f"account can provision: scaling stops there; {MORE}"
        )


def _kept(parameters: Mapping[str, str], account: Account, found: Findings) -> None:
    """Keep the provisioned number that scaling reached: a deployment would reset it."""
    wanted = int(parameters["PredictProvisionedConcurrency"])
    most = int(parameters["PredictMaxProvisionedConcurrency"])
    now = account.provisioned
    if now is not None and 0 < wanted < now <= most and not found.overrides:
        found.overrides["PredictScaledConcurrency"] = str(now)
        found.notes.append(
            f"predict has scaled to {now} pre-started environments; this deployment keeps them"
        )


def _code_rollout(parameters: Mapping[str, str], account: Account, found: Findings) -> None:
    """Refuse to take provisioned concurrency away and move new code by weights in one deployment.

    A template's rule refuses both at once. https://github.com/aws/serverless-application-model/issues/1296
    """
    if (kind := parameters["CodeRollout"]) != "AllAtOnce" and account.provisioned:
        found.refusals.append(
            f"CodeRollout={kind} gives the alias of predict weights, and Lambda provisions no "
            f"concurrency of such an alias, which has {account.provisioned} environments now: "
            "deploy first with PredictProvisionedConcurrency=0 and CodeRollout=AllAtOnce, then "
            f"with CodeRollout={kind}"
        )


def _shared(parameters: Mapping[str, str], account: Account, found: Findings) -> None:
    """Check that queues, streams and runs leave executions for `predict`."""
    if account.unreserved is None:
        return
    takers = {
        "WorkMaxConcurrency": int(parameters["WorkMaxConcurrency"]),
        "NotifyMaxConcurrency": int(parameters["NotifyMaxConcurrency"]),
        "BatchMaxConcurrency": int(parameters["BatchMaxConcurrency"]),
        "StreamShards": int(parameters["StreamShards"]),
    }
    most = sum(takers.values()) + DROP_CONCURRENCY
    if most < account.unreserved:
        return
    terms = " + ".join(f"{name}={value}" for name, value in takers.items())
    found.notes.append(
        f"{terms} + {DROP_CONCURRENCY} for dropped files may take {most:,} executions at once, and "
        f"this account has {account.unreserved:,}: while they do, predict is throttled. Lower "
        f"them, or {MORE}"
    )


def _log_policies(account: Account, found: Findings) -> None:
    """Check the log policies: the state machine's log delivery adds one per account and region."""
    policies = account.log_policies
    if policies is None:
        return
    own = policies.get(LOG_POLICY)
    if own is None and len(policies) >= LOG_POLICIES:
        found.refusals.append(
            f"CloudWatch Logs has {len(policies)} resource policies in this account, the most it "
            f"takes, and the state machine's logs need {LOG_POLICY}: delete one "
            "(`aws logs describe-resource-policies`)"
        )
    if own is not None and "/aws/vendedlogs/" not in own and len(own) > LOG_POLICY_CHARACTERS - 400:
        found.refusals.append(
            f"the resource policy {LOG_POLICY} of CloudWatch Logs has {len(own):,} of its "
            f"{LOG_POLICY_CHARACTERS:,} characters, so the state machine's log group does not fit: "
            "replace its log groups by /aws/vendedlogs/* (`aws logs put-resource-policy`)"
        )
