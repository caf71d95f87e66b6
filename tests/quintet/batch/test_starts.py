"""Runs that are asked for: the same again is the same run, anything else is another."""

from __future__ import annotations

from typing import Any

import pytest
from tests.kits.batch import BUCKET

from quintet.batch.executions import MemoryExecutions
from quintet.batch.plans import run_context
from quintet.batch.starts import Started, start_run
from quintet.batch.stores import MemoryInputBucket
from quintet.errors import BadInput, NotFound
from quintet.serving.routes import MemoryRoutes, Route, Version
from quintet.telemetry import w3c

DATA = "_data/tiny/"


class Desk:
    """What starts runs, in memory."""

    def __init__(self) -> None:
        self.inbox = MemoryInputBucket()
        self.runs = MemoryExecutions()
        self.routes = MemoryRoutes()
        self.live(3)
        for month in ("2026-01", "2026-02"):
            self.inbox.put(BUCKET, f"{DATA}month={month}/part.csv", month.encode())

    @property
    def started(self) -> dict[str, dict[str, Any]]:
        """The requests of the runs, by their names."""
        return {name: found.request for name, found in self.runs.held.items()}

    def live(self, version: int) -> None:
        known = {n: Version(n, "d", "s", 1, "2026-01-01") for n in (3, 4)}
        self.routes.stored["tiny"] = Route("tiny", version, 1, known)

    def start(self, trace: str = "", **asked: Any) -> Started:
        request = {"model": "tiny", "bucket": BUCKET, **asked}
        return start_run(
            request,
            routes=self.routes,
            inbox=self.inbox,
            runs=self.runs,
            check=self.check,
            trace=trace,
        )

    def check(self, endpoint: str) -> None:
        if endpoint != "crm":
            raise NotFound.of("callback", "the id of a registered endpoint", endpoint)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_request_of_a_run_is_pinned(desk: Desk) -> None:
    folder, new = desk.start(prefix=DATA, partition="month=2026-01")
    assert new
    assert folder.model == "tiny"
    assert folder.run.startswith("tiny-month-2026-01-")
    assert desk.started == {
        folder.run: {
            "bucket": BUCKET,
            "model": "tiny",
            "partition": "month=2026-01",
            "prefix": DATA,
            "version": 3,
        }
    }


def test_the_version_of_an_object_is_pinned(desk: Desk) -> None:
    desk.inbox.put(BUCKET, "tiny/a.csv", b"1")
    first, _ = desk.start(key="tiny/a.csv")
    desk.inbox.put(BUCKET, "tiny/a.csv", b"2")
    second, _ = desk.start(key="tiny/a.csv")
    again, _ = desk.start(key="tiny/a.csv", version_id="v1")
    assert first == again != second
    assert [asked["version_id"] for asked in desk.started.values()] == ["v1", "v2"]


def test_the_same_again_is_the_same_run(desk: Desk) -> None:
    first = desk.start(prefix=DATA)
    assert desk.start(prefix=DATA) == first  # Step Functions answers both alike while it runs
    desk.runs.ended(first.folder.run, "SUCCEEDED")
    assert desk.start(prefix=DATA) == first._replace(new=False)
    # said in other words
    assert desk.start(prefix=DATA, version=3, partition=None).folder == first.folder


@pytest.mark.parametrize(
    ("key", "body"),
    [
        (f"{DATA}month=2026-02/more.csv", b"new"),
        (f"{DATA}month=2026-02/part.csv", b"2026-20"),
    ],
)
def test_other_files_are_another_run(desk: Desk, key: str, body: bytes) -> None:
    whole, january = desk.start(prefix=DATA), desk.start(prefix=DATA, partition="month=2026-01")
    desk.inbox.put(BUCKET, key, body)
    assert desk.start(prefix=DATA).folder != whole.folder
    # and a part that has not changed is still what it was
    assert desk.start(prefix=DATA, partition="month=2026-01").folder == january.folder


def test_an_endpoint_is_pinned_with_the_request_and_has_to_be_there(desk: Desk) -> None:
    folder, _ = desk.start(prefix=DATA, callback="crm")
    assert desk.started[folder.run]["callback"] == "crm"
    assert desk.start(prefix=DATA, callback="crm").folder == folder
    assert desk.start(prefix=DATA).folder != folder
    with pytest.raises(NotFound, match=r"^callback: expected the id of a registered endpoint"):
        desk.start(prefix=DATA, callback="erp")
    assert len(desk.started) == 2


def test_the_callers_trace_goes_with_the_run_but_does_not_name_it(desk: Desk) -> None:
    folder, _ = desk.start("ab" * 16, prefix=DATA)
    context = desk.started[folder.run]["traceparent"]
    assert context == run_context(folder.run, "ab" * 16)
    own = run_context(folder.run)
    assert (w3c.trace_id(context), bool(w3c.trace_id(own))) == ("ab" * 16, True)
    # the span that starts the run is the same in both
    assert context[36:] == own[36:]
    assert desk.start(prefix=DATA).folder == folder


def test_another_history_of_features_is_another_run(desk: Desk) -> None:
    desk.inbox.put(BUCKET, "_features/a.parquet", b"1")
    first = desk.start(prefix=DATA, features="_features/").folder
    assert desk.start(prefix=DATA, features="_features/").folder == first
    desk.inbox.put(BUCKET, "_features/b.parquet", b"2")
    assert desk.start(prefix=DATA, features="_features/").folder != first
    assert desk.start(prefix=DATA).folder != first


def test_another_live_version_is_another_run(desk: Desk) -> None:
    first = desk.start(prefix=DATA)
    desk.live(4)
    assert desk.start(prefix=DATA).folder != first.folder
    assert desk.start(prefix=DATA, version=3).folder == first.folder


def test_a_manifest_is_told_by_its_own_version(desk: Desk) -> None:
    listed = f'["{DATA}month=2026-01/part.csv"]'.encode()
    desk.inbox.put(BUCKET, "_lists/one.json", listed)
    first = desk.start(manifest="_lists/one.json")
    assert desk.started[first.folder.run]["version_id"] == "v1"
    desk.inbox.put(BUCKET, "_lists/one.json", listed)
    assert desk.start(manifest="_lists/one.json").folder != first.folder


def test_a_name_fits_step_functions_whatever_is_asked(desk: Desk) -> None:
    key = f"tiny/{'Ünïcode & spaces ' * 20}.csv"
    desk.inbox.put(BUCKET, key, b"1")
    folder, _ = desk.start(key=key)
    assert len(folder.run) <= 74
    assert folder.run.isascii() and " " not in folder.run


@pytest.mark.parametrize(
    ("asked", "error", "text"),
    [
        ({"prefix": "_data/none/"}, BadInput, "got none"),
        ({"prefix": DATA, "partition": "month=2026-03"}, BadInput, "none among 2 files"),
        ({"prefix": DATA, "key": "a"}, BadInput, "one of key, prefix, manifest"),
        ({}, BadInput, "one of key, prefix, manifest"),
        ({"prefix": DATA, "colour": "red"}, BadInput, "colour"),
        ({"key": "tiny/none.csv"}, NotFound, "none.csv in the inbox"),
        ({"prefix": DATA, "model": "none"}, NotFound, "unknown model"),
        ({"prefix": DATA, "version": 9}, NotFound, "version 9 is not found"),
        ({"prefix": DATA, "bucket": "other"}, BadInput, "bucket"),
    ],
)
def test_what_cannot_be_is_refused_before_there_is_a_run(
    desk: Desk, asked: dict[str, Any], error: type[BadInput], text: str
) -> None:
    with pytest.raises(error, match=text):
        desk.start(**asked)
    assert desk.started == {}
