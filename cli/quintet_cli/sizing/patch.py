"""The settings of a size as a patch of samconfig.toml."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path

from quintet_cli.preflight import overrides
from quintet_cli.sizing.plan import Size
from quintet_cli.stacks import StageError, configured

__all__ = ["parameters_of", "patch"]


def parameters_of(size: Size) -> dict[str, str]:
    """Return the template's parameters that a size sets."""
    return {
        "PredictMemoryMb": str(size.online.memory_mb),
        "ModelMemoryMb": str(size.online.models_mb),
        "PredictProvisionedConcurrency": str(size.online.provisioned),
        "PredictMaxProvisionedConcurrency": str(size.online.most_provisioned),
        "WorkBatchSize": str(size.work.batch_size),
        "WorkMaxConcurrency": str(min(size.work.concurrency, 1000)),
        "StreamShards": str(min(size.stream.shards, 500)),
        "BatchMaxConcurrency": str(size.batch.parallelism),
    }


def patch(config: Path, stage: str, size: Size) -> str:
    """Return the unified diff that gives a stage of samconfig.toml a size; `patch -p0` applies it.

    Raises:
        StageError: the file has no such stage, or writes its parameters in another way.
    """
    text = config.read_text(encoding="utf-8")
    stages = configured(config)
    if stage not in stages:
        raise StageError(
            f"{config} has no stage {stage} to deploy: it has {', '.join(stages)}",
            command="quintet size --help",
        )
    kept = dict(entry.partition("=")[::2] for entry in overrides(stages[stage]))
    entries = [f"{name}={value}" for name, value in (kept | parameters_of(size)).items()]
    line = f"parameter_overrides = {json.dumps(entries)}"
    head = rf"(^\[{re.escape(stage)}\.deploy\.parameters\]$(?:\n(?!\[).*)*?\n)"
    section = re.compile(head + "parameter_overrides *=.*$", re.M)
    changed, count = section.subn(lambda found: found[1] + line, text)
    if count != 1:
        raise StageError(
            f"{config}: expected parameter_overrides of stage {stage} in one line; write it so, or "
            f"set {', '.join(entries)} by hand",
            command=f"make deploy STAGE={stage}",
        )
    return "".join(
        difflib.unified_diff(
            text.splitlines(keepends=True),
            changed.splitlines(keepends=True),
            str(config),
            str(config),
        )
    )
