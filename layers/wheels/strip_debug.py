"""Remove from shared libraries what no process loads: strip_debug.py FILE...

`strip` reads only the machine that it was built for, and a layer is built for two.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

#: https://man7.org/linux/man-pages/man5/elf.5.html: Elf64_Ehdr, Elf64_Shdr
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SECTION = struct.Struct("<IIQQQQIIQQ")
SHF_ALLOC, SHT_NOBITS = 2, 8


def stripped(library: bytes) -> bytes:
    """A 64-bit little-endian library without the sections that are not loaded.

    The others keep their places and numbers.

    Raises:
        ValueError: it is another file.
    """
    if library[:6] != b"\x7fELF\x02\x01":
        raise ValueError("expected a 64-bit little-endian ELF file")
    header = list(HEADER.unpack_from(library))
    offset, count, names = header[6], header[12], header[13]
    sections = [
        list(SECTION.unpack_from(library, offset + number * SECTION.size))
        for number in range(count)
    ]
    loaded = [one for one in sections if one[2] & SHF_ALLOC and one[1] != SHT_NOBITS]
    body = bytearray(library[: max(one[4] + one[5] for one in loaded)])
    for number, one in enumerate(sections):
        if number == names:
            start, size = one[4], one[5]
            one[4] = len(body)
            body += library[start : start + size]
        elif not one[2] & SHF_ALLOC:
            one[:] = [0] * len(one)
    body += bytes(-len(body) % 8)
    header[6] = len(body)
    body += b"".join(SECTION.pack(*one) for one in sections)
    HEADER.pack_into(body, 0, *header)
    return bytes(body)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_bytes(stripped(path.read_bytes()))
