"""What `make deploy` asks before it builds: whether the stage can be deployed here at all.

`python -m quintet_cli.preflight STAGE`; nothing is changed.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from quintet_cli.stacks import StageError, explained

__all__ = ["check", "main"]

CONFIG = Path("samconfig.toml")


def check(stage: str, config: Path = CONFIG) -> None:
    """Look at the stage's settings and at the stack that has its name.

    Raises:
        StageError: deploying would fail, or would put Quintet in another application's place.
    """
    stack = _stack_name(stage, config)
    try:
        found: Any = boto3.client("cloudformation").describe_stacks(StackName=stack)
    except (BotoCoreError, ClientError) as error:
        if "does not exist" in str(error):
            return
        raise StageError(explained(error) or f"stack {stack}: {error}") from error
    _judge(stage, stack, found["Stacks"][0])


def _stack_name(stage: str, config: Path) -> str:
    stages = {
        name: part["deploy"]["parameters"]
        for name, part in tomllib.loads(config.read_text()).items()
        if isinstance(part, dict) and "stack_name" in part.get("deploy", {}).get("parameters", {})
    }
    if stage not in stages:
        raise StageError(f"{config} has no stage {stage} to deploy: it has {', '.join(stages)}")
    if f"Stage={stage}" not in stages[stage].get("parameter_overrides", ()):
        raise StageError(
            f"{config}: parameter_overrides of stage {stage} must have Stage={stage}, "
            "or it would be named as the stage dev is"
        )
    return str(stages[stage]["stack_name"])


def _judge(stage: str, stack: str, found: Any) -> None:
    status = found["StackStatus"]
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        raise StageError(f"stack {stack} is {status}: another deployment is under way, wait for it")
    if status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}:
        raise StageError(
            f"stack {stack} is {status} and cannot be deployed over: "
            f"`quintet destroy --stage {stage}` removes it"
        )
    outputs = {output["OutputKey"] for output in found.get("Outputs", [])}
    if outputs and not {"ApiUrl", "RegistryBucketName"} <= outputs:
        raise StageError(
            f"stack {stack} is another application's, whose resources would be deleted: "
            "take another stack_name in samconfig.toml"
        )


def main() -> None:
    """Say what stands in the way, and fail."""
    try:
        check(sys.argv[1])
    except StageError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
