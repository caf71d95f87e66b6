"""How a failed command ends: why it failed, what to run next, and an exit status by its kind."""

from __future__ import annotations

from builtins import ConnectionError as OSConnectionError
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
)

from quintet.columns.names import suggestion
from quintet.errors import ModelFailure, NotFound, QuintetError, Transient
from quintet_cli.advice import beside, next_command
from quintet_cli.stacks import NoStage, StageError, explained
from quintet_cli.terminal import tell

__all__ = ["Status", "reason_of", "status_of", "told", "with_command"]

#: the last parts of AWS's codes for what does not exist
_MISSING = ("NotFound", "NotFoundException", "NoSuchKey", "NoSuchBucket", "DoesNotExist", "404")


class Status(IntEnum):
    """The exit statuses of commands: docs/commands.md explains them. 2 is Typer's own."""

    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNREACHABLE = 5


#: what a command may end with; anything else is a defect
EXPECTED = (QuintetError, StageError, BotoCoreError, ClientError, OSError)


def reason_of(error: BaseException) -> str | None:
    """Why an expected error happened, in plain words; None for a defect."""
    if not isinstance(error, EXPECTED):
        return None
    return str(explained(error) or explained(error.__cause__) or _of_file(error) or error)


def _of_file(error: BaseException) -> str | None:
    """What is wrong with a file that was named, and which one beside it may be meant."""
    if not isinstance(error, OSError) or error.strerror is None:
        return None
    if not isinstance(error.filename, str | Path):
        return str(error.strerror).lower()
    path = Path(error.filename)
    if not isinstance(error, FileNotFoundError):
        return f"{path}: {error.strerror.lower()}"
    return f"{path}: there is no such file{suggestion(path.name, beside(path))}"


def told(error: Exception, words: Sequence[str] = ()) -> Status | None:
    """Print an expected error of `quintet words...`, and return the exit status.

    None for a defect of the command.
    """
    if (text := reason_of(error)) is None:
        return None
    tell(text, next_command(error, words))
    return status_of(error)


def with_command(error: BaseException) -> str:
    """Return the text of an error with the command that goes on, in one line."""
    known = error if isinstance(error, StageError) else explained(error)
    return f"{known}; `{known.command}`" if known else str(error)


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
