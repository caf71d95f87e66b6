"""Starts a stage's runs: of a dropped file, of files in a bucket, of a backfill's partitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quintet.aws.executions import StateMachineExecutions
from quintet.aws.input_bucket import S3InputBucket
from quintet.aws.targets import EndpointIds
from quintet.batch import executions
from quintet.batch.plans import RunPaths, run_name
from quintet.batch.run_status import show
from quintet.batch.starts import Started, start_run
from quintet_cli.registry import named_near, registry_of
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import Stage
from quintet_publish.text_files import NotUtf8, conversion, form_of

__all__ = ["StageRuns", "check_text", "drop_file", "start_on"]

FIRST_BYTES = 1_000_000  # of a file, which are looked at before it is uploaded


def check_text(file: Path, *, named: bool) -> str:
    """Return what to do about rows of a CSV file that are not in UTF-8; empty if there are none.

    Only the first megabyte is looked at: the run quarantines such rows wherever they are. `named`:
    the first row names the columns.

    Raises:
        NotUtf8: the names of the columns are not: no row could be read.
    """
    if file.suffix.lower() != ".csv":
        return ""
    with file.open("rb") as body:
        names = body.readline(FIRST_BYTES) if named else b""
        rows = body.read(FIRST_BYTES)
    try:
        names.decode()
    except UnicodeDecodeError as error:
        raise NotUtf8(file, error) from error
    try:
        rows[: rows.rfind(b"\n") + 1].decode()  # the last row may be cut
    except UnicodeDecodeError as error:
        convert = conversion(file, form_of(error))
        return f"rows that are not in UTF-8 are quarantined; `{convert}` prints the file in UTF-8"
    return ""


def drop_file(stage: Stage, file: Path, model: str, metadata: Mapping[str, str]) -> RunPaths:
    """Upload a file to the inbox, which starts its run."""
    bucket, key = stage.outputs["InboxBucketName"], f"{model}/{file.name}"
    with file.open("rb") as body:
        put = stage.client("s3").put_object(Bucket=bucket, Key=key, Body=body, Metadata=metadata)
    return RunPaths(model, run_name(bucket, key, put["VersionId"]))


def start_on(stage: Stage, asked: dict[str, Any]) -> Started:
    """Start a run by the request `asked`, None values left out; files default to the inbox."""
    outputs = stage.outputs
    endpoints = EndpointIds(stage.signed("dynamodb"), outputs["EndpointsTableName"], "--callback")
    request = {"bucket": outputs["InboxBucketName"]}
    request |= {name: value for name, value in asked.items() if value is not None}
    with named_near(stage, asked["model"]):
        return start_run(
            request,
            routes=registry_of(stage),
            inbox=S3InputBucket(stage.signed("s3")),
            runs=StateMachineExecutions(stage.signed("states"), outputs["BatchScoringArn"]),
            check=endpoints.check,
        )


@dataclass(frozen=True)
class StageRuns:
    """Runs that differ only in their partition; `asked` is their common request."""

    stage: Stage
    reader: RunReader
    asked: dict[str, Any]

    def start(self, partition: str) -> Started:
        """See `quintet_cli.backfill.Runs.start`."""
        return start_on(self.stage, {**self.asked, "partition": partition})

    def redrive(self, folder: RunPaths) -> None:
        """See `quintet_cli.backfill.Runs.redrive`."""
        executions.redrive(folder, self.reader.executions)

    def show(self, folder: RunPaths) -> dict[str, Any]:
        """See `quintet_cli.backfill.Runs.show`."""
        return show(folder, self.reader.store, self.reader.executions)
