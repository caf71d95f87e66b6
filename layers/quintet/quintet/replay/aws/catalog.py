"""The replay sources of a deployed stack, from its CloudFormation outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.input_bucket import S3InputBucket
from quintet.aws.scores_bucket import S3ObjectStore
from quintet.replay.aws.jobs import ReplayJobTable
from quintet.replay.aws.messages import SqsMessages
from quintet.replay.aws.objects import S3MarkObjects, S3ReplayInbox, S3StreamObjects
from quintet.replay.aws.stream import KinesisStream
from quintet.replay.catalog import ReplayCatalog
from quintet.replay.dead_letters import DeadLetterSource
from quintet.replay.jobs import NoJobs, ReplayJobs
from quintet.replay.stream_quarantine import StreamQuarantine, stream_quarantines

__all__ = ["catalog_of", "dead_letters"]

Outputs = Mapping[str, str]
#: makes a boto3 client of a service
Clients = Callable[[str], Any]
#: makes the functions' own client of a service
Signed = Callable[[str], AwsClient]

#: the suffix of the stack outputs that name dead-letter queues
QUEUE_OUTPUT = "DeadLettersUrl"


def catalog_of(stage: str, outputs: Outputs, client: Clients, signed: Signed) -> ReplayCatalog:
    """The sources of a stack with these outputs."""
    s3, scores = signed("s3"), outputs["ScoresBucketName"]
    return ReplayCatalog(
        stage=stage,
        fixed=[*dead_letters(outputs, client, signed), *_streams(outputs, client, signed)],
        store=S3ObjectStore(s3, scores),
        marked=S3MarkObjects(s3, scores),
        files=S3InputBucket(s3),
        inbox=S3ReplayInbox(s3, outputs.get("InboxBucketName", "")),
    )


def dead_letters(outputs: Outputs, client: Clients, signed: Signed) -> list[DeadLetterSource]:
    """The dead-letter queues of a stack, by name."""
    sqs, table = client("sqs"), outputs.get("JobsTableName")
    jobs: ReplayJobs = ReplayJobTable(signed("dynamodb"), table) if table else NoJobs()
    return [
        DeadLetterSource(name.removesuffix("Url"), SqsMessages(url, sqs), jobs)
        for name, url in sorted(outputs.items())
        if name.endswith(QUEUE_OUTPUT)
    ]


def _streams(outputs: Outputs, client: Clients, signed: Signed) -> list[StreamQuarantine]:
    bucket = outputs.get("StreamBucketName")
    if bucket is None:
        return []
    s3 = signed("s3")
    stream = KinesisStream(outputs["EventsStreamName"], client("kinesis"))
    objects, marked = S3StreamObjects(s3, bucket), S3MarkObjects(s3, bucket)
    return stream_quarantines(objects, S3ObjectStore(s3, bucket), marked, stream)
