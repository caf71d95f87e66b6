"""Rows in every form that records come in, read as the forms' own readers read them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from arro3 import core
from arro3 import io as arrow_io
from tests.kits.streams import shard_batch

from quintet.columns import Batch, from_records, merge
from quintet.contract import Contract, Feature, Input, Output
from quintet.errors import BadInput
from quintet.formats.inspection import cut, inspect
from quintet.formats.readers import read_slice
from quintet.protocols import oip_infer, records, sagemaker_bodies
from quintet.protocols.http import Request
from quintet.streaming.decoding import decode

__all__ = [
    "CSV_FORMS",
    "JSON_FORMS",
    "Source",
    "contract_of",
    "ids",
    "invoke",
    "keys",
    "npy",
    "oip",
    "parquet",
    "read_file",
    "seen",
]

#: rows of JSON or CSV: each value as it is written, by field
Written = Sequence[Mapping[str, str]]


def contract_of(*features: Feature, entity: str | None = None, id: str | None = None) -> Contract:
    """A contract of some features; with an entity, also of a stored one."""
    stored = Feature(name="stored", dtype="float32", source="store", when_stale="serve")
    return Contract(
        name="m",
        version=1,
        task="t",
        entity=entity,
        id=id,
        features=(*features, stored) if entity else features,
        inputs=tuple(
            Input(name=f.name, dtype=f.dtype, shape=(-1, *(f.shape or (1,)))) for f in features
        ),
        outputs=(Output(name="y", dtype="float32", shape=(-1,), meaning="score"),),
    )


class Source:
    """A file in memory."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.size = len(body)

    def read(self, start: int, end: int) -> bytes:
        """See `quintet.formats.sources.ByteSource.read`."""
        return self._body[start:end]


def read_file(contract: Contract, name: str, body: bytes) -> Batch:
    """A file as a batch run reads it; a row that cannot be read is refused in its place."""
    found = inspect(contract, Source(body), name)
    batches = []
    for part in (piece.slice for piece in cut(found, 1 << 20)):
        for read in read_slice(contract, found.source, found.layout, part, part.rows):
            chunk = read()
            whole = chunk.batch
            if chunk.broken:
                whole = from_records(contract, [{}] * chunk.size)
                places = (chunk.rows - chunk.first).tolist()
                refused = (
                    r._replace(row=r.row if r.row is None else places[r.row])
                    for r in chunk.batch.refusals
                )
                whole.refusals = [*chunk.broken, *refused]
                whole.good[:] = False
                whole.good[chunk.rows - chunk.first] = chunk.batch.good
                if chunk.batch.ids is not None:
                    whole.ids = [None] * chunk.size
                    for place, own in enumerate(chunk.batch.ids):
                        whole.ids[int(chunk.rows[place]) - chunk.first] = own
                for place, key in enumerate(chunk.batch.entities or ()):
                    assert whole.entities is not None
                    whole.entities[int(chunk.rows[place]) - chunk.first] = key
                for column, values in chunk.batch.columns.items():
                    whole.columns[column] = whole.columns[column].copy()
                    whole.columns[column][chunk.rows - chunk.first] = values
            batches.append(whole)
    return merge(batches)


def invoke(contract: Contract, body: bytes, media: str) -> Batch:
    request = Request("POST", "/", {}, {"content-type": media}, body)
    return sagemaker_bodies.decode(contract, request).batch


# ---- JSON -------------------------------------------------------------------------------------


def _json(row: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": {value}' for name, value in row.items()) + "}"


def _records(contract: Contract, rows: Written) -> Batch:
    body = f'{{"records": [{", ".join(map(_json, rows))}]}}'.encode()
    headers = {"content-type": "application/json"}
    return records.decode(contract, Request("POST", "/", {}, headers, body)).batch


def _instances(contract: Contract, rows: Written) -> Batch:
    body = f'{{"instances": [{", ".join(map(_json, rows))}]}}'.encode()
    return invoke(contract, body, "application/json")


def _lines(rows: Written) -> bytes:
    return "".join(_json(row) + "\n" for row in rows).encode()


def _stream(contract: Contract, rows: Written) -> Batch:
    """Each row a record of a stream, which may be refused whole."""
    found: list[Batch] = []
    for row in rows:
        shard = shard_batch(_json(row).encode())
        decoded = decode(shard, lambda _: _Loaded(contract), "m")  # type: ignore[arg-type,return-value]
        if decoded.by_model:
            found.append(decoded.by_model[0][1].batch)
        else:
            empty = from_records(contract, [{}])
            empty.good[:] = False
            found.append(empty)
    return merge(found)


class _Loaded:
    def __init__(self, contract: Contract) -> None:
        self.contract = contract


JSON_FORMS: dict[str, Callable[[Contract, Written], Batch]] = {
    "records": _records,
    "instances": _instances,
    "json lines": lambda c, rows: invoke(c, _lines(rows), "application/jsonlines"),
    "batch jsonl": lambda c, rows: read_file(c, "a.jsonl", _lines(rows)),
    "batch jsonl, odd": lambda c, rows: _odd(read_file(c, "a.jsonl", _lines(rows) + b"{}\n[]\n")),
    "stream": _stream,
}


# ---- CSV --------------------------------------------------------------------------------------


def _csv(rows: Written) -> bytes:
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    return "".join(line + "\n" for line in lines).encode()


def _odd(batch: Batch) -> Batch:
    """A file without its last two rows: the first of them kept all from being read at once."""
    rows = batch.rows - 2
    columns = {name: values[:rows] for name, values in batch.columns.items()}
    entities = None if batch.entities is None else batch.entities[:rows]
    refusals = [r for r in batch.refusals if r.row is None or r.row < rows]
    ids = None if batch.ids is None else batch.ids[:rows]
    return Batch(rows, columns, batch.good[:rows], entities, refusals, ids=ids)


def _odd_csv(contract: Contract, rows: Written) -> Batch:
    return _odd(read_file(contract, "a.csv", _csv(rows) + b"a,row,of,too,many\n" * 2))


CSV_FORMS: dict[str, Callable[[Contract, Written], Batch]] = {
    "csv": lambda c, rows: invoke(c, _csv(rows), "text/csv"),
    "batch csv": lambda c, rows: read_file(c, "a.csv", _csv(rows)),
    "batch csv, odd": _odd_csv,
}


# ---- typed ------------------------------------------------------------------------------------


def parquet(contract: Contract, **columns: Any) -> Batch:
    """Arrow's columns as a Parquet file of a batch run."""
    body = io.BytesIO()
    arrow_io.write_parquet(core.Table.from_pydict(columns), body)
    return read_file(contract, "a.parquet", body.getvalue())


def npy(contract: Contract, array: Any) -> Batch:
    """An array of numpy, as SageMaker's clients send it."""
    body = io.BytesIO()
    np.save(body, array)
    return invoke(contract, body.getvalue(), "application/x-npy")


def oip(contract: Contract, **tensors: tuple[str, list[int], list[Any]]) -> Batch:
    """Tensors (datatype, shape, data) of the Open Inference Protocol in JSON."""
    inputs = [
        {"name": name, "datatype": datatype, "shape": shape, "data": data}
        for name, (datatype, shape, data) in tensors.items()
    ]
    headers = {"content-type": "application/json"}
    body = orjson.dumps({"inputs": inputs})
    return oip_infer.decode(contract, Request("POST", "/", {}, headers, body)).batch


# ---- what was read ----------------------------------------------------------------------------


def seen(name: str, read: Callable[..., Batch], *arguments: Any, **others: Any) -> list[Any]:
    """A column's values as Python's, None where a row is refused; a batch may be refused whole."""
    try:
        batch = read(*arguments, **others)
    except BadInput as error:
        return [str(error)]
    values = batch.columns[name].tolist()
    return [value if good else None for value, good in zip(values, batch.good, strict=True)]


def keys(batch: Batch) -> list[str | None]:
    """The entity keys, None where a row is refused."""
    assert batch.entities is not None
    return [k if good else None for k, good in zip(batch.entities, batch.good, strict=True)]


def ids(batch: Batch) -> list[str | None]:
    """The rows' own ids; "refused" where a row is refused."""
    found = batch.ids or [None] * batch.rows
    return [own if good else "refused" for own, good in zip(found, batch.good, strict=True)]
