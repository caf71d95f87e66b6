"""The tables of a model's scores in the Glue catalog, ready to query in Athena.

For a model `churn`, the table `churn` is the run that the model's pointer names, and its location
moves with the pointer; `churn_by_month` has the run of each partition; `churn_runs` has every run,
by the column `run`. The pointer is the source of truth, and Glue follows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from quintet.batch.outputs import FILE
from quintet.batch.plans import Plan, RunPaths, plan_from, slug
from quintet.batch.stores import ConditionalObjects, ObjectStore
from quintet.batch.tables import current_run
from quintet.columns import column_names, numpy_dtype
from quintet.contract import Contract
from quintet.formats.sources import FileFormat

__all__ = ["Catalogued", "GlueTables", "MemoryTables", "catalogue", "follow_pointer"]

#: attempts to follow a pointer that moves meanwhile
ATTEMPTS = 5
#: numpy kind and size -> Hive type; unsigned integers use the next larger signed type
TYPES = {
    **{"f2": "float", "f4": "float", "f8": "double", "b1": "boolean", "O8": "string"},
    **{"i1": "tinyint", "i2": "smallint", "i4": "int", "i8": "bigint"},
    **{"u1": "smallint", "u2": "int", "u4": "bigint", "u8": "bigint"},
}
#: the Hive type of Parquet and JSON -> the one that OpenCSVSerde can read; other types fail the
#: query: https://docs.aws.amazon.com/athena/latest/ug/csv-serde.html
CSV_TYPES = {"float": "double", "tinyint": "int", "smallint": "int"}
#: input format, output format and serde of each file format:
#: https://docs.aws.amazon.com/athena/latest/ug/supported-serdes.html
_HIVE = "org.apache.hadoop.hive.ql.io"
_TEXT = ("org.apache.hadoop.mapred.TextInputFormat", f"{_HIVE}.HiveIgnoreKeyTextOutputFormat")
FORMS: dict[FileFormat, tuple[str, str, str]] = {
    "parquet": (
        f"{_HIVE}.parquet.MapredParquetInputFormat",
        f"{_HIVE}.parquet.MapredParquetOutputFormat",
        f"{_HIVE}.parquet.serde.ParquetHiveSerDe",
    ),
    "csv": (*_TEXT, "org.apache.hadoop.hive.serde2.OpenCSVSerde"),
    "jsonl": (*_TEXT, "org.openx.data.jsonserde.JsonSerDe"),
}


@dataclass(frozen=True, slots=True)
class Catalogued:
    """A Glue table as its TableInput, with the values and location of one of its partitions."""

    table: dict[str, Any]
    partition: dict[str, Any] | None = None


class GlueTables(Protocol):
    """A database of the Glue catalog."""

    def put(self, found: Catalogued) -> None:
        """Create or replace a table and a partition of it. Raises Transient."""
        ...


class MemoryTables:
    """A database in memory: tables by name, partitions by table and values."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Any]] = {}
        self.partitions: dict[tuple[str, ...], dict[str, Any]] = {}

    def put(self, found: Catalogued) -> None:
        """See `GlueTables.put`."""
        name = found.table["Name"]
        self.tables[name] = found.table
        if found.partition:
            self.partitions[name, *found.partition["Values"]] = found.partition


def follow_pointer(
    pointer: Mapping[str, Any],
    *,
    bucket: str,
    store: ObjectStore,
    cells: ConditionalObjects,
    tables: GlueTables,
    contract: Callable[[Plan], Contract],
) -> None:
    """Update the catalog to a pointer's run, and again if the pointer moves meanwhile.

    Raises:
        Transient: it could not be updated; the model's next run or promotion tries again.
    """
    model, partition = pointer["model"], pointer["partition"]
    for _ in range(ATTEMPTS):
        body = store.get(RunPaths(model, pointer["run"]).plan)
        plan = plan_from(body) if body else None
        if not isinstance(plan, Plan):
            return
        for found in catalogue(plan, contract(plan), bucket):
            tables.put(found)
        now = current_run(model, partition, cells)
        if now is None or now["run"] == pointer["run"]:
            return
        pointer = now


def catalogue(plan: Plan, contract: Contract, bucket: str) -> list[Catalogued]:
    """The tables of a run's model for a pointer that names the run."""
    columns = _columns(plan, contract)
    model = slug(plan.model).replace("-", "_").lower()
    runs = f"s3://{bucket}/runs/{slug(plan.model)}/"
    place = f"s3://{bucket}/{plan.folder.root}scores/"
    keys = [part.partition("=") for part in sorted(filter(None, (plan.partition or "").split("/")))]
    names = [name.lower() for name, _, _ in keys]
    told = {"quintet.run": plan.run, "quintet.version": str(plan.version)}
    if keys:
        inner = [column for column in columns if column["Name"] not in names]
        table = _table(f"{model}_by_{'_'.join(names)}", inner, runs, plan.output, {})
        table["PartitionKeys"] = [{"Name": name, "Type": "string"} for name in names]
        partition = {
            "Values": [value for _, _, value in keys],
            "StorageDescriptor": _storage(inner, place, plan.output),
            "Parameters": told,
        }
        shown = Catalogued(table, partition)
    else:
        shown = Catalogued(_table(model, columns, place, plan.output, told))
    if plan.output != "parquet":
        return [shown]
    # query any run by its name, without adding a partition for each new run:
    # https://docs.aws.amazon.com/athena/latest/ug/partition-projection-dynamic-id-partitioning.html
    projected = {
        "projection.enabled": "true",
        "projection.run.type": "injected",
        "storage.location.template": f"{runs}${{run}}/scores/",
    }
    every = _table(f"{model}_runs", columns, runs, "parquet", projected)
    every["PartitionKeys"] = [{"Name": "run", "Type": "string"}]
    return [shown, Catalogued(every)]


def _columns(plan: Plan, contract: Contract) -> list[dict[str, str]]:
    """The columns of the scores, in the order of the files."""
    found = {FILE: "string"} if plan.scope != "key" else {}
    found["row"] = "bigint"
    if contract.entity:
        found[contract.entity] = "string"
    found |= {name: "string" for _, name in plan.keep}
    for output in contract.outputs:
        dtype = numpy_dtype(output.dtype)
        kind = TYPES[f"{dtype.kind}{dtype.itemsize}"]
        if output.free:  # a CSV has such lists as texts
            levels = len(output.row_shape)
            kind = "string" if plan.output == "csv" else f"{'array<' * levels}{kind}{'>' * levels}"
        found |= dict.fromkeys(column_names(output), kind)
    if contract.fallback:
        found["fallback"] = "boolean"
    found["model_version"] = "bigint"
    widened = CSV_TYPES if plan.output == "csv" else {}
    return [{"Name": name.lower(), "Type": widened.get(kind, kind)} for name, kind in found.items()]


def _table(
    name: str,
    columns: list[dict[str, str]],
    location: str,
    form: FileFormat,
    parameters: dict[str, str],
) -> dict[str, Any]:
    header = {"skip.header.line.count": "1"} if form == "csv" else {}
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [],
        "Parameters": {"EXTERNAL": "TRUE", "classification": form, **header, **parameters},
        "StorageDescriptor": _storage(columns, location, form),
    }


def _storage(columns: list[dict[str, str]], location: str, form: FileFormat) -> dict[str, Any]:
    reader, writer, serde = FORMS[form]
    return {
        "Columns": columns,
        "Location": location,
        "InputFormat": reader,
        "OutputFormat": writer,
        "SerdeInfo": {"SerializationLibrary": serde, "Parameters": {}},
    }
