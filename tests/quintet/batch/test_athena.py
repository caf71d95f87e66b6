"""The tables that Athena reads: columns as they are written, locations that follow the pointer."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from arro3 import io as arrow_io
from tests.kits.batch import CONTRACT, Bench, csv_bytes, row

from quintet.batch.athena import CSV_TYPES, TYPES, MemoryTables, follow_pointer
from quintet.batch.plans import Plan, RunPaths
from quintet.batch.reports import report_run
from quintet.batch.stores import MemoryConditionalObjects
from quintet.batch.tables import show_run

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ARROW = {"Int64": "bigint", "Utf8": "string", "Float32": "float", "Boolean": "boolean"}


def finished(
    bench: Bench, name: str, day: int, partition: str | None = None, output: str | None = None
) -> RunPaths:
    """A run that was started on a day of November, and has succeeded."""
    body = csv_bytes([row(number) for number in range(5)])
    plan = bench.plan(f"tiny/{name}.csv", body, output=output)
    assert isinstance(plan, Plan)
    document = orjson.loads(bench.store.objects[plan.folder.plan])
    document |= {"started": f"2026-11-{day:02d}T08:00:00.000Z", "partition": partition}
    bench.store.put(plan.folder.plan, orjson.dumps(document))
    bench.score(plan)
    report_run(plan.folder, store=bench.store, cells=bench.cells, clock=lambda: NOW)
    return plan.folder


def followed(
    bench: Bench,
    folder: RunPaths,
    tables: MemoryTables,
    cells: MemoryConditionalObjects | None = None,
) -> None:
    cells = cells or MemoryConditionalObjects()
    pointer = show_run(folder, store=bench.store, cells=cells, clock=lambda: NOW)
    follow_pointer(
        pointer,
        bucket="scores",
        store=bench.store,
        cells=cells,
        tables=tables,
        contract=lambda plan: CONTRACT,
    )


def columns(table: dict[str, Any]) -> dict[str, str]:
    return {c["Name"]: c["Type"] for c in table["StorageDescriptor"]["Columns"]}


def test_a_models_table_is_the_run_that_its_pointer_names() -> None:
    bench, tables = Bench(), MemoryTables()
    folder = finished(bench, "a", 1)
    followed(bench, folder, tables)
    assert sorted(tables.tables) == ["tiny", "tiny_runs"]
    table = tables.tables["tiny"]
    assert table["StorageDescriptor"]["Location"] == f"s3://scores/{folder.root}scores/"
    assert table["PartitionKeys"] == []
    assert table["Parameters"]["quintet.run"] == folder.run
    # the columns are those of the files, in their order
    (part,) = bench.store.keys(f"{folder.root}scores/")
    schema = arrow_io.read_parquet(bench.store.objects[part]).read_all().schema
    kinds = {name: str(schema.field(name).type).strip() for name in schema.names}
    kinds = {name: kind[kind.index("<") + 1 : -1] for name, kind in kinds.items()}
    assert list(columns(table)) == list(kinds)
    assert columns(table) == {name: ARROW[kind] for name, kind in kinds.items()}


def test_every_run_is_there_by_its_name() -> None:
    bench, tables = Bench(), MemoryTables()
    followed(bench, finished(bench, "a", 1), tables)
    table = tables.tables["tiny_runs"]
    assert table["PartitionKeys"] == [{"Name": "run", "Type": "string"}]
    assert table["Parameters"] == {
        "EXTERNAL": "TRUE",
        "classification": "parquet",
        "projection.enabled": "true",
        "projection.run.type": "injected",
        "storage.location.template": "s3://scores/runs/tiny/${run}/scores/",
    }
    assert columns(table) == columns(tables.tables["tiny"])


def test_each_partition_is_at_its_own_run() -> None:
    bench, tables = Bench(), MemoryTables()
    folders = {
        month: finished(bench, month, day, f"month={month}")
        for day, month in ((1, "2026-01"), (2, "2026-02"))
    }
    for folder in folders.values():
        followed(bench, folder, tables)
    assert sorted(tables.tables) == ["tiny_by_month", "tiny_runs"]
    assert tables.tables["tiny_by_month"]["PartitionKeys"] == [{"Name": "month", "Type": "string"}]
    assert {
        key: partition["StorageDescriptor"]["Location"]
        for key, partition in tables.partitions.items()
    } == {
        ("tiny_by_month", month): f"s3://scores/{folder.root}scores/"
        for month, folder in folders.items()
    }


@pytest.mark.parametrize(("output", "serde"), [("csv", "OpenCSVSerde"), ("jsonl", "JsonSerDe")])
def test_texts_are_read_by_their_own_serde(output: str, serde: str) -> None:
    bench, tables = Bench(), MemoryTables()
    followed(bench, finished(bench, "a", 1, output=output), tables)
    assert sorted(tables.tables) == ["tiny"]
    table = tables.tables["tiny"]
    found = table["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"]
    assert found.endswith(f".{serde}")
    assert table["Parameters"].get("skip.header.line.count") == ("1" if output == "csv" else None)


#: https://docs.aws.amazon.com/athena/latest/ug/csv-serde.html
READ_FROM_CSV = {"string", "boolean", "bigint", "int", "double"}


def test_a_table_of_csv_has_the_types_that_its_serde_reads() -> None:
    shown = {}
    for output in ("csv", "jsonl"):
        bench, tables = Bench(), MemoryTables()
        followed(bench, finished(bench, "a", 1, output=output), tables)
        shown[output] = columns(tables.tables["tiny"])
    assert set(shown["csv"].values()) <= READ_FROM_CSV
    assert {name for name in shown["csv"] if shown["csv"][name] != shown["jsonl"][name]} == {
        name for name, kind in shown["jsonl"].items() if kind == "float"
    }
    assert set(TYPES.values()) <= READ_FROM_CSV | set(CSV_TYPES)
    assert set(CSV_TYPES.values()) <= READ_FROM_CSV


def test_a_csv_of_scores_leaves_no_number_empty() -> None:
    """Which that serde could not read: only texts may be."""
    bench, tables = Bench(), MemoryTables()
    folder = finished(bench, "a", 1, output="csv")
    followed(bench, folder, tables)
    kinds = columns(tables.tables["tiny"])
    (part,) = bench.store.keys(f"{folder.root}scores/")
    rows = list(csv.DictReader(bench.store.objects[part].decode().splitlines()))
    assert rows
    empty = {name for found in rows for name, value in found.items() if not value}
    assert {kinds[name] for name in empty} <= {"string"}


class Moving(MemoryTables):
    """Another run moves the pointer while the first table is written."""

    def __init__(self, bench: Bench, cells: MemoryConditionalObjects, other: RunPaths) -> None:
        super().__init__()
        self.moves = [lambda: show_run(other, store=bench.store, cells=cells, clock=lambda: NOW)]

    def put(self, found: Any) -> None:
        if self.moves:
            self.moves.pop()()
        super().put(found)


def test_a_pointer_that_is_moved_meanwhile_is_followed() -> None:
    bench, cells = Bench(), MemoryConditionalObjects()
    old, new = finished(bench, "old", 1), finished(bench, "new", 2)
    tables = Moving(bench, cells, new)
    followed(bench, old, tables, cells)
    location = tables.tables["tiny"]["StorageDescriptor"]["Location"]
    assert location == f"s3://scores/{new.root}scores/"
