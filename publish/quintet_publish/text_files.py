"""Reads text files of users, which are in UTF-8, and says how to convert others."""

from __future__ import annotations

import shlex
from pathlib import Path

from quintet.errors import BadInput, Refusal

__all__ = ["NotUtf8", "conversion", "form_of", "read_text"]

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_CONTROLS = frozenset(range(0x80, 0xA0))  # of Latin-1; quotation marks and the like of Windows
_NOT_WINDOWS = frozenset({0x81, 0x8D, 0x8F, 0x90, 0x9D})
_SAMPLE = 100_000  # bytes by which an encoding is guessed


class NotUtf8(BadInput):
    """A text file is in another encoding; `form` is the likely one, by the name that iconv has."""

    def __init__(self, path: Path, error: UnicodeDecodeError) -> None:
        self.path, self.form = path, form_of(error)
        likely = f"another encoding, {self.form} perhaps"
        super().__init__([Refusal(None, path.name, "text in UTF-8", likely)])


def read_text(path: Path) -> str:
    """Return the text of a file, without a byte order mark; its line ends stay as they are.

    Raises:
        NotUtf8: it is in another encoding.
        OSError: it cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotUtf8(path, error) from error


def conversion(path: Path | str, form: str) -> str:
    """Return the command that prints a file of another encoding as UTF-8."""
    return f"iconv -f {form} -t UTF-8 {shlex.quote(str(path))}"


def form_of(error: UnicodeDecodeError) -> str:
    """Guess the encoding of what is not UTF-8: its name for iconv."""
    found = error.object[error.start : error.start + _SAMPLE]
    if found.startswith(_UTF16):
        return "UTF-16"
    used = _CONTROLS.intersection(found)
    return "CP1252" if used and not used & _NOT_WINDOWS else "LATIN1"
