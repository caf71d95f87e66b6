"""Reads and writes golden vectors: golden.json, or golden.npz for features with many values."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.columns import numpy_dtype, suggestion
from quintet.contract import Contract
from quintet.serving.golden import Golden, golden_from_dict
from quintet_publish.class_checks import label_differences
from quintet_publish.problems import PackageError, Problem
from quintet_publish.rules.terms import is_of
from quintet_publish.tolerance import MAX_TOLERANCE

__all__ = [
    "GOLDEN_BYTES",
    "JSON",
    "NPZ",
    "array_of",
    "golden_name",
    "read_golden",
    "read_rows",
    "text_of",
    "with_outputs",
]

JSON, NPZ = "golden.json", "golden.npz"
#: the largest file of each form
GOLDEN_BYTES = {JSON: 20_000_000, NPZ: 100_000_000}
MAX_VALUES = 10_000_000  # of golden.npz: each becomes an object of Python
#: dimensions of a row of an output; Python 3.12 and newer parse far deeper lists
MAX_DIMENSIONS = 32
KEYS = ("columns", "outputs", "tolerance", "entities")
TOLERANCE = "tolerance"


def golden_name(folder: Path) -> str:
    """Return the name of a package's file of golden vectors.

    Raises:
        PackageError: it has both.
    """
    if not (folder / NPZ).exists():
        return JSON
    if (folder / JSON).exists():
        raise PackageError.of(NPZ, f"expected golden vectors in one file, {JSON} is there as well")
    return NPZ


def read_golden(contract: Contract, name: str, content: bytes) -> Golden:
    """Read the golden vectors of a contract from the file of that name.

    Raises:
        PackageError: the file is not in its form, or does not fit the contract.
    """
    return golden_from_dict(_read(contract, name, content))


def read_rows(contract: Contract, name: str, content: bytes) -> Golden:
    """Read golden vectors without their expected outputs, which may be another graph's.

    Raises:
        PackageError: the file is not in its form, or its rows do not fit the contract.
    """
    return golden_from_dict(_read(contract, name, content, with_outputs=False))


def _read(
    contract: Contract, name: str, content: bytes, *, with_outputs: bool = True
) -> dict[str, Any]:
    try:
        data = _arrays(contract, content) if name == NPZ else _json(content)
        if not with_outputs and isinstance(data, dict):
            contract, data = replace(contract, outputs=()), {**data, "outputs": {}}
        problems = list(_problems(contract, data))
    except (ValueError, RecursionError) as error:  # ValueError: also a number of 5,000 digits
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise PackageError.of(name, f"is not JSON: {reason[:200]}") from error
    if problems:
        raise PackageError([Problem(name, text, field=field) for field, text in problems])
    found: dict[str, Any] = data
    return found


def _json(content: bytes) -> Any:
    return json.loads(content, parse_constant=_refuse_constant)


# ---- arrays ------------------------------------------------------------------------------------


def _arrays(contract: Contract, content: bytes) -> dict[str, Any]:
    """Return the arrays of golden.npz, named as features and outputs, as golden.json has them."""
    features = {feature.name for feature in contract.features}
    outputs = {output.name for output in contract.outputs}
    twice = features & outputs | {TOLERANCE} & (features | outputs)
    if twice:
        name = min(twice)
        raise PackageError.of(NPZ, f"{name} could mean two things there; use {JSON}")
    found: dict[str, Any] = {"columns": {}, "outputs": {}}
    for name, array in _unpacked(content).items():
        if name == TOLERANCE:
            found[TOLERANCE] = array.tolist()
        elif name in features:
            found["columns"][name] = _nulled(array, np.isnan)
        else:
            found["outputs"][name] = _nulled(array, lambda values: ~np.isfinite(values))
    return found


def _unpacked(content: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz archive by name.

    Raises:
        PackageError: it is none, holds arrays of objects, or too many values.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > GOLDEN_BYTES[NPZ]:
            most = f"expected at most {GOLDEN_BYTES[NPZ]:,} bytes unpacked, got {size:,}"
            raise PackageError.of(NPZ, f"{most}; fewer rows will do")
        arrays = dict(np.load(io.BytesIO(content), allow_pickle=False).items())
    except PackageError:
        raise
    except Exception as error:  # zipfile's and numpy's errors have no base class of their own
        text = " ".join(str(error).split())
        raise PackageError.of(
            NPZ, f"cannot be read ({text[:120]}); expected numpy.savez(..., feature=array)"
        ) from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biufU":
            raise PackageError([Problem(NPZ, "expected numbers or texts", field=name[:100])])
    if (values := sum(array.size for array in arrays.values())) > MAX_VALUES:
        text = f"expected at most {MAX_VALUES:,} values, got {values:,}; fewer rows will do"
        raise PackageError.of(NPZ, text)
    return arrays


def _nulled(array: NDArray[Any], missing: Any) -> Any:
    """Return an array as lists, with None for floats that are `missing`."""
    if array.dtype.kind != "f" or not (gaps := missing(array)).any():
        return array.tolist()
    values = array.astype(object)
    values[gaps] = None
    return values.tolist()


# ---- writing -----------------------------------------------------------------------------------


def with_outputs(
    contract: Contract, name: str, content: bytes, outputs: Mapping[str, Sequence[Any]]
) -> bytes:
    """Return a file of golden vectors with other expected outputs, and all else as it was.

    Raises:
        PackageError: the rows of an output have different shapes, which golden.npz cannot hold.
    """
    if name == JSON:
        return text_of({**_json(content), "outputs": dict(outputs)}).encode()
    kept = {feature.name for feature in contract.features} | {TOLERANCE}
    arrays: dict[str, Any] = {n: a for n, a in _unpacked(content).items() if n in kept}
    for output in contract.outputs:
        try:
            arrays[output.name] = array_of(outputs[output.name], output.dtype)
        except ValueError as error:
            text = f"{output.name} has rows of different shapes; use {JSON}"
            raise PackageError.of(NPZ, text) from error
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def text_of(content: Mapping[str, Any]) -> str:
    """Return JSON with one line per entry of the second level, so that diffs are readable."""
    parts = []
    for key, value in content.items():
        if isinstance(value, dict):
            lines = (f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            parts.append(f"  {json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n  }")
        else:
            parts.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def array_of(values: Sequence[Any], dtype: str) -> NDArray[Any]:
    """Return JSON values as an array of a contract's dtype; None is NaN."""
    if dtype == "string":
        return np.array(values, dtype=np.str_)
    kind = np.dtype(dtype)
    return np.array(values, dtype=np.float64 if kind.kind == "f" else kind).astype(kind)


# ---- what fits the contract ---------------------------------------------------------------------


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number that JSON has; a missing value is null")


def _problems(contract: Contract, data: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(data, dict):
        yield "", "expected an object with columns and outputs"
        return
    for name in sorted(data.keys() - set(KEYS)):
        yield name[:100], f"expected one of {', '.join(KEYS)}{suggestion(name, KEYS)}"
    columns, outputs = data.get("columns"), data.get("outputs")
    if not isinstance(columns, dict) or not isinstance(outputs, dict) or not columns:
        yield "", "expected an object with columns and outputs"
        return
    features = {feature.name for feature in contract.features}
    yield from _names("columns", columns, features)
    yield from _names("outputs", outputs, {output.name for output in contract.outputs})
    values = [*columns.values(), *outputs.values()]
    lengths = {len(value) if isinstance(value, list) else -1 for value in values}
    if len(lengths) != 1 or lengths & {-1, 0}:
        yield "", "expected lists of one and the same length, at least 1"
    elif columns.keys() == features and set(outputs) == {o.name for o in contract.outputs}:
        yield from _gaps(contract, columns)
        odd = list(_odd_outputs(contract, outputs))
        yield from odd or label_differences(contract, outputs)
    tolerance = data.get("tolerance", MAX_TOLERANCE)
    if type(tolerance) not in (int, float) or not 0 <= tolerance <= MAX_TOLERANCE:
        yield "tolerance", f"expected a number from 0 to {MAX_TOLERANCE:g}"
    leaves = _leaves(values)
    if any(isinstance(value, float) and not math.isfinite(value) for value in leaves):
        yield "", "expected finite numbers"


def _names(kind: str, given: Mapping[str, Any], expected: set[str]) -> Iterator[tuple[str, str]]:
    for name in sorted(given.keys() - expected):
        yield f"{kind}.{name}"[:100], "is not in the contract"
    for name in sorted(expected - given.keys()):
        yield kind, f"{name} is missing"


def _gaps(contract: Contract, columns: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Find features with a missing value that a request must have: they would refuse the row."""
    for feature in contract.requested:
        if feature.fill is None and None in columns[feature.name]:
            floats = numpy_dtype(feature.dtype).kind == "f" and not feature.free
            choice = "missing: nan (the model gets NaN) or a default" if floats else "a default"
            row = columns[feature.name].index(None)
            yield (
                f"columns.{feature.name}",
                f"row {row}: null, and the feature is required; if values may be missing, give it "
                f"{choice} in model.yaml",
            )


def _odd_outputs(contract: Contract, outputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Find outputs with a value that is not of their dtype, or with rows that are not arrays."""
    for output in contract.outputs:
        for row, value in enumerate(outputs[output.name]):
            shape = _shape(value)
            nested = shape is None or len(shape) > MAX_DIMENSIONS
            leaves = (v for v in _leaves(value) if v is not None or output.finite)
            if nested or not all(is_of(output.dtype, v) for v in leaves):
                got = f"{value!r:.60}"
                yield f"outputs.{output.name}", f"row {row}: expected {output.dtype}, got {got}"
                break


def _shape(value: Any) -> tuple[int, ...] | None:
    """Return the shape of nested lists; None if they are ragged."""
    if not isinstance(value, list):
        return ()
    inner = {_shape(item) for item in value}
    if len(inner) > 1 or None in inner:
        return None
    return (len(value), *(inner.pop() or ())) if inner else (0,)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
