"""The AWS region of a command."""

from __future__ import annotations

from collections.abc import MutableMapping

__all__ = ["unify_region"]


def unify_region(environ: MutableMapping[str, str]) -> None:
    """Give boto3, and commands started from here, the region that AWS_REGION names.

    boto3 reads AWS_DEFAULT_REGION alone; other SDKs read AWS_REGION first, as this does.
    """
    if region := environ.get("AWS_REGION"):
        environ["AWS_DEFAULT_REGION"] = region
