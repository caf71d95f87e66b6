"""A model package from a graph and a sample: every field with the reason for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quintet.columns import numpy_dtype
from quintet_publish.init.chosen import extremes_first
from quintet_publish.init.draft import Draft
from quintet_publish.init.features import feature_guesses
from quintet_publish.init.fed import Fed, feed, rows_of
from quintet_publish.init.graph import Source, read_source
from quintet_publish.init.guess import Guess, changed
from quintet_publish.init.layout import Layout, Row, Unfit, find_layout, run_alone
from quintet_publish.init.matching import Matching, match
from quintet_publish.init.measured import measured, memory_guesses
from quintet_publish.init.names import model_name
from quintet_publish.init.results import take_outputs
from quintet_publish.init.synthetic import invented
from quintet_publish.init.table import COPIED_BYTES, Table, as_number, cells, is_cut
from quintet_publish.init.tensors import take_tensors
from quintet_publish.problems import PackageError

__all__ = ["propose"]

ROWS = 200
#: rows of a sample from which ranges and categories are guessed
LEAST_ROWS = 20
BY_VALUES = ("range", "categories")
#: columns of a training data file that is copied
TRAINING = (".csv", ".parquet")


def propose(
    graph: Path,
    table: Table | None,
    *,
    name: str | None = None,
    label: str | None = None,
    sample: Path | None = None,
    given: Mapping[str, Sequence[str]] | None = None,
    clock: Callable[[], float],
) -> Draft:
    """Guess a package; `clock` gives seconds.

    Raises:
        PackageError: the graph or the sample cannot be served, and why.
        BadInput: a column cannot be guessed, or there is none of a name that was given.
    """
    source = read_source(graph)
    matching = Matching() if table is None else match(source.inputs, table, label, given)
    feds = invented(source) if table is None else feed(source.inputs, matching, table)
    constants = _constants(source, matching, table)
    every = [fed for parts in feds.values() for fed in parts]
    if not every:
        raise PackageError.of(graph.name, "expected an input that differs by row")
    places = extremes_first(every, len(every[0].values), ROWS)
    places = [place for place in places if _whole(every, place)]
    rows = rows_of(feds, places)
    if not rows:
        raise PackageError.of("sample", "expected a row with a value for every input, got none")
    arrays = _arrays(source, constants)
    layout = find_layout(source, rows, arrays)
    title = name or model_name(graph.stem)
    contract: dict[str, Any] = {"name": title, "version": 1, "task": "unknown"}
    draft = Draft(contract, layout.model, {}, [*source.guesses, *matching.guesses, *layout.guesses])
    contract["entity"], contract["id"] = matching.entity, matching.id
    if constants:
        contract["constants"] = constants
    if layout.rows == "one":
        contract["rows"] = "one"
    take_tensors(draft, feds, layout)
    for fed in every:
        guesses = [*feature_guesses(fed, _takes_nan(layout, feds, fed, arrays))]
        if table is None or len(fed.values) < LEAST_ROWS:  # they tell little of other values
            guesses = [guess for guess in guesses if guess.path[-1] not in BY_VALUES]
        draft.take(guesses)
    draft.columns = {fed.name: [fed.values[place] for place in places] for fed in every}
    _hide(draft)
    take_outputs(draft, layout, rows, arrays)
    draft.guesses += measured(draft.contract, draft.model, draft.columns, clock)
    draft.guesses += memory_guesses(draft.model.ByteSize())
    for guess in draft.guesses:
        if guess.path and guess.path[0] in ("slo", "limits"):
            changed(contract, guess.path, guess.value)
    _training(draft, matching, every, sample, table)
    draft.missing = [*_missing(table), *draft.missing]
    draft.contract = {key: value for key, value in contract.items() if value is not None}
    return draft


def _missing(table: Table | None) -> Iterator[str]:
    """What the sample does not tell."""
    if table is None:
        yield "real rows: those of golden.json are random; replace them"
        yield "names of the features, what may be missing, personal data, the entity"
        yield "training data, without which no drift is found"
    if table is None or len(next(iter(table.values()))) < LEAST_ROWS:
        yield f"ranges and categories: they take a sample of at least {LEAST_ROWS} rows"


# ---- parts of the contract -----------------------------------------------------------------------


def _constants(source: Source, matching: Matching, table: Table | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for tensor in source.inputs:
        if tensor.dims == () and tensor.name not in matching.constants:
            text = (
                f"the input {tensor.name} has no dimension for rows: it is the same for all of "
                f"them; give a sample with a column {tensor.name} of one value"
            )
            raise PackageError.of("model.onnx", text)
    for name in matching.constants:
        assert table is not None
        (column,) = matching.columns[name]
        cell = cells(table[column])[0]
        dtype = next(tensor.dtype for tensor in source.inputs if tensor.name == name)
        found[name] = cell if dtype == "string" else as_number(cell)
        matching.guesses.append(
            Guess.of(("constants", name), found[name], "the same in every row of the sample")
        )
    return found


def _arrays(source: Source, constants: Mapping[str, Any]) -> Row:
    dtypes = {tensor.name: tensor.dtype for tensor in source.inputs}
    return {name: np.array(value, numpy_dtype(dtypes[name])) for name, value in constants.items()}


def _whole(feds: Sequence[Fed], place: int) -> bool:
    """Whether a row has every tensor of its own; a single value may be missing."""
    return all(fed.shape == () or fed.values[place] is not None for fed in feds)


def _takes_nan(layout: Layout, feds: dict[str, list[Fed]], fed: Fed, constants: Row) -> bool:
    """Whether the graph gives finite outputs for a row without a feature."""
    gaps = [place for place, value in enumerate(fed.values) if value is None]
    gaps = [place for place in gaps if _whole([f for p in feds.values() for f in p], place)]
    if fed.shape != () or not gaps or numpy_dtype(fed.tensor.dtype).kind != "f":
        return False
    try:
        (outputs,) = run_alone(layout, rows_of(feds, gaps[:1]), constants)
    except Unfit:
        return False
    floats = (value for value in outputs.values() if value.dtype.kind == "f")
    return all(np.isfinite(value).all() for value in floats)


def _hide(draft: Draft) -> None:
    """Put other texts in place of personal ones: golden rows are stored with the model."""
    for feature in draft.contract["features"]:
        if feature.get("sensitive") and feature["dtype"] == "string" and not feature.get("shape"):
            name = feature["name"]
            feature.pop("categories", None)
            rows = enumerate(draft.columns[name])
            draft.columns[name] = [v if v is None else f"{name} {at}" for at, v in rows]
            draft.guesses = [
                guess for guess in draft.guesses if guess.path != ("features", name, "categories")
            ]
            reason = "personal data: golden rows are stored with the model, and have other texts"
            draft.guesses.append(Guess(f"golden rows, {name}", f"{name} 0, ...", reason))


def _training(
    draft: Draft, matching: Matching, feds: Sequence[Fed], sample: Path | None, table: Table | None
) -> None:
    """Take the sample as training data, if it has a column of the right type for each feature."""
    lacks = "" if sample is None or table is None else _lacking(sample, feds, table)
    if lacks or sample is None:
        draft.contract["training_data"] = None
        draft.guesses = [g for g in draft.guesses if g.path != ("training_target",)]
        if lacks:
            draft.missing.append(f"training data: {lacks}, without which no drift is found")
        return
    draft.training = sample
    name = f"training{sample.suffix}"
    share = f"the first {COPIED_BYTES:,} bytes of the sample" if is_cut(sample) else "the sample"
    draft.take([Guess.of(("training_data",), name, f"{share}: the baseline of drift")])
    if matching.label:
        draft.contract["training_target"] = matching.label


def _lacking(sample: Path, feds: Sequence[Fed], table: Table) -> str:
    """What a sample lacks to be training data; empty if nothing."""
    if sample.suffix not in TRAINING or any(fed.shape != () for fed in feds):
        return "a CSV or Parquet file with a column for each feature"
    for fed in feds:
        name = fed.column or fed.name
        if fed.tensor.dtype == "string":
            for cell in cells(table[name]):
                if not isinstance(cell, str):
                    return f"texts in the column {name}, which has {cell!r:.60}"
    return ""
