"""Examples of requests and answers, from a version's golden rows, as the protocols write them."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np
import orjson

from quintet.columns import Array, Batch, numpy_dtype
from quintet.columns import ragged as ragged_rows
from quintet.contract import Contract, Feature, Output
from quintet.openapi.values import Schema
from quintet.protocols import kserve, oip_infer, records, sagemaker
from quintet.protocols.tensors import DATATYPES
from quintet.scoring import Scores
from quintet.serving import Prediction
from quintet.serving.golden import Golden

__all__ = ["Example", "media"]

#: the age in seconds of stored features in examples
_AGE = 60.0


class Example:
    """A golden row as each form's request, and as its answer.

    A feature marked `sensitive` has a stand-in for its value, and the answer is not known then.
    """

    def __init__(self, contract: Contract, golden: Golden) -> None:
        self._contract = contract
        self.row = {
            one.key: value
            for one in contract.requested
            if (value := _value(one, golden)) is not None
        }
        if contract.needs_entity and contract.entity:
            self.row = {contract.entity: f"{contract.name}-example", **self.row}
        self._prediction = _prediction(contract, golden)

    @property
    def records(self) -> tuple[Any, Any]:
        """A request and its answer in the records form; None for an answer that is not known."""
        return {"records": [self.row]}, self._json(records.encode, records.Asked(Batch(1, {})))

    @property
    def oip(self) -> tuple[Any, Any]:
        """A request and its answer in the Open Inference Protocol: a tensor for each feature."""
        contract = self._contract
        tensors = [
            _tensor(one.key, DATATYPES[one.dtype], self.row[one.key], len(one.shape))
            for one in contract.requested
            if one.key in self.row
        ]
        if contract.entity in self.row:
            tensors.insert(0, _tensor(contract.entity, "BYTES", self.row[contract.entity], 0))
        names = [one.name for one in contract.outputs]
        asked = oip_infer.Asked(None, Batch(1, {}), names, set())
        return {"inputs": tensors}, self._json(oip_infer.encode, asked)

    @property
    def kserve(self) -> tuple[Any, Any]:
        """A request and its answer in KServe's V1."""
        answer = self._json(kserve.encode, kserve.Asked(Batch(1, {})))
        return {"instances": [self.row]}, answer

    @property
    def sagemaker(self) -> tuple[Any, Any]:
        """A request and its answer as SageMaker's JSON."""
        return {"instances": [self.row]}, self.records[1]

    @property
    def csv(self) -> tuple[str, str | None] | None:
        """A request and its answer as CSV with a header; None if the model has an array."""
        contract = self._contract
        if contract.decimal != "." or any(one.shape for one in contract.requested):
            return None
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.row)
        writer.writerow([_cell(value) for value in self.row.values()])
        if self._prediction is None or any(one.free for one in contract.outputs):
            return text.getvalue(), None
        asked = sagemaker.Asked(Batch(1, {}), media="text/csv")
        return text.getvalue(), sagemaker.encode(asked, self._prediction).body.decode()

    def _json(self, encode: Any, asked: Any) -> Any:
        if self._prediction is None:
            return None
        return orjson.loads(encode(asked, self._prediction).body)


def media(value: Any, schema: Schema) -> Schema:
    """A body's schema with its example; None is no example."""
    return {"schema": schema} if value is None else {"schema": schema, "example": value}


def _value(one: Feature, golden: Golden) -> Any:
    """A feature's value in the first golden row; None if it is missing."""
    if one.sensitive:
        return _stand_in(one)
    values = golden.columns.get(one.name)
    return values[0] if values else None


def _stand_in(one: Feature) -> Any:
    """A value that the feature takes, and that says nothing of anyone."""
    if one.categories:
        value: Any = one.categories[0]
    elif one.dtype == "string":
        value = "a text"
    elif one.dtype == "bool":
        value = False
    else:
        low, high = one.range or (None, None)
        value = low if low is not None else 0 if high is None else min(0, high)
    for size in reversed(one.largest):
        value = [value] * size
    return value


def _prediction(contract: Contract, golden: Golden) -> Prediction | None:
    """The answer to the first golden row; None if it is not known."""
    known = all(golden.outputs.get(one.name) for one in contract.outputs)
    if not known or any(one.sensitive for one in contract.requested):
        return None
    outputs = {one.name: _output(one, golden.outputs[one.name][0]) for one in contract.outputs}
    scores = Scores(np.arange(1), outputs, np.zeros(1, dtype=np.bool_), [])
    ages = np.full((1, len(contract.stored)), _AGE)
    return Prediction(contract, "live", Batch(1, {}), np.arange(1), scores, ages)


def _output(one: Output, value: Any) -> Array:
    """A golden output of one row as the array that a run gives, (1, ...)."""
    dtype = numpy_dtype(one.dtype)
    row = np.array(value, dtype=np.float64 if dtype.kind == "f" else dtype).astype(dtype)
    return ragged_rows([row]) if one.free else row.reshape(1, *one.row_shape)


def _tensor(name: str, datatype: str, value: Any, dimensions: int) -> Schema:
    shape, inner = [1], value
    for _ in range(dimensions):
        shape.append(len(inner))
        inner = inner[0] if inner else []
    flat = [value]
    for _ in range(dimensions):
        flat = [item for part in flat for item in part]
    return {"name": name, "shape": shape, "datatype": datatype, "data": flat}


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
