"""Checks of this machine and of a stage's settings, before `quintet doctor` tries its patterns.

Each finding that is not ok ends with the command that mends it.
"""

from __future__ import annotations

import errno
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quintet_cli.doctor import Finding
from quintet_cli.failures import with_command
from quintet_cli.project import outdated
from quintet_cli.stacks import StageError, explained
from quintet_local.template import TemplateError, parse, read

__all__ = ["differing", "machine_checks", "stage_checks"]

HOST = "127.0.0.1"
#: the local AWS's ports; bytes that its state and a build need
PORTS, FREE_BYTES = (4566, 4567), 1_000_000_000
#: Lambda's runtime, which `sam build` looks for
RUNTIME = "python3.13"
#: what packaging and SAM write into a template beside what is in the file
WRITTEN = {"CodeUri", "ContentUri", "DefinitionUri"}

Check = Callable[[], str]


def machine_checks(
    folder: Path, state: Path, *, runs_here: bool, builds: bool
) -> Iterator[Finding]:
    """Check versions, ports, disk, and what `sam build` needs.

    `runs_here`: the local AWS has its ports itself. Unless it `builds`, what a build lacks is a
    note.
    """
    yield _found("versions", lambda: _versions(folder))
    if not runs_here:
        yield _found("ports", _ports)
    yield _found("disk", lambda: _disk(state))
    yield replace(_found("sam build", _sam_build), note=not builds)


def stage_checks(client: Callable[..., Any], stage: str, template: Path) -> Iterator[Finding]:
    """Check credentials; with them the account's quotas, and whether a stage has this template."""
    signed_in = _found("credentials", lambda: _credentials(client))
    yield signed_in
    if not signed_in.ok:
        return
    yield _found("quotas", lambda: _quotas(stage))
    yield _found("template", lambda: _template(client, stage, template))


def differing(deployed: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return the parts of a template that are not as deployed: resources and other entries."""
    found = []
    for part in sorted({*deployed, *here} - {"Metadata", "AWSTemplateFormatVersion"}):
        theirs, ours = deployed.get(part), here.get(part)
        if not (isinstance(theirs, Mapping) and isinstance(ours, Mapping)):
            found += [part] if theirs != ours else []
            continue
        found += [
            name if part == "Resources" else f"{part}.{name}"
            for name in sorted({*theirs, *ours})
            if _plain(theirs.get(name)) != _plain(ours.get(name))
        ]
    return found


def _found(name: str, check: Check) -> Finding:
    start = time.monotonic()
    try:
        ok, saw = True, check()
    except (StageError, TemplateError, BotoCoreError, ClientError, OSError) as error:
        ok, saw = False, with_command(error)
    return Finding(name, ok, saw, time.monotonic() - start)


def _versions(folder: Path) -> str:
    if told := outdated(folder):
        raise StageError(told, command="quintet new shop-new")
    return f"Python {sys.version.split()[0]}"


def _ports() -> str:
    for port in PORTS:
        try:
            socket.create_server((HOST, port)).close()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise StageError(
                f"port {port} is taken by another program; serve on free ones",
                command="quintet up --detach --port 0 --api-port 0",
            ) from error
    return f"{' and '.join(map(str, PORTS))} are free"


def _disk(state: Path) -> str:
    place = next(folder for folder in (state, *state.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < FREE_BYTES:
        raise StageError(
            f"{free / 1e9:.1f} GB are free at {place}, less than {FREE_BYTES / 1e9:g}; to delete "
            f"what the local AWS keeps in {state}",
            command="quintet up --fresh",
        )
    return f"{free / 1e9:,.0f} GB are free"


def _sam_build() -> str:
    """A shim of pyenv is on PATH also without the version."""
    found = shutil.which(RUNTIME)
    ran = found and subprocess.run([found, "-V"], capture_output=True, text=True, check=False)
    if not ran or ran.returncode:
        raise StageError(
            f"`sam build` needs {RUNTIME}, Lambda's runtime, on PATH",
            command="uv python install 3.13",
        )
    return f"{ran.stdout.strip()} at {found}"


def _credentials(client: Callable[..., Any]) -> str:
    try:
        return str(client("sts").get_caller_identity()["Arn"])
    except (BotoCoreError, ClientError) as error:
        raise explained(error) or StageError(str(error), command="aws configure") from error


def _quotas(stage: str) -> str:
    from quintet_cli.preflight import check  # it needs samconfig.toml

    try:
        notes = check(stage).notes
    except FileNotFoundError as error:
        raise StageError(
            "there is no samconfig.toml here, whose parameters quotas are compared with: go to "
            "the project's folder, or write one out",
            command="quintet new shop",
        ) from error
    except StageError as error:
        raise StageError(f"{error}; then", command=f"make deploy STAGE={stage}") from error
    return "; ".join(notes) or "the stage's parameters fit the account"


def _template(client: Callable[..., Any], stage: str, template: Path) -> str:
    stack = f"quintet-{stage}"
    body = client("cloudformation").get_template(StackName=stack, TemplateStage="Original")[
        "TemplateBody"
    ]
    deployed = parse(body, stack) if isinstance(body, str) else body
    if changed := differing(deployed, read(template)):
        names = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if changed[5:] else "")
        raise StageError(
            f"{stack} is not as {template}: {names}", command=f"make deploy STAGE={stage}"
        )
    return f"{stack} is as {template}"


def _plain(part: Any) -> Any:
    """A part of a template without what packaging writes into it."""
    if isinstance(part, Mapping):
        return {k: _plain(v) for k, v in part.items() if k not in WRITTEN and k != "Metadata"}
    return [_plain(one) for one in part] if isinstance(part, list) else part
