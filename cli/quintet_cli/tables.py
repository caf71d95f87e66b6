"""The tables of a stage's scores: the run that their readers see."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import Any

from quintet.aws.glue import GlueDatabase
from quintet.aws.scores_bucket import S3ConditionalObjects, S3ObjectStore
from quintet.batch.athena import follow_pointer
from quintet.batch.plans import RunPaths
from quintet.batch.tables import show_run
from quintet_cli.registry import artifacts_of
from quintet_cli.stage import Stage

__all__ = ["show_to_readers"]


def show_to_readers(stage: Stage, folder: RunPaths) -> dict[str, Any]:
    """Point the readers of a table to a run, Athena's too; returns the new pointer.

    Raises:
        NotFound: the run has not succeeded, or some of its files are missing.
        Transient: a store could not be read or written.
    """
    s3, bucket = stage.signed("s3"), stage.outputs["ScoresBucketName"]
    store, cells = S3ObjectStore(s3, bucket), S3ConditionalObjects(s3, bucket)
    pointer = show_run(
        folder, store=store, cells=cells, clock=lambda: datetime.now(UTC), by=getpass.getuser()
    )
    artifacts = artifacts_of(stage)
    follow_pointer(
        pointer,
        bucket=bucket,
        store=store,
        cells=cells,
        tables=GlueDatabase(stage.signed("glue"), stage.outputs["ScoresDatabaseName"]),
        contract=lambda plan: artifacts.contract(plan.model, plan.version, plan.seal),
    )
    return pointer
