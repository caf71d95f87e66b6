"""Jobs while a rollout runs: pinned at acceptance, routed by row, and anew after a rollback."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.kits.canary import LIVE, NEW, ROUTE, Opposite, Stage, failing
from tests.kits.captures import records
from tests.kits.models import Clock
from tests.kits.workers import Bench, job

from quintet.captures.opening import Opener
from quintet.captures.reading import begun_apart, read_lines
from quintet.captures.sealing import MemoryKeys, Sealer
from quintet.captures.tables import concat
from quintet.contract import Capture
from quintet.errors import ModelFailure, Transient
from quintet.jobs.captures import JobCaptures
from quintet.jobs.job import Job, JobRollout
from quintet.jobs.memory import MemoryBlobs, MemoryJobs
from quintet.jobs.submit import Submitter
from quintet.protocols.http import Request
from quintet.protocols.registry import RECORDS
from quintet.serving import RequestContext
from quintet.serving.routing import bucket

HALF = JobRollout("r1", 1, 4, 0.5)
ENDED = replace(ROUTE, canary=None, canary_share=0.0, rollout="", step=0)


def is_new(name: str) -> bool:
    return bucket("shop", "r1", name) < 0.5


OLD_ONE = next(f"c{n}" for n in range(99) if not is_new(f"c{n}"))
NEW_ONE = next(f"c{n}" for n in range(99) if is_new(f"c{n}"))


def bench(stage: Stage) -> Bench:
    """A worker over the models of a stage."""
    return Bench(models=stage.models, features=stage.online.features, clock=stage.clock)


def shop(name: str, *customers: str, amount: float = 10.0, **changes: Any) -> Job:
    """A job of one record for each customer, accepted at half of the entities."""
    partial = changes.pop("partial", False)
    rows = [{"customer": one, "amount": amount} for one in customers]
    given = {"model": "shop", "version": 3, "rollout": HALF, "created": Clock().now} | changes
    return job(name, {"records": rows, "partial": partial}, **given)


def inference(name: str, *customers: str, **more: Any) -> Job:
    """The same in the Open Inference Protocol."""
    many = [len(customers)]
    body = {
        "inputs": [
            {"name": "customer", "datatype": "BYTES", "shape": many, "data": customers},
            {"name": "amount", "datatype": "FP32", "shape": many, "data": [10.0] * many[0]},
        ],
        **more,
    }
    return job(name, body, model="shop", version=3, rollout=HALF, form="oip")


def lines(made: Bench) -> list[dict[str, Any]]:
    return [json.loads(line) for line in made.lines]


def ends(made: Bench) -> list[tuple[Any, ...]]:
    """Event, version, route, rollout and rows of each capture, in its order."""
    return [
        (
            line["event"],
            line["about"]["version"],
            line["route"],
            line.get("rollout"),
            line.get("index", [*range(line["rows"])]),
        )
        for line in lines(made)
        if "begun" not in line
    ]


# ---- routed by row ----------------------------------------------------------------------------


def test_rows_of_jobs_scored_together_are_answered_by_their_versions() -> None:
    stage = Stage()
    made = bench(stage)
    names = stage.names[:40]
    made.work(shop("a", *names[:15]), shop("b", *names[15:16]), shop("c", *names[16:]))
    online = stage.predict(*names).json()
    answers = [made.result(name) for name in ("a", "b", "c")]
    assert [v for one in answers for v in one["versions"]] == online["versions"]
    assert [p for one in answers for p in one["predictions"]] == online["predictions"]
    assert stage.versions.loads == [3, 4]
    by_version = {(event, version) for event, version, *_ in ends(made)}
    assert {("a", 3), ("a", 4), ("c", 3), ("c", 4)} < by_version
    rows = {(e, row): v for e, v, _, _, index in ends(made) for row in index}
    assert [rows["a", row] for row in range(15)] == answers[0]["versions"]
    assert {mark for *_, mark, _ in ends(made)} == {"r1#1"}
    begun = {(line["event"], line["version"]) for line in lines(made) if "begun" in line}
    assert begun == by_version


def test_a_form_that_names_one_version_goes_by_the_first_row_of_its_job() -> None:
    made = bench(Stage())
    made.work(inference("a", OLD_ONE, NEW_ONE), inference("b", NEW_ONE, OLD_ONE))
    assert made.result("a")["model_version"] == "3"
    assert made.result("b")["model_version"] == "4"
    assert ends(made) == [
        ("a", 3, "live", "r1#1", [0, 1]),
        ("b", 4, "canary", "r1#1", [0, 1]),
    ]


def test_a_job_whose_body_names_the_version_is_answered_by_it() -> None:
    made = bench(Stage())
    made.work(inference("a", NEW_ONE, model_version="3"), inference("b", NEW_ONE))
    assert [made.result(name)["model_version"] for name in "ab"] == ["3", "4"]
    assert [(line["event"], line.get("rollout")) for line in lines(made)] == [
        ("a", None),
        ("b", "r1#1"),
        ("b", "r1#1"),
    ]


def test_a_job_that_breaks_the_canary_fails_alone_and_is_its_failure() -> None:
    made = bench(Stage())
    results = made.work(
        shop("a", OLD_ONE, NEW_ONE, amount=13), shop("b", NEW_ONE), shop("c", OLD_ONE, amount=13)
    )
    assert {name: one.event for name, one in results.items()} == {
        "a": "failed",
        "b": "completed",
        "c": "completed",
    }
    found = {
        (line["event"], line["about"]["version"]): line.get("failure")
        for line in lines(made)
        if "begun" not in line
    }
    assert found == {("a", 4): "ModelFailure", ("a", 3): None, ("b", 4): None, ("c", 3): None}
    (failed,) = [line for line in lines(made) if "failure" in line]
    # with its rows as they were used, which the live version is asked about
    assert (failed["index"], failed["entities"]) == ([1], [NEW_ONE])
    assert failed["features"] == [[[13.0, 1.0]], [[4.0]]]


def test_a_partial_job_keeps_the_rows_of_the_version_that_did_not_fail() -> None:
    made = bench(Stage())
    body = [{"customer": c, "amount": a} for c, a in ((OLD_ONE, 13), (NEW_ONE, 13), (NEW_ONE, 2))]
    asked = job("a", {"records": body, "partial": True}, model="shop", version=3, rollout=HALF)
    made.work(asked)
    found = made.result("a")
    assert found["versions"] == [3, 4, 4]
    assert [one is None for one in found["predictions"]] == [False, True, False]
    assert [(one["row"], one["field"]) for one in found["errors"]] == [(1, "model")]


def test_a_candidate_that_does_not_load_is_taken_out_of_jobs_too() -> None:
    made = bench(Stage(new=failing(ModelFailure("no"))))
    made.work(shop("a", OLD_ONE, NEW_ONE), shop("b", OLD_ONE))
    assert made.result("a")["versions"] == [3, 3]
    failures = [line for line in lines(made) if "failure" in line]
    about = [(f["event"], f["about"]["version"], f["route"], f["entity"]) for f in failures]
    assert about == [("a", 4, "canary", NEW_ONE)]


def test_versions_that_began_end_if_the_store_of_features_does_not_answer() -> None:
    class Away:
        def fetch(self, *asked: Any) -> Any:
            raise Transient("away")

    stage = Stage()
    made = bench(stage)
    made.features = Away()
    results = made.work(shop("a", NEW_ONE))
    assert not results["a"].acknowledged
    assert [(line["event"], "begun" in line, line.get("failure")) for line in lines(made)] == [
        ("a", True, None),
        ("a", False, "Transient"),
    ]


# ---- pinned at acceptance ---------------------------------------------------------------------


def test_an_accepted_job_keeps_the_rollout_and_a_pinned_one_does_not() -> None:
    stage, store = Stage(), MemoryJobs()
    numbers = iter("abcd")

    class Nobody:
        def check(self, endpoint: str, caller: str) -> None: ...

    submitter = Submitter(
        store, MemoryBlobs(), Nobody(), lambda event: None, stage.clock, lambda: next(numbers)
    )
    request = Request("POST", "", raw=json.dumps({"records": [{"customer": "c1", "amount": 1}]}))

    def accept(version: int | None) -> Job:
        context = RequestContext("r")
        target = ("shop", version)
        return submitter.submit(stage.online, request, context, RECORDS, target=target)

    assert (accept(None).version, accept(None).rollout) == (3, HALF)
    assert (accept(4).version, accept(4).rollout) == (4, None)


def test_jobs_keep_their_versions_while_the_share_grows_and_after_the_promotion() -> None:
    for now in (
        replace(ROUTE, canary_share=1.0, step=3),
        replace(ENDED, live=4, rollout="r1", step=4),
        replace(ENDED, live=4),
    ):
        made = bench(Stage(now))
        made.work(shop("a", OLD_ONE, NEW_ONE))
        assert made.result("a")["versions"] == [3, 4]


@pytest.mark.parametrize("accepted", ["canary", "promoted"])
def test_jobs_queued_for_a_version_that_was_rolled_back_are_routed_anew(accepted: str) -> None:
    made = bench(Stage(ENDED))
    if accepted == "canary":
        asked = shop("a", OLD_ONE, NEW_ONE)
    else:
        asked = shop("a", OLD_ONE, NEW_ONE, version=4, rollout=JobRollout("r1", 4, 4, 1.0))
    pinned = shop("b", NEW_ONE, version=4, rollout=None)
    made.work(asked, pinned)
    assert made.result("a")["version"] == 3
    assert "versions" not in made.result("a")
    assert made.result("b")["version"] == 4


def test_they_are_routed_by_the_rollout_that_runs_now() -> None:
    versions = {**ROUTE.versions, 5: replace(ROUTE.versions[4], number=5)}
    now = replace(ROUTE, versions=versions, canary=5, canary_share=1.0, rollout="r2", step=0)
    stage = Stage(now)
    stage.versions.others = {5: lambda: Opposite(replace(NEW, version=5))}
    made = bench(stage)
    made.work(shop("a", OLD_ONE))
    assert made.result("a")["versions"] == [5]
    assert ends(made)[0][3] == "r2#0"


def test_jobs_without_a_rollout_are_as_before() -> None:
    made = bench(Stage())
    made.work(shop("a", NEW_ONE, rollout=None))
    assert "versions" not in made.result("a")
    (line,) = lines(made)
    assert (line["route"], "rollout" in line, line["about"]["version"]) == (
        "pinned",
        False,
        LIVE.version,
    )


def test_sensitive_features_are_sealed_for_the_other_version() -> None:
    features = tuple(replace(one, sensitive=one.name == "amount") for one in NEW.features)
    contract = replace(NEW, features=features, capture=Capture(sensitive="encrypted"))
    made, keys = bench(Stage(new=lambda: Opposite(contract))), MemoryKeys()
    captures = JobCaptures(made.lines.extend, seal=Sealer(keys, made.clock, print).seal)
    made.work(
        shop("a", NEW_ONE, NEW_ONE, amount=7_777), shop("b", NEW_ONE, amount=13), captures=captures
    )
    assert b"7777" not in b"".join(made.lines)
    others, _ = begun_apart(line.decode() for line in made.lines)
    rows = concat([read.rows for read in read_lines(others)[0].values()])
    opened, failed = Opener(keys, made.clock).open(contract, rows)
    assert sorted(records(opened, "event", "row", "outcome", "feature_amount")) == [
        ("a", 0, "scored", 7_777.0),
        ("a", 1, "scored", 7_777.0),
        ("b", 0, "failed", 13.0),
    ]
    assert failed == 0
