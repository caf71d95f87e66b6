"""What the local AWS calls itself."""

from __future__ import annotations

__all__ = ["ACCOUNT", "CREDENTIALS", "PARTITION", "REGION", "STACK", "arn"]

REGION = "us-east-1"
PARTITION = "aws"
#: moto's account
ACCOUNT = "123456789012"
STACK = "quintet-local"
#: credentials that work here and nowhere else
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
}


def arn(service: str, resource: str) -> str:
    """An ARN of this region and account."""
    return f"arn:{PARTITION}:{service}:{REGION}:{ACCOUNT}:{resource}"
