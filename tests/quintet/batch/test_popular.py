"""The items that a run lists most often, over all users and by segment."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray
from tests.kits.batch import Bench
from tests.quintet.batch.test_candidates import CONTRACT, ROWS, finished, graph, shown

from quintet.batch.candidates import MemoryCandidateSets
from quintet.batch.page import page
from quintet.batch.planning import MemoryCatalog, Pinned
from quintet.batch.popular import PopularItems, lists_of, merged_popular, segment_names
from quintet.batch.stores import MemoryConditionalObjects
from quintet.batch.tables import current_run
from quintet.contract import Candidates, Feature
from quintet.onnx_model import OnnxModel

LAND = Feature(name="land", dtype="string", default="")
SEGMENTED = replace(
    CONTRACT,
    features=(*CONTRACT.features, LAND),
    candidates=Candidates(ids="ids", scores="scores", items=10, segment="land"),
)


def in_lands() -> Bench:
    """A run whose users are in segments."""
    catalog = MemoryCatalog(Pinned(1, "d" * 64, "s" * 64, SEGMENTED))
    return Bench(catalog, OnnxModel(SEGMENTED, graph(), digest="d" * 64))


def random_users(seed: int, users: int, items: int, lands: int) -> tuple[NDArray[Any], list[str]]:
    """Users' items, (users, 30), each once and some users with fewer; and their segments."""
    rng = np.random.default_rng(seed)
    listed = np.argsort(rng.random((users, items)) * np.arange(1, items + 1), axis=1)[:, :30] + 1
    listed[:: max(1, users // 7), 9:] = 0
    return listed, [f"s{land}" for land in rng.integers(0, lands, users).tolist()]


def counted(listed: NDArray[Any], segments: list[str], only: str = "") -> Counter[int]:
    """In how many users' first 20 each item is, one by one."""
    pairs = zip(listed.tolist(), segments, strict=True)
    first = [item for row, name in pairs if only in ("", name) for item in row[:20]]
    return Counter(item for item in first if item)


def ordered(counts: Counter[int], most: int = 100) -> list[int]:
    return sorted(counts, key=lambda item: (-counts[item], item))[:most]


def document(listed: NDArray[Any], segments: list[str] | None, items: int) -> dict[str, Any]:
    """A unit's document; its users came in two chunks."""
    popular, half = PopularItems(items), len(listed) // 2
    popular.add(listed[:half], segments[:half] if segments else None)
    popular.add(listed[half:], segments[half:] if segments else None)
    return popular.document()


def test_lists_of_units_are_those_of_all_their_users_together() -> None:
    units = [random_users(seed, 300, 150, 3) for seed in range(4)]
    merged = merged_popular(document(*unit, 150) for unit in units)
    listed = np.concatenate([unit[0] for unit in units])
    segments = [name for unit in units for name in unit[1]]
    assert merged["popular"] == {
        name: ordered(counted(listed, segments, name)) for name in ("", "s0", "s1", "s2")
    }
    assert merged["segments"] == dict(Counter(segments))


def test_a_long_tail_that_a_unit_drops_leaves_the_head_as_it_is() -> None:
    units = [random_users(seed, 600, 1_000, 1) for seed in range(3)]
    documents = [document(listed, None, 1_000) for listed, _ in units]
    sizes = [len(base64.b64decode(unit[""]["items"])) for unit in documents]
    assert sizes == [400 * 8] * 3
    exact = ordered(sum((counted(*unit) for unit in units), Counter()))
    assert merged_popular(documents)["popular"][""] == exact


def test_documents_have_the_largest_segments_and_a_bounded_size() -> None:
    users = 60 * 61 // 2
    segments = [f"s{land:02d}" for land in range(60) for _ in range(land + 1)]
    listed = np.tile(np.arange(1, 21), (users, 1))
    found = document(listed, segments, 1_000)
    assert sorted(found) == sorted(["", *(f"s{land:02d}" for land in range(20, 60))])
    merged = merged_popular([found, found])
    assert merged["segments"] == {f"s{land:02d}": 2 * (land + 1) for land in range(40, 60)}
    assert merged["popular"] == {key: list(range(1, 21)) for key in ["", *merged["segments"]]}
    printed = list(lists_of({"users": 2 * users, **merged}))
    assert [(name, users) for name, users, _ in printed[:3]] == [
        ("", 2 * users),
        ("s59", 120),
        ("s58", 118),
    ]


def test_a_large_catalogue_counts_fewer_segments() -> None:
    popular = PopularItems(1_000_000)
    popular.add(np.full((30, 20), 7), [f"s{land:02d}" for land in range(30)])
    assert sorted(popular.document()) == sorted(["", *(f"s{land:02d}" for land in range(20))])


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (np.array(["de", "", "x" * 65], dtype=object), ["de", "", ""]),
        (np.array([-3, 0, 44], dtype=np.int16), ["-3", "0", "44"]),
    ],
)
def test_segments_are_texts(values: NDArray[Any], names: list[str]) -> None:
    assert segment_names(values) == names


def test_a_run_without_users_has_an_empty_list() -> None:
    nothing = PopularItems(10).document()
    assert merged_popular([nothing]) == {"popular": {"": []}, "segments": {}}
    assert list(lists_of({"users": 0})) == []


def test_a_run_stores_each_users_segment_and_shows_its_lists_with_the_pointer() -> None:
    of, cells = in_lands(), MemoryConditionalObjects()
    lands = ["de", "fr", "de", "", "x" * 65]
    rows = [{**row, "land": land} for row, land in zip(ROWS, lands * 10, strict=True)]
    folder = finished(of, rows)
    assert isinstance(of.candidates, MemoryCandidateSets)
    expected = ["de", "fr", "de", "", ""] * 10
    held = {user: one.segment for (_, _, user), (one, _) in of.candidates.held.items()}
    assert held == {row["customer"]: land for row, land in zip(rows, expected, strict=True)}

    listed = np.array([[row["first"] + step for step in range(4)] for row in rows])
    popular = {name: ordered(counted(listed, expected, name)) for name in ("", "de", "fr")}
    pointer = shown(of, cells, folder)
    assert pointer == current_run("next", None, cells)
    assert pointer["candidates"]["popular"] == popular
    assert pointer["candidates"]["segments"] == {"de": 20, "fr": 10}
    report = orjson.loads(of.store.objects[folder.report])
    text = page(report).decode()
    first = ", ".join(map(str, popular["de"]))
    assert f'<td>de</td><td class="n">20</td><td>{first}</td>' in text
    assert '<span class="soft">all users</span></td><td class="n">50</td>' in text
