"""A day's report from captures: drift, the days before, and what came in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pytest

from quintet.captures.places import hourly_key
from quintet.captures.reading import Hour
from quintet.captures.store import MemoryCaptures
from quintet.captures.tables import concat, moments, table_of, write_parquet
from quintet.columns import Array
from quintet.contract import Contract, Feature, Output
from quintet.daily.report import DayPaths, report_day
from quintet.errors import BadInput
from quintet.labels.table import Labels, put
from quintet.monitoring.baseline import baseline_of, outputs_of, with_outputs
from quintet.monitoring.samples import Reference

CONTRACT = Contract(
    name="shop",
    version=3,
    task="regression",
    entity="customer",
    features=(
        Feature(name="amount", dtype="float32"),
        Feature(name="country", dtype="string", categories=("de", "fr")),
        Feature(name="spot", dtype="float32", shape=(2,)),
    ),
    inputs=(),
    outputs=(),
)
RANDOM = np.random.default_rng(5)
TODAY = date(2026, 3, 2)
NAMES = [f"c{number}" for number in range(400)]


def drawn(rows: int, shift: float = 0) -> dict[str, Array]:
    return {
        "amount": RANDOM.normal(shift, size=rows).astype(np.float32),
        "country": np.array(["de", "fr"] * rows, dtype=object)[:rows],
        "spot": RANDOM.normal(size=(rows, 2)).astype(np.float32),
    }


REFERENCE = Reference(CONTRACT, baseline_of(CONTRACT, drawn(3_000)))


class World:
    """A bucket, and reports of its days."""

    def __init__(self, *references: Reference) -> None:
        self.store = MemoryCaptures()
        self._known = {one.contract.version: one for one in references or (REFERENCE,)}

    def put(
        self,
        day: date,
        columns: Mapping[str, Array],
        hour: int = 9,
        version: int = 3,
        outputs: Mapping[str, Array] | None = None,
        **other: Any,
    ) -> None:
        """An hour of captures, of customers that are others in each row."""
        rows = len(next(iter(columns.values())))
        start = int(datetime(day.year, day.month, day.day, hour, tzinfo=UTC).timestamp())
        fixed = {
            "event": [f"{day}-{hour}-{row}" for row in range(rows)],
            "row": np.zeros(rows, dtype=np.int64),
            "rows": 1,
            "event_time": moments(start + np.arange(rows) / rows),
            "served_at": moments(start + np.arange(rows) / rows),
            "outcome": "scored",
            "version": version,
            "path": "online",
            "caller": "web",
            "entity": NAMES[:rows],
            **other,
        }
        values = {f"feature_{name}": column for name, column in columns.items()}
        values |= {f"output_{name}": column for name, column in (outputs or {}).items()}
        body = write_parquet(table_of(rows, fixed, values))
        self.store.put(hourly_key(Hour("shop", version, 7, start)), body)

    def report(self, day: date = TODAY, now: date | None = None) -> dict[str, Any]:
        at = now or day + timedelta(days=1)
        return report_day(
            "shop",
            day,
            objects=self.store,
            reference=self._known.get,
            now=datetime(at.year, at.month, at.day, 1, tzinfo=UTC).timestamp(),
        )

    def page(self, day: date = TODAY) -> str:
        return self.store.objects[DayPaths("shop", day).page].decode()


def test_a_day_like_the_training_data_has_no_drift() -> None:
    world = World()
    world.put(TODAY, drawn(400))
    world.put(TODAY, drawn(400), hour=10)  # the same customers: each counts once
    report = world.report()
    assert (report["version"], report["rows"]) == (3, {"scored": 800, "refused": 0, "failed": 0})
    assert (report["drift"]["rows"], report["drift"]["entities"]) == (800, 400)
    assert [one["feature"] for one in report["drift"]["features"] if one["moved"]] == []
    assert {one["feature"] for one in report["drift"]["features"]} == {"amount", "country", "spot"}
    assert (report["moved"], report["drifting"], report["notes"]) == ([], [], [])
    assert json.loads(world.store.objects[DayPaths("shop", TODAY).report]) == report
    assert world.report() == report  # again, over its own documents


def test_what_a_candidate_answered_in_shadow_is_not_counted() -> None:
    world = World()
    world.put(TODAY, drawn(400))
    before = world.report()
    world.put(TODAY, drawn(400, 3), version=4, route="shadow")
    assert world.report() == before


def test_a_feature_drifts_that_moved_on_two_of_three_days() -> None:
    world, days = World(), [TODAY - timedelta(days=back) for back in (3, 2, 1, 0)]
    for day, shift in zip(days, (0, 1, 0, 1), strict=True):
        world.put(day, drawn(400, shift))
    reports = [world.report(day) for day in days]
    assert [report["moved"] for report in reports] == [[], ["amount"], [], ["amount"]]
    assert [report["drifting"] for report in reports] == [[], [], [], ["amount"]]
    page = world.page()
    assert "1 drifting" in page and "03-02" in page and "02-28" in page


def test_what_each_monday_is_like_is_no_drift() -> None:
    world = World()
    for week in range(1, 5):
        monday = TODAY - timedelta(weeks=week)
        world.put(monday, drawn(400, 1))
        assert world.report(monday)["moved"] == ["amount"]
    world.put(TODAY, drawn(400, 1))
    report = world.report()
    assert [one["feature"] for one in report["drift"]["features"] if one["moved"]] == ["amount"]
    assert (report["week"]["moved"], report["moved"]) == (0, [])
    assert "Against the same weekday" in world.page()
    world.put(TODAY, drawn(400, 2))
    assert world.report()["moved"] == ["amount"]


def test_refused_rows_are_counted_by_reason_and_sender() -> None:
    world = World()
    start = int(datetime(2026, 3, 2, 9, tzinfo=UTC).timestamp())
    parts = []
    for number, (outcome, path, sender, why) in enumerate(
        [
            ("refused", "online", {"caller": "<b>shop"}, "amount: expected a number"),
            ("refused", "batch", {"record": "in/a.csv"}, "amount: expected a number; country: bad"),
            ("scored", "batch", {"record": "in/a.csv"}, None),
            ("failed", "online", {"caller": "web"}, None),
        ]
    ):
        fixed: dict[str, Any] = {"event": f"e{number}", "event_time": moments(start)}
        fixed["served_at"] = moments(start)
        fixed |= {"outcome": outcome, "version": 3, "path": path, "refusals": why, **sender}
        parts.append(table_of(1, fixed, {}))
    world.store.put(hourly_key(Hour("shop", 3, 7, start)), write_parquet(concat(parts)))
    report = world.report()
    assert report["rows"] == {"scored": 1, "refused": 2, "failed": 1}
    assert report["reasons"] == [
        {"reason": "amount: expected a number", "rows": 2},
        {"reason": "country: bad", "rows": 1},
    ]
    assert report["senders"] == [
        {"path": "batch", "sender": "in/a.csv", "rows": 2, "refused": 1},
        {"path": "online", "sender": "<b>shop", "rows": 1, "refused": 1},
        {"path": "online", "sender": "web", "rows": 1, "refused": 0},
    ]
    page = world.page()
    assert "&lt;b&gt;shop" in page and "<b>shop" not in page


def test_a_version_since_deleted_is_said() -> None:
    world = World()
    world.put(TODAY, drawn(400), version=2)
    report = world.report()
    assert (report["version"], report["drift"], report["rows"]["scored"]) == (2, None, 400)
    (note,) = report["notes"]
    assert note == "version 2 is deleted: without its baseline there is no drift"
    world.put(TODAY, drawn(400), hour=8)
    report = world.report()
    assert (report["version"], report["drift"]["rows"]) == (3, 400)
    assert report["notes"] == [
        "drift is that of version 3, which served most rows; not of 2",
    ]


def test_a_version_without_a_baseline_is_said() -> None:
    world = World(Reference(CONTRACT, {"rows": 0, "features": {}}))
    world.put(TODAY, drawn(400))
    report = world.report()
    assert report["drift"] is None
    (note,) = report["notes"]
    assert note == "version 3 has no baseline: name `training_data` in model.yaml, and publish"


def test_a_clock_that_runs_ahead_is_said_and_the_future_has_no_report() -> None:
    world = World()
    world.put(TODAY, drawn(400))
    world.put(TODAY + timedelta(days=7), drawn(400))
    report = world.report()
    assert report["rows"]["scored"] == 400
    (note,) = report["notes"]
    assert note.startswith("captures of the future, up to 2026-03-09 09:00, in 1 objects: the clo")
    with pytest.raises(BadInput, match=r"day: expected a day until today, 2026-03-02 \(UTC\)"):
        world.report(TODAY + timedelta(days=1), now=TODAY)


def test_an_empty_day_and_one_of_too_few_rows_have_a_page() -> None:
    world = World()
    report = world.report()
    assert (report["version"], report["drift"]) == (None, None)
    world.put(TODAY, drawn(100, 9))
    report = world.report()
    assert (report["drift"]["too_few"], report["moved"]) == (True, [])
    assert "too few entities to tell" in world.page()


def test_rows_of_the_fallback_rule_and_those_without_features_are_left_out() -> None:
    world = World()
    fallback = [True] * 200 + [False] * 200
    world.put(TODAY, drawn(400), fallback=fallback)
    world.put(TODAY, drawn(400), hour=10, without_features=True)
    report = world.report()
    assert (report["drift"]["rows"], report["fallback"]) == (200, 200)


def test_the_page_of_a_hundred_features_is_small_and_needs_nothing() -> None:
    features = tuple(Feature(name=f"feature_number_{n}", dtype="float32") for n in range(100))
    contract = Contract(
        name="shop", version=3, task="regression", features=features, inputs=(), outputs=()
    )
    columns = {one.name: RANDOM.normal(size=400).astype(np.float32) for one in features}
    world = World(Reference(contract, baseline_of(contract, columns)))
    for back in range(14, -1, -1):
        world.put(TODAY - timedelta(days=back), columns)
        world.report(TODAY - timedelta(days=back))
    page = world.page()
    assert len(page.encode()) < 1_000_000
    assert page.count("<svg") == 100
    assert not any(word in page for word in ("<script", "http", "src=", "@import", "url("))
    stored = orjson.loads(world.store.objects[DayPaths("shop", TODAY).report])
    assert stored["drift"]["moved"] == 0


SCORED = replace(
    CONTRACT,
    outputs=(
        Output(
            name="label", dtype="string", shape=(-1,), meaning="label", classes=("kept", "lost")
        ),
        Output(name="p", dtype="float32", shape=(-1, 2), meaning="probabilities"),
    ),
)


def outputs_for(amount: Array) -> dict[str, Array]:
    p = 1 / (1 + np.exp(-amount))
    return {
        "label": np.where(p > 0.5, "lost", "kept").astype(object),
        "p": np.column_stack([1 - p, p]).astype(np.float32),
    }


def trained_with_outputs() -> Reference:
    columns = drawn(3_000)
    labels = ["kept", "kept", "lost"] * 1_000
    baseline = baseline_of(SCORED, columns, None, labels)
    outputs = outputs_of(SCORED, outputs_for(columns["amount"]))
    return Reference(SCORED, with_outputs(baseline, outputs, None))


def put_scored(world: World, day: date, shift: float, **other: Any) -> None:
    """An hour of captures whose outputs, and these alone, are shifted."""
    columns = drawn(400)
    outputs = outputs_for(columns["amount"] + np.float32(shift))
    captured = {"label": outputs["label"], "p_0": outputs["p"][:, 0], "p_1": outputs["p"][:, 1]}
    world.put(day, columns, outputs=captured, **other)


def test_outputs_drift_as_features_do() -> None:
    world, days = World(trained_with_outputs()), [TODAY - timedelta(days=1), TODAY]
    for day in days:
        put_scored(world, day, 1.0)
    moved = ["output label", "output p_1"]
    assert [world.report(day)["moved"] for day in days] == [moved, moved]
    report = world.report()
    assert (report["drifting"], report["notes"], report["drift"]["not_compared"]) == (moved, [], [])
    page = world.page()
    assert "2 drifting" in page and "0 of 3 features, 2 of 2 outputs moved" in page


def test_callers_that_ask_for_some_outputs_do_not_hide_the_others() -> None:
    world = World(trained_with_outputs())
    put_scored(world, TODAY, 1.0)
    columns = drawn(400)
    world.put(TODAY, columns, hour=10, outputs={"label": np.array(["kept"] * 400, dtype=object)})
    report = world.report()
    found = {one["output"]: one for one in report["drift"]["outputs"]}
    assert set(found) == {"label", "p_1"}
    assert found["p_1"]["moved"]


def put_labels(world: World, day: date, ids: list[str], labels: list[str]) -> None:
    start = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
    times = start + np.arange(len(ids), dtype=np.float64)
    values = np.array([one.encode() for one in labels])
    put(world.store, "shop", Labels(np.array([one.encode() for one in ids]), values, times))


def test_labels_of_the_day_are_compared_by_their_time() -> None:
    world = World(trained_with_outputs())
    earlier = TODAY - timedelta(days=20)
    for day in (earlier, TODAY):
        put_scored(world, day, 0.0)
    ids = [f"{earlier}-9-{row}" for row in range(400)]
    put_labels(world, TODAY, ids, ["lost"] * 400)
    put_labels(world, TODAY - timedelta(days=1), ids, ["kept", "kept", "lost", "kept"] * 100)
    report = world.report()
    (found,) = report["drift"]["labels"]
    assert (found["rows"], found["moved"], report["moved"]) == (400, True, ["labels"])
    assert report["drift"]["rows"] == 400
    assert world.report() == report
    put_labels(world, TODAY, ["x1", "x2"], ["lost", "lost"])
    key = "labels/model=shop/date=2026-03-02/damaged.parquet"
    world.store.put(key, b"PAR1 no more")
    damaged, note = world.report()["notes"]
    assert damaged == f"{key} cannot be read: its labels are left out"
    assert note.startswith("2 of 402 labels are not compared: their predictions are not in captur")


def test_labels_of_a_version_without_a_target_say_what_to_do() -> None:
    reference = trained_with_outputs()
    baseline = {name: part for name, part in reference.baseline.items() if name != "labels"}
    world = World(Reference(SCORED, baseline))
    put_scored(world, TODAY, 0.0)
    put_labels(world, TODAY, ["a"], ["lost"])
    report = world.report()
    assert report["drift"]["labels"] == []
    assert report["notes"] == [
        "labels are not compared: version 3 has no baseline for them; name `training_target` in "
        "model.yaml, raise `version`, and publish"
    ]


def test_what_four_weeks_did_not_count_is_judged_by_the_training_data_alone() -> None:
    world = World(trained_with_outputs())
    for week in range(1, 5):  # stored before outputs were counted
        monday = TODAY - timedelta(weeks=week)
        world.put(monday, drawn(400))
        world.report(monday)
    put_scored(world, TODAY, 1.0)
    report = world.report()
    assert report["week"] is not None
    assert report["moved"] == ["output label", "output p_1"]
