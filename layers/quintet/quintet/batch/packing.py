"""Pack slices of many files into units: a large file has many, many small files share one."""

from __future__ import annotations

from collections.abc import Sequence

from quintet.batch.files import Cut
from quintet.batch.plans import FileSlice, Unit
from quintet.batch.requests import RunRequest

__all__ = ["packed"]

#: the most slices of one unit, which is an item of the map: at most 256 KiB
MAX_SLICES = 1000


def packed(request: RunRequest, files: Sequence[Sequence[Cut]], unit_bytes: int) -> list[Unit]:
    """Units of about `unit_bytes` each, of the files' slices in their order."""
    packs: list[list[FileSlice]] = []
    room = 0
    for number, cuts in enumerate(files):
        for cut, size in cuts:
            if not packs or size > room or len(packs[-1]) == MAX_SLICES:
                packs.append([])
                room = unit_bytes
            room -= size
            part = FileSlice(
                file=number, start=cut.start, end=cut.end, first_row=cut.first_row, rows=cut.rows
            )
            packs[-1].append(part)
    return [
        Unit(
            run=request.run,
            model=request.model,
            unit=number,
            start=0,
            end=0,
            first_row=slices[0].first_row,
            rows=sum(part.rows for part in slices),
            slices=tuple(slices),
        )
        for number, slices in enumerate(packs)
    ]
