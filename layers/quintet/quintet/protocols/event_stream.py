"""AWS's event stream encoding, in which SageMaker's InvokeEndpointWithResponseStream answers.

A message is the lengths of the whole and of its headers, their CRC, the headers, the payload, and
the CRC of all before it. https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

__all__ = ["CONTENT_TYPE", "message"]

CONTENT_TYPE = "application/vnd.amazon.eventstream"

_PRELUDE = struct.Struct(">II")
_CRC = struct.Struct(">I")
_TEXT = 7  # the type of a header's value
_FRAME = 2 * _CRC.size + _PRELUDE.size


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """A message; names of headers have at most 255 bytes, values at most 32,767."""
    head = b"".join(_header(name.encode(), value.encode()) for name, value in headers.items())
    prelude = _PRELUDE.pack(_FRAME + len(head) + len(payload), len(head))
    checked = b"".join((prelude, _CRC.pack(zlib.crc32(prelude)), head, payload))
    return checked + _CRC.pack(zlib.crc32(checked))


def _header(name: bytes, value: bytes) -> bytes:
    return struct.pack(f">B{len(name)}sBH", len(name), name, _TEXT, len(value)) + value
