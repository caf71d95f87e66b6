"""The catalog's tables on Glue: made, replaced, left alone where there is no database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.kits.aws import moto_server
from tests.kits.batch_functions import BatchAws

from quintet.aws.glue import GlueDatabase
from quintet.batch.athena import Catalogued, GlueTables, MemoryTables
from quintet.errors import Transient


@pytest.fixture(scope="module")
def aws() -> Iterator[BatchAws]:
    with moto_server() as url:
        aws = BatchAws(url)
        aws.client("glue").create_database(DatabaseInput={"Name": "glued"})
        yield aws


def table(location: str, *columns: str) -> dict[str, Any]:
    return {
        "Name": "tiny_by_month",
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [{"Name": "month", "Type": "string"}],
        "StorageDescriptor": {
            "Columns": [{"Name": name, "Type": "float"} for name in columns],
            "Location": location,
        },
    }


def month(value: str, location: str) -> dict[str, Any]:
    return {"Values": [value], "StorageDescriptor": {"Columns": [], "Location": location}}


@pytest.mark.parametrize("kind", ["memory", "glue"])
def test_tables_and_partitions_are_made_and_replaced(kind: str, aws: BatchAws) -> None:
    memory, glue = MemoryTables(), aws.client("glue")
    database = GlueDatabase(aws.signed("glue"), "glued")
    tables: GlueTables = memory if kind == "memory" else database

    def stored() -> tuple[str, list[str], dict[str, str]]:
        if kind == "memory":
            found = memory.tables["tiny_by_month"]
            partitions = list(memory.partitions.values())
        else:
            place = {"DatabaseName": "glued"}
            found = glue.get_table(Name="tiny_by_month", **place)["Table"]
            partitions = glue.get_partitions(TableName="tiny_by_month", **place)["Partitions"]
        held = found["StorageDescriptor"]
        names = [column["Name"] for column in held["Columns"]]
        places = {p["Values"][0]: p["StorageDescriptor"]["Location"] for p in partitions}
        return held["Location"], names, places

    tables.put(Catalogued(table("s3://a/", "score"), month("01", "s3://a/1/")))
    assert stored() == ("s3://a/", ["score"], {"01": "s3://a/1/"})
    tables.put(Catalogued(table("s3://a/", "score", "other"), month("02", "s3://a/2/")))
    tables.put(Catalogued(table("s3://b/", "score", "other"), month("01", "s3://a/3/")))
    assert stored() == ("s3://b/", ["score", "other"], {"01": "s3://a/3/", "02": "s3://a/2/"})


def test_where_there_is_no_database_nothing_is_done(aws: BatchAws) -> None:
    GlueDatabase(aws.signed("glue"), "none").put(Catalogued(table("s3://a/", "score")))
    databases = aws.client("glue").get_databases()["DatabaseList"]
    assert "none" not in [found["Name"] for found in databases]


def test_glue_that_cannot_be_reached_is_transient() -> None:
    gone = BatchAws("http://127.0.0.1:9").signed("glue")
    with pytest.raises(Transient, match="glue did not answer"):
        GlueDatabase(gone, "glued").put(Catalogued(table("s3://a/", "score")))
