"""The local AWS's account, region, credentials and ARNs."""

from __future__ import annotations

__all__ = ["ACCOUNT", "CREDENTIALS", "PARTITION", "REGION", "STACK", "arn"]

REGION = "us-east-1"
PARTITION = "aws"
#: moto's account
ACCOUNT = "123456789012"
STACK = "quintet-local"
#: credentials that work only here
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
}


def arn(service: str, resource: str) -> str:
    """Return an ARN in this region and account."""
    return f"arn:{PARTITION}:{service}:{REGION}:{ACCOUNT}:{resource}"
