"""The Glue catalog: create or update tables and partitions."""

from __future__ import annotations

from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.responses import error_name
from quintet.batch.athena import Catalogued
from quintet.errors import Transient

__all__ = ["GlueDatabase"]


class GlueDatabase:
    """See `quintet.batch.athena.GlueTables`; without a database, nothing is written."""

    def __init__(self, client: AwsClient, database: str) -> None:
        self._client = client
        self._database = database

    def put(self, found: Catalogued) -> None:
        """See `quintet.batch.athena.GlueTables.put`."""
        if not self._call("GetDatabase", "EntityNotFoundException", Name=self._database):
            return
        self._put_table(found.table)
        if found.partition:
            self._put_partition(found.table["Name"], found.partition)

    def _put_table(self, table: Any) -> None:
        given = {"DatabaseName": self._database, "TableInput": table}
        if not self._call("CreateTable", "AlreadyExistsException", **given):
            self._call("UpdateTable", **given)

    def _put_partition(self, table: str, partition: Any) -> None:
        given = {
            "DatabaseName": self._database,
            "TableName": table,
            "PartitionInput": partition,
        }
        if not self._call("CreatePartition", "AlreadyExistsException", **given):
            self._call("UpdatePartition", PartitionValueList=partition["Values"], **given)

    def _call(self, operation: str, expected: str = "", **payload: Any) -> bool:
        """Call an operation; return False on the expected error, else True."""
        response = self._client.call(f"AWSGlue.{operation}", payload, version="1.1")
        if response.status == 200:
            return True
        name = error_name(response)
        if name == expected:
            return False
        raise Transient(f"Glue answered {name or response.status}")
