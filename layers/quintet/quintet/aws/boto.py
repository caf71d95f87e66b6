"""boto3's errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from quintet.aws.client import ConditionFailed
from quintet.errors import Transient

__all__ = ["calling"]


@contextmanager
def calling(what: str) -> Iterator[None]:
    """Translate what boto3 raises; its own texts may hold ARNs, so only names are passed on.

    Raises:
        ConditionFailed: a conditional write found another state.
        Transient: anything else.
    """
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        if code == "ConditionalCheckFailedException":
            raise ConditionFailed(f"{what}: the condition does not hold") from error
        raise Transient(f"{what} answered {code}") from error
    except BotoCoreError as error:
        name = type(error).__name__
        raise Transient(f"{what} could not be reached ({name})") from error
