"""S3 objects that a replay reads and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime

from quintet.aws.client import AwsClient
from quintet.aws.responses import error_code
from quintet.aws.s3 import S3, checked
from quintet.aws.scores_bucket import S3ConditionalObjects
from quintet.replay.marks import MarkVersion
from quintet.replay.stream_objects import StreamObject

__all__ = ["S3MarkObjects", "S3ReplayInbox", "S3StreamObjects"]

#: S3's responses when the condition of a put does not hold
_TAKEN = {"PreconditionFailed", "ConditionalRequestConflict"}


class S3MarkObjects(S3ConditionalObjects):
    """See `quintet.replay.marks.MarkObjects`; the tag is the ETag."""

    def version(self, key: str) -> MarkVersion:
        """See `MarkObjects.version`; S3's own clock gives the age."""
        head = checked(self._s3.head(self._bucket, key)).headers
        now, written = (parsedate_to_datetime(head[name]) for name in ("date", "last-modified"))
        return MarkVersion(head["etag"], written.timestamp(), (now - written).total_seconds())


class S3ReplayInbox:
    """See `quintet.replay.run_quarantine.ReplayInbox`; the bucket has versioning."""

    def __init__(self, client: AwsClient, bucket: str) -> None:
        self._s3 = S3(client)
        self.bucket = bucket

    def put_once(self, key: str, body: bytes, metadata: Mapping[str, str]) -> str:
        """See `ReplayInbox.put_once`."""
        named = {f"x-amz-meta-{name}": value for name, value in metadata.items()}
        put = self._s3.put(self.bucket, key, body, {"if-none-match": "*", **named})
        if put.status >= 300 and error_code(put) in _TAKEN:
            put = self._s3.head(self.bucket, key)
        return checked(put).headers["x-amz-version-id"]


class S3StreamObjects:
    """See `quintet.replay.stream_objects.StreamObjects`."""

    def __init__(self, client: AwsClient, bucket: str) -> None:
        self._s3 = S3(client)
        self._bucket = bucket

    def list(self, prefix: str) -> Sequence[StreamObject]:
        """See `StreamObjects.list`."""
        return [
            StreamObject(o.key, o.size, datetime.fromisoformat(o.modified).timestamp())
            for o in self._s3.objects(self._bucket, prefix)
        ]

    def folders(self, prefix: str) -> Sequence[str]:
        """See `StreamObjects.folders`."""
        return list(self._s3.folders(self._bucket, prefix))

    def read(self, key: str) -> bytes:
        """See `StreamObjects.read`."""
        return checked(self._s3.get(self._bucket, key)).body
