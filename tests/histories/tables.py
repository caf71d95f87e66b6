"""Clients that drop files to score, and read the table of their model."""

from __future__ import annotations

import hashlib
import io
import time
from typing import Any

import orjson
from arro3 import io as arrow_io
from botocore.exceptions import ClientError
from tests.histories.clients import Client, World
from tests.histories.history import Operation

from quintet.batch.plans import RunPaths, run_name
from quintet.batch.tables import pointer_key

__all__ = ["MODEL", "Dropping", "TableReader"]

MODEL = "tabled"


class Dropping(Client):
    """Drops files of rows."""

    pause = 4.0

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.number = 0

    def step(self) -> None:
        """Drop one."""
        self.number += 1
        rows = self.draw.randrange(20, 2000)
        lines = "".join(f"m{n},{2 + n % 50},1\n" for n in range(rows))
        local, key = self.world.stage.local, f"{MODEL}/{self.number}.csv"
        bucket = local.outputs["InboxBucketName"]

        def drop() -> dict[str, Any]:
            body = f"meter,x,y\n{lines}".encode()
            made = local.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
            return {"run": run_name(bucket, key, made["VersionId"])}

        self.call("drop", drop, rows=rows)


class TableReader(Client):
    """Reads the run that the table's pointer names, with all its files."""

    pause = 1.0

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self._ended: set[str] = set()

    def step(self) -> None:
        """Read it once."""
        self.call("read_table", self._read)

    def ended(self, runs: set[str]) -> set[str]:
        """Record which of these runs have succeeded; returns those that had before, too."""
        for run in sorted(runs - self._ended):
            if self._get(RunPaths(MODEL, run).manifest) is not None:
                self._ended.add(run)
                now = time.monotonic()
                self.world.recorder.add(
                    Operation("run_ended", self.name, now, now, 200, {"run": run})
                )
        return self._ended

    def _read(self) -> dict[str, Any]:
        pointer = self._get(pointer_key(MODEL, None))
        if pointer is None:
            return {}
        shown = orjson.loads(pointer)
        told = {name: shown[name] for name in ("run", "newest", "scored")}
        manifest = self._get(shown["manifest"])
        if manifest is None or hashlib.sha256(manifest).hexdigest() != shown["sha256"]:
            return {**told, "rows": 0, "missing": [shown["manifest"]]}
        missing, rows = [], 0
        for file in orjson.loads(manifest)["files"]:
            body = self._get(file["key"])
            if body is None:
                missing.append(file["key"])
            elif file["key"].endswith(".parquet"):
                rows += arrow_io.read_parquet(io.BytesIO(body)).read_all().num_rows
        return {**told, "rows": rows, "missing": missing}

    def _get(self, key: str) -> bytes | None:
        local = self.world.stage.local
        try:
            found = local.client("s3").get_object(Bucket=local.outputs["ScoresBucketName"], Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise
        body: bytes = found["Body"].read()
        return body
