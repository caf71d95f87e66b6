"""Objects of S3 that are replaced only as they were read, by conditional writes.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from quintet.errors import Transient

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["S3Cells"]

# without leave to list the bucket, S3 answers 403 for what is not there
GONE = {"404", "NoSuchKey", "403", "AccessDenied"}
#: another wrote first, is writing right now, or deleted what was read
LOST = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict", "404", "NoSuchKey"}


class S3Cells:
    """See `quintet.batch.tables.ConditionalObjects`; a cell's tag is its object's ETag."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def read(self, key: str) -> tuple[bytes, str] | None:
        """See `quintet.batch.tables.ConditionalObjects.read`."""
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=key)
            return found["Body"].read(), found["ETag"]
        except ClientError as error:
            if _code(error) in GONE:
                return None
            raise Transient(f"S3 answered {_code(error)}") from error
        except BotoCoreError as error:
            raise Transient(f"S3 could not be reached ({type(error).__name__})") from error

    def swap(self, key: str, body: bytes, tag: str | None) -> bool:
        """See `quintet.batch.tables.ConditionalObjects.swap`."""
        condition: Any = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,
                ContentType="application/json",
                **condition,
            )
        except ClientError as error:
            if _code(error) in LOST:
                return False
            raise Transient(f"S3 answered {_code(error)}") from error
        except BotoCoreError as error:
            raise Transient(f"S3 could not be reached ({type(error).__name__})") from error
        return True


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "an error"))
