"""Checks before `make deploy` builds: whether the stage can be deployed here.

`python -m quintet_cli.preflight STAGE` prints the arguments that `sam deploy` needs beyond
samconfig.toml, usually none; notes go to stderr. Nothing is changed.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quintet_cli.quotas import Account, account_of, judge
from quintet_cli.stacks import StageError, configured, explained
from quintet_local.parameters import ParameterError, parameters
from quintet_local.template import TemplateError, read

__all__ = ["Deployment", "check", "main", "overrides"]

CONFIG = Path("samconfig.toml")
TEMPLATE = Path("template.yaml")
#: a state machine's name has at most 80 characters: the stack's name and -BatchScoring
MAX_STACK_NAME = 67


@dataclass(frozen=True)
class Deployment:
    """Notes on a deployment, and the arguments to add to `sam deploy`."""

    notes: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


def check(
    stage: str, config: Path = CONFIG, template: Path = TEMPLATE, account: Account | None = None
) -> Deployment:
    """Check the stage's settings, the stack that has its name, and the account's quotas.

    Raises:
        StageError: deploying would fail, or would replace another application.
    """
    import boto3  # no help of a command needs it

    settings = _settings(stage, config)
    stack = str(settings["stack_name"])
    _check_name(stage, stack)
    values = _values(stage, template, settings)
    _check_stack(stage, stack)
    found = judge(values, account_of(boto3.client, stack) if account is None else account)
    if found.refusals:
        raise StageError("\n".join(found.refusals), command=f"make deploy STAGE={stage}")
    return Deployment(tuple(found.notes), _arguments(settings, found.overrides))


def _settings(stage: str, config: Path) -> dict[str, Any]:
    stages = configured(config)
    if stage not in stages:
        raise StageError(
            f"{config} has no stage {stage} to deploy: it has {', '.join(stages)}",
            command=f"make deploy STAGE={next(iter(stages), stage)}",
        )
    settings = stages[stage]
    if f"Stage={stage}" not in overrides(settings):
        raise StageError(
            f"{config}: parameter_overrides of stage {stage} must have Stage={stage}, "
            "or it would be named as the stage dev is",
            command=f"make deploy STAGE={stage}",
        )
    return settings


def overrides(settings: Mapping[str, Any]) -> list[str]:
    """Return the `NAME=VALUE` entries of samconfig.toml, from a list of texts or one text."""
    given = settings.get("parameter_overrides", [])
    return shlex.split(given) if isinstance(given, str) else list(given)


def _check_name(stage: str, stack: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9-]*", stack):
        raise StageError(
            f"stack_name {stack}: expected lower-case letters, digits and hyphens, since buckets "
            "and the database of the scores are named after it",
            command=f"make deploy STAGE={stage}",
        )
    if len(stack) > MAX_STACK_NAME:
        raise StageError(
            f"stack_name {stack} has {len(stack)} characters, at most {MAX_STACK_NAME} fit: "
            "the state machine is named after it",
            command=f"make deploy STAGE={stage}",
        )


def _values(stage: str, template: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return every parameter's value, within CloudFormation's bounds."""
    given = dict(text.partition("=")[::2] for text in overrides(settings))
    try:
        unquoted = {name: value.strip('"') for name, value in given.items()}
        return parameters(read(template), unquoted)
    except (ParameterError, TemplateError) as error:
        raise StageError(str(error), command=f"make deploy STAGE={stage}") from error


def _check_stack(stage: str, stack: str) -> None:
    import boto3

    try:
        found: Any = boto3.client("cloudformation").describe_stacks(StackName=stack)
    except (BotoCoreError, ClientError) as error:
        if "does not exist" in str(error):
            return
        raise explained(error) or StageError(
            f"stack {stack}: {error}", command=f"make deploy STAGE={stage}"
        ) from error
    _judge(stage, stack, found["Stacks"][0])


def _judge(stage: str, stack: str, found: Any) -> None:
    status = found["StackStatus"]
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        raise StageError(
            f"stack {stack} is {status}: another deployment is under way, wait for it",
            command=f"make deploy STAGE={stage}",
        )
    if status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}:
        raise StageError(
            f"stack {stack} is {status} and cannot be deployed over; to remove it",
            command=f"quintet destroy --stage {stage}",
        )
    outputs = {output["OutputKey"] for output in found.get("Outputs", [])}
    if outputs and not {"ApiUrl", "RegistryBucketName"} <= outputs:
        raise StageError(
            f"stack {stack} is another application's, whose resources would be deleted: "
            "take another stack_name in samconfig.toml",
            command=f"make deploy STAGE={stage}",
        )


def _arguments(settings: Mapping[str, Any], changed: Mapping[str, str]) -> tuple[str, ...]:
    """Return all parameters if any changes: the command line's replace those of samconfig.toml."""
    if not changed:
        return ()
    kept = [text for text in overrides(settings) if text.partition("=")[0] not in changed]
    return ("--parameter-overrides", *kept, *(f"{name}={value}" for name, value in changed.items()))


def main() -> None:
    """Print what prevents a deployment, and fail; or print arguments for `sam deploy`."""
    try:
        found = check(sys.argv[1])
    except StageError as error:
        sys.exit("\n".join(f"error: {line}" for line in str(error).splitlines()))
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    print(shlex.join(found.arguments))


if __name__ == "__main__":
    main()
