"""Tensors of the Open Inference Protocol to a batch."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, NoReturn

import numpy as np

from quintet.columns.batch import (
    Array,
    Batch,
    cast,
    dtype_name,
    numpy_dtype,
    set_entities,
    set_ids,
    shown,
)
from quintet.columns.names import did_you_mean
from quintet.columns.ragged import fits, ragged, shape_text
from quintet.contract import Contract, Feature, Input
from quintet.errors import BadInput


def from_tensors(contract: Contract, tensors: Mapping[str, Array]) -> Batch:
    """OIP tensors as a batch: graph inputs whole, or one (rows,) or (rows, 1) tensor a feature.

    A tensor may have any dtype of the same kind, or integers for floats: values are converted
    exactly, and rows with a value that does not fit are refused.

    Raises:
        BadInput: a name, dtype, shape or row count is not the contract's.
    """
    plan: _TensorPlan = contract.compiled[_TensorPlan]
    rows = _tensor_rows(tensors)
    if not tensors.keys() <= plan.known:
        _refuse_unknown(contract, plan.known, tensors)
    batch = Batch(rows, {})
    left = dict(tensors)
    taken: set[str] = set()
    for name, graph_input in plan.whole.items():
        if name in left:
            _take_whole(contract, batch, graph_input, left.pop(name))
            taken.update(graph_input.names)
    if left or len(taken) < len(contract.requested):
        _take_features(contract, batch, left, taken)
    if contract.entity:
        keys = left.pop(contract.entity, None)
        found = [None] * rows if keys is None else _one_a_row(contract.entity, keys)
        set_entities(contract, batch, found)
    if contract.id and contract.id in left:
        set_ids(batch, contract.id, _one_a_row(contract.id, left[contract.id]))
    return batch


def _take_features(
    contract: Contract, batch: Batch, left: dict[str, Array], taken: Set[str]
) -> None:
    """Take the features that no graph input has brought out of the tensors that are left."""
    for feature in contract.requested:
        if feature.name in taken:
            if feature.key in left:
                raise BadInput.of(feature.key, "it once", "it in another tensor too")
        elif feature.key in left:
            _take_feature(batch, feature, left.pop(feature.key))
        elif feature.fill is not None:
            dtype = numpy_dtype(feature.dtype)
            batch.columns[feature.name] = np.full((batch.rows, *feature.shape), feature.fill, dtype)
        else:
            raise BadInput.of(feature.key, f"a tensor of {feature.dtype}", "no such tensor")


def _one_a_row(name: str, tensor: Array) -> list[Any]:
    if tensor.size != len(tensor):
        raise BadInput.of(name, "one value for each row", f"shape {list(tensor.shape)}")
    return tensor.reshape(-1).tolist()


class _TensorPlan:
    """The tensors that a request may have: graph inputs that are `whole`, and all that are known.

    `rows` are the shapes of one row.
    """

    def __init__(self, contract: Contract) -> None:
        self.whole = {
            graph_input.name: graph_input
            for graph_input in contract.inputs
            if all(contract.by_name[name].source == "request" for name in graph_input.names)
        }
        self.known = contract.request_keys | self.whole.keys()
        self.rows = {feature.key: feature.shape for feature in contract.requested}
        self.rows |= {name: graph_input.row_shape for name, graph_input in self.whole.items()}


def _refuse_unknown(contract: Contract, known: Set[str], tensors: Mapping[str, Array]) -> NoReturn:
    """Refuse a tensor that is neither an input of the graph nor a feature of the request."""
    name = next(name for name in tensors if name not in known)
    if any(name == feature.name for feature in contract.stored):
        expected, got = "no tensor: the feature store holds it", "a tensor"
    else:
        names = sorted(known)
        expected = f"one of {', '.join(names)}"
        got = f"an unknown tensor{did_you_mean(name, names, contract)}"
    raise BadInput.of(shown(name)[1:-1], expected, got)


def check_has_rows(contract: Contract, name: str, shape: tuple[int, ...]) -> None:
    """Refuse a tensor with the shape of one row, whose first dimension is not the rows.

    Raises:
        BadInput: the tensor lacks the dimension of the rows.
    """
    row = contract.compiled[_TensorPlan].rows.get(name, ())
    if len(shape) == len(row) and row not in _FLAT and _matches(row, shape):
        got = f"shape {list(shape)}, without the rows"
        raise BadInput.of(name, f"shape {[1, *shape]} for one row", got)


def _matches(expected: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return all(want in (-1, have) for want, have in zip(expected, shape, strict=True))


def _tensor_rows(tensors: Mapping[str, Array]) -> int:
    """The number of rows, which all tensors must have."""
    if not tensors:
        raise BadInput.of("inputs", "at least one tensor", "none")
    first_name, first = next(iter(tensors.items()))
    for name, tensor in tensors.items():
        if tensor.ndim == 0:
            raise BadInput.of(name, "a first dimension of rows", "shape []")
        if len(tensor) != len(first):
            raise BadInput.of(name, f"{len(first)} rows, as {first_name} has", f"{len(tensor)}")
    return len(first)


def _take_whole(contract: Contract, batch: Batch, graph_input: Input, tensor: Array) -> None:
    if (first := contract.by_name[graph_input.names[0]]).free:
        return _take_feature(batch, first, tensor)
    _check_dtype(graph_input.name, graph_input.dtype, tensor)
    names, flat = graph_input.names, graph_input.row_shape in _FLAT
    shape = (batch.rows, *graph_input.row_shape)
    fits = tensor.shape == shape or (
        len(tensor.shape) == len(shape) and _matches(shape, tensor.shape)
    )
    if not fits and flat and tensor.size == np.prod(shape):
        tensor, fits = tensor.reshape(shape), True
    if not fits:
        raise BadInput.of(graph_input.name, f"shape {list(shape)}", f"shape {list(tensor.shape)}")
    if len(names) == 1:
        # a feature's column is (rows, *feature.shape): (rows, 1) inputs hold scalars
        tensor = tensor.reshape(batch.rows) if flat else tensor
        batch.columns[names[0]] = _typed(batch, contract.by_name[names[0]], tensor)
    elif tensor.dtype == numpy_dtype(graph_input.dtype):
        batch.stacked[names] = tensor
    else:
        for name, column in zip(names, tensor.T, strict=True):
            batch.columns[name] = _typed(batch, contract.by_name[name], column)


#: the per-row shapes of a scalar
_FLAT = ((), (1,))


def _take_feature(batch: Batch, feature: Feature, tensor: Array) -> None:
    shape = (batch.rows, *feature.shape)
    if feature.free:
        if not fits(tensor.shape[1:], feature):
            expected = f"shape [{batch.rows}, {shape_text(feature)[1:]}"
            raise BadInput.of(feature.key, expected, f"shape {list(tensor.shape)}")
    elif tensor.shape != shape:
        if feature.shape or tensor.shape != (batch.rows, 1):
            got = f"shape {list(tensor.shape)}"
            raise BadInput.of(feature.key, f"shape {list(shape)}", got)
        tensor = tensor.reshape(shape)
    _check_dtype(feature.key, feature.dtype, tensor)
    column = _typed(batch, feature, tensor)
    batch.columns[feature.name] = ragged(list(column)) if feature.free else column


def _check_dtype(name: str, dtype: str, tensor: Array) -> None:
    """Refuse a tensor whose values cannot be converted to a dtype one by one."""
    target = numpy_dtype(dtype)
    if tensor.dtype == target:
        return
    kinds = tensor.dtype.kind + target.kind
    if kinds not in ("ff", "if", "uf") and not set(kinds) <= {"i", "u"}:
        raise BadInput.of(name, dtype, dtype_name(tensor))


def _typed(batch: Batch, feature: Feature, tensor: Array) -> Array:
    same = tensor.dtype == numpy_dtype(feature.dtype)
    return tensor if same else cast(batch, feature, tensor)
