"""The asynchronous jobs of a stage."""

from __future__ import annotations

from quintet.api.gateway import owner_of
from quintet.aws.jobs import JobTable
from quintet.protocols.http import ANONYMOUS
from quintet_cli.stage import Stage

__all__ = ["jobs_of", "own_jobs"]

#: how long a job is kept: for writes alone, which are cancellations here
RETENTION_DAYS = 7


def jobs_of(stage: Stage) -> JobTable:
    """Return the table of jobs."""
    table = stage.outputs["JobsTableName"]
    return JobTable(stage.signed("dynamodb"), table, retention_days=RETENTION_DAYS)


def own_jobs(stage: Stage) -> str:
    """Return the owner under whom jobs of the command's user are stored."""
    return ANONYMOUS if stage.endpoint_url is not None else owner_of(stage.caller())
