"""Plan a run: pin the model and the input, refuse what cannot be scored, cut it into units."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

from quintet import __version__
from quintet.batch.input_checks import left_out, notes_of_files, notes_of_many, one_format
from quintet.batch.input_inspection import (
    HEADER,
    MAX_NAMED,
    InspectedInput,
    inspect_each,
    inspect_file,
    inspect_one,
)
from quintet.batch.input_listing import InputListing, list_inputs
from quintet.batch.inputs import InputFile, content, inputs_document
from quintet.batch.offline_features import find_offline_features
from quintet.batch.outputs import FILE
from quintet.batch.packing import units_of
from quintet.batch.passthrough import passthrough_columns
from quintet.batch.plans import Plan, RefusedPlan, RunPaths, Snapshot, Unit, dump, plan_from
from quintet.batch.requests import RunRequest, header_of, passthrough_of
from quintet.batch.stores import ConditionalObjects, InputBucket, ObjectStore, swapped
from quintet.contract import Contract, to_dict
from quintet.errors import BadInput, ModelFailure
from quintet.formats.kinds import ignored_columns
from quintet.formats.sources import FORMATS, FileFormat
from quintet.serving.routes import UnknownModel

__all__ = [
    "TRIAL",
    "Catalog",
    "MemoryCatalog",
    "Pinned",
    "RunRequest",
    "contract_digest",
    "plan_run",
]

#: the object metadata that requests another format of the scores
OUTPUT = "quintet-output"
TRIAL = "A trial: readers keep the run that they see; `quintet runs promote` shows them this one."
#: the object metadata that requests columns of the input beside the scores
KEEP = "quintet-keep"


@dataclass(frozen=True, slots=True)
class Pinned:
    """One version of a model from the registry; `seal` is its manifest's SHA-256."""

    version: int
    digest: str
    seal: str
    contract: Contract


class Catalog(Protocol):
    """Looks up models."""

    def pin(self, model: str, version: int | None) -> Pinned:
        """Pin `version`, or the live one if it is None. Raises UnknownModel."""
        ...


class MemoryCatalog:
    """A catalog in memory; the highest version of a model is live."""

    def __init__(self, *models: Pinned) -> None:
        self.models = {(pinned.contract.name, pinned.version): pinned for pinned in models}

    def pin(self, model: str, version: int | None) -> Pinned:
        """See `Catalog.pin`."""
        known = [v for name, v in self.models if name == model]
        if not known:
            raise UnknownModel(model)
        if version is not None and version not in known:
            raise UnknownModel(model, version)
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
    cells: ConditionalObjects,
    unit_bytes: int,
    again: bool = False,
) -> Plan | RefusedPlan:
    """Plan a run and store its documents, plan.json last. A stored plan is final.

    `again` repeats a refused plan. If another execution of the run stored its plan meanwhile, that
    one is returned: a run that was stopped and redriven may have two planners at work.

    Raises:
        NotFound: the planned version was withdrawn since.
        Transient: a store could not be read.
    """
    folder = RunPaths(request.model, request.run)
    held = cells.read(folder.plan)
    known = plan_from(held[0]) if held else None
    if isinstance(known, Plan) and again:
        catalog.pin(known.model, known.version)  # a version withdrawn since is not redriven
    if isinstance(known, Plan) or (known and not again):
        return known
    try:
        found = _gather(request, catalog, inbox, unit_bytes)
        units = units_of(request, [one.cuts for one in found.inputs], unit_bytes)
        documents = _documents(request, found, units)
        plan = _decide(request, found, len(units), _digest(documents))
    except (BadInput, ModelFailure) as error:
        return _stored(folder, cells, held, _refused(request, error))
    for name, body in documents.items():
        store.put(folder.document(name, plan.documents), body)
    return _stored(folder, cells, held, plan)


def _stored(
    folder: RunPaths,
    cells: ConditionalObjects,
    held: tuple[bytes, str] | None,
    plan: Plan | RefusedPlan,
) -> Plan | RefusedPlan:
    """Store a plan if what was `held` still stands; the plan that then stands."""
    tag = None if held is None else held[1]
    return plan_from(swapped(cells, folder.plan, dump(plan), tag))


# ---- gather ----------------------------------------------------------------------------------


class _Gathered(NamedTuple):
    """The inputs of a plan; `features` are the files with the history of the stored features."""

    pinned: Pinned
    listing: InputListing
    inputs: list[InspectedInput]
    features: list[InputFile]

    @property
    def files(self) -> list[InputFile]:
        return [one.file for one in self.inputs]


def _gather(
    request: RunRequest, catalog: Catalog, inbox: InputBucket, unit_bytes: int
) -> _Gathered:
    """Pin the model, list the files, inspect each file."""
    pinned = catalog.pin(request.model, request.version)
    contract = pinned.contract
    features = find_offline_features(request, contract, inbox)
    if request.scope == "key":
        listing = list_inputs(request, inbox)
        (only,) = listing.items
        inputs = [inspect_one(contract, inbox, only, unit_bytes, request.header)]
        return _Gathered(pinned, listing, inputs, features)
    _check_names(contract)
    listing = list_inputs(request, inbox)
    header = request.header
    if header is None and listing.manifest is not None:
        header = header_of(listing.manifest.metadata.get(HEADER), f"metadata {HEADER}")
    inspected = partial(inspect_file, contract, inbox, unit_bytes=unit_bytes, header=header)
    inputs = inspect_each(listing.items, inspected)
    if not inputs:
        got = f"{len(listing.items):,} empty files (0 bytes)"
        raise BadInput.of(request.scope, "files with rows", got)
    return _Gathered(pinned, listing, inputs, features)


def _check_names(contract: Contract) -> None:
    """Refuse a model whose scores have a column with the name of the file column."""
    if FILE in (contract.entity, *(output.name for output in contract.outputs)):
        raise BadInput.of("model", f"no entity or output named {FILE!r}, for many files", "one")


# ---- decide ----------------------------------------------------------------------------------


def _documents(request: RunRequest, found: _Gathered, units: Sequence[Unit]) -> dict[str, bytes]:
    """What the plan refers to, by name."""
    documents = {"units": dump(units)}
    if request.scope != "key":
        documents["inputs"] = inputs_document(found.files)
    if found.features:
        documents["history"] = inputs_document(found.features)
    return documents


def _digest(documents: Mapping[str, bytes]) -> str:
    """One SHA-256 over documents and their names."""
    each = (f"{name} {hashlib.sha256(body).hexdigest()}\n" for name, body in documents.items())
    return hashlib.sha256("".join(each).encode()).hexdigest()


def _decide(request: RunRequest, found: _Gathered, units: int, documents: str) -> Plan:
    """Decide on the plan, from the gathered inputs alone.

    Raises:
        BadInput: the files do not match each other, or do not match the request.
    """
    pinned, files, many = found.pinned, found.files, request.scope != "key"
    first = files[0]
    form = one_format(files)
    gzip = any(file.layout.gzip for file in files)
    snapshot, features = first.input, None
    if request.features is not None:
        features = _together(request, request.features, found.features)
    if many:
        snapshot = _together(request, request.source, files, found.listing.manifest)
        ignored = left_out(pinned.contract, files)
        notes = notes_of_many(files, found.listing)
    else:
        ignored = ignored_columns(pinned.contract, first.layout.columns)
        notes = ["The file has no rows."] if first.rows == 0 else []
    return Plan(
        run=request.run,
        model=request.model,
        version=pinned.version,
        digest=pinned.digest,
        seal=pinned.seal,
        contract=contract_digest(pinned.contract),
        started=request.started,
        code=__version__,
        input=snapshot,
        format=form,
        gzip=gzip,
        delimiter=None if many else first.layout.delimiter,
        columns=() if many else first.layout.columns,
        ignored=ignored,
        output=_output(request, snapshot.metadata, form),
        rows=sum(file.rows for file in files),
        units=units,
        notes=(*notes, *notes_of_files(gzip, ignored), *((TRIAL,) if request.trial else ())),
        scope=request.scope,
        files=len(files),
        keep=_keep(request, snapshot.metadata, pinned.contract, files),
        partition=request.partition,
        constants={} if many else first.constants,
        features=features,
        max_refused=pinned.contract.limits.max_refused,
        owner=request.owner,
        traceparent=request.traceparent,
        trial=bool(request.trial),
        documents=documents,
    )


def _together(
    request: RunRequest, key: str, files: Sequence[InputFile], manifest: Snapshot | None = None
) -> Snapshot:
    """Combine many files into one input, with the version and metadata of their manifest."""
    snapshots = [file.input for file in files]
    return Snapshot(
        bucket=request.bucket,
        key=key,
        version_id=manifest.version_id if manifest else None,
        etag=content(snapshots),
        size=sum(snapshot.size for snapshot in snapshots),
        metadata=manifest.metadata if manifest else {},
    )


def _keep(
    request: RunRequest, metadata: Mapping[str, str], contract: Contract, files: Sequence[InputFile]
) -> tuple[tuple[str, str], ...]:
    asked = request.keep or passthrough_of(metadata.get(KEEP, ""))
    return passthrough_columns(asked, contract, files, many=request.scope != "key")


def _output(request: RunRequest, metadata: Mapping[str, str], kind: FileFormat) -> FileFormat:
    asked = request.output or metadata.get(OUTPUT, "parquet")
    if asked == "input":
        return kind
    for known in FORMATS:
        if asked == known:
            return known
    field = "output" if request.output else f"metadata {OUTPUT}"
    raise BadInput.of(field, f"input, {', '.join(FORMATS)}", asked[:60])


def _refused(request: RunRequest, error: BadInput | ModelFailure) -> RefusedPlan:
    reasons = error.refusals[:MAX_NAMED] if isinstance(error, BadInput) else (error,)
    return RefusedPlan(
        run=request.run,
        model=request.model,
        started=request.started,
        code=__version__,
        bucket=request.bucket,
        key=request.source,
        version_id=request.version_id,
        refusals=tuple(map(str, reasons)),
        owner=request.owner,
    )
