"""Table columns to a batch: text cells of a CSV, typed arrays of Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from quintet.columns.batch import (
    Array,
    Batch,
    cast,
    converted,
    dtype_name,
    expected_kind,
    fill,
    numpy_dtype,
    set_entities,
    set_ids,
    shown,
)
from quintet.columns.names import did_you_mean
from quintet.columns.ragged import filler, fits, ragged, values_of
from quintet.columns.values import cell_value, comma_value, separated, texts_of
from quintet.contract import Contract, Feature, Missing
from quintet.errors import BadInput, Refusal

#: what to do about a number with separators, without and with `decimal: ","`
_HINTS = (
    'write numbers like 1234.5, or say `decimal: ","` in model.yaml if 1.234,5 is meant',
    'with `decimal: ","` in model.yaml, 1234,5 and 1.234,5 are numbers',
)


def from_text(contract: Contract, cells: Mapping[str, Sequence[Any]]) -> Batch:
    """Text cells (of a CSV) by column name as a batch; None is missing, "" the empty text.

    For a feature that is not text, "" is missing too. A row of a feature with a shape is nested
    lists of cells. Numbers have the contract's decimal separator.

    Raises:
        BadInput: a required column is missing, or a column is unknown.
    """
    _check_names(contract, cells.keys())
    batch = Batch(len(next(iter(cells.values()))), {})
    for feature in contract.requested:
        column = cells.get(feature.key)
        if column is None:
            column = [None] * batch.rows
        _fill_cells(batch, feature, column, comma=contract.decimal == ",")
    if contract.entity:
        set_entities(contract, batch, cells.get(contract.entity) or [None] * batch.rows)
    if contract.id and contract.id in cells:
        set_ids(batch, contract.id, cells[contract.id])
    return batch


def _check_names(contract: Contract, names: Iterable[str]) -> None:
    """Refuse unknown columns and missing required ones."""
    found = set(names)
    required = {f.key for f in contract.requested if f.fill is None}
    if contract.entity and contract.needs_entity:
        required.add(contract.entity)
    refusals = [
        Refusal(None, name, "a column of that name", "no such column")
        for name in sorted(required - found)
    ]
    known = sorted(contract.request_keys)
    refusals += [
        Refusal(
            None,
            shown(name)[1:-1],
            f"one of {', '.join(known)}",
            f"an unknown column{did_you_mean(name, known, contract)}",
        )
        for name in sorted(found - contract.request_keys)
    ]
    if refusals:
        raise BadInput(refusals)


def _fill_cells(batch: Batch, feature: Feature, cells: Sequence[Any], *, comma: bool) -> None:
    """A column of a CSV; a number with other separators is refused with what to do about it."""
    before = len(batch.refusals)
    _fill_text(batch, feature, cells, comma=comma)
    if len(batch.refusals) > before and numpy_dtype(feature.dtype).kind in "fiu":
        batch.refusals[before:] = [
            refusal._replace(got=f"{refusal.got}; {_HINTS[comma]}")
            if refusal.row is not None and separated(cells[refusal.row], comma)
            else refusal
            for refusal in batch.refusals[before:]
        ]


def _fill_text(
    batch: Batch, feature: Feature, cells: Sequence[Any], *, comma: bool = False
) -> None:
    dtype = numpy_dtype(feature.dtype)
    if dtype.kind == "O":
        if not feature.shape and None not in cells:
            batch.columns[feature.name] = np.array(cells, dtype=object)
        else:
            fill(batch, feature, cells, cell_value)
        return
    if feature.missing and not feature.shape:
        if not any(cells):
            batch.absent.add(feature.name)
        cells = [cell or "nan" for cell in cells]
    whole = not feature.shape and None not in cells and "" not in cells
    if whole and dtype.kind == "f" and (texts := _plain_numbers(cells, comma)) is not None:
        try:
            wide = np.array(texts, dtype=object).astype(np.float64)
        except ValueError:
            pass
        else:
            batch.columns[feature.name] = cast(batch, feature, wide)
            return
    gaps = [None if cell == "" else cell for cell in cells]
    fill(batch, feature, gaps, comma_value if comma else cell_value)


def _plain_numbers(cells: Sequence[str], comma: bool) -> Sequence[str] | None:
    """Cells as texts that `float` reads as CSV means them; None if it does not, for some."""
    joined = "".join(cells)
    # float() accepts "1_000", which is not a number in CSV
    if "_" in joined or (comma and "." in joined):
        return None
    return [cell.replace(",", ".") for cell in cells] if comma else cells


def from_arrays(
    contract: Contract, arrays: Mapping[str, Array], nulls: Mapping[str, Array]
) -> Batch:
    """Typed columns (of Parquet) as a batch; `nulls` marks the missing values of a column.

    A NaN is a missing value, as pandas writes it.

    Raises:
        BadInput: a required column is missing, a column is unknown or of another kind.
    """
    _check_names(contract, arrays.keys())
    batch = Batch(len(next(iter(arrays.values()))), {})
    _put_floats(contract, batch, arrays, nulls)
    for feature in contract.requested:
        if feature.name in batch.columns:
            continue
        values = arrays.get(feature.key)
        if values is None:
            values = np.empty(batch.rows, dtype=object)
        _fill_array(batch, feature, values, nulls.get(feature.key))
    if contract.entity:
        keys = arrays.get(contract.entity, np.empty(batch.rows, dtype=object))
        set_entities(contract, batch, _keys(keys, nulls.get(contract.entity)))
    if contract.id and contract.id in arrays:
        set_ids(batch, contract.id, _keys(arrays[contract.id], nulls.get(contract.id)))
    return batch


def _put_floats(
    contract: Contract, batch: Batch, arrays: Mapping[str, Array], nulls: Mapping[str, Array]
) -> None:
    """Stack the float features side by side, as models take them, if none is missing.

    Those whose missing values are NaN are stacked with them.
    """
    groups: dict[tuple[str, Missing | None], list[Feature]] = {}
    for feature in contract.requested:
        values, null = arrays.get(feature.key), nulls.get(feature.key)
        if values is None or feature.shape or (null is not None and not feature.missing):
            continue
        if values.ndim == 1 and values.dtype.kind in "fiu" and feature.dtype.startswith("float"):
            groups.setdefault((feature.dtype, feature.missing), []).append(feature)
    for (dtype, missing), features in groups.items():
        names = [feature.name for feature in features]
        matrix = np.empty((batch.rows, len(names)), dtype=numpy_dtype(dtype))
        with np.errstate(over="ignore", invalid="ignore"):
            for position, feature in enumerate(features):
                matrix[:, position] = arrays[feature.key]
                if missing and feature.key in nulls:
                    matrix[nulls[feature.key], position] = np.nan
        if not np.isnan(matrix.min(initial=0)):
            batch.stacked[tuple(names)] = matrix
        elif missing:
            batch.stacked[tuple(names)] = matrix
            gone = np.flatnonzero(np.isnan(matrix).all(axis=0)).tolist()
            batch.absent.update(names[position] for position in gone)


def _keys(values: Array, null: Array | None) -> list[Any]:
    """Entity keys, or ids, of any dtype, None for missing ones."""
    keys: list[Any] = values.tolist()
    if values.dtype.kind == "f" and values.dtype.itemsize < 8:
        keys = [float(text) for text in texts_of(values)]  # with all its digits
    if null is not None and null.any():
        keys = [None if gone else key for key, gone in zip(keys, null.tolist(), strict=True)]
    return keys


def _fill_array(batch: Batch, feature: Feature, values: Array, null: Array | None) -> None:
    target = numpy_dtype(feature.dtype)
    if feature.free and len(values) and isinstance(values[0], np.ndarray) and values.ndim == 1:
        _fill_ragged(batch, feature, values)
        return
    if values.dtype.kind in "OSU":
        cells = values.tolist()
        if null is not None:
            cells = [None if gone else v for v, gone in zip(cells, null.tolist(), strict=True)]
        if feature.shape or (target.kind == "O" and set(map(type, cells)) != {str}):
            fill(batch, feature, cells, cell_value)
        else:
            _fill_text(batch, feature, cells)
        return
    if feature.free:
        _fill_ragged(batch, feature, ragged(list(values)))
        return
    if values.shape != (batch.rows, *feature.shape):
        got = f"shape {list(values.shape[1:])}"
        raise BadInput.of(feature.key, f"values of shape {list(feature.shape)}", got)
    gap = _gaps(values, null, target)
    if target.kind == "O":
        column = texts_of(values)
    elif (target.kind == "b") != (values.dtype.kind == "b"):
        raise BadInput.of(feature.key, f"a column of {feature.dtype}", dtype_name(values))
    else:
        if gap is not None and target.kind in "iu":
            values = np.where(gap.reshape(-1, *[1] * len(feature.shape)), 0, values)
        column = cast(batch, feature, values)
    if gap is not None and gap.any():
        column = _fill_gaps(batch, feature, column, gap)
    batch.columns[feature.name] = column


def _fill_ragged(batch: Batch, feature: Feature, rows: Array) -> None:
    """The column of a feature with free axes, from an array a row."""
    flat, row_of = values_of(rows)
    target = numpy_dtype(feature.dtype)
    if flat.dtype.kind in "OSU" and target.kind != "O":  # texts of numbers
        fill(batch, feature, [row.tolist() for row in rows], cell_value)
        return
    if target.kind == "O":
        flat, same = flat if flat.dtype.kind == "O" else texts_of(flat), np.array(True)
    elif (target.kind == "b") != (flat.dtype.kind == "b"):
        raise BadInput.of(feature.key, f"a column of {feature.dtype}", dtype_name(flat))
    else:
        flat, same = converted(feature, flat)
    unfit = set(row_of[~same].tolist()) if not same.all() else ()
    ends = np.cumsum([row.size for row in rows])
    column = batch.columns[feature.name] = np.empty(batch.rows, dtype=object)
    for place, (row, values) in enumerate(zip(rows, np.split(flat, ends[:-1]), strict=True)):
        whole = fits(row.shape, feature)
        column[place] = values.reshape(row.shape) if whole else filler(feature)
        if not whole or place in unfit:
            got = shown(row.tolist(), feature) if whole else f"shape {list(row.shape)}"
            batch.refuse(place, feature.key, expected_kind(feature), got)


def _gaps(values: Array, null: Array | None, target: np.dtype[Any]) -> Array | None:
    """The rows without a value: nulls, and NaN in a column of scalars or texts."""
    if values.dtype.kind == "f" and (values.ndim == 1 or target.kind == "O"):
        nan = np.asarray(np.isnan(values).any(axis=tuple(range(1, values.ndim))))
        if nan.any():
            return nan if null is None else nan | null
    return null if null is not None and null.any() else None


def _fill_gaps(batch: Batch, feature: Feature, column: Array, gap: Array) -> Array:
    column = column.copy()
    if feature.fill is not None:
        if gap.all():
            batch.absent.add(feature.name)
        column[gap] = feature.fill
        return column
    column[gap] = "" if column.dtype.kind == "O" else 0
    for row in np.flatnonzero(gap & batch.good).tolist():
        batch.refuse(row, feature.key, expected_kind(feature), "nothing")
    return column
