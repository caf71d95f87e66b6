"""Contracts and rows from a seed, and what their graph answers, computed apart from all readers."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import helper
from tests.kits.models import graph_of

from quintet.contract import Contract, DType, Feature, Input, Output

__all__ = [
    "ABSENT",
    "NUMBERS",
    "Answer",
    "Case",
    "Row",
    "contract_of",
    "expected",
    "graph",
    "rows_of",
]

INTEGERS: tuple[DType, ...] = (
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
)  # fmt: skip
FLOATS: tuple[DType, ...] = ("float16", "float32", "float64")
NUMBERS = (*INTEGERS, *FLOATS)
DTYPES: tuple[DType, ...] = (*NUMBERS, "bool", "string")
#: of these onnxruntime has the operators that a graph needs for missing values
WITH_NAN = ("float32", "float64")
#: what the graph answers for NaN
NO_NUMBER = -1.0
WORDS = (
    "a",
    "Zoë",
    "0",
    "null",
    "true",
    "1e3",
    " x ",
    'say "hi"',
    "a,b",
    "two\nlines",
    "日本",
    "🛒",
)
#: the mark of a value that a row does not name at all
ABSENT = Ellipsis

#: a value by feature: None where it is empty, ABSENT where the row does not have it
Row = dict[str, Any]
#: the outputs' values as bytes, or the features for which the row is refused
Answer = tuple[bytes, ...] | frozenset[str]


@dataclass(frozen=True)
class Case:
    """Rows for a contract, and what each is answered."""

    contract: Contract
    rows: Sequence[Row]
    answers: Sequence[Answer]


def contract_of(draw: random.Random) -> Contract:
    """A contract of two to five features, each an input and an output of its own."""
    dtypes: Sequence[DType] = [draw.choice(NUMBERS)] if draw.random() < 0.2 else DTYPES
    features = tuple(
        _feature(draw, f"f{n}", draw.choice(dtypes), plain=len(dtypes) == 1)
        for n in range(draw.randint(2, 5))
    )
    return Contract(
        name="differential",
        version=1,
        task="t",
        features=features,
        inputs=tuple(
            Input(name=one.name, dtype=one.dtype, shape=(-1, *(one.shape or (1,))))
            for one in features
        ),
        outputs=tuple(
            Output(
                name=f"of_{one.name}",
                dtype=one.dtype,
                shape=(-1, *(one.shape or (1,))),
                meaning=_meaning(one),
            )
            for one in features
        ),
    )


def _meaning(feature: Feature) -> Any:
    return "label" if feature.dtype in ("string", "bool") else "value"


def _feature(draw: random.Random, name: str, dtype: DType, *, plain: bool) -> Feature:
    found = Feature(name=name, dtype=dtype)
    if plain:
        return found
    if draw.random() < 0.2:
        found = replace(found, shape=(draw.randint(1, 4),))
    if dtype in WITH_NAN and draw.random() < 0.3:
        found = replace(found, missing="nan")
    elif not found.shape and draw.random() < 0.3:
        found = replace(found, default=_default(dtype))
    if found.shape:
        return found
    if dtype in NUMBERS and draw.random() < 0.3:
        return replace(found, range=(0, 100))
    if dtype == "string" and draw.random() < 0.4:
        return replace(found, categories=WORDS[:5])
    return found


def _default(dtype: DType) -> Any:
    return "a" if dtype == "string" else dtype == "bool" or 7


def graph(contract: Contract) -> bytes:
    """A graph that answers each input as it is, and NO_NUMBER for NaN."""
    nodes = []
    for feature in contract.features:
        name, output = feature.name, f"of_{feature.name}"
        if feature.missing is None:
            nodes.append(helper.make_node("Identity", [name], [output]))
            continue
        nodes.append(helper.make_node("IsNaN", [name], [f"no_{name}"]))
        nodes.append(helper.make_node("Where", [f"no_{name}", feature.dtype, name], [output]))
    used = {one.dtype for one in contract.features if one.missing is not None}
    return graph_of(contract, nodes, **{d: np.array(NO_NUMBER, dtype=d) for d in sorted(used)})


def rows_of(draw: random.Random, contract: Contract) -> list[Row]:
    """One to six rows; some values are empty, absent or against the feature's rule."""
    return [
        {one.name: _value(draw, one) for one in contract.features}
        for _ in range(draw.randint(1, 6))
    ]


def _value(draw: random.Random, feature: Feature) -> Any:
    at = draw.random()
    if at < 0.05:
        return None
    if at < 0.08:
        return ABSENT
    if feature.shape:
        return [_scalar(draw, feature) for _ in range(feature.shape[0])]
    return _scalar(draw, feature)


def _scalar(draw: random.Random, feature: Feature) -> Any:
    dtype = feature.dtype
    if dtype == "bool":
        return draw.random() < 0.5
    if dtype == "string":
        return (
            draw.choice(feature.categories or WORDS) if draw.random() < 0.9 else draw.choice(WORDS)
        )
    if feature.range is not None and draw.random() < 0.85:
        return draw.randint(0, 100)
    if dtype in INTEGERS:
        limits = np.iinfo(dtype)
        edges = [int(limits.min), int(limits.max), 0, 1]
        return draw.choice([*edges, draw.randint(int(limits.min), int(limits.max))])
    return _float(draw, dtype)


def _float(draw: random.Random, dtype: DType) -> float:
    """A finite number of a dtype: an extreme, or any bits of it."""
    info = np.finfo(dtype)
    if draw.random() < 0.3:
        edges = (0.0, -0.0, info.max, info.min, info.tiny, info.smallest_subnormal, info.eps)
        return float(draw.choice(edges))
    bits = draw.getrandbits(info.bits).to_bytes(info.bits // 8, "little")
    found = float(np.frombuffer(bits, dtype)[0])
    return found if math.isfinite(found) else 1.0


def expected(contract: Contract, row: Row) -> Answer:
    """What a row is answered."""
    values = {one.name: _filled(one, row[one.name]) for one in contract.features}
    wrong = frozenset(one.name for one in contract.features if not _right(one, values[one.name]))
    return wrong or tuple(as_bytes(values[one.name], one.dtype) for one in contract.features)


def _filled(feature: Feature, value: Any) -> Any:
    if value is not None and value is not ABSENT:
        return value
    if feature.missing is not None:
        return [NO_NUMBER] * feature.shape[0] if feature.shape else NO_NUMBER
    return feature.default


def _right(feature: Feature, value: Any) -> bool:
    if value is None:
        return False
    if feature.categories is not None:
        return value in feature.categories
    if feature.range is None or (feature.missing is not None and value == NO_NUMBER):
        return True
    low, high = feature.range
    return bool(low <= value <= high)


def as_bytes(value: Any, dtype: DType) -> bytes:
    """The bytes of a value, which tell -0.0 from 0.0."""
    if dtype == "string":
        return repr(value if isinstance(value, list) else [value]).encode()
    return np.atleast_1d(np.array(value, dtype=dtype)).tobytes()
