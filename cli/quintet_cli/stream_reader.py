"""Reads the results of a stream from where `score_stream` stores them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import orjson
from arro3 import io as arrow_io

from quintet.aws.alerts import AlertTable
from quintet.aws.windows import WindowTable
from quintet.contract import Contract
from quintet.replay.stream_objects import HOUR, PREDICTIONS
from quintet.streaming.windows import Window
from quintet_cli.registry import live_contract
from quintet_cli.stage import Stage

__all__ = ["Cursor", "Scored", "StreamReader"]

#: columns of a prediction besides the entity and the outputs
ORIGIN = ("sequence", "row", "arrived", "model_version")


@dataclass(frozen=True, slots=True)
class Scored:
    """An object of predictions: its columns, (rows,) each."""

    key: str
    model: str
    columns: dict[str, list[Any]]

    @property
    def outputs(self) -> dict[str, list[Any]]:
        """Return the outputs, without the columns of origin."""
        return {n: values for n, values in self.columns.items() if n not in ORIGIN}

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return len(self.columns["sequence"])


class StreamReader:
    """Reads a stage's stream bucket and tables."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._s3 = stage.client("s3")
        self.bucket = stage.outputs["StreamBucketName"]
        self.name = stage.outputs["EventsStreamName"]

    @cached_property
    def alerts(self) -> AlertTable:
        """Return the last alert of each entity."""
        return AlertTable(self._stage.signed("dynamodb"), self._stage.outputs["StreamTableName"])

    @cached_property
    def _windows(self) -> WindowTable:
        signed, outputs = self._stage.signed("dynamodb"), self._stage.outputs
        return WindowTable(signed, outputs["StreamTableName"], outputs["FeaturesTableName"])

    def contract(self, model: str) -> Contract:
        """Return the contract of a model's live version."""
        return live_contract(self._stage, model)

    def models(self) -> list[str]:
        """Return the models that have predictions."""
        found = self._folders(PREDICTIONS)
        return [folder[len(PREDICTIONS) : -1] for folder in found]

    def shards(self) -> list[dict[str, Any]]:
        """Return the stream's shards, including closed ones, as Kinesis describes them."""
        pages = self._stage.client("kinesis").get_paginator("list_shards")
        return [shard for page in pages.paginate(StreamName=self.name) for shard in page["Shards"]]

    def keys(self, prefix: str, after: str = "") -> list[str]:
        """Return the keys below a prefix that sort after `after`."""
        pages = self._s3.get_paginator("list_objects_v2")
        return [
            found["Key"]
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix, StartAfter=after)
            for found in page.get("Contents", [])
        ]

    def cursor(self, folder: str, shard: str) -> Cursor:
        """Return a cursor over a shard's objects of a model's predictions, or of the quarantine."""
        return Cursor(self.keys, folder, f"{self.name}.{shard}-")

    def _folders(self, prefix: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2")
        return [
            found["Prefix"]
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/")
            for found in page.get("CommonPrefixes", [])
        ]

    def body(self, key: str) -> bytes:
        """Return the content of an object."""
        found: bytes = self._s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return found

    def scored(self, key: str) -> Scored:
        """Read an object of predictions."""
        table = arrow_io.read_parquet(io.BytesIO(self.body(key))).read_all()
        # an object whose records were all refused has no chunks
        columns: dict[str, list[Any]] = {
            name: list(table.column(name).to_pylist()) for name in table.column_names
        }
        return Scored(key, key.split("/")[1], columns)

    def refused(self, key: str) -> list[dict[str, Any]]:
        """Read the refused rows and records of a quarantine object."""
        return [orjson.loads(line) for line in self.body(key).splitlines()]

    def windows(self, model: str, most: int) -> Iterator[Window]:
        """Return the newest windows of a model, the newest first."""
        for start in self._windows.recent(model, most):
            window = self._windows.read(model, start)
            if window is not None:
                yield window


class Cursor:
    """The objects of a shard below a folder by hour, in order, each once.

    `keys` lists keys with a prefix and after a given key; `name` is the prefix of the shard's. They
    sort by hour and sequence number, so only new keys are listed.
    """

    def __init__(self, keys: Callable[[str, str], list[str]], folder: str, name: str) -> None:
        self._keys = keys
        self._folder = folder
        self._name = name
        self._last: dict[str, str] = {}

    def new(self, now: float) -> list[str]:
        """Return the keys added since the last call, of this hour and of one that just ended."""
        found = []
        for hour in dict.fromkeys((now - HOUR // 12, now)):
            at = datetime.fromtimestamp(hour, UTC)
            prefix = f"{self._folder}date={at:%Y-%m-%d}/hour={at:%H}/{self._name}"
            keys = self._keys(prefix, self._last.get(prefix, ""))
            if keys:
                self._last[prefix] = keys[-1]
            found += keys
        return found
