"""Patches to moto: S3's events, the functions that it calls, DynamoDB, SQS and Kinesis.

moto's S3 events omit AWS's version id and sequencer, and its S3 and SNS call moto's own Lambda.
Each hook replaces one function by name and fails with a message if that function is missing.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import quote_plus

from quintet_local.executions import named_and_few, renamed, staying_stopped
from quintet_local.keeping import Place, noting_deletes, noting_puts, noting_updates
from quintet_local.keys import by_id_or_arn, of_enabled_keys
from quintet_local.map_runs import no_idle_workers, tolerating
from quintet_local.metrics import by_points
from quintet_local.names import ACCOUNT, arn
from quintet_local.newest import newest_events, newest_notifications
from quintet_local.queues import one_at_a_time, receives_whole, unix_time_millis
from quintet_local.schedules import checked
from quintet_local.tables import (
    items_in_plain_json,
    one_call_at_a_time,
    projections_of_fields,
    queries_of_partitions,
    transactions_of_items,
)

__all__ = [
    "import_state_machines",
    "install",
    "install_keeping",
    "install_keys",
    "install_schedules",
    "install_sns",
    "latest_objects",
    "s3_event",
    "sns_event",
]

#: calls a function asynchronously: its ARN or name, the event
Call = Callable[[str, bytes], None]


def install(call: Call) -> None:
    """Patch moto, once per process."""
    from moto.cloudwatch.models import CloudWatchBackend
    from moto.core.common_models import BaseModel
    from moto.dynamodb.models import DynamoDBBackend
    from moto.dynamodb.models.dynamo_type import Item
    from moto.dynamodb.models.table import Table
    from moto.dynamodb.responses import DynamoHandler
    from moto.kinesis import models as kinesis
    from moto.logs.models import LogStream
    from moto.s3 import notifications
    from moto.s3.utils import _VersionedKeyStore
    from moto.sns.models import Topic
    from moto.sqs import models as sqs

    _replace(BaseModel, "__new__", staticmethod(untracked(BaseModel)))
    call_action = one_call_at_a_time(DynamoHandler.call_action)
    _replace(DynamoHandler, "call_action", call_action)
    transact = transactions_of_items(DynamoDBBackend.transact_write_items)
    _replace(DynamoDBBackend, "transact_write_items", transact)
    for name in ("batch_get_item", "get_item", "query", "scan", "update_item"):
        quick = items_in_plain_json(getattr(DynamoHandler, name))
        _replace(DynamoHandler, name, quick)
    _replace(Table, "query", queries_of_partitions(Table.query))
    _replace(Item, "project", projections_of_fields(Item.project))
    _replace(sqs, "unix_time_millis", unix_time_millis)
    _replace(sqs.Queue, "delete_message", one_at_a_time(sqs.Queue.delete_message))
    _replace(sqs.SQSBackend, "receive_message", receives_whole(sqs.SQSBackend.receive_message))
    _install_streams(kinesis)
    for name, method in by_points(CloudWatchBackend).items():
        _replace(CloudWatchBackend, name, method)
    _replace(LogStream, "put_log_events", newest_events(LogStream.put_log_events))
    _replace(Topic, "publish", newest_notifications(Topic.publish))
    for name in ("items", "iteritems", "_iteritems"):
        _replace(_VersionedKeyStore, name, latest_objects)
    for name in ("values", "itervalues", "_itervalues"):
        _replace(_VersionedKeyStore, name, lambda keys: (one for _, one in latest_objects(keys)))
    _replace(notifications, "_get_s3_event", s3_event)
    _replace(
        notifications,
        "_invoke_awslambda",
        lambda account, event, function, region: call(function, json.dumps(event).encode()),
    )


def latest_objects(keys: dict[str, list[Any]]) -> Iterator[tuple[str, Any]]:
    """The latest version of each of a bucket's keys, as they are now.

    moto's own looks each key up again, and fails if it was deleted meanwhile: a listing is a 500.
    """
    for key, versions in dict(keys).items():
        for latest in versions[-1:]:
            yield key, latest


def _install_streams(kinesis: ModuleType) -> None:
    from moto.kinesis.responses import KinesisResponse

    from quintet_local import streams

    for name in ("get_records", "put_records"):
        quick = streams.in_plain_json(getattr(KinesisResponse, name))
        _replace(KinesisResponse, name, quick)
    stream, backend = kinesis.Stream, kinesis.KinesisBackend
    _replace(kinesis, "Shard", streams.Shard)
    _replace(stream, "put_record", streams.put_record)
    _replace(stream, "get_shard_for_key", streams.shard_for_key(stream.get_shard_for_key))
    _replace(stream, "split_shard", streams.kept_in_place(stream.split_shard))
    _replace(stream, "merge_shards", streams.kept_in_place(stream.merge_shards))
    _replace(backend, "get_records", streams.reads_to_the_end(backend.get_records))
    by_name_or_arn = streams.by_name_or_arn(backend.get_shard_iterator)
    _replace(backend, "get_shard_iterator", by_name_or_arn)


def untracked(base: Any) -> Callable[..., Any]:
    """What makes an instance of moto's classes, without a reference to it.

    moto keeps every item, message, object and log event that it ever made, for its own reset and a
    page that lists them: memory grew with each call.
    """

    def new(kind: Any, *_: Any, **__: Any) -> Any:
        return super(base, kind).__new__(kind)

    return new


def install_keeping(note: Callable[[Place], None]) -> None:
    """Note every item of moto's DynamoDB that changes."""
    from moto.dynamodb.models import DynamoDBBackend
    from moto.dynamodb.models.table import Table

    _replace(Table, "put_item", noting_puts(Table.put_item, note))
    _replace(Table, "delete_item", noting_deletes(Table.delete_item, note))
    update = noting_updates(DynamoDBBackend.update_item, note)
    _replace(DynamoDBBackend, "update_item", update)


def install_keys() -> None:
    """Patch moto's KMS, whose disabled keys still work; importing it takes a while."""
    from moto.kms.models import KmsBackend

    for name in ("encrypt", "decrypt"):
        _replace(KmsBackend, name, of_enabled_keys(getattr(KmsBackend, name)))
    for name in ("disable_key", "enable_key", "schedule_key_deletion", "cancel_key_deletion"):
        _replace(KmsBackend, name, by_id_or_arn(getattr(KmsBackend, name)))


def install_schedules(changed: Callable[[], object]) -> None:
    """Make moto's Scheduler refuse schedules that never fire here, and report changes."""
    from moto.scheduler.models import EventBridgeSchedulerBackend as Backend

    for name in ("create_schedule", "update_schedule", "delete_schedule", "delete_schedule_group"):
        _replace(Backend, name, checked(getattr(Backend, name), changed))


def install_sns(call: Call) -> None:
    """Patch how moto's SNS calls functions; importing moto's Lambda takes a while."""
    from moto.awslambda import utils

    def send(function: str, message: str, subject: str | None, qualifier: str | None) -> None:
        name = f"{function}:{qualifier}" if qualifier else function
        call(name, json.dumps(sns_event(message, subject)).encode())

    _replace(utils, "get_backend", lambda *_: SimpleNamespace(send_sns_message=send))


def import_state_machines() -> None:
    """Import moto's interpreter without its Batch service, whose import takes another second.

    The interpreter needs one enumeration of `moto.batch.utils`; the package itself, which imports
    EC2, loads only when something else imports Batch.
    """
    import moto

    name = "moto.batch"
    package = ModuleType(name)
    package.__path__ = [str(Path(moto.__file__).parent / "batch")]
    sys.modules[name] = package
    try:
        # a list of every thread that the interpreter ever started, which nothing reads; before the
        # modules that take it from here
        utils = importlib.import_module("moto.stepfunctions.parser.utils")
        _replace(utils, "TMP_THREADS", deque(maxlen=0))
        importlib.import_module("moto.stepfunctions.parser.models")
    finally:
        del sys.modules[name]
    _start_executions()
    _end_maps_early()
    _launch_workers()
    _keep_stops()
    _rename_starts()


def _end_maps_early() -> None:
    """Make a Distributed Map fail when more of its children fail than it tolerates."""
    place = "moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor"
    module = importlib.import_module(f"{place}.distributed_item_processor_worker")
    worker = module.DistributedItemProcessorWorker
    _replace(worker, "_eval_job", tolerating(worker._eval_job))


def _launch_workers() -> None:
    """Start no more workers of a map than it has items."""
    place = "moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration"
    module = importlib.import_module(f"{place}.inline_iteration_component")
    component = module.InlineIterationComponent
    _replace(component, "_launch_worker", no_idle_workers(component._launch_worker))


def _keep_stops() -> None:
    """Keep a stopped execution ABORTED regardless of its last task's result."""
    module = importlib.import_module("moto.stepfunctions.parser.asl.eval.environment")
    environment = module.Environment
    _replace(environment, "set_error", staying_stopped(environment.set_error))


def _rename_starts() -> None:
    """Make a state that starts an execution call the API by its own names."""
    place = "moto.stepfunctions.parser.asl.component.state.exec.state_task.service"
    task = importlib.import_module(f"{place}.state_task_service_sfn").StateTaskServiceSfn
    _replace(task, "_eval_service_task", renamed(task._eval_service_task))


def _start_executions() -> None:
    """Name executions, as AWS does, and keep the newest of those that have ended."""
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend as Backend

    _replace(Backend, "start_execution", named_and_few(Backend.start_execution))


def _replace(module: Any, name: str, function: Any) -> None:
    if not hasattr(module, name):
        raise RuntimeError(f"this version of moto has no {module.__name__}.{name}")
    setattr(module, name, function)


def s3_event(event_name: str, bucket: Any, key: Any, notification_id: str) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html"""
    now = time.time_ns()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000_000_000))
    item = {
        "key": quote_plus(key.name, safe="/*-._"),
        "size": key.size,
        "eTag": key.etag.replace('"', ""),
        "sequencer": f"{now:018X}",
    }
    if key.version_id and key.version_id != "null":
        item["versionId"] = key.version_id
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": bucket.region_name,
                "eventTime": f"{stamp}.{now // 1_000_000 % 1000:03d}Z",
                "eventName": event_name.removeprefix("s3:"),
                "userIdentity": {"principalId": f"AWS:{ACCOUNT}"},
                "requestParameters": {"sourceIPAddress": "127.0.0.1"},
                "responseElements": {
                    "x-amz-request-id": f"{now:016X}",
                    "x-amz-id-2": f"{now:032X}",
                },
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": notification_id,
                    "bucket": {
                        "name": bucket.name,
                        "ownerIdentity": {"principalId": ACCOUNT},
                        "arn": bucket.arn,
                    },
                    "object": item,
                },
            }
        ]
    }


def sns_event(message: str, subject: str | None) -> dict[str, Any]:
    """https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html"""
    now = time.time_ns()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000_000_000))
    return {
        "Records": [
            {
                "EventVersion": "1.0",
                "EventSource": "aws:sns",
                "EventSubscriptionArn": arn("sns", "local"),
                "Sns": {
                    "SignatureVersion": "1",
                    "Timestamp": f"{stamp}.000Z",
                    "Signature": "EXAMPLE",
                    "SigningCertUrl": "EXAMPLE",
                    "MessageId": f"{now:032x}",
                    "Message": message,
                    "MessageAttributes": {},
                    "Type": "Notification",
                    "UnsubscribeUrl": "EXAMPLE",
                    "TopicArn": arn("sns", "local"),
                    "Subject": subject,
                },
            }
        ]
    }
