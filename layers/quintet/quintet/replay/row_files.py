"""Quarantined rows as a file again, in the format of the file that they came from."""

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
    """Makes files of rows of one file of a run."""

    def __init__(self, plan: Plan, inbox: InputBucket) -> None:
        self._plan = plan
        self._inbox = inbox
        self._header = _header(plan) if plan.format == "csv" else b""

    def takes(self, text: bytes | None) -> bool:
        """Whether a file may hold the row without becoming unreadable as a whole.

        It may not hold a row with a NUL byte, or in JSONL one that begins as another format does.
        """
        if text is None:
            return True
        try:
            kind = detect(f"rows.{self._plan.format}", self._header + text)
        except BadInput:
            return False
        return kind == Kind(self._plan.format, False)

    def file(self, rows: Iterable[tuple[int, bytes | None]]) -> bytes:
        """A file of rows, given by their numbers in the run's file, ascending, and their bytes.

        Rows of Parquet are copied from the run's own file, because JSON does not have their types.

        Raises:
            BadInput: that file was deleted or overwritten.
        """
        if self._plan.format == "parquet":
            source = PinnedSource(self._inbox, self._plan.input)
            return _parquet([number for number, _ in rows], source)
        body = self._header + b"".join((text or b"") + b"\n" for _, text in rows)
        # a reader drops one BOM, which a row may begin with
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
    """The rows of those numbers; row groups that have none of them are not read."""
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
