"""Pack the slices of a run's files into units: a large file gets many, small files share one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from quintet.batch.plans import FileSlice, Unit
from quintet.batch.requests import RunRequest
from quintet.formats.inspection import Cut

__all__ = ["units_of"]

#: the maximum number of slices of a unit, which is an item of the map: at most 256 KiB
MAX_SLICES = 1000


def units_of(request: RunRequest, files: Sequence[Sequence[Cut]], unit_bytes: int) -> list[Unit]:
    """The units of a run: one per slice of a single file; slices of many files share units."""
    if request.scope == "key":
        slices = [part for cuts in files for part, _ in cuts]
        return [
            Unit(run=request.run, model=request.model, unit=number, **dataclasses.asdict(part))
            for number, part in enumerate(slices)
        ]
    return [
        Unit(
            run=request.run,
            model=request.model,
            unit=number,
            start=0,
            end=0,
            first_row=parts[0].first_row,
            rows=sum(part.rows for part in parts),
            slices=tuple(parts),
        )
        for number, parts in enumerate(_packed(files, unit_bytes))
    ]


def _packed(files: Sequence[Sequence[Cut]], unit_bytes: int) -> list[list[FileSlice]]:
    """Group the files' slices, in order, into packs of about `unit_bytes`."""
    packs: list[list[FileSlice]] = []
    room = 0
    for number, cuts in enumerate(files):
        for part, size in cuts:
            if not packs or size > room or len(packs[-1]) == MAX_SLICES:
                packs.append([])
                room = unit_bytes
            room -= size
            packs[-1].append(FileSlice(file=number, **dataclasses.asdict(part)))
    return packs
