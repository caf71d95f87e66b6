"""How a failed command ends: one line that says why, and an exit status by the kind of failure."""

from __future__ import annotations

from builtins import ConnectionError as OSConnectionError
from collections.abc import Sequence
from contextlib import suppress
from enum import IntEnum
from itertools import islice
from pathlib import Path

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
)
from rich.markup import escape

from quintet.columns.names import suggestion
from quintet.errors import ModelFailure, NotFound, QuintetError, Transient
from quintet_cli.stacks import NoStage, StageError, explained
from quintet_cli.terminal import Console

__all__ = ["Status", "reason_of", "status_of", "told"]

#: the last parts of AWS's codes for what does not exist
_MISSING = ("NotFound", "NotFoundException", "NoSuchKey", "NoSuchBucket", "DoesNotExist", "404")

#: of so many files beside one that is missing the nearest name is looked for
_NEIGHBOURS = 10_000


class Status(IntEnum):
    """The exit statuses of commands: docs/commands.md explains them. 2 is Typer's own."""

    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNREACHABLE = 5


def reason_of(error: BaseException) -> str | None:
    """Why an expected error happened, in plain words; None for a defect."""
    if not isinstance(error, (QuintetError, StageError, BotoCoreError, ClientError, OSError)):
        return None
    return explained(error) or explained(error.__cause__) or _of_file(error) or str(error)


def _of_file(error: BaseException) -> str | None:
    """What is wrong with a file that was named, and which one beside it may be meant."""
    if not isinstance(error, OSError) or not isinstance(error.filename, (str, Path)):
        return None
    path = Path(error.filename)
    if not isinstance(error, FileNotFoundError):
        return f"{path}: {str(error.strerror).lower()}"
    beside: list[str] = []
    with suppress(OSError):  # there may be no such folder, or nobody may list it
        beside = [one.name for one in islice(path.parent.iterdir(), _NEIGHBOURS)]
    return f"{path}: there is no such file{suggestion(path.name, beside)}"


def told(error: Exception) -> Status | None:
    """Print an expected error, and return the exit status; None for a defect of the command."""
    if (text := reason_of(error)) is None:
        return None
    # quoted text may look like rich's markup; the terminal wraps lines
    console = Console(stderr=True)
    console.print(f"[red]error:[/red] {escape(text)}", highlight=False, soft_wrap=True)
    return status_of(error)


#: the status of an error by its kind; the first that fits
_BY_KIND: Sequence[tuple[Status, tuple[type[BaseException], ...]]] = (
    (Status.NOT_FOUND, (NotFound, FileNotFoundError)),
    (Status.UNREACHABLE, (NoStage, Transient, NoRegionError, NoCredentialsError)),
    (Status.UNREACHABLE, (ConnectionError, HTTPClientError, OSConnectionError)),
    (Status.FAILED, (ModelFailure,)),
    (Status.REFUSED, (QuintetError, PermissionError)),
)


def status_of(error: BaseException | None) -> Status:
    """The exit status of an expected error; an error that says what to do ends as its cause."""
    for status, kinds in _BY_KIND:
        if isinstance(error, kinds):
            return status
    if isinstance(error, ClientError):
        if str(error.response.get("Error", {}).get("Code", "")).endswith(_MISSING):
            return Status.NOT_FOUND
        return Status.REFUSED if explained(error) else Status.FAILED
    return status_of(error.__cause__) if isinstance(error, StageError) else Status.FAILED
