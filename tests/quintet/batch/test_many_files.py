"""A run over many files: what is taken, what is refused by name, and that no row is lost."""

from __future__ import annotations

import dataclasses
import gzip
import io
from typing import Any

import orjson
import pytest
from arro3 import core
from arro3 import io as arrow_io
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kits.batch import (
    BUCKET,
    CONTRACT,
    KINDS,
    Bench,
    csv_bytes,
    jsonl_bytes,
    parquet_bytes,
    row,
)

from quintet.batch import input_listing, planning
from quintet.batch.inputs import content
from quintet.batch.packing import units_of
from quintet.batch.planning import MemoryCatalog, Pinned
from quintet.batch.plans import REPLAY_OF, Plan, RefusedPlan, dump, plan_from, unit_from
from quintet.batch.requests import RunRequest, request_from
from quintet.contract import Contract
from quintet.errors import BadInput
from quintet.formats import inspection
from quintet.formats.inspection import Cut
from quintet.formats.sources import Slice

ROWS = [row(number) for number in range(60)]


def bench_of(files: dict[str, bytes]) -> Bench:
    bench = Bench()
    for key, body in files.items():
        bench.inbox.put(BUCKET, key, body)
    return bench


def planned(bench: Bench, unit_bytes: int = 1 << 20, **asked: Any) -> Plan:
    plan = bench.plan_many(unit_bytes, **(asked or {"prefix": "data/"}))
    assert isinstance(plan, Plan), plan
    return plan


def refused(bench: Bench, **asked: Any) -> tuple[str, ...]:
    plan = bench.plan_many(**(asked or {"prefix": "data/"}))
    assert isinstance(plan, RefusedPlan), plan
    assert list(bench.store.objects) == [plan.folder.plan]
    return plan.refusals


def scored(bench: Bench, plan: Plan) -> list[tuple[Any, ...]]:
    """Score a run of which every row must end somewhere; file, row and customer of each score."""
    results = bench.score(plan)
    assert [r["status"] for r in results] == ["done"] * plan.units, results
    assert sum(r["scored"] + r["quarantined"] for r in results) == plan.rows
    return [(r["file"], r["row"], r["customer"]) for r in bench.scores(plan.folder)]


def keys(plan: Plan, bench: Bench) -> list[str]:
    document = orjson.loads(bench.store.objects[plan.inputs_key])
    return [file["key"] for file in document["files"]]


# ---- what is taken ---------------------------------------------------------------------------


@pytest.mark.parametrize("unit_bytes", [1, 700, 2000, 1 << 20])
@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        ("csv", csv_bytes),
        ("csv.gz", lambda rows: gzip.compress(csv_bytes(rows))),
        ("jsonl", jsonl_bytes),
        ("parquet", lambda rows: parquet_bytes(rows, 7)),
    ],
)
def test_every_row_of_every_file_is_scored_once(suffix: str, write: Any, unit_bytes: int) -> None:
    parts = {"a": ROWS[:1], "b": ROWS[1:40], "c": ROWS[40:]}
    bench = bench_of({f"data/{name}.{suffix}": write(rows) for name, rows in parts.items()})
    plan = planned(bench, unit_bytes)
    assert scored(bench, plan) == [
        (f"data/{name}.{suffix}", number, one["customer"])
        for name, rows in parts.items()
        for number, one in enumerate(rows)
    ]
    # and each as it is scored in one file
    alone = Bench()
    whole = alone.plan(f"tiny/all.{suffix}", write(ROWS), unit_bytes)
    alone.score(whole)
    for one, other in zip(bench.scores(plan.folder), alone.scores(whole.folder), strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-6)
        rest = {name: one[name] for name in one if name not in ("file", "row", "score")}
        assert rest == {name: other[name] for name in rest}


def test_the_plan_pins_every_file() -> None:
    bench = bench_of({"data/b.csv": csv_bytes(ROWS[:3]), "data/a.csv": csv_bytes(ROWS[3:])})
    plan = planned(bench)
    first, second = (bench.inbox.snapshot(BUCKET, f"data/{n}.csv", None) for n in "ab")
    assert (plan.scope, plan.files, plan.rows, plan.format) == ("prefix", 2, 60, "csv")
    assert dataclasses.asdict(plan.input) == {
        "bucket": BUCKET,
        "key": "data/",
        "version_id": None,
        "etag": content([first, second]),
        "size": first.size + second.size,
        "metadata": {},
    }
    assert orjson.loads(bench.store.objects[plan.inputs_key]) == {
        "layouts": [
            {
                "format": "csv",
                "gzip": False,
                "delimiter": ",",
                "columns": ["customer", "amount", "visits", "country", "rate"],
            }
        ],
        "files": [
            {
                "bucket": BUCKET,
                "key": one.key,
                "version_id": "v1",
                "etag": one.etag,
                "size": one.size,
                "rows": rows,
                "constants": {},
                "layout": 0,
            }
            for one, rows in ((first, 57), (second, 3))
        ],
    }
    assert plan_from(dump(plan)) == plan
    (unit,) = bench.units(plan)
    assert unit_from(orjson.loads(dump(unit))) == unit


def test_the_same_files_give_the_same_bytes() -> None:
    files = {f"data/{n:03d}.jsonl": jsonl_bytes(ROWS[: n % 7 + 1]) for n in range(40)}
    stores = []
    for _ in range(2):
        bench = bench_of(files)
        bench.score(planned(bench, 900))
        stores.append(bench.store.objects)
    assert stores[0] == stores[1]


def test_many_small_files_share_a_unit_and_a_large_one_has_many() -> None:
    small = {f"data/{n:03d}.jsonl": jsonl_bytes([row(n)]) for n in range(100)}
    bench = bench_of({**small, "data/large.jsonl": jsonl_bytes(ROWS * 20)})
    plan = planned(bench, 10_000)
    units = bench.units(plan)
    size = sum(len(body) for body in small.values()) + len(jsonl_bytes(ROWS * 20))
    assert plan.units == len(units) <= -(-size // 10_000) + 2
    assert len(units[0].slices) == 100
    assert {part.file for unit in units[1:] for part in unit.slices} == {100}
    assert len(scored(bench, plan)) == 1300


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(1, 400), max_size=6), max_size=30), st.integers(1, 1000))
def test_packing_takes_every_slice_once_and_in_order(sizes: list[list[int]], target: int) -> None:
    cuts = [[Cut(Slice(n, n + 1, n, n + 1), size) for n, size in enumerate(file)] for file in sizes]
    request = request_from({"bucket": "b", "model": "m", "prefix": "p"})
    units = units_of(request, cuts, target)
    taken = [(part.file, part.start) for unit in units for part in unit.slices]
    assert taken == [(number, n) for number, file in enumerate(sizes) for n in range(len(file))]
    for unit in units:
        assert unit.rows == sum(part.rows for part in unit.slices)
        assert len(unit.slices) == 1 or sum(sizes[p.file][p.start] for p in unit.slices) <= target


def test_a_unit_stays_below_the_size_of_an_item_of_the_map() -> None:
    bench = bench_of({f"data/{n:04d}.jsonl": b'{"amount":1}\n' for n in range(2500)})
    plan = planned(bench)
    units = orjson.loads(bench.store.objects[plan.units_key])
    assert [len(unit["slices"]) for unit in units] == [1000, 1000, 500]
    assert max(len(orjson.dumps(unit)) for unit in units) < 128 << 10


def test_hidden_files_and_folder_markers_are_left_alone() -> None:
    good = csv_bytes(ROWS[:2])
    hidden = ["_SUCCESS", ".part-0.csv.crc", "_temporary/0/part-0.csv", "x/.git/a.csv", "_d/b.csv"]
    marks = {"data/": b"", "data/x/": b"", "data/y_$folder$": b""}
    files = {"data/a.csv": good, "data/x/b.csv": good, "data/_k=1/c.csv": good}
    bench = bench_of({**files, **marks, **{f"data/{name}": b"garbage" for name in hidden}})
    plan = planned(bench)
    assert keys(plan, bench) == ["data/_k=1/c.csv", "data/a.csv", "data/x/b.csv"]
    assert plan.notes[1:] == ("5 hidden files (their names begin with _ or .) were left out.",)


def test_files_that_hold_no_data_are_left_out_and_named() -> None:
    good = csv_bytes(ROWS[:2])
    beside = ["README.md", "a.csv.crc", "a.csv.sha256", "x/LICENSE", "Readme.TXT", "Thumbs.db"]
    files = {"data/a.csv": good, "data/readme_rows.csv": good}
    bench = bench_of({**files, **{f"data/{name}": b"# text" for name in beside}})
    plan = planned(bench)
    assert keys(plan, bench) == list(files)
    assert plan.notes[1:] == (
        "Files that by their names hold no data were left out (6): "
        "README.md, Readme.TXT, Thumbs.db, a.csv.crc, a.csv.sha256 and 1 more.",
    )
    alone = bench_of({"data/README.md": b"# text"})
    assert refused(alone) == (
        "prefix: expected files in data/, got none; 1 hold no data, by their names",
    )
    assert refused(bench_of({"data/a.csv": good, "data/a.xlsx": b"PK"})) == (
        "data/a.xlsx: expected CSV, JSONL (both also gzipped) or Parquet, "
        "got the unknown suffix 'xlsx'",
    )


def test_a_prefix_below_a_hidden_folder_can_be_named() -> None:
    bench = bench_of({"_data/tiny/a.csv": csv_bytes(ROWS[:2])})
    assert keys(planned(bench, prefix="_data/tiny/"), bench) == ["_data/tiny/a.csv"]
    assert keys(planned(bench, prefix="_data/ti"), bench) == ["_data/tiny/a.csv"]


def test_column_order_may_differ_between_files() -> None:
    turned = [dict(reversed(one.items())) for one in ROWS[:9]]
    semicolons = csv_bytes(ROWS[:9]).replace(b",", b";")
    bench = bench_of(
        {
            "data/a.csv": csv_bytes(ROWS[:9]),
            "data/b.csv": csv_bytes(turned),
            "data/c.csv": semicolons,
            "data/d.csv.gz": gzip.compress(csv_bytes(turned)),
        }
    )
    scored(bench, planned(bench))
    found = bench.scores(planned(bench).folder)
    by_file = [
        [{**one, "file": ""} for one in found if one["file"] == f"data/{name}"]
        for name in ("a.csv", "b.csv", "c.csv", "d.csv.gz")
    ]
    assert by_file == [by_file[0]] * 4 and len(by_file[0]) == 9

    kinds = dict(reversed(KINDS.items()))
    bench = bench_of(
        {"data/a": parquet_bytes(ROWS[:9]), "data/b": parquet_bytes(ROWS[:9], kinds=kinds)}
    )
    assert len(scored(bench, planned(bench))) == 18


def test_empty_files_are_left_out_with_a_note() -> None:
    bench = bench_of({"data/a.csv": b"", "data/b.csv": csv_bytes(ROWS[:2]), "data/c.csv": b""})
    plan = planned(bench)
    assert plan.notes[1:] == ("2 empty files (0 bytes) were left out.",)
    assert keys(plan, bench) == ["data/b.csv"]


def test_files_without_rows_are_a_run_without_units() -> None:
    bench = bench_of({"data/a": parquet_bytes([]), "data/b": parquet_bytes([])})
    plan = planned(bench)
    assert (plan.rows, plan.units, plan.files) == (0, 0, 2)
    assert plan.notes == (
        "2 files are in this run; inputs.json lists them with their versions.",
        "The files have no rows.",
    )
    bench = bench_of({"data/a": parquet_bytes([]), "data/b": parquet_bytes(ROWS)})
    plan = planned(bench)
    assert (plan.rows, plan.units) == (60, 1)
    assert len(scored(bench, plan)) == 60


def test_fifty_thousand_empty_objects_end_at_once() -> None:
    bench = Bench()
    empty = bench.inbox.put(BUCKET, "data/00000", b"")
    for number in range(50_000):
        key = f"data/{number:05d}"
        bench.inbox.versions[BUCKET, key] = [(dataclasses.replace(empty, key=key), b"")]
    assert refused(bench) == ("prefix: expected files with rows, got 50,000 empty files (0 bytes)",)


def test_quarantined_rows_and_reasons_name_their_file() -> None:
    bad = [*ROWS[:3], row(3, country="xx")]
    bench = bench_of({"data/a.jsonl": jsonl_bytes(ROWS[:2]), "data/b.jsonl": jsonl_bytes(bad)})
    plan = planned(bench)
    (result,) = bench.score(plan)
    (line,) = bench.quarantine(plan.folder)
    assert (line["file"], line["row"]) == ("data/b.jsonl", 3)
    assert result["reasons"] == [
        {
            "field": "country",
            "expected": "one of de, fr",
            "rows": 1,
            "examples": [{"file": "data/b.jsonl", "row": 3, "got": "'xx'"}],
        }
    ]


def test_a_unit_of_refused_rows_only_has_the_column_all_the_same() -> None:
    bench = bench_of({"data/a.jsonl": b"{}\n{}\n"})
    plan = planned(bench)
    assert [r["quarantined"] for r in bench.score(plan)] == [2]
    body = bench.store.objects[plan.folder.scores(0, "parquet")]
    names = arrow_io.read_parquet(body).schema.names
    assert names[:3] == ["file", "row", "customer"]


# ---- partitions ------------------------------------------------------------------------------

PLACED = ("amount", "visits", "rate")


def placed(number: int) -> dict[str, Any]:
    """A row without the columns that folders say."""
    return {"customer": f"c{number}", **{name: row(number)[name] for name in PLACED}}


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        ("csv", csv_bytes),
        ("jsonl", jsonl_bytes),
        (
            "parquet",
            lambda rows: parquet_bytes(
                rows, kinds={name: KINDS[name] for name in ("customer", *PLACED)}
            ),
        ),
    ],
)
def test_folders_give_the_columns_of_their_names(suffix: str, write: Any) -> None:
    body = write([placed(n) for n in range(3)])
    bench = bench_of({f"data/country={c}/day=1/a.{suffix}": body for c in ("de", "fr")})
    plan = planned(bench, prefix="data/country=")
    scored(bench, plan)
    assert [(r["file"], r["country_seen"]) for r in bench.scores(plan.folder)] == [
        (f"data/country={c}/day=1/a.{suffix}", c) for c in ("de", "fr") for _ in range(3)
    ]


def test_folders_of_one_file_are_read_where_it_is_a_replay() -> None:
    key = "tiny/country=fr/a.csv"
    bench = Bench()
    bench.inbox.put(BUCKET, key, csv_bytes([placed(1)]))
    assert refused(bench, key=key) == (
        "country: expected a column of that name, got no such column",
    )
    bench.store.objects.clear()
    bench.inbox.put(BUCKET, key, csv_bytes([placed(1)]), {REPLAY_OF: "a-run"})
    plan = planned(bench, key=key)
    assert plan == plan_from(bench.store.objects[plan.folder.plan])
    bench.score(plan)
    assert [found["country_seen"] for found in bench.scores(plan.folder)] == ["fr"]


def test_a_partition_chooses_its_files() -> None:
    body = csv_bytes(ROWS[:2])
    places = ["month=2026-01/a", "month=2026-01/day=2/b", "month=2026-02/c", "month=2026-011/d"]
    bench = bench_of({f"data/{place}.csv": body for place in places})
    plan = planned(bench, prefix="data/", partition="month=2026-01")
    assert keys(plan, bench) == ["data/month=2026-01/a.csv", "data/month=2026-01/day=2/b.csv"]
    bench.store.objects.clear()
    plan = planned(bench, prefix="data/", partition="day=2/month=2026-01")
    assert keys(plan, bench) == ["data/month=2026-01/day=2/b.csv"]
    bench.store.objects.clear()
    assert refused(bench, prefix="data/", partition="month=2026-03") == (
        "partition: expected files of month=2026-03 in data/, got none among 4 files",
    )


def test_values_of_folders_are_read_as_hive_writes_them() -> None:
    assert input_listing.constants(CONTRACT, "visits=7/rate=0.25/country=d%2Fe/x/a=1/f") == {
        "visits": 7,
        "rate": 0.25,
        "country": "d/e",
    }
    # no value, no feature of the request, and a file that only looks like a folder
    assert input_listing.constants(CONTRACT, "rate=__HIVE_DEFAULT_PARTITION__/visits=7") == {}
    with pytest.raises(BadInput, match=r"folder visits=: expected a number \(int64\), got 'x'"):
        input_listing.constants(CONTRACT, "visits=x/f")


def test_names_of_partitions_are_compared_without_case() -> None:
    body = b"".join(line.rpartition(b",")[0] + b"\n" for line in csv_bytes(ROWS[:2]).splitlines())
    places = ["MONTH=2026-01/RATE=0.25/a", "month=2026-01/rate=0.25/b", "Month=2026-02/c"]
    bench = bench_of({f"data/{place}.csv": body for place in places})
    for asked in ("month=2026-01", "MONTH=2026-01", "Month=2026-01/Rate=0.25"):
        plan = planned(bench, prefix="data/", partition=asked)
        assert keys(plan, bench) == [f"data/{place}.csv" for place in places[:2]]
        files = orjson.loads(bench.store.objects[plan.inputs_key])["files"]
        assert [file["constants"] for file in files] == [{"rate": 0.25}] * 2
        bench.store.objects.clear()
    with pytest.raises(BadInput, match="folder RATE=: expected one folder for rate, got two"):
        input_listing.constants(CONTRACT, "rate=0.25/RATE=0.5/f")
    pair = dataclasses.replace(
        CONTRACT,
        features=(*CONTRACT.features, dataclasses.replace(CONTRACT.features[3], name="Rate")),
    )
    assert input_listing.constants(pair, "Rate=0.25/rate=0.5/f") == {"Rate": 0.25, "rate": 0.5}
    with pytest.raises(
        BadInput, match="folder RATE=: expected a folder rate or Rate, got one that"
    ):
        input_listing.constants(pair, "RATE=0.25/f")


def test_a_column_that_is_also_a_folder_is_refused() -> None:
    bench = bench_of({"data/country=de/a.csv": csv_bytes(ROWS[:2])})
    assert refused(bench) == (
        "data/country=de/a.csv: country: expected a column or a folder country=..., got both",
    )


# ---- manifests -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "manifest",
    [
        [{"prefix": "s3://inbox/data/"}, "b.csv", "a.csv"],
        [{"prefix": "s3://inbox/da"}, "ta/b.csv", "ta/a.csv"],
        ["data/b.csv", "data/a.csv"],
        ["s3://inbox/data/b.csv", {"key": "data/a.csv"}],
        [{"key": "data/b.csv", "version_id": "v1"}, {"key": "s3://inbox/data/a.csv"}],
    ],
)
def test_manifests_list_files_in_their_order(manifest: list[Any]) -> None:
    files = {f"data/{name}.csv": csv_bytes(ROWS[:2]) for name in "abc"}
    bench = bench_of({**files, "lists/m.json": orjson.dumps(manifest)})
    plan = planned(bench, manifest="lists/m.json")
    assert keys(plan, bench) == ["data/b.csv", "data/a.csv"]
    assert (plan.scope, plan.input.key, plan.input.version_id) == (
        "manifest",
        "lists/m.json",
        "v1",
    )
    assert len(scored(bench, plan)) == 4


def test_a_manifest_names_versions_and_the_form_of_the_scores() -> None:
    bench = bench_of({"data/a.csv": csv_bytes(ROWS[:2])})
    bench.inbox.put(BUCKET, "data/a.csv", csv_bytes(ROWS))
    wanted = orjson.dumps([{"key": "data/a.csv", "version_id": "v1"}])
    bench.inbox.put(BUCKET, "m.json", wanted, {planning.OUTPUT: "jsonl"})
    plan = planned(bench, manifest="m.json")
    assert (plan.rows, plan.output) == (2, "jsonl")


FORM = 'a list of keys, or [{"prefix": "s3://..."}, "key", ...]'


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"", f"manifest: expected {FORM}, got text that is not JSON"),
        (b"{}", f"manifest: expected {FORM}, got something else"),
        (b"[]", "manifest: expected files in m.json, got none"),
        (b"[1]", "entry 0 of the manifest: expected a key, got something else"),
        (b'["a",{"prefix":"s3://b/"}]', "entry 1 of the manifest: expected a key, got something"),
        (b'["data/"]', "entry 0 of the manifest: expected the key of a file, got a folder"),
        (b'["s3://b"]', "entry 0 of the manifest: expected the key of a file, got a folder"),
        (b'[{"key":"a","version_id":1}]', "entry 0 of the manifest: expected a version_id of text"),
        (b'["a","s3://inbox/a"]', "manifest: expected every file once, got a twice"),
        (b'["data/z.csv"]', "data/z.csv: expected data/z.csv in the inbox, got nothing"),
    ],
)
def test_bad_manifests_are_refused(body: bytes, refusal: str) -> None:
    (found,) = refused(bench_of({"m.json": body}), manifest="m.json")
    assert found.startswith(refusal)


def test_a_manifest_that_is_not_there_is_refused() -> None:
    assert refused(Bench(), manifest="m.json") == (
        "the file: expected m.json in the inbox, got nothing; it was deleted",
    )


# ---- what is refused, by name ----------------------------------------------------------------

GOOD = csv_bytes(ROWS[:2])
DRIFTED = csv_bytes([{k: v for k, v in row(n).items() if k != "visits"} for n in range(2)])


@pytest.mark.parametrize(
    ("key", "body", "refusal"),
    [
        (
            "data/b.csv",
            DRIFTED,
            "data/b.csv: visits: expected a column of that name, got no such column",
        ),
        (
            "data/b.csv",
            GOOD.replace(b"customer", "künde".encode("latin-1")),
            "data/b.csv: the header: expected text in UTF-8, got another encoding",
        ),
        ("data/b.csv", GOOD.decode().encode("utf-16"), "data/b.csv: expected text in UTF-8, got "),
        ("data/b.csv.gz", gzip.compress(GOOD)[:-9], "data/b.csv.gz: expected a whole gzip, got a "),
        ("data/b.parquet", parquet_bytes(ROWS)[:-50], "data/b.parquet: expected Parquet, whole, "),
        ("data/b.xlsx", b"PK\x03\x04", "data/b.xlsx: expected CSV, JSONL (both also gzipped) or "),
        (
            "data/b.csv.gz",
            GOOD,
            "data/b.csv.gz: expected gzip, as its name ends in .gz, got data that is not gzip; ",
        ),
    ],
)
def test_one_bad_file_of_many_refuses_the_run_by_its_name(
    key: str, body: bytes, refusal: str
) -> None:
    (found,) = refused(bench_of({"data/a.csv": GOOD, key: body, "data/c.csv": GOOD}))
    assert found.startswith(refusal)


def columns(rows: list[dict[str, Any]], **other: core.Array) -> bytes:
    """Rows as Parquet, some of their columns given as they are."""
    whole = arrow_io.read_parquet(parquet_bytes(rows)).read_all()
    arrays = {name: whole.column(name).combine_chunks() for name in whole.schema.names}
    out = io.BytesIO()
    arrow_io.write_parquet(core.Table.from_pydict({**arrays, **other}), out)
    return out.getvalue()


WHOLE = core.DataType.int64()
STRUCT = core.struct_array([core.Array([1, 2], WHOLE)], fields=[core.Field("a", WHOLE)])
LIST = core.list_array(core.Array([0, 1, 2], core.DataType.int32()), STRUCT)
MOMENT = core.Array([1, 2], WHOLE).cast(core.DataType.timestamp("ms"))
DAY = core.Array([1, 2], core.DataType.int32()).cast(core.DataType.date32())


@pytest.mark.parametrize(
    ("name", "array", "got"),
    [
        ("amount", MOMENT, "Timestamp(ms)"),
        ("visits", DAY, "Date32"),
        ("customer", STRUCT, 'Struct("a": Int64)'),
        ("customer", MOMENT, "Timestamp(ms)"),
    ],
)
def test_columns_of_types_that_no_feature_has_are_refused_with_their_file(
    name: str, array: core.Array, got: str
) -> None:
    body = columns(ROWS[:2], **{name: array})
    bench = bench_of({"data/a": parquet_bytes(ROWS), "data/b": body})
    assert refused(bench) == (
        f"data/b: {name}: expected numbers, text or booleans, got a column of {got}",
    )


def test_columns_of_any_type_are_left_alone_where_the_model_takes_them_not() -> None:
    body = columns(ROWS[:2], s=STRUCT, l=LIST, t=MOMENT, d=DAY)
    bench = bench_of({"data/a": parquet_bytes(ROWS), "data/b": body})
    plan = planned(bench)
    assert len(scored(bench, plan)) == 62
    assert plan.ignored == ("s", "l", "t", "d")


def test_dictionaries_and_decimals_read_as_the_values_that_they_hold() -> None:
    texts, decimal = core.DataType.string(), core.DataType.decimal128(10, 2)
    packed = core.Array(["de", "fr"], texts).cast(
        core.DataType.dictionary(core.DataType.int32(), texts)
    )
    exact = core.Array([0, 1], WHOLE).cast(decimal)
    rows = [row(n, country=c, amount=n) for n, c in enumerate(("de", "fr"))]
    bench = bench_of(
        {"data/a": parquet_bytes(rows), "data/b": columns(rows, country=packed, amount=exact)}
    )
    scored(bench, planned(bench))
    found = [{**one, "file": ""} for one in bench.scores(planned(bench).folder)]
    assert len(found) == 4 and found[:2] == found[2:]


def test_rows_wider_than_memory_allows_are_refused_with_their_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inspection, "MAX_ROW_BYTES", 1 << 20)
    body = columns(ROWS[:2], note=core.Array(["x" * (2 << 20)] * 2, core.DataType.string()))
    bench = bench_of({"data/a": parquet_bytes(ROWS), "data/b": body})
    assert refused(bench) == (
        "data/b: row group 0: expected rows of at most 1 MiB, got rows of 2 MiB, about",
    )


def test_a_column_may_change_its_type_between_files() -> None:
    kinds = [core.DataType.int16(), core.DataType.float64(), core.DataType.string()]
    rows = [row(n, amount=n) for n in range(4)]
    bodies = {
        f"data/{n}": columns(rows, amount=core.Array([str(r["amount"]) for r in rows], kind))
        if n == 2
        else columns(rows, amount=core.Array([r["amount"] for r in rows], kind))
        for n, kind in enumerate(kinds)
    }
    bench = bench_of(bodies)
    scored(bench, planned(bench))
    found = [{**one, "file": ""} for one in bench.scores(planned(bench).folder)]
    assert len(found) == 12 and found[:4] == found[4:8] == found[8:]


def test_texts_that_drift_into_a_column_of_numbers_refuse_their_rows_alone() -> None:
    rows = [row(n) for n in range(4)]
    texts = core.Array(["0", "n/a", "0.5", "0.75"], core.DataType.string())
    bench = bench_of({"data/a": parquet_bytes(rows), "data/b": columns(rows, amount=texts)})
    plan = planned(bench)
    assert len(scored(bench, plan)) == 7
    (line,) = bench.quarantine(plan.folder)
    assert (line["file"], line["row"]) == ("data/b", 1)
    assert line["reasons"] == [
        {"field": "amount", "expected": "a number (float32)", "got": "'n/a'"}
    ]


def test_encodings_may_differ_between_files_of_utf8() -> None:
    umlaut = csv_bytes([row(1, customer="Ü")])
    files = {
        "data/a.csv": b"\xef\xbb\xbf" + umlaut,
        "data/b.csv": umlaut.replace(b"\n", b"\r\n"),
        "data/c.csv.gz": gzip.compress(b"\xef\xbb\xbf" + umlaut),
        "data/d.csv": umlaut.replace("Ü".encode(), "Ü".encode("latin-1")),
    }
    bench = bench_of(files)
    plan = planned(bench)
    assert scored(bench, plan) == [(key, 0, "Ü") for key in list(files)[:3]]
    (line,) = bench.quarantine(plan.folder)
    assert (line["file"], line["encoding"]) == ("data/d.csv", "latin-1")
    for encoding in ("utf-16", "utf-16-le", "utf-32"):
        body = csv_bytes([row(1)]).decode().encode(encoding)
        (refusal,) = refused(bench_of({**files, "data/e.csv": body}))
        assert refusal.startswith("data/e.csv: expected ")


def test_a_record_that_is_too_long_is_refused_in_its_file() -> None:
    wide = jsonl_bytes([row(1), row(2, note="x" * (1 << 20)), row(3)])
    bench = bench_of({"data/a.jsonl": jsonl_bytes(ROWS[:2]), "data/b.jsonl": wide})
    plan = planned(bench)
    assert scored(bench, plan) == [
        ("data/a.jsonl", 0, "c0"),
        ("data/a.jsonl", 1, "c1"),
        ("data/b.jsonl", 0, "c1"),
        ("data/b.jsonl", 2, "c3"),
    ]
    (refused,) = bench.quarantine(plan.folder)
    assert (refused["file"], refused["row"]) == ("data/b.jsonl", 1)


def test_formats_may_not_be_mixed() -> None:
    bench = bench_of({"data/a.csv": GOOD, "data/b.parquet": parquet_bytes(ROWS)})
    assert refused(bench) == (
        "the files: expected files of one format, got csv (data/a.csv), parquet (data/b.parquet)",
    )


def test_all_bad_files_are_named_up_to_a_hundred() -> None:
    lacking = b"customer,rate\nx,1\n"
    bench = bench_of({f"data/{n:03d}.csv": lacking for n in range(20)})
    found = refused(bench)
    assert len(found) == 60  # three columns of each
    bench = bench_of({f"data/{n:03d}.csv": lacking for n in range(40)})
    assert [line.partition(":")[0] for line in refused(bench)] == [
        f"data/{n:03d}.csv" for n in range(40)
    ]
    bench = bench_of({f"data/{n:03d}.csv": lacking for n in range(150)})
    found = refused(bench)
    assert [line.partition(":")[0] for line in found[:99]] == [
        f"data/{n:03d}.csv" for n in range(99)
    ]
    assert found[99:] == ("other files: expected files that can be scored, got 51",)


def test_an_empty_prefix_is_refused() -> None:
    bench = bench_of({"other/a.csv": GOOD})
    assert refused(bench) == ("prefix: expected files in data/, got none",)
    bench = bench_of({"data/_a.csv": GOOD})
    assert refused(bench) == (
        "prefix: expected files in data/, got none; 1 are hidden, as their names begin with _ or .",
    )
    assert refused(Bench()) == ("bucket: expected one that this stack may read, got another",)


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_listing, "MAX_FILES", 3)
    names = [f"data/{n}.csv" for n in range(4)]
    files = {**dict.fromkeys(names, GOOD), "m.json": orjson.dumps(names)}
    assert refused(bench_of(files)) == (
        "prefix: expected at most 3 files, got more; name a partition",
    )
    assert refused(bench_of(files), manifest="m.json") == (
        "manifest: expected at most 3 files, got 4",
    )


def test_a_model_with_an_output_called_file_takes_single_files_only() -> None:
    odd: Contract = dataclasses.replace(CONTRACT, entity="file")
    bench = bench_of({"data/a.csv": GOOD})
    bench.catalog = MemoryCatalog(Pinned(3, "d" * 64, "s" * 64, odd))
    assert refused(bench) == (
        "model: expected no entity or output named 'file', for many files, got one",
    )


# ---- what changes on the way -----------------------------------------------------------------


@pytest.mark.parametrize("change", ["overwritten", "deleted"])
def test_a_file_that_changes_after_planning_fails_its_unit_by_name(change: str) -> None:
    names = ("a", "b", "c")
    bench = bench_of({f"data/{name}.csv": csv_bytes(ROWS) for name in names})
    plan = planned(bench, len(csv_bytes(ROWS)))
    assert plan.units == 3
    held = bench.inbox.versions[BUCKET, "data/b.csv"]
    if change == "deleted":
        held.clear()
    else:
        held[0] = (dataclasses.replace(held[0][0], etag="other"), b"x")
    results = bench.score(plan)
    assert [r["status"] for r in results] == ["done", "failed", "done"]
    assert results[1]["reason"] == (
        "data/b.csv: expected data/b.csv as it was planned, got another; "
        "it was deleted or overwritten"
    )


def test_a_new_version_after_planning_changes_nothing() -> None:
    bench = bench_of({"data/a.csv": csv_bytes(ROWS)})
    plan = planned(bench)
    bench.inbox.put(BUCKET, "data/a.csv", b"garbage")
    bench.inbox.put(BUCKET, "data/b.csv", b"garbage")
    assert len(scored(bench, plan)) == 60


def test_a_file_that_changes_while_planning_is_named() -> None:
    bench = bench_of({"data/a.csv": GOOD, "data/b.csv": GOOD})
    read = bench.inbox.read

    def racing(snapshot: Any, start: int, end: int) -> bytes:
        if snapshot.key == "data/b.csv":
            bench.inbox.versions[BUCKET, "data/b.csv"].clear()
        return read(snapshot, start, end)

    bench.inbox.read = racing  # type: ignore[method-assign]
    assert refused(bench) == (
        "data/b.csv: expected data/b.csv as it was planned, got another; "
        "it was deleted or overwritten",
    )


def test_damaged_pages_fail_their_unit_with_the_file_named() -> None:
    body = bytearray(parquet_bytes(ROWS, 100))
    bench = bench_of({"data/a": parquet_bytes(ROWS), "data/b": bytes(body)})
    plan = planned(bench, 1)
    held = bench.inbox.versions[BUCKET, "data/b"]
    body[40:100] = b"\xff" * 60
    held[0] = (held[0][0], bytes(body))
    results = bench.score(plan)
    assert [r["status"] for r in results] == ["done", "failed"]
    assert results[1]["reason"] == (
        "data/b: expected Parquet, whole, got data that cannot be decoded"
    )


def test_rows_in_another_encoding_are_refused_alone() -> None:
    latin = csv_bytes([row(1, customer="Ü"), row(2)]).decode().encode("latin-1")
    bench = bench_of({"data/a.csv": csv_bytes([row(1, customer="Ü")]), "data/b.csv": latin})
    plan = planned(bench)
    assert scored(bench, plan) == [("data/a.csv", 0, "Ü"), ("data/b.csv", 1, "c2")]
    (line,) = bench.quarantine(plan.folder)
    assert (line["file"], line["row"], line["encoding"]) == ("data/b.csv", 0, "latin-1")


def test_a_run_whose_list_of_files_is_gone_fails_its_units() -> None:
    bench = bench_of({"data/a.csv": GOOD})
    plan = planned(bench)
    del bench.store.objects[plan.inputs_key]
    (result,) = bench.score(plan)
    expected = "the run: expected its inputs.json or history.json, got nothing; it was deleted"
    assert result["reason"] == expected


# ---- requests --------------------------------------------------------------------------------


def test_requests_are_read_as_starters_send_them() -> None:
    dropped = {"bucket": "inbox", "key": "tiny/a.csv", "version_id": None}
    assert request_from(dropped, run="r", started="s") == RunRequest(
        run="r", started="s", bucket="inbox", key="tiny/a.csv", model="tiny"
    )
    asked = {"model": "tiny", "bucket": "b", "prefix": "p/", "partition": "m=1/d=2", "version": 3}
    found = request_from(asked)
    assert (found.scope, found.source, found.partition, found.version) == (
        "prefix",
        "p/",
        "m=1/d=2",
        3,
    )


@pytest.mark.parametrize(
    ("other", "refusal"),
    [
        ({"surprise": 1}, "surprise: expected one of bucket, model, version_id, partition, "),
        ({"bucket": None}, "bucket: expected the name of a bucket, got nothing"),
        ({"bucket": 7}, "bucket: expected a string of at most 1,024 characters, got a number"),
        ({"model": None}, "model: expected the model's name, with a prefix, got nothing"),
        ({"key": "a"}, "input: expected one of key, prefix, manifest, got key and prefix"),
        ({"prefix": None}, "input: expected one of key, prefix, manifest, got none"),
        ({"prefix": ""}, "prefix: expected a text that is not empty, got nothing"),
        ({"version": True}, "version: expected a whole number from 1, got true"),
        ({"version": 0}, "version: expected a whole number from 1, got 0"),
        ({"trial": 1}, "trial: expected true or false, got 1"),
        ({"version_id": "v"}, "version_id: expected none with a prefix, got one"),
        ({"partition": "2026"}, "partition: expected name=value, or a/b of those, got 2026"),
        ({"prefix": None, "key": "a", "partition": "a=1"}, "partition: expected none with a key"),
    ],
)
def test_requests_that_say_too_little_or_too_much_are_refused(
    other: dict[str, Any], refusal: str
) -> None:
    with pytest.raises(BadInput) as found:
        request_from({"bucket": "b", "model": "tiny", "prefix": "p/", **other})
    assert str(found.value).startswith(refusal)
