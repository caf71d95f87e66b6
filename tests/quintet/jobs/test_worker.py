"""The worker on ports in memory: every end that a job can come to, and what the queue is told."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.kits.models import LOG, NOW, SHOP, Clock, online, renamed
from tests.kits.workers import LEASE_SECONDS, Bench, job, logs, message

from quintet.columns import Array
from quintet.contract import Contract
from quintet.errors import ModelFailure, Transient
from quintet.features import StoredValue
from quintet.jobs.job import MAX_BROKEN, Content, Job, JobOutcome, Lease
from quintet.jobs.memory import MemoryBlobs, MemoryJobs
from quintet.jobs.messages import Delivery, MessageResult, backoff, deliveries
from quintet.jobs.store import INLINE_RESULT, JobEvent
from quintet.jobs.units import Waiting, units
from quintet.serving.model_cache import ModelCache

#: SQS takes no more in one message
MESSAGE_BYTES = 1_048_576


def answers(bench: Bench, name: str) -> list[list[float]]:
    return [prediction["logs"] for prediction in bench.result(name)["predictions"]]


# ---- done -----------------------------------------------------------------------------------


def test_jobs_are_scored_settled_published_and_acknowledged() -> None:
    bench = Bench()
    results = bench.work(logs("a", 3), logs("b", 2, 4))
    assert {name: (f.event, f.acknowledged, f.rows) for name, f in results.items()} == {
        "a": ("completed", True, 1),
        "b": ("completed", True, 2),
    }
    assert bench.states() == {"a": "DONE", "b": "DONE"}
    assert bench.result("a") == {
        "model": "log",
        "version": 1,
        "predictions": [{"logs": pytest.approx([math.log(3)] * 2)}],
    }
    assert answers(bench, "b") == [pytest.approx([math.log(x)] * 2) for x in (2, 4)]
    assert bench.notified() == [("a", "completed"), ("b", "completed")]
    assert (bench.jobs.pending, bench.visibility.delays) == ({}, {})


class Bug(list[Array]):
    """Outputs on which our own code fails, as no failure of a model does."""

    def __iter__(self) -> Iterator[Array]:
        raise RuntimeError("a bug that quotes 666")


class Counting:
    """The kit's models, counting the rows of each run; 13 breaks them, 666 worse."""

    def __init__(self, models: ModelCache) -> None:
        self._models = models
        self.runs: list[int] = []

    def get(self, name: str, version: int | None = None) -> Any:
        counting, model = self, self._models.get(name, version)

        class Counted:
            contract: Contract = model.contract
            digest = ""

            def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
                (feed,) = feeds.values()
                counting.runs.append(len(feed))
                if (feed == 13).any():
                    raise ModelFailure("the model broke")
                if (feed == 666).any():
                    return Bug()
                found: list[Array] = model.run(outputs, feeds)
                return found

        return Counted()


def counted(*contracts: Contract) -> Counting:
    return Counting(online(*contracts).models)


def test_jobs_of_one_version_are_one_run_whatever_their_form() -> None:
    models = counted(LOG, renamed(LOG, version=2))
    xy = '{"inputs": [{"name": "XY", "datatype": "FP32", "shape": [1, 2], "data": [4, 0]}]}'
    bench = Bench(models=models)  # type: ignore[arg-type]
    csv = {"form": "sagemaker", "request": Content("text/csv", 8, b"8,0\n9,0\n")}
    bench.work(
        logs("a", 2),
        job("b", xy.encode(), form="oip"),
        job("c", b"", **csv),
        logs("d", 5, version=2),
    )
    assert bench.states() == dict.fromkeys("abcd", "DONE")
    assert models.runs == [4, 1]
    assert bench.result("b")["outputs"][0]["data"] == pytest.approx([math.log(4)] * 2)
    found = bench.jobs.jobs["c"].result
    assert found is not None and found.headers["x-Amzn-Invoked-Production-Variant"] == "v1"
    assert bench.result("c")["predictions"][1]["logs"] == pytest.approx([math.log(9)] * 2)


def test_a_row_that_breaks_the_model_fails_alone_in_a_job_that_takes_partial_results() -> None:
    bench = Bench(models=counted())  # type: ignore[arg-type]
    records = [{"x": value} for value in (2, 13, 4)]
    bench.work(
        job("some", {"records": records, "partial": True}),
        job("whole", {"records": records}),
        logs("beside", 5),
    )
    assert bench.states() == {"some": "DONE", "whole": "FAILED", "beside": "DONE"}
    found = bench.result("some")
    assert [p and p["logs"][0] for p in found["predictions"]] == [
        pytest.approx(math.log(2)),
        None,
        pytest.approx(math.log(4)),
    ]
    assert [(error["row"], error["field"]) for error in found["errors"]] == [(1, "model")]


def test_a_run_has_no_more_rows_than_a_request_may_have() -> None:
    models = counted()
    bench = Bench(models=models)  # type: ignore[arg-type]
    bench.work(*[logs(str(n), 1, 2, 3, 4) for n in range(4)])
    assert (models.runs, set(bench.states().values())) == ([8, 8], {"DONE"})


def test_stored_features_are_joined_for_a_whole_group() -> None:
    bench = Bench()
    bench.work(shop("c1"), shop("nobody"))
    found = {name: bench.result(name)["predictions"][0] for name in ("c1", "nobody")}
    assert (found["c1"]["fallback"], found["nobody"]["fallback"]) == (False, True)
    assert found["nobody"]["probability"] == 0.25


def test_a_result_larger_than_a_message_and_sagemakers_go_to_s3() -> None:
    models = online(renamed(LOG, limits=replace(LOG.limits, rows=40_000))).models
    bench = Bench(models=models)
    bench.work(logs("large", *range(1, 40_000)), logs("named", 2, inference_id="inf-1"))
    for name in ("large", "named"):
        found = bench.jobs.jobs[name].result
        assert found is not None and found.body is None
        assert found.place == f"s3://payloads/results/{name}"
        assert found.size == len(bench.blobs.stored[found.place])
    large = bench.jobs.jobs["large"].result
    assert large is not None and large.size > MESSAGE_BYTES > INLINE_RESULT
    assert len(answers(bench, "large")) == 39_999


def test_sagemakers_failures_are_kept_where_their_callers_look() -> None:
    bench = Bench()
    bench.work(logs("bad", -1, inference_id="inf-1"), logs("other", -1))
    kept = json.loads(bench.blobs.stored["s3://payloads/results/bad.error"])
    assert kept == bench.jobs.jobs["bad"].problem
    assert set(bench.blobs.stored) == {"s3://payloads/results/bad.error"}


def test_names_that_callers_want_are_in_the_keys() -> None:
    bench = Bench()
    bench.work(
        logs("good", 2, inference_id="i", output="results/team/good/out.json"),
        logs("bad", -1, inference_id="i", output="results/team/bad"),
    )
    assert set(bench.blobs.stored) == {
        "s3://payloads/results/team/good/out.json",
        "s3://payloads/results/team/bad.error",
    }
    assert answers(bench, "good") == [pytest.approx([math.log(2)] * 2)]


def test_a_run_that_takes_longer_than_its_jobs_may_wait_fails_them_alone() -> None:
    models, bench = counted(), Bench()
    slow = {"run_limit": 5}

    class Slow(Counting):
        def get(self, name: str, version: int | None = None) -> Any:
            model = super().get(name, version)
            run = model.run

            def late(feeds: dict[str, Array], outputs: Sequence[str]) -> list[Array]:
                bench.clock.now += 6
                found: list[Array] = run(feeds, outputs)
                return found

            model.run = late
            return model

    models = Slow(online().models)
    results = bench.work(
        logs("a", 1, **slow),
        logs("b", 2, **slow),
        logs("c", 3),
        logs("d", 4, run_limit=6),
        models=models,
    )
    assert models.runs == [2, 1, 1]
    assert bench.states() == {"a": "FAILED", "b": "FAILED", "c": "DONE", "d": "DONE"}
    assert all(result.acknowledged for result in results.values())
    problem = bench.jobs.jobs["a"].problem
    assert problem is not None
    assert (problem["status"], problem["detail"]) == (
        424,
        "InvocationTimeoutSeconds: expected at most 5 seconds, got 6.0",
    )


# ---- bad input: failed at once, acknowledged ----------------------------------------------------


def content(place: str) -> Content:
    return Content("application/json", 100, place=f"s3://inbox/{place}")


@pytest.mark.parametrize(
    ("changes", "status", "detail"),
    [
        ({"request": content("gone")}, 404, "input: expected an object that can be read, got none"),
        (
            {"request": content("empty")},
            400,
            "input: expected at least one byte, got an empty object (0 bytes)",
        ),
        (
            {"request": content("huge")},
            413,
            "input: expected at most 20000000 bytes, got more",
        ),
        ({"request": content("other")}, 400, "records: expected an array of objects, got nothing"),
        (
            {"request": Content("text/csv", 2, b"{}")},
            415,
            "Content-Type: expected application/json",
        ),
        ({"version": 9}, 404, "Request for unknown model: 'log' version 9 is not found"),
        ({"model": "nosuch"}, 404, "Request for unknown model: 'nosuch' is not found"),
    ],
)
def test_what_cannot_be_scored_fails_and_is_acknowledged(
    changes: dict[str, Any], status: int, detail: str
) -> None:
    class Sized(MemoryBlobs):
        """One of its objects is 200 MB."""

        def describe(self, place: str) -> tuple[int, str]:
            size, content_type = super().describe(place)
            return 200_000_000 if place.endswith("huge") else size, content_type

    blobs = Sized("inbox")
    for key, body in {"empty": b"", "huge": b"", "other": b"{}"}.items():
        blobs.put(key, body, "application/json")
    bench = Bench(blobs=blobs)
    results = bench.work(logs("bad", 1, **changes), logs("good", 1))
    assert [results[name].acknowledged for name in ("bad", "good")] == [True, True]
    assert bench.states() == {"bad": "FAILED", "good": "DONE"}
    problem = bench.jobs.jobs["bad"].problem
    assert problem is not None and problem["status"] == status
    assert problem["detail"].startswith(detail)
    assert sorted(bench.notified()) == [("bad", "failed"), ("good", "completed")]
    assert bench.visibility.delays == {}


@pytest.mark.parametrize(
    ("content_type", "most"),
    [("application/json", 20_000_000), ("", 20_000_000), ("text/csv", 100_000_000)],
)
def test_an_input_is_not_read_where_it_would_not_fit_into_memory(
    content_type: str, most: int
) -> None:
    asked: list[int] = []

    class Asked(MemoryBlobs):
        def get(self, place: str, most: int) -> bytes:
            asked.append(most)
            return super().get(place, most)

    place = "s3://inbox/inputs/a"
    bench = Bench(blobs=Asked())
    bench.blobs.stored[place] = b"1,0\n"
    bench.work(logs("a", 1, form="sagemaker", request=Content(content_type, 4, place=place)))
    assert asked == [most]


def test_requests_that_do_not_fit_together_are_not_in_memory_together() -> None:
    sizes = [9_000_000, 9_000_000, 9_000_000, 90_000_000, 1]
    waiting = [
        Waiting(str(n), message(str(n)), logs(str(n), 1, request=Content("text/csv", size)))
        for n, size in enumerate(sizes)
    ]
    found = [[one.name for one in unit] for unit in units(waiting)]
    assert found == [["0", "1"], ["2"], ["3"], ["4"]]


def test_refused_rows_fail_their_own_job_only_and_partial_answers_come_whole() -> None:
    bench = Bench()
    wrong = {"records": [{"x": 1}, {"x": "one"}]}
    bench.work(job("whole", wrong), job("partial", {**wrong, "partial": True}), logs("good", 1))
    assert bench.states() == {"whole": "FAILED", "partial": "DONE", "good": "DONE"}
    problem = bench.jobs.jobs["whole"].problem
    assert problem is not None and problem["status"] == 400
    assert problem["errors"] == [
        {"row": 1, "field": "x", "expected": "a number (float32)", "got": "'one'"}
    ]
    found = bench.result("partial")
    assert [row is None for row in found["predictions"]] == [False, True]
    assert found["errors"] == problem["errors"]


def test_answers_that_are_not_finite_fail_their_job_as_the_models_fault() -> None:
    bench = Bench()
    bench.work(logs("bad", -1), logs("good", 1))
    assert bench.states() == {"bad": "FAILED", "good": "DONE"}
    problem = bench.jobs.jobs["bad"].problem
    assert problem is not None and problem["status"] == 424


def test_a_job_that_breaks_the_model_fails_alone() -> None:
    bench = Bench(models=counted())  # type: ignore[arg-type]
    bench.work(logs("a", 1), logs("bad", 13), logs("c", 2))
    assert bench.states() == {"a": "DONE", "bad": "FAILED", "c": "DONE"}
    problem = bench.jobs.jobs["bad"].problem
    assert problem == {
        "type": "about:blank",
        "title": "Failed Dependency",
        "status": 424,
        "detail": "the model broke",
    }


# ---- what is not there to be worked on --------------------------------------------------------


def test_messages_that_are_not_ours_are_put_among_the_dead_letters() -> None:
    bench = Bench()
    bodies = ["", "{}", "[1]", '{"job": "a"}', '{"job": "a", "event": "completed"}']
    found = bench.worker().work([Delivery(f"m{n}", f"r{n}", b) for n, b in enumerate(bodies)])
    assert [(result.event, result.acknowledged) for result in found] == [("not ours", True)] * 5
    assert (bench.letters.bodies, bench.visibility.delays) == (bodies, {})


def test_a_message_that_cannot_be_put_there_comes_back() -> None:
    class Full:
        def put(self, body: str) -> None:
            raise Transient("sqs did not answer")

    bench = Bench()
    (found,) = bench.worker(letters=Full()).work([Delivery("m", "r", "who is this?")])
    assert (found.event, found.acknowledged) == ("not ours", False)
    assert set(bench.visibility.delays) == {"r"}


def test_unknown_and_settled_jobs_are_acknowledged() -> None:
    bench = Bench()
    bench.put(logs("gone", 1), logs("late", 1, deadline=NOW - 1), logs("done", 1))
    bench.jobs.cancel("gone", None, NOW)
    bench.worker().work([message("done")])
    notices = dict(bench.jobs.pending)
    found = bench.worker().work([message(n) for n in ("nosuch", "gone", "late", "done")])
    assert {(f.job, f.event, f.acknowledged, f.reason) for f in found} == {
        ("nosuch", "unknown job", True, ""),
        ("gone", "settled before", True, "CANCELLED"),
        ("late", "settled before", True, "EXPIRED"),
        ("done", "settled before", True, "DONE"),
    }
    assert bench.states() == {"gone": "CANCELLED", "late": "EXPIRED", "done": "DONE"}
    # the expiry waits in the outbox for the sweep
    assert bench.jobs.pending.keys() - notices.keys() == {("late", "expired")}


def test_a_job_that_another_worker_has_comes_back() -> None:
    bench = Bench()
    bench.put(logs("a", 1))
    before = bench.jobs.lease("a", "other", NOW, 60)
    (found,) = bench.worker().work([message("a")])
    assert found == MessageResult(
        message("a"), "held by another", False, "a", reason="another worker holds the job"
    )
    assert bench.jobs.jobs["a"] == before
    assert LEASE_SECONDS / 2 <= bench.visibility.delays["r-a-0"] <= LEASE_SECONDS


def test_a_job_delivered_twice_in_one_batch_is_done_once() -> None:
    bench = Bench()
    bench.put(logs("a", 1))
    found = bench.worker().work([message("a"), message("a", number=1)])
    assert [(result.event, result.acknowledged) for result in found] == [
        ("completed", True),
        ("delivered twice", True),
    ]
    assert bench.notified() == [("a", "completed")]
    assert bench.jobs.jobs["a"].attempts == 1


# ---- while it is worked on ------------------------------------------------------------------


class Meanwhile(MemoryBlobs):
    """Something happens while a request is read from S3."""

    def __init__(self, happens: Callable[[], object]) -> None:
        super().__init__()
        self.happens = happens

    def get(self, place: str, most: int) -> bytes:
        self.happens()
        return super().get(place, most)


def held(bench: Bench, happens: Callable[[], object]) -> Job:
    """A job during which something happens."""
    bench.blobs = Meanwhile(happens)
    asked = b'{"records": [{"x": 1}]}'
    place = bench.blobs.put("inputs/a", asked, "application/json")
    return logs("a", 1, request=Content("application/json", len(asked), place=place))


@pytest.mark.parametrize("receives", [1, 500])
def test_a_job_cancelled_while_it_is_worked_on_stays_cancelled(receives: int) -> None:
    bench = Bench()
    asked = held(bench, lambda: bench.jobs.cancel("a", "ann", NOW))
    found = bench.work(asked, receives=receives)["a"]
    assert (found.event, found.acknowledged, found.reason) == ("settled before", True, "CANCELLED")
    kept = bench.jobs.jobs["a"]
    assert (kept.state, kept.result) == ("CANCELLED", None)
    assert bench.notified() == []


def test_a_worker_whose_lease_ran_out_changes_nothing() -> None:
    bench = Bench()

    def overtaken() -> None:
        bench.clock.now += LEASE_SECONDS + 1
        bench.jobs.lease("a", "faster", bench.clock.now, LEASE_SECONDS)

    found = bench.work(held(bench, overtaken))["a"]
    assert (found.event, found.acknowledged) == ("held by another", False)
    kept = bench.jobs.jobs["a"]
    assert (kept.state, kept.lease) == (
        "LEASED",
        Lease("faster", 2, bench.clock.now + LEASE_SECONDS),
    )
    assert (kept.result, bench.notified()) == (None, [])


def test_a_lease_that_ran_out_and_that_nobody_took_is_given_back() -> None:
    bench = Bench()

    def sleeps() -> None:
        bench.clock.now += LEASE_SECONDS + 1

    found = bench.work(held(bench, sleeps))["a"]
    assert (found.event, found.acknowledged) == ("to be tried again", False)
    assert bench.states() == {"a": "ACCEPTED"}


def test_without_time_jobs_are_not_begun() -> None:
    bench = Bench()
    results = bench.work(logs("a", 1), logs("b", 1), has_time=lambda: False)
    assert {(f.event, f.reason) for f in results.values()} == {("to be tried again", "out of time")}
    assert {(one.state, one.attempts) for one in bench.jobs.jobs.values()} == {("ACCEPTED", 0)}
    assert set(bench.visibility.delays) == {"r-a-0", "r-b-0"}


def test_what_is_left_when_time_runs_out_is_given_back() -> None:
    bench = Bench()
    times = iter([True, True, False])
    results = bench.work(
        logs("a", 1), logs("b", *range(1, 10)), logs("c", 1, 2), has_time=lambda: next(times, False)
    )
    assert {name: result.event for name, result in results.items()} == {
        "a": "completed",
        "b": "completed",
        "c": "to be tried again",
    }


# ---- errors that may pass ---------------------------------------------------------------------


class Failing(MemoryJobs):
    """Jobs of which one port call fails."""

    def __init__(self, **calls: Exception) -> None:
        super().__init__()
        self.calls = calls

    def settle(
        self, job: str, lease: Lease, outcome: JobOutcome, now: float, *, notify: bool = True
    ) -> JobEvent:
        if "settle" in self.calls:
            raise self.calls["settle"]
        found = super().settle(job, lease, outcome, now, notify=notify)
        if "settled" in self.calls:
            raise self.calls.pop("settled")
        return found

    def sent(self, event: JobEvent) -> None:
        if "sent" in self.calls:
            raise self.calls["sent"]
        super().sent(event)


class Down:
    """A feature store that is down."""

    def fetch(
        self, key: str, entities: Sequence[str], names: Sequence[str]
    ) -> Mapping[str, dict[str, StoredValue]]:
        raise Transient("the feature store did not answer")


def shop(customer: str) -> Job:
    asked = {"records": [{"customer": customer, "amount": 1}]}
    return job(customer, asked, model="shop", version=SHOP.version)


def test_a_store_that_fails_is_answered_by_the_fallback_rule() -> None:
    bench = Bench(features=Down())  # type: ignore[arg-type]
    bench.work(shop("a"), shop("b"), logs("fine", 1))
    assert set(bench.states().values()) == {"DONE"}
    assert bench.result("a")["predictions"][0]["fallback"] is True


def test_without_a_rule_a_store_that_fails_lets_the_jobs_come_back_sooner_or_later() -> None:
    models = online(LOG, replace(SHOP, fallback=None)).models
    bench = Bench(features=Down(), models=models)  # type: ignore[arg-type]
    results = bench.work(shop("a"), shop("b"), logs("fine", 1), receives=3)
    assert bench.states() == {"a": "ACCEPTED", "b": "ACCEPTED", "fine": "DONE"}
    rule = "and the model has no fallback rule"
    assert results["a"].reason == f"the feature store cannot be read now, {rule}"
    assert not results["a"].acknowledged and results["fine"].acknowledged
    assert set(bench.visibility.delays) == {"r-a-0", "r-b-0"}
    assert all(0 <= seconds <= 8 for seconds in bench.visibility.delays.values())


def test_poison_fails_after_its_own_attempts_and_goes_to_the_dead_letters() -> None:
    bench = Bench(models=counted())  # type: ignore[arg-type]
    asked = [logs("good", 1), logs("poison", 666)]
    results = bench.work(*asked)
    assert bench.states() == {"good": "DONE", "poison": "ACCEPTED"}
    assert (results["poison"].acknowledged, results["poison"].reason) == (False, "RuntimeError")
    for _ in range(2, MAX_BROKEN):
        (result,) = bench.worker().work([message("poison")])
        assert not result.acknowledged
    (result,) = bench.worker().work([message("poison")])
    assert (result.event, result.acknowledged) == ("failed", True)
    assert bench.letters.bodies == [message("poison").body]
    kept = bench.jobs.jobs["poison"]
    assert (kept.state, kept.attempts) == ("FAILED", MAX_BROKEN)
    assert kept.problem == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "internal error",
    }
    assert bench.notified() == [("good", "completed"), ("poison", "failed")]
    # a replay finds it settled
    (again,) = bench.worker().work([message("poison")])
    assert (again.event, again.acknowledged) == ("settled before", True)


def test_what_killed_its_worker_is_worked_on_alone_and_last() -> None:
    models = counted()
    bench = Bench(models=models)  # type: ignore[arg-type]
    bench.put(logs("a", 1), logs("suspect", 1, 2), logs("b", 1))
    bench.jobs.lease("suspect", "dead", NOW - 1000, LEASE_SECONDS)
    found = bench.worker().work([message(name) for name in ("suspect", "a", "b")])
    assert models.runs == [2, 2]
    assert [result.job for result in found] == ["a", "b", "suspect"]


def test_a_result_that_cannot_be_stored_lets_the_job_come_back() -> None:
    class Full(MemoryBlobs):
        def put(self, key: str, body: bytes, content_type: str) -> str:
            raise Transient("S3 did not answer")

    bench = Bench(blobs=Full())
    results = bench.work(logs("a", 1, inference_id="i"), logs("b", 1))
    assert bench.states() == {"a": "ACCEPTED", "b": "DONE"}
    assert results["a"].reason == "S3 did not answer"


def test_a_job_that_nobody_is_told_of_leaves_no_event() -> None:
    bench = Bench()
    bench.work(logs("a", 1, endpoint=None))
    assert (bench.states(), bench.notified(), bench.jobs.pending) == ({"a": "DONE"}, [], {})


def test_a_job_that_cannot_be_leased_comes_back() -> None:
    class Away(MemoryJobs):
        def lease(self, job: str, worker: str, now: float, seconds: float) -> Job:
            raise OSError("it quotes 666")

    bench = Bench(jobs=Away())
    (found,) = bench.work(logs("a", 1)).values()
    assert found == MessageResult(message("a"), "not leased", False, "a", reason="OSError")
    assert set(bench.visibility.delays) == {"r-a-0"}


def test_a_job_that_cannot_be_given_back_waits_for_its_lease_to_expire() -> None:
    class Away(Failing):
        def release(self, job: str, lease: Lease, now: float, *, broke: bool = False) -> None:
            raise Transient("dynamodb did not answer")

    bench = Bench(jobs=Away(settle=Transient("dynamodb was slow")))
    (found,) = bench.work(logs("a", 1)).values()
    assert (found.event, found.acknowledged, found.reason) == (
        "not released",
        False,
        "dynamodb was slow; dynamodb did not answer",
    )
    assert bench.states() == {"a": "LEASED"}


def test_a_settlement_that_fails_lets_the_job_come_back() -> None:
    bench = Bench(jobs=Failing(settle=Transient("dynamodb did not answer")))
    (result,) = bench.work(logs("a", 1)).values()
    assert (result.event, result.acknowledged) == ("to be tried again", False)
    assert bench.jobs.jobs["a"].broken == 0


@pytest.mark.parametrize("receives", [1, 500])
def test_a_settlement_whose_reply_was_lost_stands(receives: int) -> None:
    bench = Bench(jobs=Failing(settled=Transient("dynamodb did not answer")))
    (result,) = bench.work(logs("a", 1), receives=receives).values()
    assert not result.acknowledged
    assert bench.states() == {"a": "DONE"}
    (again,) = bench.worker().work([message("a", receives=2)])
    assert (again.event, again.acknowledged) == ("settled before", True)


def test_an_event_that_was_sent_but_not_forgotten_waits_for_the_sweep() -> None:
    bench = Bench()
    bench.put(logs("a", 1))
    failing = Failing(sent=Transient("dynamodb did not answer"))
    failing.jobs = bench.jobs.jobs
    bench.jobs = failing
    (result,) = bench.worker().work([message("a")])
    assert (result.event, result.acknowledged, result.reason) == (
        "completed",
        True,
        "dynamodb did not answer",
    )
    assert bench.notified() == [("a", "completed")]
    assert set(failing.pending) == {("a", "completed")}


# ---- deliveries -----------------------------------------------------------------------------


def test_backoff_doubles_up_to_a_bound_with_full_jitter() -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return high

    failed = [message("a", receives) for receives in (1, 2, 3, 5, 12)]
    failed = [replace(one, receipt=str(one.receives)) for one in failed]
    assert backoff(failed, uniform) == {"1": 2, "2": 4, "3": 8, "5": 32, "12": 300}
    assert [low for low, _ in drawn] == [0] * 5


def test_threads_change_nothing() -> None:
    random = np.random.default_rng(3)
    values = random.uniform(1, 9, 40).tolist()
    found = []
    for threads in (1, 8):
        bench = Bench(clock=Clock())
        bench.work(*[logs(str(n), value) for n, value in enumerate(values)], threads=threads)
        found.append([answers(bench, str(n)) for n in range(40)])
        assert sorted(bench.notified()) == sorted((str(n), "completed") for n in range(40))
    assert found[0] == found[1]


def test_lambdas_event_is_read() -> None:
    record = {
        "messageId": "m",
        "receiptHandle": "r",
        "body": "b",
        "attributes": {"ApproximateReceiveCount": "4"},
    }
    assert deliveries({"Records": [record]}) == [Delivery("m", "r", "b", 4)]
