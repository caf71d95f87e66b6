"""Candidate sets: packed, written once however often, shown for all users at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import onnx
import orjson
import pytest
from onnx import TensorProto, helper
from tests.kits.aws import client, create_table, environ, moto_server
from tests.kits.batch import Bench, jsonl_bytes, row

from quintet.aws.candidates import CandidatePointers, CandidateTable
from quintet.aws.client import AwsClient
from quintet.aws.stocks import StockTable
from quintet.batch.candidates import (
    CandidateSet,
    CandidateSets,
    MemoryCandidateSets,
    expiry_note,
    packed,
    show_candidates,
    unpacked,
)
from quintet.batch.page import page
from quintet.batch.planning import MemoryCatalog, Pinned
from quintet.batch.plans import Plan, RunPaths
from quintet.batch.reports import report_run
from quintet.batch.stock import MemoryStocks, Stocks, stock_of
from quintet.batch.stores import ConditionalObjects, MemoryConditionalObjects
from quintet.batch.tables import current_run
from quintet.contract import Candidates, Contract, Feature, Input, Output
from quintet.errors import BadInput, NotFound, Transient
from quintet.onnx_model import OnnxModel

NOW = datetime(2026, 11, 21, tzinfo=UTC)
STARTED = datetime(2026, 11, 20, 8, tzinfo=UTC)
#: two nights and a week after the start
EXPIRES = int((STARTED + timedelta(days=9)).timestamp())

#: lists the items that a row begins with: `first`, the three after it, and their scores
CONTRACT = Contract(
    name="next",
    version=1,
    task="candidate-generation",
    entity="customer",
    features=(Feature(name="first", dtype="int64"),),
    inputs=(Input(name="first", dtype="int64", shape=(-1, 1)),),
    outputs=(
        Output(name="ids", dtype="int64", shape=(-1, 4), meaning="value"),
        Output(name="scores", dtype="float32", shape=(-1, 4), meaning="score"),
    ),
    candidates=Candidates(ids="ids", scores="scores", items=10),
)


def graph() -> bytes:
    """ids = first + [0, 1, 2, 3], 0 if first is 0; scores = ids / 2."""
    nodes = [
        helper.make_node("Add", ["first", "steps"], ["listed"]),
        helper.make_node("Sign", ["first"], ["any"]),
        helper.make_node("Mul", ["listed", "any"], ["ids"]),
        helper.make_node("Cast", ["ids"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["numbers", "two"], ["scores"]),
    ]
    made = helper.make_graph(
        nodes,
        "next",
        [helper.make_tensor_value_info("first", TensorProto.INT64, [None, 1])],
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, [None, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 4]),
        ],
        [
            helper.make_tensor("steps", TensorProto.INT64, [4], [0, 1, 2, 3]),
            helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0]),
        ],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def bench() -> Bench:
    catalog = MemoryCatalog(Pinned(1, "d" * 64, "s" * 64, CONTRACT))
    return Bench(catalog, OnnxModel(CONTRACT, graph(), digest="d" * 64))


ROWS: list[dict[str, Any]] = [{"customer": f"c{n}", "first": 1 + n % 7} for n in range(50)]


def planned(of: Bench, rows: list[dict[str, Any]], name: str = "a", unit: int = 1 << 20) -> Plan:
    plan = of.plan(f"next/{name}.jsonl", jsonl_bytes(rows), unit)
    assert isinstance(plan, Plan), plan
    return plan


def finished(
    of: Bench, rows: list[dict[str, Any]], name: str = "a", day: int = 20, **report: Any
) -> RunPaths:
    """A run that was started on a day of November and has ended."""
    plan = started(of, planned(of, rows, name), day)
    of.score(plan)
    report_run(plan.folder, store=of.store, cells=of.cells, clock=lambda: NOW, **report)
    return plan.folder


def started(of: Bench, plan: Plan, day: int) -> Plan:
    """The plan as if its run had been started on a day of November."""
    moment = f"2026-11-{day:02d}T08:00:00.000Z"
    body = orjson.loads(of.store.objects[plan.folder.plan]) | {"started": moment}
    of.store.put(plan.folder.plan, orjson.dumps(body))
    return replace(plan, started=moment)


def shown(of: Bench, cells: ConditionalObjects, folder: RunPaths, **by: Any) -> Any:
    return show_candidates(folder, store=of.store, cells=cells, clock=lambda: NOW, **by)


# ---- the two stores ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as address:
        yield address


@pytest.fixture(scope="module")
def table(url: str) -> str:
    create_table(url, "candidates-suite", "user", "run")
    return "candidates-suite"


def lean(url: str) -> AwsClient:
    return AwsClient("dynamodb", environ=environ(url), sleep=lambda seconds: None)


@pytest.fixture(params=["memory", "table"])
def sets(request: pytest.FixtureRequest, url: str, table: str) -> CandidateSets:
    """Each store of sets."""
    return MemoryCandidateSets() if request.param == "memory" else CandidateTable(lean(url), table)


@pytest.fixture(params=["memory", "table"])
def cells(request: pytest.FixtureRequest, url: str, table: str) -> ConditionalObjects:
    """Each store of pointers."""
    memory = request.param == "memory"
    return MemoryConditionalObjects() if memory else CandidatePointers(lean(url), table)


def test_a_set_is_read_as_it_was_packed_until_it_expires(sets: CandidateSets) -> None:
    ids, scores = np.arange(1, 201), np.linspace(3, -1, 200)
    body = packed(ids, scores)
    assert len(body) == 1200
    some = [CandidateSet(f"u{n}", body, "de" if n % 2 else "") for n in range(60)]
    for _ in range(2):  # a retry
        sets.put("m", "r1", some, EXPIRES)
    sets.put("m", "r2", [CandidateSet("u0", packed(ids[:1], scores[:1]))], EXPIRES)
    read = [sets.get("m", "r1", f"u{n}", EXPIRES - 1) for n in range(60)]
    assert read == some
    got, values = unpacked(body)
    assert got.tolist() == ids.tolist() and got.dtype == np.int32
    np.testing.assert_array_equal(values, scores.astype(np.float16))
    assert sets.get("m", "r2", "u0", 0.0) == CandidateSet("u0", packed(ids[:1], scores[:1]))
    assert sets.get("m", "r1", "u0", EXPIRES) is None
    assert sets.get("m", "r1", "other", 0.0) is None
    assert sets.get("n", "r1", "u0", 0.0) is None


@pytest.fixture(params=["memory", "table"])
def stocks(request: pytest.FixtureRequest, url: str, table: str) -> Stocks:
    """Each store of stocks."""
    return MemoryStocks() if request.param == "memory" else StockTable(lean(url), table)


def test_a_stock_is_kept_until_a_later_one(stocks: Stocks) -> None:
    assert stocks.get("shop") is None
    first, left_out = stock_of([3, 10, 11, 0], 10, 1_000.25)
    assert (np.flatnonzero(first.sold_out).tolist(), left_out) == ([3, 10], 2)
    later, _ = stock_of([3, 10], 10, 2_000.0, in_stock=True)
    for stock, done, kept in ((first, True, first), (later, True, later), (first, False, later)):
        assert stocks.put("shop", stock) is done
        found = stocks.get("shop")
        assert found is not None and found.at == kept.at
        assert np.flatnonzero(found.sold_out).tolist() == np.flatnonzero(kept.sold_out).tolist()
    assert stocks.get("other") is None


@pytest.mark.parametrize(("numbers", "in_stock"), [([1, 2, 3], False), ([], True), ([4], True)])
def test_a_stock_that_leaves_no_item_is_refused(numbers: list[int], in_stock: bool) -> None:
    with pytest.raises(BadInput, match="leaves some item of the catalogue in stock, got all 3"):
        stock_of(numbers, 3, 0.0, in_stock=in_stock)


def test_an_item_costs_two_write_units_and_one_read_unit(url: str, table: str) -> None:
    body = packed(np.arange(1, 201), np.zeros(200))
    run = "candidates-customers-" + "a" * 24
    CandidateTable(lean(url), table).put(
        "priced", run, [CandidateSet("12345", body, "de")], EXPIRES
    )
    key = {"user": {"S": "priced#12345"}, "run": {"S": run}}
    (item,) = [client("dynamodb", url).get_item(TableName=table, Key=key)["Item"]]
    segment = {"segment": {"S": "de"}}
    assert item == {**key, **segment, "candidates": {"B": body}, "expires": {"N": str(EXPIRES)}}
    size = sum(len(name) for name in item) + len("priced#12345de") + len(run) + len(body) + 21
    assert 1024 < size < 2048


class Busy:
    """A table that leaves all but the first item of its first calls unwritten."""

    def __init__(self, url: str, calls: int) -> None:
        self.inner, self.left = lean(url), calls

    def call(self, target: str, payload: Any, **options: Any) -> Any:
        ((name, puts),) = payload["RequestItems"].items()
        self.left -= 1
        if self.left < 0:
            return self.inner.call(target, payload, **options)
        answer = self.inner.call(target, {"RequestItems": {name: puts[:1]}}, **options)
        body = orjson.dumps({"UnprocessedItems": {name: puts[1:]}})
        return answer._replace(body=body) if puts[1:] else answer


def test_what_a_busy_table_leaves_is_written_again(url: str, table: str) -> None:
    waits: list[float] = []
    some = [CandidateSet(f"busy{n}", bytes([n]) * 6) for n in range(20)]
    busy: Any = Busy(url, 3)
    CandidateTable(busy, table, sleep=waits.append).put("m", "busy", some, EXPIRES)
    read = CandidateTable(lean(url), table)
    assert [read.get("m", "busy", one.user, 0.0) for one in some] == some
    assert len(waits) == 3
    stuck: Any = Busy(url, 10)
    with pytest.raises(Transient, match="left 10 items unwritten"):
        CandidateTable(stuck, table, sleep=waits.append).put("m", "stuck", some, EXPIRES)


def test_a_pointer_moves_from_what_was_read_only(cells: ConditionalObjects) -> None:
    key = "tables/suite/current.json"
    assert cells.read(key) is None
    assert cells.swap(key, b"one", None)
    held = cells.read(key)
    assert held is not None and held[0] == b"one"
    assert not cells.swap(key, b"two", None)
    assert cells.swap(key, b"two", held[1])
    assert not cells.swap(key, b"three", held[1])
    assert cells.swap(key, b"two", held[1])  # a reply that was lost: it is there
    assert (cells.read(key) or (b"", ""))[0] == b"two"


# ---- units ---------------------------------------------------------------------------------------


def test_a_unit_writes_each_users_items_and_counts_what_it_left_out() -> None:
    of = bench()
    rows: list[dict[str, Any]] = [
        {"customer": "good", "first": 3},
        {"customer": "unknown", "first": 9},  # 11 and 12 are not in the catalogue
        {"customer": "empty", "first": 0},
        {"customer": "none", "first": 11},
        {"first": 1},
        {"customer": "u" * 600, "first": 1},
        {"customer": "good", "first": 4},
    ]
    (result,) = of.score(planned(of, rows))
    assert isinstance(of.candidates, MemoryCandidateSets)
    run = next(iter(of.candidates.held))[1]
    held = {user: unpacked(one.body) for (_, _, user), (one, _) in of.candidates.held.items()}
    assert {user: ids.tolist() for user, (ids, _) in held.items()} == {
        "good": [4, 5, 6, 7],
        "unknown": [9, 10],
    }
    assert held["unknown"][1].tolist() == [4.5, 5.0]
    assert {expires for _, expires in of.candidates.held.values()} == {EXPIRES}
    counted = dict(result["candidates"])
    assert counted.pop("seen") and counted.pop("popular")[""]["users"] == 3
    assert counted == {
        "users": 2,
        "repeated": 1,
        "empty": 2,
        "skipped": 2,
        "unknown_items": 6,
        "write_units": 3,
        "items": 10,
        "expires": EXPIRES,
    }
    assert RunPaths("next", run).plan in of.store.objects


class FailingSets(MemoryCandidateSets):
    """Stores, and then fails, at its n-th call: the unit never learns that it was stored."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def put(self, model: str, run: str, sets: Sequence[CandidateSet], expires: int) -> None:
        super().put(model, run, sets, expires)
        self.left -= 1
        if self.left == 0:
            raise Transient("the table could not be reached")


def test_a_unit_that_is_retried_writes_the_same() -> None:
    calm = bench()
    done = calm.score(planned(calm, ROWS, unit=600))
    assert len(done) > 2
    for failing in range(1, len(done) + 1):
        of = bench()
        of.candidates = FailingSets(failing)
        plan = planned(of, ROWS, unit=600)
        with pytest.raises(Transient):
            of.score(plan)
        assert of.score(plan) == done
        assert isinstance(calm.candidates, MemoryCandidateSets)
        assert of.candidates.held == calm.candidates.held
        assert of.store.objects == calm.store.objects


def test_a_model_without_candidates_writes_none() -> None:
    of = Bench()
    plan = of.plan("tiny/a.jsonl", jsonl_bytes([row(1)]))
    assert "candidates" not in of.score(plan)[0]
    assert isinstance(of.candidates, MemoryCandidateSets) and not of.candidates.held


class Discarding:
    """Counts the sets and the most of a call."""

    def __init__(self) -> None:
        self.sets = self.most = 0

    def put(self, model: str, run: str, sets: Sequence[CandidateSet], expires: int) -> None:
        self.sets += len(sets)
        self.most = max(self.most, len(sets))

    def get(self, model: str, run: str, user: str, now: float) -> CandidateSet | None:
        return None


def test_a_unit_holds_the_sets_of_a_chunk_at_most() -> None:
    of, kept = bench(), Discarding()
    of.candidates = kept
    rows = [{"customer": f"c{n}", "first": 1} for n in range(30_000)]
    (result,) = of.score(planned(of, rows, unit=1 << 30))
    assert (result["candidates"]["users"], kept.sets) == (30_000, 30_000)
    assert kept.most <= 2_000 + 8_192


# ---- the report, and what readers see ------------------------------------------------------------


def test_a_report_counts_users_and_the_coverage_of_the_catalogue() -> None:
    of = bench()
    rows = [*ROWS, {"customer": "e", "first": 0}, {"customer": "u", "first": 8}]
    folder = finished(of, rows)
    report = orjson.loads(of.store.objects[folder.report])
    assert report["candidates"] == {
        "users": 51,
        "repeated": 0,
        "empty": 1,
        "skipped": 0,
        "unknown_items": 1,
        "write_units": 51,
        "items": 10,
        "listed_items": 10,
        "coverage": 1.0,
        "expires": EXPIRES,
        "popular": {"": [4, 5, 6, 7, 3, 8, 2, 9, 1, 10]},
        "segments": {},
    }
    assert report["notes"] == [
        "1 rows have no candidates: nothing was stored for their users.",
        "1 listed items were left out as unknown: the catalogue has the numbers 1 to 10.",
    ]
    assert orjson.loads(of.store.objects[folder.manifest])["candidates"] == report["candidates"]
    assert report["cost"]["parts"]["dynamodb"] == round(51 * 0.625e-6, 6)
    assert "<b>51</b><span>users with candidates</span>" in page(report).decode()


def test_the_newest_run_is_shown_and_an_older_one_by_hand() -> None:
    of, cells = bench(), MemoryConditionalObjects()
    old, new = finished(of, ROWS, "old", 19), finished(of, ROWS, "new", 20)
    assert shown(of, cells, new)["run"] == new.run
    assert shown(of, cells, old)["run"] == new.run  # a late redrive of an older run
    pointer = shown(of, cells, old, by="ada")
    assert (pointer["run"], pointer["by"], pointer["before"]) == (old.run, "ada", new.run)
    assert pointer["candidates"]["expires"] == EXPIRES - 86_400
    assert current_run("next", None, cells) == pointer
    assert shown(of, cells, new)["run"] == old.run  # a repeated report does not undo it


def test_an_empty_run_is_shown_only_if_forced() -> None:
    of, cells = bench(), MemoryConditionalObjects()
    good = finished(of, ROWS, "good", 19)
    empty = finished(of, [{"customer": "c", "first": 0}], "empty", 20)
    assert shown(of, cells, empty) is None
    shown(of, cells, good)
    assert shown(of, cells, empty)["run"] == good.run
    with pytest.raises(BadInput, match="a run with candidates of some user, or --force"):
        shown(of, cells, empty, by="ada")
    assert current_run("next", None, cells) == shown(of, cells, good)
    assert shown(of, cells, empty, by="ada", force=True)["run"] == empty.run
    notes = orjson.loads(of.store.objects[empty.report])["notes"]
    assert "No user has candidates: readers keep those of the run that they see." in notes


def test_runs_that_readers_could_not_use_are_refused() -> None:
    of, cells = bench(), MemoryConditionalObjects()
    with pytest.raises(BadInput, match="whose candidates are kept, got expired 2026-11-19 08:00"):
        shown(of, cells, finished(of, ROWS, "old", 10), by="ada")
    with pytest.raises(NotFound):
        shown(of, cells, RunPaths("next", "no-such-run"), by="ada")
    other = Bench()
    plan = other.plan("tiny/a.jsonl", jsonl_bytes([row(1)]))
    assert isinstance(plan, Plan)
    other.score(plan)
    report_run(plan.folder, store=other.store, cells=other.cells, clock=lambda: NOW)
    assert shown(other, cells, plan.folder) is None


def test_a_report_warns_before_the_candidates_that_readers_see_are_deleted() -> None:
    of, cells = bench(), MemoryConditionalObjects()
    old = finished(of, ROWS, "old", 12)
    shown(of, cells, old)

    def notes(name: str, rows: list[dict[str, Any]], day: int) -> list[str]:
        live = lambda: current_run("next", None, cells)  # noqa: E731
        folder = finished(of, rows, name, day, live=live)
        found: list[str] = orjson.loads(of.store.objects[folder.report])["notes"]
        return [note for note in found if "readers see, of" in note]

    warning = (
        f"The candidates that readers see, of run {old.run}, are deleted after 2026-11-21 08:00 "
        "UTC: a new run must succeed."
    )
    empty = [{"customer": "c", "first": 0}]
    assert notes("empty", empty, 20) == [warning]
    assert notes("refused", [{"customer": "c", "first": "x"}], 20) == [warning]
    assert notes("new", ROWS, 20) == []
    pointer = current_run("next", None, cells)
    late = (NOW + timedelta(days=1)).timestamp()
    assert "were deleted after" in (expiry_note(pointer, late) or "")
    assert expiry_note(None, late) is None


class Watched(MemoryConditionalObjects):
    """Lets readers read before and after each write."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__()
        self.look = look

    def swap(self, key: str, body: bytes, tag: str | None) -> bool:
        self.look()
        done = super().swap(key, body, tag)
        self.look()
        return done


class LookingSets(MemoryCandidateSets):
    """Lets readers read before and after each write."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__()
        self.look = look

    def put(self, model: str, run: str, sets: Sequence[CandidateSet], expires: int) -> None:
        self.look()
        super().put(model, run, sets, expires)
        self.look()


#: the rows of a night later, on which each user's first item is one more
LATER = [{**one, "first": one["first"] + 1} for one in ROWS]


class Readers:
    """What readers of all users see: the run, and by how much the first items exceed `ROWS`."""

    def __init__(self, of: Bench) -> None:
        self.of, self.cells = of, Watched(self.look)
        self.seen: list[tuple[str, frozenset[int]]] = []

    def look(self) -> None:
        pointer = current_run("next", None, self.cells)
        if pointer is None:
            return
        users = [one["customer"] for one in ROWS]
        sets = [self.of.candidates.get("next", pointer["run"], user, 0.0) for user in users]
        firsts = [int(unpacked(one.body)[0][0]) if one else 0 for one in sets]
        gaps = {first - one["first"] for first, one in zip(firsts, ROWS, strict=True)}
        self.seen.append((pointer["run"], frozenset(gaps)))


def test_readers_see_one_run_for_all_users_while_another_is_written_and_shown() -> None:
    of = bench()
    readers = Readers(of)
    of.candidates = LookingSets(readers.look)
    first = finished(of, ROWS, "first", 19)
    shown(of, readers.cells, first)
    second = finished(of, LATER, "second", 20)
    shown(of, readers.cells, second)
    assert set(readers.seen) == {(first.run, frozenset({0})), (second.run, frozenset({1}))}
    runs = [run for run, _ in readers.seen]
    assert runs == sorted(runs, key=[first.run, second.run].index)


def test_readers_keep_a_newer_run_that_is_shown_while_an_older_one_is_redriven() -> None:
    of = bench()
    readers = Readers(of)
    of.candidates = FailingSets(2)
    old = started(of, planned(of, ROWS, "old", unit=600), 19)
    with pytest.raises(Transient):
        of.score(old)
    report = report_run(old.folder, store=of.store, cells=of.cells, clock=lambda: NOW)
    assert report["status"] == "failed"

    held = of.candidates.held
    of.candidates = LookingSets(readers.look)
    of.candidates.held = held
    new = finished(of, LATER, "new", 20)
    assert current_run("next", None, readers.cells) is None

    def flip() -> None:  # the newer run is shown between two units of the redrive
        readers.look()
        shown(of, readers.cells, new)

    of.candidates.look = flip
    of.score(old)
    report = report_run(old.folder, store=of.store, cells=of.cells, clock=lambda: NOW)
    assert report["status"] == "succeeded"
    assert shown(of, readers.cells, old.folder)["run"] == new.run
    readers.look()
    assert set(readers.seen) == {(new.run, frozenset({1}))}
    assert len(readers.seen) > 3

    shown(of, readers.cells, old.folder, by="ada")  # what was redriven is whole
    readers.look()
    assert readers.seen[-1] == (old.folder.run, frozenset({0}))
