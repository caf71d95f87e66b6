"""Numbers of another width or kind in a tensor: converted exactly where they fit, else refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quintet.columns import Batch
from quintet.columns.tensors import from_tensors
from quintet.contract import Contract, DType, Feature, Input
from quintet.errors import BadInput


def contract(dtype: DType) -> Contract:
    """A stack of two numbers, a scalar and a vector of one dtype."""
    return Contract(
        name="m",
        version=1,
        task="t",
        features=(
            Feature(name="a", dtype=dtype),
            Feature(name="b", dtype=dtype),
            Feature(name="one", dtype=dtype),
            Feature(name="x", dtype=dtype, shape=(2,)),
        ),
        inputs=(
            Input(name="ab", dtype=dtype, shape=(-1, 2), features=("a", "b")),
            Input(name="one:0", dtype=dtype, shape=(-1, 1), features=("one",)),
            Input(name="x:0", dtype=dtype, shape=(-1, 2), features=("x",)),
        ),
        outputs=(),
    )


def by_input(dtype: DType, values: Any) -> Batch:
    """Rows of two numbers as the graph's inputs."""
    return from_tensors(contract(dtype), {"ab": values, "one:0": values[:, :1], "x:0": values})


def by_feature(dtype: DType, values: Any) -> Batch:
    """Rows of two numbers as features."""
    tensors = {"a": values[:, 0], "b": values[:, 1], "one": values[:, 0], "x": values}
    return from_tensors(contract(dtype), tensors)


BOTH = pytest.mark.parametrize("read", [by_input, by_feature])


@BOTH
@pytest.mark.parametrize(
    ("dtype", "sent"),
    [
        ("float32", "float64"),
        ("float32", "float16"),
        ("float32", "int64"),
        ("float32", "uint8"),
        ("float64", "float32"),
        ("int32", "int64"),
        ("int64", "int32"),
        ("int8", "uint8"),
        ("uint8", "int64"),
        ("uint64", "int8"),
    ],
)
def test_numbers_of_another_width_are_converted(read: Any, dtype: DType, sent: str) -> None:
    values = np.array([[1, 2], [3, 4]], dtype=sent)
    batch = read(dtype, values)
    assert batch.refusals == []
    assert {name: str(column.dtype) for name, column in batch.columns.items()} == dict.fromkeys(
        ("a", "b", "one", "x"), dtype
    )
    found = np.stack([batch.columns["a"], batch.columns["b"]], axis=1)
    assert found.tolist() == batch.columns["x"].tolist() == [[1, 2], [3, 4]]
    assert batch.columns["one"].tolist() == [1, 3]


@BOTH
@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("int32", np.array([[1, 2], [2**31, 4]])),
        ("uint8", np.array([[1, 2], [-1, 4]])),
        ("int64", np.array([[1, 2], [2**63, 4]], dtype=np.uint64)),
    ],
)
def test_a_row_with_a_number_that_does_not_fit_is_refused(
    read: Any, dtype: DType, values: Any
) -> None:
    batch = read(dtype, values)
    assert batch.good.tolist() == [True, False]
    assert {refusal.row for refusal in batch.refusals} == {1}
    assert str(batch.refusals[0]) == (
        f"row 1: a: expected a number ({dtype}), got {values[1, 0].item()}"
    )
    assert batch.columns["x"][0].tolist() == [1, 2]


@BOTH
@pytest.mark.parametrize(
    ("dtype", "sent"),
    [("int64", "float32"), ("float32", "bool"), ("bool", "int8"), ("float32", object)],
)
def test_another_kind_is_refused(read: Any, dtype: DType, sent: Any) -> None:
    with pytest.raises(BadInput) as caught:
        read(dtype, np.ones((2, 2), dtype=sent))
    name = "string" if sent is object else sent
    assert str(caught.value).endswith(f": expected {dtype}, got {name}")
