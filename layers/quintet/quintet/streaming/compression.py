"""The bytes of a record: JSON, possibly compressed with gzip."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from quintet.errors import BadInput, TooLarge

__all__ = ["MAX_BYTES", "may_be_packed", "unpack"]

#: the maximum size of an unpacked record; a contract may allow less
MAX_BYTES = 4_500_000

_GZIP = b"\x1f\x8b"
# https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md
_KPL = b"\xf3\x89\x9a\xc2"
_PACKED = {_GZIP, _KPL[:2], b""}


def may_be_packed(data: Iterable[bytes]) -> bool:
    """Whether `unpack` changes or refuses any of these records' data."""
    return not _PACKED.isdisjoint({packed[:2] for packed in data})


def unpack(data: bytes) -> bytes:
    """A record's data, unpacked if it is compressed.

    Raises:
        BadInput: it cannot be unpacked.
    """
    if not data:
        raise BadInput.of("data", "JSON", "nothing")
    if data[:4] == _KPL:
        expected = "records that the producer does not aggregate: AggregationEnabled = false"
        raise BadInput.of("data", expected, "an aggregated record of the KPL")
    if data[:2] != _GZIP:
        return data
    inflater = zlib.decompressobj(wbits=31)
    try:
        body = inflater.decompress(data, MAX_BYTES + 1)
    except zlib.error:
        raise BadInput.of("data", "a whole gzip", "a damaged one") from None
    if len(body) > MAX_BYTES:
        raise TooLarge.of("data", f"at most {MAX_BYTES} bytes unpacked", "more")
    if not inflater.eof or inflater.unused_data:
        raise BadInput.of("data", "one whole gzip", "less or more than one")
    return body
