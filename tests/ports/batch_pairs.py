"""The ports of batch runs and of recommendations, in memory and on AWS."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from tests.kits.batch import CONTRACT, publish
from tests.kits.local_aws import eventually
from tests.kits.models import NOW
from tests.kits.recommending import show_run
from tests.kits.registries import registry_on
from tests.ports.pair import Aws, Pair

from quintet.aws.artifacts import Artifacts
from quintet.aws.candidates import CandidatePointers, CandidateTable
from quintet.aws.catalog import RegistryCatalog
from quintet.aws.executions import StateMachineExecutions
from quintet.aws.glue import GlueDatabase
from quintet.aws.input_bucket import S3InputBucket
from quintet.aws.recommendations import RecommendationTables
from quintet.aws.registry import Registry
from quintet.aws.scores_bucket import S3ConditionalObjects, S3ObjectStore
from quintet.aws.stocks import StockTable
from quintet.batch.athena import Catalogued, GlueTables, MemoryTables
from quintet.batch.candidates import (
    CandidateSet,
    CandidateSets,
    MemoryCandidateSets,
    packed,
)
from quintet.batch.drops import RunStarter
from quintet.batch.executions import Executions, MemoryExecutions
from quintet.batch.planning import Catalog, MemoryCatalog, Pinned
from quintet.batch.stock import MemoryStocks, Stocks, stock_of
from quintet.batch.stores import (
    ConditionalObjects,
    InputBucket,
    MemoryConditionalObjects,
    MemoryInputBucket,
    MemoryObjectStore,
    ObjectStore,
)
from quintet.features import MemoryFeatures
from quintet.recommend.reads import MemoryReads, Reads, Shown
from quintet.serving.breaker import CircuitBreaker

__all__ = ["BATCH_PAIRS"]

OLD = [CandidateSet("u1", b"123456")]
NEW = [CandidateSet("u1", b"abcdef", "de"), CandidateSet("u2", b"123456")]
OLD_STOCK, NEW_STOCK = stock_of([1], 7, 10.0)[0], stock_of([2], 7, 20.0)[0]
BODY = packed(np.array([10, 20]), np.array([2.0, 1.0]))
WAITS = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 60, "End": True}}}


def _executions(aws: Aws) -> StateMachineExecutions:
    machine = aws.boto("stepfunctions").create_state_machine(
        name=aws.name, definition=json.dumps(WAITS), roleArn="arn:aws:iam::123456789012:role/r"
    )
    return StateMachineExecutions(aws.signed("states"), machine["stateMachineArn"])


def _stop(port: Any) -> Any:
    """Stop an execution, and wait until it has: Step Functions answers before."""
    try:
        return port.stop("old", "why")
    finally:
        eventually(lambda: port.look("old").status == "ABORTED")


def _execution(port: Any, name: str) -> Any:
    """An execution, without the error that it was stopped with: moto forgets it."""
    found = port.look(name)
    return None if found is None else found._replace(cause="")


def _inbox(port: Any, aws: Aws | None) -> Any:
    """An inbox with one file, named as the AWS's bucket."""
    if aws is None:
        port.put("inbox", "a/1.csv", b"0123")
        return port
    port = S3InputBucket(aws.signed("s3"))
    aws.boto("s3").put_object(Bucket=aws.bucket(versions=True), Key="a/1.csv", Body=b"0123")
    port.name = aws.name
    return port


def _cell(port: Any) -> Any:
    """What a pointer's cell holds, without its tag."""
    found = port.read("tables/m/current.json")
    return None if found is None else found[0]


def _swap(port: Any, body: bytes) -> Any:
    """Replace what is stored, whatever that is."""
    return port.swap("tables/m/current.json", body, port.tag)


def _first_cell(port: Any) -> None:
    assert port.swap("tables/m/current.json", b"1", None)
    port.tag = port.read("tables/m/current.json")[1]


_CELLS: dict[str, Any] = {
    "ports": (ConditionalObjects,),
    "memory": MemoryConditionalObjects,
    "calls": {"read": _cell, "swap": lambda p: _swap(p, b"2")},
    "before": _first_cell,
    "state": lambda p, aws: _cell(p),
}


def _glue(aws: Aws) -> GlueDatabase:
    aws.boto("glue").create_database(DatabaseInput={"Name": aws.name})
    return GlueDatabase(aws.signed("glue"), aws.name)


def _table(location: str) -> Catalogued:
    held = {"Columns": [], "Location": location}
    keys = [{"Name": "month", "Type": "string"}]
    table = {"Name": "t", "PartitionKeys": keys, "StorageDescriptor": held}
    return Catalogued(table, {"Values": ["01"], "StorageDescriptor": held})


def _places(port: Any, aws: Aws | None) -> list[str]:
    """Where the table and its partition are."""
    if aws is None:
        found = [port.tables["t"], *port.partitions.values()]
    else:
        glue = aws.boto("glue")
        found = [glue.get_table(DatabaseName=aws.name, Name="t")["Table"]]
        found += glue.get_partitions(DatabaseName=aws.name, TableName="t")["Partitions"]
    return [one["StorageDescriptor"]["Location"] for one in found]


def _catalog(aws: Aws) -> RegistryCatalog:
    server = registry_on(aws.url)
    publish(server.publisher)
    artifacts = Artifacts(aws.signed("s3"), server.bucket, cache=None, threads=1)
    return RegistryCatalog(Registry(aws.signed("dynamodb"), server.table), artifacts)


def _pinned(port: Any) -> Any:
    """The tiny model's version and contract."""
    found = [port.pin("tiny", 3), port.pin("tiny", None)]
    return [(one.version, one.contract) for one in found]


def _reads() -> MemoryReads:
    features = MemoryFeatures()
    features.put("user", "u1", "taste", 1.5, NOW - 60)
    memory = MemoryReads(features)
    memory.runs["m"] = Shown("r1", 7, NOW - 3600, {"": np.array([40, 41])})
    memory.sets["m", "r1", "u1"] = (BODY, "")
    return memory


def _read_tables(aws: Aws) -> RecommendationTables:
    candidates, features = aws.table("CandidatesTable"), aws.table("FeaturesTable")
    sets = [CandidateSet("u1", BODY)]
    show_run(
        aws.signed("dynamodb"), candidates, "m", "r1", sets=sets, popular={"": [40, 41]}, now=NOW
    )
    item = {"entity": {"S": "user#u1"}, "taste": {"N": "1.5"}, "taste@": {"N": str(NOW - 60)}}
    aws.boto("dynamodb").put_item(TableName=features, Item=item)
    breaker = CircuitBreaker(failures=1, recovery_seconds=10, clock=lambda: NOW)
    client = aws.signed("dynamodb")
    return RecommendationTables(client, candidates, features, breaker, clock=lambda: NOW)


def _shown(port: Any) -> Any:
    found = port.shown("m")
    return found.run, found.version, found.started, found.popular[""].tolist(), port.shown("n")


BATCH_PAIRS = {
    "runs": Pair(
        ports=(Executions, RunStarter),
        memory=MemoryExecutions,
        adapter=_executions,
        calls={
            "start": lambda p: p.start("new", {"a": 1}),
            "look": lambda p: [p.look("old"), p.look("none")],
            "stop": _stop,
        },
        before=lambda p: p.start("old", {"a": 1}),
        state=lambda p, aws: [_execution(p, "old"), _execution(p, "new")],
    ),
    "inbox": Pair(
        ports=(InputBucket,),
        memory=lambda: _inbox(MemoryInputBucket(), None),
        adapter=lambda aws: _inbox(None, aws),
        calls={
            "keys": lambda p: list(p.keys(_name(p), "a/")),
            "snapshot": lambda p: p.snapshot(_name(p), "a/1.csv", None).size,
            "read": lambda p: p.read(p.pinned, 1, 3),
        },
        before=lambda p: setattr(p, "pinned", p.snapshot(_name(p), "a/1.csv", None)),
        state=lambda p, aws: None,
    ),
    "documents": Pair(
        ports=(ObjectStore,),
        memory=MemoryObjectStore,
        adapter=lambda aws: S3ObjectStore(aws.signed("s3"), aws.bucket()),
        calls={
            "get": lambda p: [p.get("a/old.json"), p.get("a/none.json")],
            "put": lambda p: p.put("a/new.json", b"2"),
            "keys": lambda p: p.keys("a/"),
        },
        before=lambda p: p.put("a/old.json", b"1"),
        state=lambda p, aws: {key: p.get(key) for key in p.keys("a/")},
    ),
    "pointers in the bucket": Pair(
        **_CELLS, adapter=lambda aws: S3ConditionalObjects(aws.signed("s3"), aws.bucket())
    ),
    "pointers in the table": Pair(
        **_CELLS,
        adapter=lambda aws: CandidatePointers(aws.signed("dynamodb"), aws.table("CandidatesTable")),
    ),
    "candidates": Pair(
        ports=(CandidateSets,),
        memory=MemoryCandidateSets,
        adapter=lambda aws: CandidateTable(
            aws.signed("dynamodb"), aws.table("CandidatesTable"), sleep=lambda seconds: None
        ),
        calls={
            "put": lambda p: p.put("m", "r1", NEW, 100),
            "get": lambda p: p.get("m", "r1", "u1", 99),
        },
        before=lambda p: p.put("m", "r1", OLD, 100),
        state=lambda p, aws: [p.get("m", "r1", user, 99) for user in ("u1", "u2")],
    ),
    "stocks": Pair(
        ports=(Stocks,),
        memory=MemoryStocks,
        adapter=lambda aws: StockTable(aws.signed("dynamodb"), aws.table("CandidatesTable")),
        calls={"put": lambda p: p.put("m", NEW_STOCK), "get": lambda p: p.get("m").at},
        before=lambda p: p.put("m", OLD_STOCK),
        state=lambda p, aws: (p.get("m").at, p.get("m").sold_out.tolist()),
    ),
    "Glue": Pair(
        ports=(GlueTables,),
        memory=MemoryTables,
        adapter=_glue,
        calls={"put": lambda p: p.put(_table("s3://b/"))},
        before=lambda p: p.put(_table("s3://a/")),
        state=_places,
    ),
    "catalog": Pair(
        ports=(Catalog,),
        memory=lambda: MemoryCatalog(Pinned(3, "d", "s", CONTRACT)),
        adapter=_catalog,
        calls={"pin": _pinned},
        state=lambda p, aws: None,
    ),
    "recommendations": Pair(
        ports=(Reads,),
        memory=_reads,
        adapter=_read_tables,
        calls={
            "shown": _shown,
            "user": lambda p: p.user("m", "r1", "u1", "user", ["taste"]),
        },
        state=lambda p, aws: None,
    ),
}


def _name(port: Any) -> str:
    return str(getattr(port, "name", "inbox"))
