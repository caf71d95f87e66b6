"""Aggregates as partials: each against numpy, merges in any grouping, packing, sketches."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kits.windows import ALL, PLAIN

from quintet.contract import Aggregate, Stream
from quintet.streaming.aggregates import (
    MAX_TEXT,
    Partials,
    concatenate,
    pack,
    reduce,
    select,
    statistics,
    units,
    unpack,
    values,
)
from quintet.streaming.sketches import estimate, sketch

ROOT = Path(__file__).parents[3]
STREAM = Stream(aggregates=ALL)


def rows(count: int, seed: int = 0, stream: Stream = STREAM) -> Partials:
    """Rows of a few entities in two windows, as partials."""
    random = np.random.default_rng(seed)
    words = np.empty(count, dtype=object)
    words[:] = [f"word {number}" for number in random.integers(0, 9, count).tolist()]
    sequences = np.empty(count, dtype=object)
    sequences[:] = [str(seed * 1000 + number) for number in range(count)]
    return units(
        stream,
        starts=random.choice(np.array([0.0, 60.0]), count),
        entities=[f"e{number}" for number in random.integers(0, 5, count).tolist()],
        fields={"x": 1e6 + random.normal(size=count), "word": words},
        times=np.sort(random.uniform(0, 120, count)),
        sequences=lambda: sequences,
    )


def in_order(partials: Partials) -> Partials:
    return select(partials, np.lexsort((np.array(partials.entities), partials.starts)))


def test_a_stream_asks_for_each_statistic_once() -> None:
    assert statistics(STREAM) == (
        "n",
        "sum:x",
        "min:x",
        "max:x",
        "mean:x",
        "m2:x",
        "last:x",
        "last:word",
        "distinct:word",
        "time",
        "sequence",
    )
    assert statistics(Stream(aggregates=(Aggregate(name="orders", how="count"),))) == ("n",)


def test_each_aggregate_is_numpys_of_the_groups_rows() -> None:
    some = rows(500)
    whole = reduce(some)
    found = values(STREAM, whole)
    assert len(whole) == 10
    entities = np.array(some.entities)
    for group, (start, entity) in enumerate(zip(whole.starts, whole.entities, strict=True)):
        mine = (some.starts == start) & (entities == entity)
        x, words = some.columns["sum:x"][mine], some.columns["last:word"][mine]
        assert {name: column[group] for name, column in found.items()} == {
            "orders": len(x),
            "pounds": pytest.approx(x.sum(), rel=1e-14),
            "mean_x": pytest.approx(x.mean(), rel=1e-14),
            "least_x": x.min(),
            "most_x": x.max(),
            # far from zero, where the sum of squares would lose it all
            "spread_x": pytest.approx(x.std(), rel=1e-9),
            "last_x": x[-1],
            "last_word": words[-1],
            "words": len(set(words)),
        }


@given(st.lists(st.integers(1, 120), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_merges_in_any_grouping_are_the_reduction_of_all(sizes: list[int], random: object) -> None:
    parts = [rows(size, seed) for seed, size in enumerate(sizes)]
    at_once = reduce(concatenate(parts))
    one_by_one = reduce(parts[0])
    for part in parts[1:]:
        one_by_one = reduce(concatenate([one_by_one, part]))
    apart = reduce(concatenate([reduce(part) for part in parts]))
    at_once = in_order(at_once)
    for other in map(in_order, (one_by_one, apart)):
        assert other.entities == at_once.entities
        assert np.array_equal(other.starts, at_once.starts)
        for name, column in values(STREAM, at_once).items():
            got = values(STREAM, other)[name]
            if name in ("pounds", "mean_x", "spread_x"):
                np.testing.assert_allclose(
                    np.array(got, dtype=np.float64),
                    np.array(column, dtype=np.float64),
                    rtol=1e-9,
                    atol=1e-6,
                )
            else:
                assert got == column


@given(st.integers(0, 1000), st.sampled_from([STREAM, Stream(aggregates=PLAIN)]))
def test_one_row_is_the_group_that_it_is_among_others(seed: int, stream: Stream) -> None:
    row = rows(1, seed, stream)
    other = rows(1, seed, stream)
    other.entities = ["another"]
    alone, among = reduce(row), select(reduce(concatenate([row, other])), np.array([0]))
    assert (alone.entities, alone.starts.tolist()) == (among.entities, among.starts.tolist())
    assert alone.columns.keys() == among.columns.keys()
    for name, column in among.columns.items():
        assert (alone.columns[name].dtype, alone.columns[name].tolist()) == (
            column.dtype,
            column.tolist(),
        )


def test_packed_columns_come_back_through_json() -> None:
    whole = reduce(rows(50))
    packed = json.loads(json.dumps(pack(whole.columns), allow_nan=False))
    back = unpack(statistics(STREAM), packed, len(whole))
    assert back.keys() == whole.columns.keys()
    for name, column in whole.columns.items():
        assert (back[name].dtype, back[name].tolist()) == (column.dtype, column.tolist())


@pytest.mark.parametrize(
    ("name", "items"),
    [
        ("n", [0, 1]),
        ("n", ["1", None]),
        ("sum:x", [None, 1.0]),
        ("sum:x", [1.0]),
        ("sum:x", "ab"),
        ("sum:x", [[1.0], [2.0]]),
        ("last:word", [None, "a"]),
        ("sequence", ["1", "-1"]),
        ("distinct:word", ["?", "?"]),
    ],
)
def test_columns_that_are_something_else_are_refused(name: str, items: object) -> None:
    whole = select(reduce(rows(50)), np.arange(2))
    packed = {**pack(whole.columns), name: items}
    with pytest.raises((KeyError, TypeError, ValueError)):
        unpack(statistics(STREAM), packed, 2)  # type: ignore[arg-type]


def test_no_rows_reduce_to_no_groups() -> None:
    none = reduce(select(rows(5), np.zeros(5, dtype=np.bool_)))
    assert (len(none), values(STREAM, none)["words"]) == (0, [])


def test_long_texts_are_cut() -> None:
    words = np.empty(1, dtype=object)
    words[:] = ["w" * 5000]
    one = units(
        STREAM,
        starts=np.zeros(1),
        entities=["a"],
        fields={"x": np.ones(1), "word": words},
        times=np.zeros(1),
        sequences=lambda: np.array(["1"], dtype=object),
    )
    assert values(STREAM, reduce(one))["last_word"] == ["w" * MAX_TEXT]


def test_numbers_and_texts_are_different_values() -> None:
    assert estimate(sketch([1.0, "1.0", "", "1", 1.5])) == 5
    assert estimate(sketch([])) == 0


@pytest.mark.parametrize(
    ("count", "most_off"), [(1, 0), (20, 0), (90, 1), (5000, 500), (50_000, 5000)]
)
def test_a_sketch_is_small_and_near_and_the_same_however_it_came_together(
    count: int, most_off: int
) -> None:
    whole = sketch(f"value {number}" for number in range(count))
    half = [f"value {number}" for number in range(count // 2)]
    rest = [f"value {number}" for number in range(count // 3, count)]
    merged = sketch([sketch(half), sketch(rest), *half])
    assert len(whole) < 640
    assert abs(estimate(whole) - count) <= most_off
    assert estimate(merged) == estimate(whole)


def test_bytes_that_are_no_sketch_are_refused() -> None:
    with pytest.raises(ValueError):
        estimate(b"zz" * 40)


def test_the_library_of_sketches_is_loaded_by_distinct_alone() -> None:
    code = (
        "import sys, quintet.streaming.windows, quintet.aws.windows\n"
        "from tests.kits.windows import *\n"
        "from quintet.streaming.windows import MemoryWindows\n"
        "Shard(MemoryWindows()).call(contract(PLAIN), [Row('ann')], final=True)\n"
        "print(sorted({'datasketches', 'boto3', 'pydantic', 'onnxruntime'} & set(sys.modules)))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout == "[]\n"
    assert all(aggregate.how != "distinct" for aggregate in PLAIN)
