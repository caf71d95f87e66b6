"""Jobs for tests, and the jobs table on a moto server."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from typing import Any

from tests.kits.aws import ROOT, client, environ

from quintet.aws.client import AwsClient
from quintet.aws.jobs import JobTable
from quintet.jobs.job import Content, Job
from quintet_local.plan import plan
from quintet_local.template import load

NOW = 1_800_000_000.0
TTL = 600.0
REQUEST = Content("application/json", 2, b"{}", headers={"accept": "text/csv"})
RESULT = Content("application/json", 8, b'{"a": 1}')

_numbers = itertools.count(1)


def job(identity: str = "j1", **changes: Any) -> Job:
    """A job that is to be accepted."""
    made = Job(
        id=identity,
        owner="ann",
        model="shop",
        version=3,
        form="records",
        request=REQUEST,
        created=NOW,
        updated=NOW,
        deadline=NOW + TTL,
    )
    return replace(made, **changes)


@cache
def table_properties(resource: str) -> dict[str, Any]:
    """A table as template.yaml has it, for boto3's create_table."""
    found = plan(load(ROOT / "template.yaml"), "http://127.0.0.1:4566")
    properties = found.of_type("AWS::DynamoDB::Table")[resource]
    wanted = ("AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes", "KeySchema")
    return {name: properties[name] for name in wanted if name in properties}


def job_table(url: str) -> JobTable:
    """A new jobs table on a moto server, as the template has it."""
    name = f"jobs-{next(_numbers)}"
    client("dynamodb", url).create_table(TableName=name, **table_properties("JobsTable"))
    return JobTable(AwsClient("dynamodb", environ=environ(url)), name, retention_days=7)
