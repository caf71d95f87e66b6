"""Notices on SNS, in SageMaker's form."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from quintet.jobs.job import Job
from quintet.webhooks.delivery import Attempt
from quintet.webhooks.job_events import sagemaker_body

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

__all__ = ["TopicChannel"]


class TopicChannel:
    """Publishes to the stack's topic; `client` is asked for when it is needed."""

    def __init__(self, client: Callable[[], SNSClient], topic_arn: str) -> None:
        self._client = client
        self._arn = topic_arn

    def __call__(self, job: Job, now: float) -> Attempt:
        """Try once to publish that a job ended; see `quintet.webhooks.notifier.JobReader`."""
        client = self._client()
        body = sagemaker_body(job, client.meta.region_name)
        try:
            client.publish(TopicArn=self._arn, Message=body)
        except ClientError as error:  # its text may hold ARNs
            return Attempt("waiting", str(error.response.get("Error", {}).get("Code")))
        except BotoCoreError as error:
            return Attempt("waiting", type(error).__name__)
        return Attempt("delivered", "published")
