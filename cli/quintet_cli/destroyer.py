"""Deletes a deployed stage: its stack, and the data that CloudFormation keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from quintet_cli.stacks import AGAIN
from quintet_cli.stage import StageError
from quintet_cli.usage_plans import UsagePlans

__all__ = ["Destroyer", "StageResources"]

#: the stack whose bucket holds what `sam deploy` packages; samconfig.toml names our folder in it
SAM_STACK = "aws-sam-cli-managed-default"
#: seconds between polls of a stack or a table, and the number of polls: an hour
WAIT = {"Delay": 5, "MaxAttempts": 720}


@dataclass(frozen=True)
class StageResources:
    """The resources of a stage: ids of stacks, names of buckets, tables and log groups.

    `packages` are `bucket/prefix` of SAM's bucket.
    """

    stacks: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))


class Destroyer:
    """Finds and deletes the resources of a stage.

    Keeps no state on this machine: CloudFormation names the resources of a deleted stack for
    90 days, so an interrupted deletion can be resumed.
    """

    def __init__(
        self, client: Callable[..., Any], stage: str, say: Callable[[str], None] = print
    ) -> None:
        self._cloudformation = client("cloudformation")
        self._s3 = client("s3")
        self._dynamodb = client("dynamodb")
        self._logs = client("logs")
        self._plans = UsagePlans(client("apigateway"), stage)
        self._name = f"quintet-{stage}"
        self._say = say

    def find(self) -> StageResources:
        """Return all resources of the stage, including those of earlier stacks with its name."""
        stacks = self._stacks()
        known = dict.fromkeys(pair for stack in stacks for pair in self._resources(stack))
        names: dict[str, list[str]] = {}
        for kind, name in known:
            names.setdefault(kind, []).append(name)
        functions = (f"/aws/lambda/{name}" for name in names.get("AWS::Lambda::Function", []))
        return self.left(
            StageResources(
                stacks=tuple(stacks),
                buckets=tuple(names.get("AWS::S3::Bucket", [])),
                tables=tuple(names.get("AWS::DynamoDB::Table", [])),
                logs=tuple(dict.fromkeys([*names.get("AWS::Logs::LogGroup", []), *functions])),
                packages=self._packages(),
            )
        )

    def left(self, of: StageResources) -> StageResources:
        """Return the resources that still exist."""
        ours = {bucket["Name"] for bucket in self._s3.list_buckets()["Buckets"]}
        return StageResources(
            stacks=tuple(stack for stack in of.stacks if self._stack_stands(stack)),
            buckets=tuple(bucket for bucket in of.buckets if bucket in ours),
            tables=tuple(table for table in of.tables if self._table_stands(table)),
            logs=tuple(name for name in of.logs if self._log_group_stands(name)),
            packages=tuple(place for place in of.packages if self._holds(place)),
        )

    def destroy(self, standing: StageResources) -> None:
        """Delete the resources: the stack first, because its functions still write.

        Raises:
            StageError: something cannot be deleted; resources deleted before stay deleted.
        """
        if standing.stacks and (plans := self._plans.remove_all()):
            # API Gateway deletes no API that a plan of ours is for
            self._say(f"usage plans of callers' keys: {plans} deleted")
        for stack in standing.stacks:
            self._delete_stack(stack)
        for bucket in standing.buckets:
            self._say(f"bucket {bucket}: {self._empty(bucket)} versions deleted")
            self._s3.delete_bucket(Bucket=bucket)
        for table in standing.tables:
            if self._table_stands(table):  # unless the stack deleted it
                self._dynamodb.delete_table(TableName=table)
                waiter = self._dynamodb.get_waiter("table_not_exists")
                waiter.wait(TableName=table, WaiterConfig=WAIT)
                self._say(f"table {table} deleted")
        for name in standing.logs:
            if self._log_group_stands(name):  # a function's last call may recreate its group
                self._logs.delete_log_group(logGroupName=name)
                self._say(f"log group {name} deleted")
        for place in standing.packages:
            bucket, _, prefix = place.partition("/")
            self._say(f"packages {place}: {self._empty(bucket, prefix)} versions deleted")

    # ---- stacks ------------------------------------------------------------------------------

    def _stacks(self) -> list[str]:
        pages = self._cloudformation.get_paginator("list_stacks").paginate()
        return [
            stack["StackId"]
            for page in pages
            for stack in page["StackSummaries"]
            if stack["StackName"] == self._name
        ]

    def _resources(self, stack: str) -> Iterator[tuple[str, str]]:
        pages = self._cloudformation.get_paginator("list_stack_resources")
        for page in pages.paginate(StackName=stack):
            for resource in page["StackResourceSummaries"]:
                if name := resource.get("PhysicalResourceId"):  # absent during its creation
                    yield resource["ResourceType"], name

    def _stack_stands(self, stack: str) -> bool:
        found = self._cloudformation.describe_stacks(StackName=stack)["Stacks"]
        return bool(found) and found[0]["StackStatus"] != "DELETE_COMPLETE"

    def _delete_stack(self, stack: str) -> None:
        self._say(f"stack {self._name}: deleting; this takes some minutes")
        self._cloudformation.delete_stack(StackName=stack)
        waiter = self._cloudformation.get_waiter("stack_delete_complete")
        try:
            waiter.wait(StackName=stack, WaiterConfig=WAIT)
        except WaiterError as error:
            why = "; ".join(self._failures(stack)) or str(error)
            raise StageError(
                f"stack {self._name} cannot be deleted: {why}", command=AGAIN
            ) from error
        self._say(f"stack {self._name} deleted")

    def _failures(self, stack: str) -> list[str]:
        pages = self._cloudformation.get_paginator("list_stack_resources")
        return [
            f"{resource['LogicalResourceId']}: {resource.get('ResourceStatusReason', 'no reason')}"
            for page in pages.paginate(StackName=stack)
            for resource in page["StackResourceSummaries"]
            if resource["ResourceStatus"] == "DELETE_FAILED"
        ]

    # ---- what CloudFormation keeps -------------------------------------------------------------

    def _packages(self) -> tuple[str, ...]:
        try:
            (stack,) = self._cloudformation.describe_stacks(StackName=SAM_STACK)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return ()
            raise
        outputs = {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}
        bucket = outputs.get("SourceBucket")
        return (f"{bucket}/{self._name}/",) if bucket else ()

    def _holds(self, place: str) -> bool:
        bucket, _, prefix = place.partition("/")
        return bool(self._versions(bucket, prefix))

    def _versions(self, bucket: str, prefix: str) -> list[dict[str, Any]]:
        """Return the first versions and delete markers below a prefix, up to 1,000."""
        page = self._s3.list_object_versions(Bucket=bucket, Prefix=prefix)
        return [*page.get("Versions", []), *page.get("DeleteMarkers", [])]

    def _table_stands(self, table: str) -> bool:
        try:
            self._dynamodb.describe_table(TableName=table)
        except self._dynamodb.exceptions.ResourceNotFoundException:
            return False
        return True

    def _log_group_stands(self, name: str) -> bool:
        groups = self._logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        return any(group["logGroupName"] == name for group in groups)

    def _empty(self, bucket: str, prefix: str = "") -> int:
        """Delete everything below a prefix; return the number of versions and delete markers."""
        deleted = 0
        while found := self._versions(bucket, prefix):
            self._delete_versions(bucket, found)
            deleted += len(found)
        uploads = self._s3.get_paginator("list_multipart_uploads")
        for page in uploads.paginate(Bucket=bucket, Prefix=prefix):
            for upload in page.get("Uploads", []):
                self._s3.abort_multipart_upload(
                    Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
        return deleted

    def _delete_versions(self, bucket: str, found: Iterable[dict[str, Any]]) -> None:
        objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
        answer = self._s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        for error in answer.get("Errors", []):
            raise StageError(
                f"{bucket}/{error['Key']} cannot be deleted: {error['Message']}",
                command=AGAIN,
            )
