"""Impressions as an export has them: which are there, with which features, and no leakage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from arro3 import core
from tests.kits.comparing import lines_of
from tests.kits.impressions import DAY, RANKER, ImpressionWorld, event_at, ranker_graph, row_of
from tests.kits.models import NOW

from quintet.contract import Contract, Feature
from quintet.feedback.table import Feedback
from quintet_cli.impressions.export import Exported, exported
from quintet_cli.impressions.logged import logged
from quintet_cli.stage import StageError

#: when the window of what is shown at NOW is over
CLOSED = NOW + 7 * DAY

Sent = tuple[str, int, str, float] | tuple[str, int, str, float, str]


def feedback_of(sent: Sequence[Sent]) -> Feedback:
    """Feedback: impression, item, type, time, and the user if the sender says it."""
    columns = list(zip(*((*one, "")[:5] for one in sent), strict=True)) or [()] * 5
    return Feedback(
        impressions=np.array([one.encode() for one in columns[0]], dtype=np.bytes_),
        items=np.array(columns[1], dtype=np.int64),
        types=np.array([one.encode() for one in columns[2]], dtype=np.bytes_),
        times=np.array(columns[3], dtype=np.float64),
        received=np.zeros(len(columns[3])),
        users=np.array([one.encode() for one in columns[4]], dtype=np.bytes_),
    )


def export(
    world: ImpressionWorld, *sent: Sent, now: float = CLOSED, since: float = 0.0
) -> Exported:
    hours = logged(world.captures, "ranker", since, NOW + DAY, world.contracts.get)
    return exported(hours, feedback_of(sent), now)


def rows_of(found: Exported, *names: str) -> list[tuple[Any, ...]]:
    assert found.rows is not None
    return list(zip(*(found.rows[name].to_pylist() for name in names), strict=True))


def seconds(table: core.Table | None, name: str) -> list[float | None]:
    assert table is not None
    column = table[name].combine_chunks().cast(core.DataType.int64())
    return [None if one is None else one / 1e6 for one in column.to_pylist()]


def test_each_shown_item_is_a_row_with_its_features_and_what_became_of_it() -> None:
    world = ImpressionWorld()
    world.features.put("user", "u1", "taste", 0.5, NOW - 60)
    event = world.show(
        "u1",
        {5: 3.0, 17: 9.0, 28: 1.0, 41: 0.0},
        order=[17, 41, 28],
        propensity=[0.1, 0.1, 0.8],
    )
    found = export(
        world,
        (event, 17, "view", NOW + 1),
        (event, 17, "click", NOW + 30.5),
        (event, 17, "click", NOW + 20.5),  # the first counts
        (event, 41, "view", NOW + 1, "u1"),
        (event, 17, "purchase", NOW + 2 * DAY),
    )
    assert found.rows is not None
    assert found.rows.column_names == [
        *("impression", "time", "closes", "user", "item", "position", "propensity", "explored"),
        *("step", "version", "candidates_version", "candidates_run"),
        *("viewed", "viewed_at", "clicked", "clicked_at", "purchased", "purchased_at"),
        *("feature_item", "feature_score", "feature_taste", "feature_session"),
    ]
    assert rows_of(found, "impression", "user", "item", "position", "propensity", "explored") == [
        (event, "u1", 17, 1, 0.1, True),
        (event, "u1", 41, 2, 0.1, True),
        (event, "u1", 28, 3, 0.8, True),
    ]
    assert (
        rows_of(found, "step", "version", "candidates_version", "candidates_run")
        == [("reranked", 1, 1, "r1")] * 3
    )
    assert rows_of(found, "viewed", "clicked", "purchased") == [
        (True, True, True),
        (True, False, False),
        (False, False, False),
    ]
    assert seconds(found.rows, "time") == [NOW] * 3
    assert seconds(found.rows, "closes") == [CLOSED] * 3
    assert seconds(found.rows, "viewed_at") == [NOW + 1, NOW + 1, None]
    assert seconds(found.rows, "clicked_at") == [NOW + 20.5, None, None]
    assert seconds(found.rows, "purchased_at") == [NOW + 2 * DAY, None, None]
    features = [f"feature_{name}" for name in ("item", "score", "session", "taste")]
    assert rows_of(found, *features) == [
        (17, 9.0, [1], 0.5),
        (41, 0.0, [1], 0.5),
        (28, 1.0, [1], 0.5),
    ]
    assert found.counts == {"impressions": 1, "open": 0, "rows": 3, "without_features": 0}
    assert found.feedback == {
        **{"counted": 5, "repeated": 1, "unknown_impression": 0, "open": 0},
        **{"foreign_user": 0, "unknown_item": 0, "before": 0, "late": 0},
    }


def test_nothing_that_was_not_known_or_is_not_the_users_reaches_the_export() -> None:
    """Each planted row would be a click on an item that nobody clicked."""
    world = ImpressionWorld()
    event = world.show("u1", {5: 3.0, 17: 2.0, 28: 1.0})
    late = world.show("u1", {5: 3.0, 17: 2.0, 28: 1.0}, at=NOW + 60)
    planted: list[Sent] = [
        (event, 5, "click", NOW - 0.001),
        (event, 5, "purchase", NOW - 3 * DAY),
        (event, 17, "click", CLOSED),
        (event, 28, "click", NOW + 5, "u2"),
        (event, 99, "click", NOW + 5),
        (late, 5, "click", NOW + 70),
        ("0" * 32, 5, "click", NOW + 5),
        ("no event", 5, "click", NOW + 5),
        (event_at(NOW, 77), 5, "click", NOW + 5),
    ]
    found = export(world, *planted, now=CLOSED + 59)
    assert rows_of(found, "impression", "item", "viewed", "clicked", "purchased") == [
        (event, item, False, False, False) for item in (5, 17, 28)
    ]
    assert seconds(found.rows, "clicked_at") == [None] * 3
    assert found.counts == {"impressions": 1, "open": 1, "rows": 3, "without_features": 0}
    assert found.feedback == {
        **{"counted": 0, "repeated": 0, "unknown_impression": 3, "open": 1},
        **{"foreign_user": 1, "unknown_item": 1, "before": 2, "late": 1},
    }
    # the same without the plants is the same table
    assert found.rows == export(world, now=CLOSED + 59).rows


def test_a_window_is_over_at_its_end_and_not_before() -> None:
    world = ImpressionWorld()
    event = world.show("u1", {5: 3.0})
    last = (event, 5, "click", CLOSED - 0.001)
    early = export(world, last, now=CLOSED - 0.001)
    assert (early.rows, early.counts["open"], early.feedback["open"]) == (None, 1, 1)
    assert rows_of(export(world, last), "clicked") == [(True,)]


def test_features_are_those_of_the_answer_whatever_the_store_holds_now() -> None:
    world = ImpressionWorld()
    world.features.put("user", "u1", "taste", 0.25, NOW - 60)
    world.show("u1", {5: 3.0})
    world.features.put("user", "u1", "taste", 8.0, NOW + 60)
    world.show("u1", {5: 4.0}, at=NOW + 120)
    found = export(world, now=CLOSED + 120)
    assert rows_of(found, "feature_taste", "feature_score") == [(0.25, 3.0), (8.0, 4.0)]


def test_what_no_model_ranked_has_no_features() -> None:
    world = ImpressionWorld()
    ranked = world.show("u1", {5: 3.0})
    popular = world.show("u2", {}, order=[7, 5], candidates=None)
    found = export(world)
    assert rows_of(found, "impression", "item", "step", "feature_score", "feature_session") == [
        (ranked, 5, "reranked", 3.0, [1]),
        (popular, 7, "popular", None, None),
        (popular, 5, "popular", None, None),
    ]
    assert rows_of(found, "candidates_run") == [("r1",), (None,), (None,)]
    assert found.counts["without_features"] == 2


def test_impressions_of_popular_items_alone_are_exported() -> None:
    world = ImpressionWorld()
    event = world.show("u2", {}, order=[7])
    found = export(world, (event, 7, "click", NOW + 1))
    assert rows_of(found, "item", "clicked") == [(7, True)]
    assert "feature_score" not in (found.rows.column_names if found.rows else ())


def test_what_a_candidate_in_shadow_would_have_ranked_was_not_shown() -> None:
    """Its rows have the event of what the live version showed."""
    contracts = {1: RANKER, 2: replace(RANKER, version=2)}
    world = ImpressionWorld(contracts=contracts, graphs=dict.fromkeys(contracts, ranker_graph()))
    event = world.show("u1", {5: 3.0})
    lines = lines_of(contracts[2], ranker_graph(), event, [row_of("u1", 5, 77.0)], route="shadow")
    world.put(lines)
    found = export(world)
    assert rows_of(found, "impression", "version", "feature_score") == [(event, 1, 3.0)]


def test_versions_are_exported_together_and_deleted_ones_left_out() -> None:
    more = Feature(name="visits", dtype="float32", default=0.0)
    contracts = {
        1: RANKER,
        2: replace(RANKER, version=2, features=(*RANKER.features, more)),
        3: replace(RANKER, version=3),
    }
    graphs = dict.fromkeys(contracts, ranker_graph())
    world = ImpressionWorld(contracts=contracts, graphs=graphs)
    for version in contracts:
        world.show(f"u{version}", {5: float(version)}, version=version, at=NOW + version)
    del world.contracts[3]
    found = export(world, now=CLOSED + 10)
    assert rows_of(found, "version", "user", "feature_score", "feature_visits") == [
        (1, "u1", 1.0, None),
        (2, "u2", 2.0, 0.0),
    ]


def test_a_feature_of_another_type_in_another_version_is_refused() -> None:
    contracts: dict[int, Contract] = {}
    for version, dtype in ((1, "float32"), (2, "int64")):
        more = Feature(name="visits", dtype=dtype, default=0)  # type: ignore[arg-type]
        contracts[version] = replace(RANKER, version=version, features=(*RANKER.features, more))
    world = ImpressionWorld(contracts=contracts, graphs=dict.fromkeys(contracts, ranker_graph()))
    for version in contracts:
        world.show("u1", {5: 1.0}, version=version)
    with pytest.raises(StageError, match="feature_visits is Float32 in one version and Int64"):
        export(world)


def test_the_time_asked_for_is_that_of_the_impressions() -> None:
    world = ImpressionWorld()
    world.show("u1", {5: 1.0}, at=NOW - 1)
    event = world.show("u2", {5: 1.0}, at=NOW)
    found = export(world, since=NOW)
    assert rows_of(found, "impression", "user") == [(event, "u2")]


def test_open_impressions_are_exported_as_they_are_known_if_asked_for() -> None:
    world = ImpressionWorld()
    event = world.show("u1", {5: 3.0})
    sent: Sent = (event, 5, "click", NOW + 1)
    found = export(world, sent, now=float("inf"))
    assert rows_of(found, "clicked") == [(True,)]
    assert (found.counts["open"], found.feedback["open"]) == (0, 0)
