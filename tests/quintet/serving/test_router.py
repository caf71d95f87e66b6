"""The router around the pipeline: each row by its version, in every form of request."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.kits.canary import LIVE, NEW, ROUTE, Opposite, Stage, failing
from tests.kits.captures import records as values_of
from tests.kits.models import NOW

from quintet.captures.reading import read_lines
from quintet.contract import Contract, Feature, Input
from quintet.errors import ModelFailure
from quintet.scoring import Model
from quintet.serving.crashes import LIMIT
from quintet.serving.routing import bucket, entity_hash


def is_new(name: str, share: float = 0.5) -> bool:
    """Whether a customer is the canary's."""
    return bucket("shop", "r1", name) < share


#: a customer of each version
OLD_ONE = next(f"c{n}" for n in range(99) if not is_new(f"c{n}"))
NEW_ONE = next(f"c{n}" for n in range(99) if is_new(f"c{n}"))


def metrics(log: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """The counts that were measured, by route and name."""
    found: Counter[tuple[str, str]] = Counter()
    for line in log:
        if "_aws" in line:
            found |= {
                (line["route"], name): value[0]
                for name, value in line.items()
                if name.endswith("_count")
            }
    return found


def test_each_row_is_answered_by_its_version_as_if_it_were_pinned() -> None:
    stage = Stage()
    found = stage.predict(*stage.names).json()
    expected = [4 if is_new(name) else 3 for name in stage.names]
    assert found["versions"] == expected
    assert (found["model"], found["version"]) == ("shop", 3)
    assert {3, 4} == set(expected)
    log = stage.log
    for version in (3, 4):
        own = [place for place, one in enumerate(expected) if one == version]
        rows = [{"customer": stage.names[place], "amount": 10.0} for place in own]
        pinned = stage.ask(f"/models/shop/versions/{version}/predict", {"records": rows}).json()
        assert "versions" not in pinned
        assert [found["predictions"][place] for place in own] == pinned["predictions"]
        assert {(c["route"], c.get("rollout")) for c in stage.captures()} == {("pinned", None)}
    new = expected.count(4)
    assert metrics(log) == Counter(
        {
            ("canary", "requests_count"): 1,
            ("canary", "rows_count"): new,
            ("live", "rows_count"): len(expected) - new,
        }
    )


def test_the_captures_of_a_request_are_those_of_each_version() -> None:
    stage = Stage()
    answer = stage.predict(OLD_ONE, NEW_ONE, OLD_ONE)
    assert answer.headers["X-Quintet-Version"] == "4, 3"
    assert answer.headers["X-Quintet-Route"] == "canary, live"
    assert answer.headers["X-Quintet-Routed"] == "entity"
    begun = [line for line in stage.captures() if "begun" in line]
    assert [(line["version"], line["route"]) for line in begun] == [(4, "canary"), (3, "live")]
    event = answer.headers["X-Quintet-Event"]
    assert begun[0] == {
        "capture": 1,
        "begun": 1,
        "event": event,
        "event_time": NOW,
        "request_id": "gateway-id",
        "model": "shop",
        "version": 4,
        "route": "canary",
        "rollout": "r1#1",
        "entity": f"{entity_hash('shop', NEW_ONE):016x}",
    }
    ends = [line for line in stage.captures() if "begun" not in line]
    keys = ("event", "rows", "route", "rollout", "index", "entities")
    assert [{key: line[key] for key in keys} for line in ends] == [
        {
            "event": event,
            "rows": 3,
            "route": route,
            "rollout": "r1#1",
            "index": index,
            "entities": [name] * len(index),
        }
        for route, index, name in (("canary", [1], NEW_ONE), ("live", [0, 2], OLD_ONE))
    ]
    assert [line["about"]["version"] for line in ends] == [4, 3]
    by_event = answer.json()["predictions"]
    for line in ends:
        for row, (value,) in zip(line["index"], line["outputs"]["probability"], strict=True):
            assert value == by_event[row]["probability"]
    assert all(line["ms"]["total_ms"] >= line["ms"]["score_ms"] > 0 for line in ends)


def oip(names: list[str]) -> dict[str, Any]:
    """An inference request for these customers."""
    many = len(names)
    return {
        "inputs": [
            {"name": "customer", "datatype": "BYTES", "shape": [many], "data": names},
            {"name": "amount", "datatype": "FP32", "shape": [many], "data": [10.0] * many},
        ]
    }


def instances(names: list[str]) -> dict[str, Any]:
    """A request in KServe's V1 protocol for these customers."""
    return {"instances": [{"customer": name, "amount": 10.0} for name in names]}


def records(names: list[str]) -> dict[str, Any]:
    """A request of records for these customers."""
    return {"records": [{"customer": name, "amount": 10.0} for name in names]}


@pytest.mark.parametrize("names", [[OLD_ONE, NEW_ONE], [NEW_ONE, OLD_ONE, OLD_ONE]])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/models/shop/infer", oip),
        ("/endpoints/shop/invocations", records),
        ("/v1/models/shop:predict", instances),
    ],
)
def test_a_form_that_names_one_version_is_routed_by_its_first_row(
    path: str, body: Any, names: list[str]
) -> None:
    stage, version = Stage(), 4 if is_new(names[0]) else 3
    answer = stage.ask(path, body(names))
    assert answer.status == 200, answer.body
    assert answer.headers["X-Quintet-Version"] == str(version)
    assert answer.headers["X-Quintet-Route"] == ("canary" if version == 4 else "live")
    assert answer.headers["X-Quintet-Routed"] == "entity"
    found = answer.json()
    if path.startswith("/v2"):
        assert found["model_version"] == str(version)
    if path.startswith("/endpoints"):
        variant = answer.headers["x-Amzn-Invoked-Production-Variant"]
        assert (variant, found["version"]) == (f"v{version}", version)
        assert "versions" not in found
    (end,) = [line for line in stage.captures() if "begun" not in line]
    assert end["entities"] == names
    assert (end["about"]["version"], end["rollout"]) == (version, "r1#1")
    stats = stage.online.stats
    assert {key: one.rows for key, one in stats.items()} == {("shop", version): len(names)}


def test_a_version_in_the_body_of_the_open_inference_protocol_pins_as_one_in_the_path() -> None:
    stage = Stage()
    answer = stage.ask("/v2/models/shop/infer", {**oip([NEW_ONE]), "model_version": "3"})
    assert (answer.status, answer.json()["model_version"]) == (200, "3")
    assert answer.headers["X-Quintet-Route"] == "pinned"
    assert "X-Quintet-Routed" not in answer.headers
    (end,) = stage.captures()
    assert (end["about"]["version"], end["route"], "rollout" in end) == (3, "pinned", False)
    other = stage.ask("/v2/models/shop/infer", {**oip([NEW_ONE]), "model_version": "4"})
    assert other.json() == {
        "error": "model_version: expected '3', which the path asks for, or nothing, got '4'"
    }


@pytest.mark.parametrize("phase", ["shadow", "watching"])
def test_answers_with_a_shadow_are_the_same_bytes_and_captures_name_the_rollout(phase: str) -> None:
    quiet = replace(ROUTE, canary=None, canary_share=0.0, rollout="", step=0)
    stage = Stage(quiet)
    before = stage.predict(OLD_ONE, NEW_ONE)
    lines = [line.keys() for line in stage.log]
    more: dict[str, Any] = {"shadow": 4, "step": -1} if phase == "shadow" else {"step": 4}
    stage = Stage(replace(quiet, rollout="r1", **more))
    after = stage.predict(OLD_ONE, NEW_ONE)
    assert after.body == before.body
    assert after.headers.keys() == before.headers.keys()
    (capture,) = stage.captures()
    assert capture["rollout"] == ("r1#-1" if phase == "shadow" else "r1#4")
    assert [line.keys() - {"rollout"} for line in stage.log] == lines
    assert stage.versions.loads == [3]


def test_an_override_is_answered_by_its_version_and_is_no_evidence() -> None:
    held = replace(ROUTE, canary=None, canary_share=0.0, step=-1, overrides={OLD_ONE: 4})
    stage = Stage(held)
    assert stage.predict(OLD_ONE, NEW_ONE).json()["versions"] == [4, 3]
    found = [(c["route"], c.get("rollout"), c["index"]) for c in stage.captures()]
    assert found == [("pinned", None, [0]), ("live", "r1#-1", [1])]  # no canary: no line of begin


# ---- versions that cannot answer --------------------------------------------------------------


def test_a_version_that_does_not_load_is_taken_out_and_the_live_one_answers() -> None:
    error = ModelFailure("model.onnx differs from the published file")
    stage = Stage(new=failing(error))
    expected = Stage(replace(ROUTE, canary=None, rollout="")).predict(OLD_ONE, NEW_ONE)
    for attempt in range(3):
        answer = stage.predict(OLD_ONE, NEW_ONE)
        assert answer.status == 200
        assert answer.json()["predictions"] == expected.json()["predictions"]
        assert answer.json()["versions"] == [3, 3]
        warnings = [line for line in stage.log if line.get("level") == "WARNING"]
        assert [line["message"] for line in warnings] == ["version taken out"] * (attempt == 0)
        ends = [line for line in stage.captures() if "begun" not in line]
        assert [(c["about"]["version"], c["route"], c.get("rollout")) for c in ends] == [
            (4, "canary", "r1#1"),
            (3, "live", None),
            (3, "live", "r1#1"),
        ]
        assert (ends[0]["failure"], ends[0]["entity"]) == ("ModelFailure", NEW_ONE)
        assert [c.get("index") for c in ends[1:]] == [[1], [0]]
    assert stage.versions.loads == [3, 4]
    stage.clock.now += 60
    stage.predict(NEW_ONE)
    assert stage.versions.loads == [3, 4, 4]


def test_a_version_that_kills_its_environment_again_and_again_is_taken_out() -> None:
    stage = Stage()
    crashes = stage.models.crashes
    slot = crashes.slot("shop", 4)
    for _ in range(LIMIT):
        crashes._count(slot)  # as a new process does with a byte that it finds set
    assert stage.predict(NEW_ONE).json()["versions"] == [3]
    assert stage.captures()[0]["failure"] == "Transient"
    assert stage.versions.loads == [3]


def test_a_failure_of_the_canary_is_the_callers_answer_and_its_own() -> None:
    stage = Stage()
    answer = stage.predict(OLD_ONE, NEW_ONE, amount=13)
    assert answer.status == 424
    assert answer.headers["X-Quintet-Version"] == "4"
    assert metrics(stage.log)["canary", "failed_requests_count"] == 1
    (begun, end) = stage.captures()  # the canary runs first: the live version did not begin
    assert (begun["version"], end["about"]["version"]) == (4, 4)
    assert (end["failure"], end["route"], end["rollout"]) == ("ModelFailure", "canary", "r1#1")
    assert begun["event"] == end["event"]
    # with its rows, which the live version is asked about
    found, _ = read_lines([json.dumps(end)])
    (rows,) = (read.rows for read in found.values())
    names = ("outcome", "row", "entity", "feature_amount")
    assert values_of(rows, *names) == [("failed", 1, NEW_ONE, 13.0)]


def test_every_version_that_begins_ends() -> None:
    """If the live version fails after the canary answered, both have their lines."""
    stage = Stage()
    broken = Opposite(LIVE)
    stage.models._loaded["shop", 3] = (broken, 1)
    rows = [{"customer": OLD_ONE, "amount": 13}, {"customer": NEW_ONE, "amount": 10}]
    assert stage.ask("/models/shop/predict", {"records": rows}).status == 424
    ends = [line for line in stage.captures() if "begun" not in line]
    assert [(c["about"]["version"], "failure" in c) for c in ends] == [(4, False), (3, True)]
    assert len([line for line in stage.captures() if "begun" in line]) == 2


def test_refused_rows_refuse_the_request_and_no_version_is_blamed() -> None:
    stage = Stage()
    rows = [{"customer": OLD_ONE, "amount": 1}, {"customer": NEW_ONE, "amount": 99_999}]
    refused = stage.ask("/models/shop/predict", {"records": rows})
    assert refused.status == 400
    assert [(e["row"], e["field"]) for e in refused.json()["errors"]] == [(1, "amount")]
    assert {"refused" in c for c in stage.captures() if "begun" not in c} == {True}
    partial = stage.ask("/models/shop/predict", {"records": rows, "partial": True}).json()
    assert partial["versions"] == [3, 4]
    assert partial["predictions"][1] is None
    assert [(e["row"], e["field"]) for e in partial["errors"]] == [(1, "amount")]
    by_version = {c["about"]["version"]: c for c in stage.captures() if "begun" not in c}
    assert list(by_version[4]["refusals"]) == ["1"]
    assert by_version[3]["index"] == [0]


# ---- contracts that differ --------------------------------------------------------------------


def with_feature(**more: Any) -> Contract:
    """A version with a feature that the live one does not have."""
    feature = Feature(name="weekday", dtype="float32", **more)
    wide = Input(
        name="X",
        dtype="float32",
        shape=(-1, 4),
        features=("amount", "items", "orders_90d", "weekday"),
    )
    return replace(NEW, features=(*NEW.features, feature), inputs=(wide,))


class Wide(Opposite):
    """The new version with four features; `seen` are the feeds."""

    def __init__(self, contract: Contract) -> None:
        super().__init__(contract)
        self.seen: list[Any] = []

    def run(self, outputs: Any, feeds: Any) -> Any:
        """See `quintet.scoring.Model.run`."""
        self.seen.append(feeds["X"])
        return super().run(outputs, {"X": np.ascontiguousarray(feeds["X"][:, :3])})


def test_a_new_feature_has_its_default() -> None:
    wide = Wide(with_feature(default=2.5))
    stage = Stage(new=lambda: wide)
    found = stage.predict(NEW_ONE, OLD_ONE).json()
    assert found["versions"] == [4, 3]
    assert [feed.tolist() for feed in wide.seen] == [[[10.0, 1.0, 4.0, 2.5]]]
    assert found["predictions"] == Stage().predict(NEW_ONE, OLD_ONE).json()["predictions"]
    (new,) = [c for c in stage.captures() if c["route"] == "canary" and "begun" not in c]
    assert [["amount", "items", "weekday"], "float32"] in new["about"]["groups"]


@pytest.mark.parametrize(
    "contract",
    [
        with_feature(),
        replace(NEW, outputs=NEW.outputs[:1]),
        replace(NEW, features=(replace(NEW.features[0], dtype="float64"), *NEW.features[1:])),
    ],
    ids=["no default", "outputs", "dtype"],
)
def test_a_version_that_does_not_take_the_live_requests_is_taken_out(contract: Contract) -> None:
    made: Model = Opposite(contract)
    stage = Stage(new=lambda: made)
    assert stage.predict(NEW_ONE).json()["versions"] == [3]
    assert stage.captures()[0]["failure"] == "ModelFailure"


# ---- caches and switches ----------------------------------------------------------------------


def test_the_prediction_cache_keeps_versions_apart() -> None:
    cached = replace(LIVE, cache_ttl=60.0)
    stage = Stage(new=lambda: Opposite(replace(cached, version=4)))
    found = []
    for share in (0.0, 1.0, 0.0, 1.0):
        stage.set(canary_share=share)
        found.append(stage.predict(OLD_ONE).json()["predictions"][0]["probability"])
    assert found[0] == found[2] != found[1] == found[3]
    assert found[0] == pytest.approx(1 - found[1])


def test_a_route_that_changes_changes_the_answers_within_its_seconds() -> None:
    stage = Stage()
    assert stage.predict(NEW_ONE).json()["versions"] == [4]
    stage.routes.stored["shop"] = replace(ROUTE, canary=None, canary_share=0.0, rollout="")
    stage.clock.now += 4.9
    assert stage.predict(NEW_ONE).json()["versions"] == [4]
    stage.clock.now += 0.1
    assert "versions" not in (found := stage.predict(NEW_ONE).json())
    assert found["version"] == 3
