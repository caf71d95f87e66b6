"""A file as readers see it: its bytes, its layout and the slice to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["FORMATS", "ByteSource", "FileFormat", "Layout", "Slice"]

FileFormat = Literal["csv", "jsonl", "parquet"]
FORMATS: tuple[FileFormat, ...] = ("csv", "jsonl", "parquet")


class ByteSource(Protocol):
    """The bytes of one file, which must not change while it is read."""

    @property
    def size(self) -> int:
        """The file's length in bytes."""
        ...

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`; called by several threads at once.

        Raises:
            BadInput: the file was deleted or changed.
            Transient: it could not be read now.
        """
        ...


@dataclass(frozen=True, slots=True)
class Layout:
    """A file's layout. `columns` are a CSV's or Parquet's, `delimiter` is a CSV's."""

    format: FileFormat
    gzip: bool
    delimiter: str | None
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """Whole records of a file: `rows` of them, from record `first_row`.

    `start` and `end` are byte positions in the (unpacked) text, or row groups of a Parquet file;
    `first_line` is the number of the text's line at `start`.
    """

    start: int
    end: int
    first_row: int
    rows: int
    first_line: int = 1
