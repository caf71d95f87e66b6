"""Plan a run: pin the model and the input, refuse what cannot be scored, cut it into units."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from quintet import __version__
from quintet.batch.files import Cut, plan_file
from quintet.batch.input_checks import (
    NAMED,
    left_out,
    notes_of_files,
    notes_of_many,
    one_format,
    refuse_bad,
)
from quintet.batch.input_listing import ListedInput, constants, list_inputs
from quintet.batch.inputs import Source, content, inputs_document, of_file
from quintet.batch.offline_features import find_offline_features
from quintet.batch.outputs import FILE
from quintet.batch.packing import packed
from quintet.batch.passthrough import passthrough_columns
from quintet.batch.plans import (
    FORMATS,
    FileFormat,
    Plan,
    RefusedPlan,
    Snapshot,
    Unit,
    dump,
    plan_from,
)
from quintet.batch.requests import RunRequest, passthrough_of
from quintet.batch.run_paths import REPLAY_OF, RunPaths
from quintet.batch.stores import InputBucket, ObjectStore
from quintet.contract import Contract, to_dict
from quintet.errors import BadInput, ModelFailure, NotFound
from quintet.formats.kinds import ignored_columns

__all__ = ["Catalog", "MemoryCatalog", "Pinned", "RunRequest", "contract_digest", "plan_run"]

#: how many files are planned at once
THREADS = 16
#: the object metadata that asks for another form of the scores
OUTPUT = "quintet-output"
#: the object metadata that asks for columns of the input beside the scores
KEEP = "quintet-keep"


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
    request: RunRequest,
    *,
    catalog: Catalog,
    inbox: InputBucket,
    store: ObjectStore,
    unit_bytes: int,
    again: bool = False,
) -> Plan | RefusedPlan:
    """Plan a run and store plan.json, last of its documents. A plan once made stands.

    `again` plans anew what was refused.

    Raises:
        Transient: a store could not be read.
    """
    folder = RunPaths(request.model, request.run)
    stored = store.get(folder.plan)
    known = plan_from(stored) if stored else None
    if isinstance(known, Plan) or (known and not again):
        return known
    try:
        made = _plan(request, catalog, inbox, unit_bytes)
    except (BadInput, ModelFailure) as error:
        refused = _refused(request, error)
        store.put(folder.plan, dump(refused))
        return refused
    if made.sources:
        store.put(folder.inputs, inputs_document(made.sources))
    if made.history:
        store.put(folder.history, inputs_document(made.history))
    store.put(folder.units, dump(made.units))
    store.put(folder.plan, dump(made.plan))
    return made.plan


class _Made(NamedTuple):
    """The documents of a plan; `sources` of a run over many files, `history` of their features."""

    plan: Plan
    units: list[Unit]
    sources: Sequence[Source] = ()
    history: Sequence[Source] = ()


_File = tuple[Source, list[Cut]]


def _refused(request: RunRequest, error: BadInput | ModelFailure) -> RefusedPlan:
    reasons = error.refusals[:NAMED] if isinstance(error, BadInput) else (error,)
    return RefusedPlan(
        run=request.run,
        model=request.model,
        started=request.started,
        code=__version__,
        bucket=request.bucket,
        key=request.source,
        version_id=request.version_id,
        refusals=tuple(map(str, reasons)),
    )


def _plan(request: RunRequest, catalog: Catalog, inbox: InputBucket, unit_bytes: int) -> _Made:
    pinned = catalog.pin(request.model, request.version)
    history = find_offline_features(request, pinned.contract, inbox)
    of_files = _of_one if request.scope == "key" else _of_many
    made = of_files(request, pinned, inbox, unit_bytes)
    if request.features is None:
        return made
    snapshots = [source.input for source in history]
    features = Snapshot(
        bucket=request.bucket,
        key=request.features,
        version_id=None,
        etag=content(snapshots),
        size=sum(snapshot.size for snapshot in snapshots),
    )
    return made._replace(plan=replace(made.plan, features=features), history=history)


# ---- one file --------------------------------------------------------------------------------


def _of_one(request: RunRequest, pinned: Pinned, inbox: InputBucket, unit_bytes: int) -> _Made:
    snapshot = inbox.snapshot(request.bucket, request.source, request.version_id)
    # a dropped file's folders are free, but a replay stands in those of the file that it is from
    given = constants(pinned.contract, snapshot.key) if REPLAY_OF in snapshot.metadata else {}
    source, cuts = plan_file(pinned.contract, inbox, snapshot, unit_bytes, given)
    output = _output(request, snapshot.metadata, source.format)
    ignored = ignored_columns(pinned.contract, source.columns)
    notes = ["The file has no rows."] if source.rows == 0 else []
    plan = Plan(
        **_who(request, pinned),
        input=snapshot,
        format=source.format,
        gzip=source.gzip,
        delimiter=source.delimiter,
        columns=source.columns,
        ignored=ignored,
        output=output,
        rows=source.rows,
        units=len(cuts),
        notes=(*notes, *notes_of_files(source.gzip, ignored)),
        keep=_keep(request, snapshot.metadata, pinned.contract, [source]),
        constants=source.constants,
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
        for number, (cut, _) in enumerate(cuts)
    ]
    return _Made(plan, units)


def _who(request: RunRequest, pinned: Pinned) -> dict[str, Any]:
    """Which run of which model it is."""
    return {
        "run": request.run,
        "model": request.model,
        "version": pinned.version,
        "digest": pinned.digest,
        "seal": pinned.seal,
        "contract": contract_digest(pinned.contract),
        "started": request.started,
        "partition": request.partition,
        "code": __version__,
    }


def _keep(
    request: RunRequest, metadata: Mapping[str, str], contract: Contract, sources: Sequence[Source]
) -> tuple[tuple[str, str], ...]:
    asked = request.keep or passthrough_of(metadata.get(KEEP, ""))
    return passthrough_columns(asked, contract, sources, many=request.scope != "key")


def _output(request: RunRequest, metadata: Mapping[str, str], kind: FileFormat) -> FileFormat:
    asked = request.output or metadata.get(OUTPUT, "parquet")
    if asked == "input":
        return kind
    for known in FORMATS:
        if asked == known:
            return known
    field = "output" if request.output else f"metadata {OUTPUT}"
    raise BadInput.of(field, f"input, {', '.join(FORMATS)}", asked[:60])


# ---- many files ------------------------------------------------------------------------------


def _of_many(request: RunRequest, pinned: Pinned, inbox: InputBucket, unit_bytes: int) -> _Made:
    contract = pinned.contract
    _check_names(contract)
    found = list_inputs(request, inbox)

    def planned(item: ListedInput) -> _File | BadInput | None:
        try:
            return _planned(contract, inbox, item, unit_bytes)
        except BadInput as error:
            return of_file(item.key, error)

    with ThreadPoolExecutor(THREADS) as pool:
        files = list(pool.map(planned, found.items))
    refuse_bad([bad for bad in files if isinstance(bad, BadInput)])
    whole = [file for file in files if isinstance(file, tuple)]
    if not whole:
        got = f"{len(files):,} empty files (0 bytes)"
        raise BadInput.of(request.scope, "files with rows", got)
    sources = [source for source, _ in whole]
    form = one_format(sources)
    snapshots = [source.input for source in sources]
    own = found.manifest
    metadata = own.metadata if own else {}
    ignored = left_out(contract, sources)
    units = packed(request, [cuts for _, cuts in whole], unit_bytes)
    gzip = any(source.gzip for source in sources)
    plan = Plan(
        **_who(request, pinned),
        input=Snapshot(
            bucket=request.bucket,
            key=request.source,
            version_id=own.version_id if own else None,
            etag=content(snapshots),
            size=sum(snapshot.size for snapshot in snapshots),
            metadata=metadata,
        ),
        format=form,
        gzip=gzip,
        delimiter=None,
        columns=(),
        ignored=ignored,
        output=_output(request, metadata, form),
        rows=sum(source.rows for source in sources),
        units=len(units),
        notes=(*notes_of_many(sources, len(files), found.hidden), *notes_of_files(gzip, ignored)),
        scope=request.scope,
        files=len(sources),
        keep=_keep(request, metadata, contract, sources),
    )
    return _Made(plan, units, sources)


def _planned(
    contract: Contract, inbox: InputBucket, item: ListedInput, unit_bytes: int
) -> _File | None:
    """One of many files; None for an empty one, which has no rows whatever its format."""
    if item.size == 0:
        return None
    snapshot = inbox.snapshot(item.bucket, item.key, item.version_id)
    if snapshot.size == 0:
        return None
    return plan_file(contract, inbox, snapshot, unit_bytes, constants(contract, item.key))


def _check_names(contract: Contract) -> None:
    """Refuse a model whose scores have a column of the name that says the file."""
    if FILE in (contract.entity, *(output.name for output in contract.outputs)):
        raise BadInput.of("model", f"no entity or output named {FILE!r}, for many files", "one")
