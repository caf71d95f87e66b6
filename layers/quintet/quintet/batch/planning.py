"""Plan a run: pin the model and the input, refuse what cannot be scored, cut it into units."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from quintet import __version__
from quintet.batch.formats import BOM, HEAD, Kind, detect, ignored_columns, read_header
from quintet.batch.parquet import Footer, extent, read_footer
from quintet.batch.parquet_rows import parquet_columns
from quintet.batch.runs import (
    FORMATS,
    FileFormat,
    Folder,
    Inbox,
    Plan,
    RefusedPlan,
    Snapshot,
    Store,
    Unit,
    dump,
    plan_from,
)
from quintet.batch.splitting import Records, Slice, records, slices
from quintet.batch.streams import text_blocks
from quintet.contract import Contract, to_dict
from quintet.errors import BadInput, ModelFailure, NotFound

__all__ = ["Catalog", "MemoryCatalog", "Pinned", "Request", "contract_digest", "plan_run"]

#: the most bytes of row groups that one unit may copy to its disk
LARGEST_GROUP = 448 << 20
#: the object metadata that asks for another form of the scores
OUTPUT = "quintet-output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a run is asked to score. `started` is ISO 8601; `version` None means the live one."""

    run: str
    bucket: str
    key: str
    version_id: str | None
    started: str
    version: int | None = None

    @property
    def model(self) -> str:
        """The model's name: the key's first folder."""
        return self.key.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Pinned:
    """One version of a model, as its registry holds it; `seal` is its manifest's SHA-256."""

    version: int
    digest: str
    seal: str
    contract: Contract


class Catalog(Protocol):
    """Where models are looked up."""

    def pin(self, model: str, version: int | None) -> Pinned:
        """That version, or the live one. Raises NotFound."""
        ...


class MemoryCatalog:
    """A catalog in memory; the last version put is live."""

    def __init__(self, *models: Pinned) -> None:
        self.models = {(pinned.contract.name, pinned.version): pinned for pinned in models}

    def pin(self, model: str, version: int | None) -> Pinned:
        """See `Catalog.pin`."""
        known = [v for name, v in self.models if name == model]
        if not known or (version is not None and version not in known):
            raise NotFound.of("model", "a published model", model[:60])
        return self.models[model, max(known) if version is None else version]


def contract_digest(contract: Contract) -> str:
    """The SHA-256 of a contract."""
    return hashlib.sha256(dump(to_dict(contract))).hexdigest()


def plan_run(
    request: Request, *, catalog: Catalog, inbox: Inbox, store: Store, unit_bytes: int
) -> Plan | RefusedPlan:
    """Plan a run and store plan.json, and units.json before it. A plan once made stands.

    Raises:
        Transient: a store could not be read.
    """
    folder = Folder(request.model, request.run)
    if stored := store.get(folder.plan):
        return plan_from(stored)
    try:
        plan, units = _plan(request, catalog, inbox, unit_bytes)
    except (BadInput, ModelFailure) as error:
        refused = _refused(request, error)
        store.put(folder.plan, dump(refused))
        return refused
    store.put(folder.units, dump(units))
    store.put(folder.plan, dump(plan))
    return plan


def _refused(request: Request, error: BadInput | ModelFailure) -> RefusedPlan:
    reasons = error.refusals[:100] if isinstance(error, BadInput) else (error,)
    return RefusedPlan(
        run=request.run,
        model=request.model,
        started=request.started,
        code=__version__,
        bucket=request.bucket,
        key=request.key,
        version_id=request.version_id,
        refusals=tuple(map(str, reasons)),
    )


def _plan(
    request: Request, catalog: Catalog, inbox: Inbox, unit_bytes: int
) -> tuple[Plan, list[Unit]]:
    pinned = catalog.pin(request.model, request.version)
    snapshot = inbox.snapshot(request.bucket, request.key, request.version_id)
    head = inbox.read(snapshot, 0, min(snapshot.size, HEAD))
    kind = detect(snapshot.key, head)
    output = _output(snapshot, kind)
    contract = pinned.contract
    delimiter: str | None = None
    columns: tuple[str, ...] = ()
    if kind.format == "parquet":
        footer = read_footer(lambda a, b: inbox.read(snapshot, a, b), snapshot.size)
        columns = parquet_columns(contract, footer)
        cuts = _row_groups(footer, unit_bytes)
    else:
        if kind.gzip:
            head = b"".join(text_blocks(inbox, snapshot, True, 0, HEAD))
        start = len(BOM) if head.startswith(BOM) else 0
        if kind.format == "csv":
            header = read_header(contract, head)
            delimiter, columns, start = header.delimiter, header.columns, header.end
        blocks = text_blocks(inbox, snapshot, kind.gzip, start)
        found = records(blocks, delimiter.encode() if delimiter else None, start)
        if kind.gzip:
            cuts = _one_slice(found, start)
        else:
            cuts = _text_slices(found, start, snapshot.size, unit_bytes)
    rows = sum(cut.rows for cut in cuts)
    ignored = ignored_columns(contract, columns)
    plan = Plan(
        run=request.run,
        model=request.model,
        version=pinned.version,
        digest=pinned.digest,
        seal=pinned.seal,
        contract=contract_digest(contract),
        started=request.started,
        code=__version__,
        input=snapshot,
        format=kind.format,
        gzip=kind.gzip,
        delimiter=delimiter,
        columns=columns,
        ignored=ignored,
        output=output,
        rows=rows,
        units=len(cuts),
        notes=_notes(kind, rows, ignored),
    )
    units = [
        Unit(
            run=request.run,
            model=request.model,
            unit=number,
            start=cut.start,
            end=cut.end,
            first_row=cut.first_row,
            rows=cut.rows,
        )
        for number, cut in enumerate(cuts)
    ]
    return plan, units


def _output(snapshot: Snapshot, kind: Kind) -> FileFormat:
    asked = snapshot.metadata.get(OUTPUT, "parquet")
    if asked == "input":
        return kind.format
    for known in FORMATS:
        if asked == known:
            return known
    raise BadInput.of(f"metadata {OUTPUT}", f"input, {', '.join(FORMATS)}", asked[:60])


def _notes(kind: Kind, rows: int, ignored: tuple[str, ...]) -> tuple[str, ...]:
    notes = []
    if rows == 0:
        notes.append("The file has no rows.")
    if ignored:
        shown = ", ".join(name[:60] for name in ignored[:20])
        more = f" and {len(ignored) - 20} more" if len(ignored) > 20 else ""
        notes.append(f"Columns that the model does not take were left out: {shown}{more}.")
    if kind.gzip:
        notes.append("A gzip cannot be read from its middle, so it was scored as one unit.")
    return tuple(notes)


def _text_slices(found: Iterable[Records], start: int, end: int, unit_bytes: int) -> list[Slice]:
    """Balanced byte ranges of a text file whose rows lie from `start` to `end`."""
    count = max(1, -(-(end - start) // unit_bytes))
    return slices(found, -(-(end - start) // count), end, start)


def _one_slice(found: Iterable[Records], start: int) -> list[Slice]:
    """All of a gzip: it cannot be read from its middle."""
    rows, end = 0, start
    for part in found:
        if len(part):
            rows, end = rows + len(part), part.offset + int(part.ends[-1])
    return [Slice(start, end, 0, rows)] if rows else []


def _row_groups(footer: Footer, unit_bytes: int) -> list[Slice]:
    """Consecutive row groups of about `unit_bytes`; empty ones are left out at the ends."""
    cuts: list[Slice] = []
    first = row = 0
    groups = footer.groups
    for number, group in enumerate(groups):
        start, end = extent(groups[first : number + 1])
        if group.end - group.start > LARGEST_GROUP:
            raise BadInput.of(
                f"row group {number}",
                f"at most {LARGEST_GROUP >> 20} MiB",
                f"{(group.end - group.start) >> 20} MiB; write smaller row groups",
            )
        if end - start >= unit_bytes or number == len(groups) - 1:
            rows = sum(g.rows for g in groups[first : number + 1])
            if rows:
                cuts.append(Slice(first, number + 1, row, rows))
            row += rows
            first = number + 1
    return cuts
