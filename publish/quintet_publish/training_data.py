"""The training data of a package, as columns: CSV or Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from arro3.core import ChunkedArray, DataType
from arro3.io import read_parquet

from quintet.columns import is_missing, numpy_dtype
from quintet.columns.values import with_point
from quintet.contract import Contract, Feature
from quintet.formats.csv_rows import delimiter_of
from quintet.formats.parquet import read_footer
from quintet.labels.table import MAX_LABEL_BYTES
from quintet.labels.targets import Target
from quintet.monitoring.baseline import Columns
from quintet_publish.problems import PackageError
from quintet_publish.text_files import conversion, form_of

__all__ = ["SUFFIXES", "TrainingData", "labels_of", "read_training_data"]

SUFFIXES = (".csv", ".parquet")
MAX_VALUES = 50_000_000


class TrainingData(NamedTuple):
    """The columns that are features, and the true values and entities if the file has them."""

    columns: Columns
    target: Any
    entities: Any


def read_training_data(contract: Contract, path: str, content: bytes) -> TrainingData:
    """Read the features, the true values if the contract names their column, and the entities.

    Raises:
        PackageError: the file is not in its suffix's format, or a feature's column is missing.
    """
    try:
        read = _parquet if path.endswith(".parquet") else _csv
        columns = read(contract, path, content)
    except (PackageError, MemoryError):
        raise
    except UnicodeDecodeError as error:
        text = f"expected text in UTF-8; `{conversion(path, form_of(error))}` prints it as that"
        raise PackageError.of(path, text) from error
    except BaseException as error:
        # arro3's errors have no base class of their own, and its Rust code can panic on a
        # corrupt footer, which does not raise an Exception
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise PackageError.of(path, f"cannot be read ({type(error).__name__})") from error
        raise
    absent = [f.key for f in contract.features if f.key not in columns and not f.shape]
    if absent:
        raise PackageError.of(path, f"expected a column for every feature, {absent[0]} has none")
    if not any(len(values) for values in columns.values()):
        raise PackageError.of(path, "expected rows, got none")
    target = contract.training_target
    if target is not None and target not in columns:
        raise PackageError.of(path, f"expected the column {target}, which `training_target` names")
    found = {f.name: columns[f.key] for f in contract.features if f.key in columns}
    answers = None if target is None else columns[target]
    return TrainingData(found, answers, columns.get(contract.entity) if contract.entity else None)


def labels_of(contract: Contract, target: Any) -> Sequence[Any] | None:
    """Return the true values as labels: names of classes or numbers, None of those that are none.

    None if there is no target, or nothing that labels can be compared with.
    """
    wanted = Target(contract)
    if target is None or wanted.kind is None:
        return None
    texts = [b"" if is_missing(one) else str(one).encode()[:MAX_LABEL_BYTES] for one in target]
    values, is_label = wanted.values(np.array(texts, dtype=np.bytes_))
    return [one if known else None for one, known in zip(values, is_label.tolist(), strict=True)]


@dataclass(frozen=True, slots=True)
class _Content:
    """A file's bytes as a `ByteSource`."""

    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, start: int, end: int) -> bytes:
        return self.content[start:end]


def _parquet(contract: Contract, path: str, content: bytes) -> dict[str, Any]:
    # a column of one repeated value takes few bytes for any number of rows
    rows = sum(group.rows for group in read_footer(_Content(content)).groups)
    if not rows:
        raise PackageError.of(path, "expected rows, got none")
    if rows * len(contract.features) > MAX_VALUES:
        text = f"expected at most {MAX_VALUES:,} values, got {rows:,} rows; a sample will do"
        raise PackageError.of(path, text)
    table = read_parquet(io.BytesIO(content)).read_all()
    return {name: _values(table.column(name)) for name in table.column_names}


def _values(column: ChunkedArray) -> Any:
    numeric = DataType.is_floating(column.type) or DataType.is_integer(column.type)
    return column.to_numpy() if numeric and not column.null_count else column.to_pylist()


def _csv(contract: Contract, path: str, content: bytes) -> dict[str, Any]:
    whole = content.decode("utf-8-sig")
    delimiter = delimiter_of(whole, contract.decimal)
    reader = csv.reader(io.StringIO(whole, newline=""), delimiter=delimiter, strict=True)
    header = next(reader, [])
    used = {*(f.key for f in contract.features), contract.training_target, contract.entity}
    if twice := next((name for name in header if name in used and header.count(name) > 1), None):
        raise PackageError.of(path, f"line 1: expected the column {twice} once, got it again")
    columns: dict[str, Any] = {name: [] for name in header}
    for row in reader:
        if len(row) != len(header):
            text = f"line {reader.line_num}: expected {len(header)} cells, got {len(row)}"
            raise PackageError.of(path, text)
        for name, cell in zip(header, row, strict=True):
            columns[name].append(cell)
    target = contract.training_target
    answers = (
        {} if target not in columns else {target: [_answer(contract, c) for c in columns[target]]}
    )
    entities = {name: columns[name] for name in (contract.entity,) if name in columns}
    return {**answers, **entities} | {
        feature.key: [_cell(path, contract, feature, cell) for cell in columns[feature.key]]
        for feature in contract.features
        if feature.key in columns
    }


def _answer(contract: Contract, cell: str) -> Any:
    """Convert a true value to a number if it is one."""
    try:
        return _number(contract, cell)
    except ValueError:
        return cell or None


def _number(contract: Contract, cell: str) -> float:
    return float(with_point(cell) if contract.decimal == "," else cell)


def _cell(path: str, contract: Contract, feature: Feature, cell: str) -> Any:
    if cell == "":
        return None
    kind = numpy_dtype(feature.dtype).kind
    if kind == "O":
        return cell
    if kind == "b":
        return cell.lower() in ("true", "1")
    try:
        return _number(contract, cell)
    except ValueError:
        text = f"{feature.key}: expected {feature.dtype}, got {cell[:60]!r}"
        raise PackageError.of(path, text) from None
