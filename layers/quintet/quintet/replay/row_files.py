"""Rebuild files from quarantined rows, in the format of the rows' original file."""

from __future__ import annotations

import csv
import io
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from arro3 import core
from arro3 import io as arrow_io

from quintet.batch.plans import Plan
from quintet.batch.stores import InputBucket, PinnedSource
from quintet.errors import BadInput
from quintet.formats.byte_streams import parquet_file
from quintet.formats.kinds import BOM, Kind, detect
from quintet.formats.parquet import read_footer
from quintet.formats.parquet_rows import record_batches
from quintet.formats.projection import project
from quintet.formats.sources import ByteSource

__all__ = ["Rebuilder"]


class Rebuilder:
    """Builds files from rows of one file of a run."""

    def __init__(self, plan: Plan, inbox: InputBucket) -> None:
        self._plan = plan
        self._inbox = inbox
        self._header = _header(plan) if plan.format == "csv" else b""

    def takes(self, text: bytes | None) -> bool:
        """Whether a file with the row stays readable.

        A row with a NUL byte would break it, and in JSONL one that begins like another format.
        """
        if text is None:
            return True
        try:
            kind = detect(f"rows.{self._plan.format}", self._header + text)
        except BadInput:
            return False
        return kind == Kind(self._plan.format, False)

    def file(self, rows: Iterable[tuple[int, bytes | None]]) -> bytes:
        """Build a file from rows: their numbers in the run's file, ascending, and their bytes.

        Parquet rows are copied from the run's own file, because JSON lacks their types.

        Raises:
            BadInput: that file was deleted or overwritten.
        """
        if self._plan.format == "parquet":
            source = PinnedSource(self._inbox, self._plan.input)
            return _parquet([number for number, _ in rows], source)
        body = self._header + b"".join((text or b"") + b"\n" for _, text in rows)
        # a reader drops one BOM, and a row may begin with one
        return BOM + body if body.startswith(BOM) else body


def _header(plan: Plan) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=plan.delimiter or ",", lineterminator="\n").writerow(plan.columns)
    return out.getvalue().encode()


def _parquet(numbers: Sequence[int], source: ByteSource) -> bytes:
    batches = list(_chosen(numbers, source))
    out = io.BytesIO()
    arrow_io.write_parquet(core.Table.from_batches(batches, schema=batches[0].schema), out)
    return out.getvalue()


def _chosen(numbers: Sequence[int], source: ByteSource) -> Iterator[core.RecordBatch]:
    """Read the rows with those numbers; row groups without any of them are skipped."""
    footer = read_footer(source)
    first = 0
    for position, group in enumerate(footer.groups):
        if _within(numbers, first, group.rows):
            row = first
            with parquet_file(source, footer, project(footer, position, position + 1, ())) as view:
                for batch in record_batches(view):
                    if wanted := _within(numbers, row, batch.num_rows):
                        places = core.Array([n - row for n in wanted], core.DataType.int64())
                        yield batch.take(places)
                    row += batch.num_rows
        first += group.rows


def _within(numbers: Sequence[int], first: int, rows: int) -> Sequence[int]:
    return numbers[bisect_left(numbers, first) : bisect_left(numbers, first + rows)]
