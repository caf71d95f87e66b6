"""Convert boto3 errors to replay errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from quintet.replay.items import ReplayError

__all__ = ["replay_errors"]


@contextmanager
def replay_errors() -> Iterator[None]:
    """Raise boto3 errors as ReplayError; the boto3 error is the cause."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise ReplayError(str(error)) from error
