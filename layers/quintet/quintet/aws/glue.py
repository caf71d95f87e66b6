"""The Glue catalog: tables and partitions, made where they are not there yet."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from quintet.batch.athena import Catalogued
from quintet.errors import Transient

__all__ = ["GlueDatabase"]


class GlueDatabase:
    """See `quintet.batch.athena.GlueTables`; where there is no such database nothing is done.

    `client` is boto3's for Glue.
    """

    def __init__(self, client: Any, database: str) -> None:
        self._client = client
        self._database = database

    def put(self, found: Catalogued) -> None:
        """See `quintet.batch.athena.GlueTables.put`."""
        try:
            if self._exists():
                self._put_table(found.table)
                if found.partition:
                    self._put_partition(found.table["Name"], found.partition)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "an error")
            raise Transient(f"Glue answered {code}") from error
        except BotoCoreError as error:
            raise Transient(f"Glue could not be reached ({type(error).__name__})") from error

    def _exists(self) -> bool:
        try:
            self._client.get_database(Name=self._database)
        except self._client.exceptions.EntityNotFoundException:
            return False
        return True

    def _put_table(self, table: Any) -> None:
        try:
            self._client.create_table(DatabaseName=self._database, TableInput=table)
        except self._client.exceptions.AlreadyExistsException:
            self._client.update_table(DatabaseName=self._database, TableInput=table)

    def _put_partition(self, table: str, partition: Any) -> None:
        place = {"DatabaseName": self._database, "TableName": table}
        try:
            self._client.create_partition(PartitionInput=partition, **place)
        except self._client.exceptions.AlreadyExistsException:
            self._client.update_partition(
                PartitionInput=partition, PartitionValueList=partition["Values"], **place
            )
