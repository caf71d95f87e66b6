"""Checks across the files of a run: their format, unused columns, and notes for the report."""

from __future__ import annotations

from collections.abc import Sequence

from quintet.batch.input_listing import InputListing
from quintet.batch.inputs import InputFile
from quintet.contract import Contract
from quintet.errors import BadInput
from quintet.formats.kinds import ignored_columns
from quintet.formats.sources import FileFormat

__all__ = ["left_out", "notes_of_files", "notes_of_many", "one_format"]


def notes_of_files(gzip: bool, ignored: tuple[str, ...]) -> list[str]:
    """The report's notes on any input."""
    notes = []
    if ignored:
        shown = ", ".join(name[:60] for name in ignored[:20])
        more = f" and {len(ignored) - 20} more" if len(ignored) > 20 else ""
        notes.append(f"Columns that the model does not take were left out: {shown}{more}.")
    if gzip:
        notes.append("A gzip cannot be read from its middle, so it was scored as one unit.")
    return notes


def one_format(sources: Sequence[InputFile]) -> FileFormat:
    """Return the common format of all files.

    Raises:
        BadInput: the files have different formats.
    """
    first: dict[FileFormat, str] = {}
    for source in sources:
        first.setdefault(source.layout.format, source.input.key)
    if len(first) > 1:
        got = ", ".join(f"{form} ({key[-200:]})" for form, key in sorted(first.items()))
        raise BadInput.of("the files", "files of one format", got)
    return next(iter(first))


def left_out(contract: Contract, sources: Sequence[InputFile]) -> tuple[str, ...]:
    """The columns of any file that the model does not use."""
    layouts = dict.fromkeys(source.layout.columns for source in sources)
    every = (name for columns in layouts for name in ignored_columns(contract, columns))
    return tuple(dict.fromkeys(every))[:1000]


def notes_of_many(sources: Sequence[InputFile], found: InputListing) -> list[str]:
    """The report's notes on many files, and on those that were found but not read."""
    what = "One file is" if len(sources) == 1 else f"{len(sources):,} files are"
    notes = [f"{what} in this run; inputs.json lists them with their versions."]
    if not any(source.rows for source in sources):
        notes.append("The files have no rows.")
    if empty := len(found.items) - len(sources):
        notes.append(f"{empty:,} empty files (0 bytes) were left out.")
    if hidden := found.hidden:
        notes.append(f"{hidden:,} hidden files (their names begin with _ or .) were left out.")
    if beside := found.beside:
        names = ", ".join(key.rpartition("/")[2][:60] for key in beside[:5])
        more = f" and {len(beside) - 5:,} more" if len(beside) > 5 else ""
        what = "Files that by their names hold no data were left out"
        notes.append(f"{what} ({len(beside):,}): {names}{more}.")
    return notes
