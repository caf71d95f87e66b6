"""Errors of boto3 as a replay's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from quintet.replay.items import ReplayError

__all__ = ["replay_errors"]


@contextmanager
def replay_errors() -> Iterator[None]:
    """Raise errors of boto3 as ReplayError; boto3's own error is the cause."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise ReplayError(str(error)) from error
