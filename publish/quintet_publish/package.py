"""A model package: a folder with model.yaml, model.onnx and golden.json, read once and checked."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quintet.columns import near_name, numpy_dtype
from quintet.contract import Contract
from quintet.manifest import GRAPH, digest_of, sha256
from quintet.serving.golden import Golden, golden_from_dict
from quintet_publish.class_checks import label_differences
from quintet_publish.model_yaml import MAX_BYTES, read_contract
from quintet_publish.problems import PackageError, Problem
from quintet_publish.rules.terms import is_of
from quintet_publish.safety import CAPS
from quintet_publish.tolerance import MAX_TOLERANCE
from quintet_publish.training_data import SUFFIXES

__all__ = ["CONTRACT", "GOLDEN", "MAX_GOLDEN", "Package", "read_file", "read_package"]

CONTRACT = "model.yaml"
GOLDEN = "golden.json"
PICKLES = frozenset({".dill", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})
MAX_GOLDEN = 20_000_000
MAX_TRAINING = 1_000_000_000
#: dimensions of a row of an output; Python 3.12 and newer parse far deeper lists
MAX_DIMENSIONS = 32
GOLDEN_KEYS = ("columns", "outputs", "tolerance", "entities")


@dataclass(frozen=True, slots=True)
class Package:
    """A package: its files, read once, its contract and its golden vectors."""

    folder: Path
    contract: Contract
    golden: Golden
    files: dict[str, bytes]

    @property
    def graph(self) -> bytes:
        """Return the content of model.onnx."""
        return self.files[GRAPH]

    @property
    def sources(self) -> dict[str, str]:
        """Return the SHA-256 of every file."""
        return {path: sha256(content) for path, content in self.files.items()}

    @property
    def digest(self) -> str:
        """Return the digest that identifies the package's content."""
        return digest_of(self.sources)


def read_package(folder: Path, reading: Callable[[str], None] = lambda name: None) -> Package:
    """Read a package and check its contract and golden vectors; its graph is checked later.

    `reading` is called with the name of each file before it is read.

    Raises:
        PackageError: a file is missing, unsafe or wrong.
    """
    if not folder.is_dir():
        raise PackageError.of(str(folder), "expected a folder with model.yaml and model.onnx")
    if problems := list(_unsafe(folder)):
        raise PackageError(problems)
    reading(CONTRACT)
    files = {CONTRACT: read_file(folder, CONTRACT, MAX_BYTES)}
    contract = read_contract(files[CONTRACT])
    reading(GRAPH)
    files[GRAPH] = read_file(folder, GRAPH, CAPS.bytes)
    reading(GOLDEN)
    files[GOLDEN] = read_file(folder, GOLDEN, MAX_GOLDEN)
    golden = _golden(contract, files[GOLDEN])
    if contract.training_data is not None:
        if not contract.training_data.endswith(SUFFIXES):
            text = f"expected a file ending in {' or '.join(SUFFIXES)}"
            raise PackageError([Problem(CONTRACT, text, field="training_data")])
        reading(contract.training_data)
        files[contract.training_data] = read_file(folder, contract.training_data, MAX_TRAINING)
    return Package(folder, contract, golden, files)


# ---- files -------------------------------------------------------------------------------------


def _unsafe(folder: Path) -> Iterator[Problem]:
    """Find files that a package may not hold: pickles, which can run code, and symbolic links."""
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        for name in (*folders, *files):
            found = Path(path, name)
            place = str(found.relative_to(folder))
            if found.is_symlink():
                yield Problem(place, "is a symbolic link; expected the file itself")
            elif found.suffix.lower() in PICKLES:
                yield Problem(place, "is a pickle, which can run code; Quintet reads ONNX only")


def read_file(folder: Path, name: str, max_bytes: int) -> bytes:
    """Read a regular file within the folder, of bounded size.

    Raises:
        PackageError: it is missing, not a regular file, outside the folder or too large.
    """
    path = folder / name
    try:
        inside = path.resolve(strict=True).is_relative_to(folder.resolve())
        if not inside or not stat.S_ISREG(path.lstat().st_mode):
            raise PackageError.of(name, "expected a regular file within the package's folder")
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        raise PackageError.of(name, "is missing from the package's folder") from None
    except ValueError:  # the name contains a NUL
        raise PackageError.of(CONTRACT, f"expected the path of a file, got {name[:80]!r}") from None
    except OSError as error:
        raise PackageError.of(name, f"cannot be read ({error.strerror})") from error
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        content = b"" if size > max_bytes else file.read(size + 1)
    if size > max_bytes or len(content) > size:  # or it grew meanwhile
        raise PackageError.of(name, f"expected at most {max_bytes:,} bytes")
    return content


# ---- golden vectors ----------------------------------------------------------------------------


def _golden(contract: Contract, content: bytes) -> Golden:
    try:
        data = json.loads(content, parse_constant=_refuse_constant)
        problems = list(_golden_problems(contract, data))
    except (ValueError, RecursionError) as error:  # ValueError: also a number of 5,000 digits
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise PackageError.of(GOLDEN, f"is not JSON: {reason[:200]}") from error
    if problems:
        raise PackageError([Problem(GOLDEN, text, field=field) for field, text in problems])
    return golden_from_dict(data)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number that JSON has; a missing value is null")


def _golden_problems(contract: Contract, data: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(data, dict):
        yield "", "expected an object with columns and outputs"
        return
    for name in sorted(data.keys() - set(GOLDEN_KEYS)):
        near = near_name(name, GOLDEN_KEYS)
        hint = f"; do you mean {near}?" if near else ""
        yield name[:100], f"expected one of {', '.join(GOLDEN_KEYS)}{hint}"
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
