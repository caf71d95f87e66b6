"""A stream while a rollout runs: each row by its version, and what the sink has stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.kits import models
from tests.kits.captures import records as rows_of_table
from tests.kits.streams import METER, NOW, data, reading, sequence, shard_batch
from tests.quintet.streaming.test_scorer import Down, Place

from quintet.captures.opening import Opener
from quintet.captures.sealing import MemoryKeys, Sealer
from quintet.captures.store import MemoryRolloutFeed
from quintet.captures.tables import read_parquet
from quintet.columns import Array
from quintet.contract import AlertRule, Capture, Contract, Feature, Limits
from quintet.errors import ModelFailure, Transient
from quintet.onnx_model import OnnxModel
from quintet.rollouts.compare import begun
from quintet.rollouts.evidence import once
from quintet.rollouts.outcomes import crashes, requests_of
from quintet.serving.crashes import Crash, CrashLog
from quintet.serving.routing import bucket, entity_hash
from quintet.streaming.alerts import MemoryAlertChannel

LIVE = replace(
    METER, capture=Capture(), alert=AlertRule(output="logs", above=-9.0), limits=Limits()
)
ROLLOUT = {"canary": 2, "canary_share": 0.5, "rollout": "r1", "step": 1}
METERS = [f"m{n}" for n in range(12)]


def version_of(meter: str) -> int:
    return 2 if bucket("log", "r1", meter) < 0.5 else 1


class Version:
    """A version of the model, whose answers are its number more; it fails where x is `fails`."""

    digest = ""
    due = None

    def __init__(self, number: int, fails: float = -1.0, contract: Contract = LIVE) -> None:
        self.contract = replace(contract, version=number)
        self._model = OnnxModel(self.contract, models.log_graph())
        self._fails, self.runs = fails, 0

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        """See `quintet.scoring.Model.run`."""
        self.runs += 1
        if (feeds["XY"][:, 0] == self._fails).any():
            raise ModelFailure("the version broke")
        found = self._model.run(outputs, feeds)
        return [one + np.float32(self.contract.version) for one in found]


def place_of(*versions: Version) -> Place:
    place = Place(versions[0])
    place.models = list(versions)
    place.route = dict(ROLLOUT)
    return place


def captured(place: Place, *names: str) -> list[tuple[Any, ...]]:
    """Columns of all captures."""
    tables = [read_parquet(body) for body in place.captures.objects.values()]
    return sorted((row for one in tables for row in rows_of_table(one, *names)), key=str)


def latest(place: Place) -> dict[str, Any]:
    """The version and the first value of the latest score of each meter."""
    return {
        key[2]: (one.version, one.outputs["logs"][0]) for key, one in place.latest.stored.items()
    }


RECORDS = [data(*(reading(m, x=float(n + 1)) for n, m in enumerate(METERS))), data(reading("m3"))]
VERSIONS = [version_of(meter) for meter in (*METERS, "m3")]


def test_each_row_is_answered_by_the_version_of_its_entity() -> None:
    live, new = Version(1), Version(2)
    place = place_of(live, new)
    outcome = place.take(shard_batch(*RECORDS))
    assert (live.runs, new.runs) == (1, 1)
    found = place.predictions()
    assert found["model_version"] == VERSIONS
    x = [*range(1, 13), 2]
    expected = np.log(np.array(x)) + VERSIONS
    assert found["logs_0"] == pytest.approx(expected.tolist(), rel=1e-5)
    assert outcome.rows == {("log", v): VERSIONS.count(v) for v in (1, 2)}
    assert latest(place) == {
        meter: (version_of(meter), pytest.approx(np.log(2 if meter == "m3" else n + 1) + v))
        for n, (meter, v) in enumerate(zip(METERS, VERSIONS, strict=False))
    }
    names = ("entity", "version", "route", "rollout", "row")
    places = zip([*METERS, "m3"], VERSIONS, [*range(12), 0], strict=True)
    expected_rows = [
        (meter, version, "live" if version == 1 else "canary", "r1#1", row)
        for meter, version, row in places
    ]
    assert captured(place, *names) == sorted(expected_rows, key=str)


def test_an_alert_names_the_version_that_raised_it() -> None:
    channel = MemoryAlertChannel()
    place = place_of(Version(1), Version(2))
    place.channel = channel
    place.take(shard_batch(data(*(reading(m) for m in METERS))))
    assert {one.entity: one.version for one in channel.alerts} == {
        meter: version_of(meter) for meter in METERS
    }


def test_in_shadow_the_live_version_answers_and_captures_name_the_rollout() -> None:
    place = place_of(Version(1), Version(2))
    place.route = {"shadow": 2, "rollout": "r1", "step": -1}
    place.take(shard_batch(*RECORDS))
    assert set(place.predictions()["model_version"]) == {1}
    assert set(captured(place, "version", "route", "rollout")) == {(1, "live", "r1#-1")}


def test_rows_that_break_the_canary_are_refused_alone() -> None:
    broken = next(n for n, meter in enumerate(METERS) if version_of(meter) == 2)
    place = place_of(Version(1), Version(2, fails=float(broken + 1)))
    outcome = place.take(shard_batch(RECORDS[0]))
    assert outcome.refused == {("log", 1): 0, ("log", 2): 1}
    assert place.quarantine()[0][1:] == (broken, [("model", "the version broke")])
    names = ("outcome", "row", "version", "rollout", "entity", "feature_x")
    # with its features, which the live version is asked about
    told = ("refused", broken, 2, "r1#1", METERS[broken], broken + 1.0)
    assert told in captured(place, *names)


def test_a_version_that_does_not_load_is_taken_out() -> None:
    place = place_of(Version(1))
    place.missing = {2: ModelFailure("its files differ")}
    place.take(shard_batch(RECORDS[0]))
    assert set(place.predictions()["model_version"]) == {1}
    failed = captured(place, "outcome", "version", "route", "rollout", "failure", "entity")
    first = next(meter for meter in METERS if version_of(meter) == 2)
    assert ("failed", 2, "canary", "r1#1", "ModelFailure", first) in failed
    marks = {(row[1], row[3]) for row in failed if row[0] == "scored"}
    assert marks == {(1, "r1#1"), (1, None)}


# ---- retries ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "after",
    [
        {"live": 1, "canary": None, "canary_share": 0.0, "rollout": "", "step": 0},
        {"canary": 2, "canary_share": 1.0, "rollout": "r1", "step": 3},
    ],
    ids=["rolled back", "promoted"],
)
def test_a_retry_keeps_what_is_in_the_sink_though_the_route_has_changed(
    after: dict[str, Any],
) -> None:
    place = place_of(Version(1), Version(2))
    place.take(shard_batch(*RECORDS))
    before, first = place.predictions(), latest(place)
    # the first attempt died after it had put its predictions
    place.checkpoints.stored.clear()
    place.latest.stored.clear()
    place.captures.objects.clear()
    place.route = {name: value for name, value in after.items() if name != "live"}
    outcome = place.take(shard_batch(*RECORDS))
    assert outcome.failed is None
    assert place.predictions() == before
    assert latest(place) == first
    assert outcome.rows == {("log", v): VERSIONS.count(v) for v in (1, 2)}
    places = list(zip([*METERS, "m3"], VERSIONS, strict=True))
    assert captured(place, "entity", "version") == sorted(places, key=str)
    values = {(e, r): v for e, r, v in captured(place, "entity", "row", "output_logs_0")}
    for meter, (_, value) in first.items():  # JSON has a float32's shortest text
        assert np.float32(value) in [v for (e, _), v in values.items() if e == meter]


def test_rows_whose_version_does_not_answer_any_more_stay_in_the_sink_alone() -> None:
    place = place_of(Version(1), Version(2))
    place.take(shard_batch(RECORDS[0]))
    before = place.predictions()
    place.checkpoints.stored.clear()
    place.latest.stored.clear()
    place.captures.objects.clear()
    place.models, place.route = [Version(1)], {}
    place.take(shard_batch(RECORDS[0]))
    assert place.predictions() == before
    assert set(latest(place)) == {meter for meter in METERS if version_of(meter) == 1}
    assert {row[0] for row in captured(place, "version")} == {1}
    assert place.quarantine() == []


def test_a_stored_version_that_cannot_be_read_now_fails_the_batch_and_loses_no_row() -> None:
    place = place_of(Version(1), Version(2))
    place.take(shard_batch(RECORDS[0]))
    first, rows = latest(place), captured(place, "entity", "version")
    place.checkpoints.stored.clear()
    place.latest.stored.clear()
    place.captures.objects.clear()
    place.models, place.route = [Version(1)], {}
    place.missing = {2: Transient("the registry does not answer")}
    outcome = place.take(shard_batch(RECORDS[0]))
    assert (outcome.failed, str(outcome.error)) == (sequence(0), "the registry does not answer")
    assert (latest(place), place.checkpoints.stored) == ({}, {})
    place.models, place.missing = [Version(1), Version(2)], {}
    assert place.take(shard_batch(RECORDS[0])).failed is None
    assert (latest(place), captured(place, "entity", "version")) == (first, rows)


class Deaf(MemoryRolloutFeed):
    """A feed whose queue does not answer the first announcement."""

    def announce(self, key: str) -> None:
        """See `RolloutFeed.announce`."""
        if self.keys:
            super().announce(key)
        else:
            self.keys.append("")
            raise Transient("sqs did not answer")


def test_captures_that_cannot_be_announced_fail_the_batch_which_announces_them_again() -> None:
    place = place_of(Version(1), Version(2))
    place.feed = feed = Deaf()
    outcome = place.take(shard_batch(*RECORDS))
    assert (outcome.failed, str(outcome.error)) == (sequence(0), "sqs did not answer")
    assert (place.checkpoints.stored, place.latest.stored) == ({}, {})
    assert place.take(shard_batch(*RECORDS)).failed is None
    told = [read_parquet(place.captures.objects[key]) for key in feed.keys[1:]]
    names = ("entity", "version")
    places = list(zip([*METERS, "m3"], VERSIONS, strict=True))
    assert sorted(row for one in told for row in rows_of_table(one, *names)) == sorted(places)


# ---- beginnings -------------------------------------------------------------------------------


def began(feed: MemoryRolloutFeed) -> list[tuple[str, str]]:
    """The sequence number and the route of each record that a version began."""
    return [(line["event"].rpartition(".")[2], line["route"]) for line in feed.lines]


def records_of(*versions: int) -> list[tuple[str, str]]:
    """What `began` gives if these versions began their rows of RECORDS."""
    routes = {1: "live", 2: "canary"}
    has = [VERSIONS[:12], VERSIONS[12:]]
    return [(sequence(n), routes[v]) for v in versions for n in (0, 1) if v in has[n]]


class Told(Version):
    """A version that notes what was told before it ran."""

    def __init__(self, number: int, feed: MemoryRolloutFeed) -> None:
        super().__init__(number)
        self._feed = feed
        self.before: list[tuple[str, str]] = []

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        """See `quintet.scoring.Model.run`."""
        self.before = began(self._feed)
        return super().run(outputs, feeds)


def test_each_version_tells_its_records_before_it_runs() -> None:
    feed = MemoryRolloutFeed()
    live, new = Told(1, feed), Told(2, feed)
    place = place_of(live, new)
    place.feed = feed
    place.take(shard_batch(*RECORDS))
    assert (new.before, live.before) == (records_of(2), records_of(2, 1))
    first = next(meter for meter in METERS if version_of(meter) == 2)
    assert feed.lines[0] == {
        "event": f"events.shardId-000000000000.{sequence(0)}",
        "event_time": NOW + 1,
        "model": "log",
        "version": 2,
        "route": "canary",
        "rollout": "r1#1",
        "entity": f"{entity_hash('log', first):016x}",
    }


@pytest.mark.parametrize(
    "route",
    [
        {"shadow": 2, "rollout": "r1", "step": -1},
        {"overrides": dict.fromkeys(METERS, 2), "rollout": "r1", "step": -1},
        {**ROLLOUT, "overrides": dict.fromkeys(METERS, 2)},
    ],
    ids=["in shadow", "overrides only", "all by overrides"],
)
def test_what_no_share_of_a_canary_has_decided_tells_nothing(route: dict[str, Any]) -> None:
    place, feed = place_of(Version(1), Version(2)), MemoryRolloutFeed()
    place.feed, place.route = feed, route
    place.take(shard_batch(*RECORDS))
    assert feed.lines == []


def test_a_row_that_comes_again_by_its_id_is_not_told_as_it_has_no_end() -> None:
    feed = MemoryRolloutFeed()
    place = place_of(Version(1), Version(2))
    place.feed = feed
    same = [data(reading("m3", id="a")) for _ in range(3)]
    place.take(shard_batch(*same[:2]))
    assert began(feed) == [(sequence(0), "live" if version_of("m3") == 1 else "canary")]
    assert {row[0] for row in captured(place, "record")} == {sequence(0)}


class Ends(BaseException):
    """The process ends here."""


class Fatal(Version):
    """A version that ends the process."""

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        """See `quintet.scoring.Model.run`."""
        raise Ends


def crashed(feed: MemoryRolloutFeed, now: float) -> tuple[int, int]:
    """The entities of the candidate and of the live version that crashed, after 150 seconds."""
    shares = np.array([0.1, 0.5])
    seen = requests_of(once(begun(feed.lines).values()), shares)
    found = crashes(seen, shares, now - 150)
    return found.candidate_events, found.live_events


def test_a_canary_that_ends_the_process_has_crashed_at_each_of_its_records() -> None:
    feed = MemoryRolloutFeed()
    place = place_of(Version(1), Fatal(2))
    place.feed = feed
    alone = [data(reading(meter)) for meter in METERS]
    for _ in range(2):  # the second attempt ends as the first
        with pytest.raises(Ends):
            place.take(shard_batch(*alone))
    mine = [version_of(meter) for meter in METERS].count(2)
    assert crashed(feed, NOW + 100) == (0, 0)
    assert crashed(feed, NOW + 200) == (mine, 0)


def test_a_store_that_does_not_answer_is_no_evidence_against_the_version_that_met_it() -> None:
    feed = MemoryRolloutFeed()
    stored = Feature(name="y", dtype="float32", source="store", missing="nan", max_age=60.0)
    contract = replace(LIVE, features=(LIVE.features[0], stored))
    place = place_of(*(Version(number, contract=contract) for number in (1, 2)))
    place.feed, place.features = feed, Down()
    outcome = place.take(shard_batch(*RECORDS))
    assert (outcome.failed, began(feed)) == (sequence(0), records_of(2, 1))


# ---- crashes ----------------------------------------------------------------------------------


class Deadly(Version):
    """A version that ends the process: the log of crashes is as the next process finds it."""

    def __init__(self, number: int, file: Path) -> None:
        super().__init__(number)
        self._file = file
        self.found: list[Crash] = []

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        """See `quintet.scoring.Model.run`."""
        copy = self._file.with_suffix(".copy")
        copy.write_bytes(self._file.read_bytes())
        self.found = CrashLog(lambda: 1e6, copy).found
        return super().run(outputs, feeds)


def test_a_run_of_the_canary_is_noted_and_one_of_the_live_version_is_not(tmp_path: Path) -> None:
    live, new = (Deadly(number, tmp_path / "crashes") for number in (1, 2))
    place = place_of(live, new)
    place.crashes = CrashLog(lambda: 1e6, tmp_path / "crashes")
    place.take(shard_batch(RECORDS[0]))
    assert (live.found, new.found) == ([], [Crash("log", 2, 1)])
    assert not place.crashes.running.any()


def test_sensitive_features_are_sealed_for_the_other_version() -> None:
    features = tuple(replace(one, sensitive=one.name == "x") for one in LIVE.features)
    contract = replace(LIVE, features=features, capture=Capture(sensitive="encrypted"))
    place, keys = place_of(*(Version(number, 3.0, contract) for number in (1, 2))), MemoryKeys()
    place.seal = Sealer(keys, models.Clock(), print).seal
    place.take(shard_batch(data(*(reading(m, x=float(n)) for n, m in enumerate(METERS)))))
    found: dict[str, float] = {}
    for body in place.captures.objects.values():
        rows = read_parquet(body)
        assert "feature_x" not in rows.column_names
        (version,) = set(rows["version"].to_pylist())
        of = replace(contract, version=version)
        opened, failed = Opener(keys, models.Clock()).open(of, rows)
        assert failed == 0
        found |= dict(rows_of_table(opened, "entity", "feature_x"))
    # of those that the model failed on, too: 0 has no logarithm, and 3 breaks it
    assert found == {meter: float(n) for n, meter in enumerate(METERS)}
