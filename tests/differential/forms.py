"""Every form in which rows come, written here and read by the form's own reader."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from arro3 import core
from tests.differential.cases import ABSENT, NUMBERS, Case, Row
from tests.kits import forms
from tests.kits.forms import CSV_FORMS, JSON_FORMS

from quintet.columns import Batch
from quintet.contract import Contract, Feature
from quintet.protocols import oip_infer
from quintet.protocols.http import Request

__all__ = ["CANNOT", "FORMS", "Reader"]

Reader = Callable[[Contract, Case], Batch]

_DATATYPES = {"bool": "BOOL", "float16": "FP16", "float32": "FP32", "float64": "FP64"}


def _has_none(case: Case) -> bool:
    return any(value is None or value is ABSENT for row in case.rows for value in row.values())


def _vectors(case: Case) -> bool:
    return any(one.shape for one in case.contract.features)


def _mixed(case: Case) -> bool:
    kinds = {one.dtype for one in case.contract.features}
    return len(kinds) > 1 or not kinds <= set(NUMBERS)


def _same_dtype(dtype: str) -> Callable[[Case], bool]:
    return lambda case: any(one.dtype == dtype for one in case.contract.features)


#: what a form cannot carry, and of which cases that is so
CANNOT: Mapping[str, list[tuple[str, Callable[[Case], bool]]]] = {
    "csv": [("a list in a cell of CSV with a header", _vectors)],
    "npy": [
        ("an empty value in an array", _has_none),
        ("columns of several types, text or booleans in an array", _mixed),
        ("lists beside other columns in an array", _vectors),
    ],
    "tensors": [("a row without a value in a tensor", _has_none)],
    "tensors as text": [("FP16 in JSON, which the protocol refuses", _same_dtype("float16"))],
}


def _written(row: Row) -> dict[str, str]:
    """JSON's text of each value that the row has."""
    found = {name: value for name, value in row.items() if value is not ABSENT}
    return {name: json.dumps(value, ensure_ascii=False) for name, value in found.items()}


def _json(form: str) -> Reader:
    read = JSON_FORMS[form]
    return lambda contract, case: read(contract, [_written(row) for row in case.rows])


def _csv(form: str) -> Reader:
    read = CSV_FORMS[form]
    return lambda contract, case: read(contract, list(_cells(contract, case.rows)))


def _cells(contract: Contract, rows: Iterable[Row]) -> Iterable[dict[str, str]]:
    """The cells of each row as they are written, quoted where they must be."""
    for row in rows:
        yield {one.name: _cell(row[one.name]) for one in contract.features}


def _cell(value: Any) -> str:
    if value is None or value is ABSENT:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return repr(value)
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([value])
    return line.getvalue().removesuffix("\n")


def _parquet(contract: Contract, case: Case) -> Batch:
    columns = {one.name: _column(one, case.rows) for one in contract.features}
    return forms.parquet(contract, **columns)


def _column(feature: Feature, rows: Iterable[Row]) -> core.Array:
    kinds: Any = core.DataType
    kind = getattr(kinds, {"string": "utf8", "bool": "bool"}.get(feature.dtype, feature.dtype))()
    values = [None if row[feature.name] is ABSENT else row[feature.name] for row in rows]
    if not feature.shape:
        return _array(values, kind)
    ends = np.cumsum([0, *(len(value or ()) for value in values)]).tolist()
    flat = _array([item for value in values for item in value or ()], kind)
    empty = core.Array([value is None for value in values], kinds.bool())
    return core.list_array(core.Array(ends, kinds.int32()), flat, mask=empty)


def _array(values: list[Any], kind: core.DataType) -> core.Array:
    if kind == core.DataType.float16():  # which is not made from Python's numbers
        return core.Array(values, core.DataType.float32()).cast(kind)
    return core.Array(values, kind)


def _npy(contract: Contract, case: Case) -> Batch:
    names, dtype = [one.name for one in contract.features], contract.features[0].dtype
    return forms.npy(contract, np.array([[row[n] for n in names] for row in case.rows], dtype))


def _tensors(contract: Contract, case: Case) -> Batch:
    """The Open Inference Protocol in JSON."""
    return forms.oip(
        contract,
        **{one.name: (_datatype(one), *_tensor(one, case.rows)) for one in contract.features},
    )


def _raw_tensors(contract: Contract, case: Case) -> Batch:
    """The Open Inference Protocol with its tensors' bytes after the JSON."""
    inputs, raw = [], b""
    for one in contract.features:
        shape, data = _tensor(one, case.rows)
        block = _raw(one, data)
        about = {"name": one.name, "datatype": _datatype(one), "shape": shape}
        inputs.append({**about, "parameters": {"binary_data_size": len(block)}})
        raw += block
    head = json.dumps({"inputs": inputs}).encode()
    headers = {
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(len(head)),
    }
    return oip_infer.decode(contract, Request("POST", "/", {}, headers, head + raw)).batch


def _datatype(feature: Feature) -> str:
    if feature.dtype == "string":
        return "BYTES"
    return _DATATYPES.get(feature.dtype) or feature.dtype.upper()


def _tensor(feature: Feature, rows: Iterable[Row]) -> tuple[list[int], list[Any]]:
    """A feature's shape, and its values in one list."""
    values = [row[feature.name] for row in rows]
    if not feature.shape:
        return [len(values), 1], values
    return [len(values), *feature.shape], [item for value in values for item in value]


def _raw(feature: Feature, data: list[Any]) -> bytes:
    if feature.dtype != "string":
        return np.array(data, dtype=feature.dtype).tobytes()
    texts = [text.encode() for text in data]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


#: each form's reader, and the keys of CANNOT that say what it cannot carry
FORMS: Mapping[str, tuple[Reader, tuple[str, ...]]] = {
    **{form: (_json(form), ()) for form in JSON_FORMS},
    **{form: (_csv(form), ("csv",)) for form in CSV_FORMS},
    "batch parquet": (_parquet, ()),
    "npy": (_npy, ("npy",)),
    "tensors": (_tensors, ("tensors", "tensors as text")),
    "raw tensors": (_raw_tensors, ("tensors",)),
}
