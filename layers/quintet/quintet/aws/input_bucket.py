"""The inbox bucket, and other buckets that a run may read."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from quintet.aws.client import AwsClient
from quintet.aws.responses import error_code
from quintet.aws.s3 import S3, checked, is_absent, is_denied, listed
from quintet.batch.plans import Snapshot
from quintet.batch.stores import Listed, changed, unreadable
from quintet.errors import NotFound

__all__ = ["S3InputBucket"]

_METADATA = "x-amz-meta-"
#: valid bucket names
_BUCKET = re.compile(r"[a-zA-Z0-9.\-_]{1,255}")
_NO_BUCKET = {"NoSuchBucket", "InvalidBucketName"}


class S3InputBucket:
    """See `quintet.batch.stores.InputBucket`.

    `own` are buckets that the function reads for itself, with what other callers may not see: no
    request and no manifest may name them, though the function's role would let it read them.
    """

    def __init__(self, client: AwsClient, own: Collection[str] = ()) -> None:
        self._s3 = S3(client)
        self._own = own

    def keys(self, bucket: str, prefix: str) -> Iterator[Listed]:
        """See `InputBucket.keys`."""
        self._check(bucket)
        for page in self._s3.pages(bucket, prefix):
            if is_denied(page) or error_code(page) in _NO_BUCKET:
                raise unreadable()
            for found in listed(checked(page)):
                yield Listed(found.key, found.size, found.etag)

    def snapshot(self, bucket: str, key: str, version_id: str | None) -> Snapshot:
        """See `InputBucket.snapshot`."""
        self._check(bucket)
        head = self._s3.head(bucket, key, version_id)
        if is_denied(head):  # plan_run may list readable buckets: a missing key would be a 404
            raise unreadable()
        if is_absent(head):
            raise NotFound.of("the file", f"{key} in the inbox", "nothing; it was deleted")
        headers = checked(head).headers
        return Snapshot(
            bucket=bucket,
            key=key,
            version_id=headers.get("x-amz-version-id", version_id),
            etag=headers["etag"].strip('"'),
            size=int(headers["content-length"]),
            metadata={
                name.removeprefix(_METADATA): value
                for name, value in headers.items()
                if name.startswith(_METADATA)
            },
        )

    def read(self, snapshot: Snapshot, start: int, end: int) -> bytes:
        """See `InputBucket.read`."""
        if start >= end:
            return b""
        found = self._s3.get(
            snapshot.bucket,
            snapshot.key,
            version_id=snapshot.version_id,
            headers={"range": f"bytes={start}-{end - 1}", "if-match": f'"{snapshot.etag}"'},
        )
        if is_absent(found) or found.status == 412:
            raise changed(snapshot)
        return checked(found).body

    def _check(self, bucket: str) -> None:
        if bucket in self._own or not _BUCKET.fullmatch(bucket):
            raise unreadable()
