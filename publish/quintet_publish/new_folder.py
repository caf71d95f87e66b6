"""A folder that is written whole, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from quintet.errors import Conflict

__all__ = ["check_new", "new_folder"]


def check_new(folder: Path, field: str) -> None:
    """Check that a folder is empty or does not exist; `field` is what named it.

    Raises:
        Conflict: it has something in it.
        NotADirectoryError: it is a file.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Conflict.of(field, "a folder that is empty or does not exist", str(folder))


@contextmanager
def new_folder(
    folder: Path, field: str, *, kept: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Make a folder to write into; if that fails it is as it was, but after errors that are `kept`.

    Raises:
        Conflict: it has something in it.
        OSError: it cannot be made or written.
    """
    check_new(folder, field)
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except kept:
        raise
    except BaseException:  # Ctrl-C too: the command that is repeated wants the folder empty
        with suppress(OSError):
            _empty(folder)
            if made:
                folder.rmdir()
        raise


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
