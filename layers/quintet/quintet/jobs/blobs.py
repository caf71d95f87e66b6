"""What is too large for a job's item, by S3's places: s3://bucket/key."""

from __future__ import annotations

from typing import Protocol

from quintet.errors import NotFound, Refusal, TooLarge

__all__ = ["INLINE_REQUEST", "INLINE_RESULT", "MAX_INPUT_BYTES", "Blobs", "MemoryBlobs"]

INLINE_REQUEST = 128 * 1024
INLINE_RESULT = 64 * 1024
#: the most bytes of an input that its caller put into S3
MAX_INPUT_BYTES = 100_000_000


class Blobs(Protocol):
    """Payloads and results."""

    def put(self, key: str, body: bytes, content_type: str) -> str:
        """Store under a key of the payloads bucket (payloads/..., results/...); its place."""
        ...

    def get(self, place: str, most: int) -> bytes:
        """What is at a place, of at most `most` bytes.

        Raises:
            NotFound: there is nothing, or nothing that may be read.
            TooLarge: there is more.
            Transient: S3 does not answer.
        """
        ...

    def size(self, place: str) -> int:
        """How many bytes are at a place. Raises as `get` does."""
        ...


class MemoryBlobs:
    """Blobs in memory."""

    def __init__(self, bucket: str = "payloads") -> None:
        self.bucket = bucket
        self.stored: dict[str, bytes] = {}

    def put(self, key: str, body: bytes, content_type: str) -> str:
        """See `Blobs.put`."""
        place = f"s3://{self.bucket}/{key}"
        self.stored[place] = body
        return place

    def get(self, place: str, most: int) -> bytes:
        """See `Blobs.get`."""
        if self.size(place) > most:
            raise TooLarge([Refusal(None, "input", f"at most {most} bytes", "more")])
        return self.stored[place]

    def size(self, place: str) -> int:
        """See `Blobs.size`."""
        if place not in self.stored:
            raise NotFound([Refusal(None, "input", "an object that can be read", "none")])
        return len(self.stored[place])
