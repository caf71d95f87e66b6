"""Notices on SNS, in SageMaker's form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quintet.aws.boto import calling
from quintet.callbacks.delivery import Attempt
from quintet.callbacks.notices import sagemaker_body
from quintet.errors import Transient
from quintet.jobs.job import Job

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

__all__ = ["TopicChannel"]


class TopicChannel:
    """Publishes to the stack's topic."""

    def __init__(self, client: SNSClient, topic_arn: str) -> None:
        self._client = client
        self._arn = topic_arn

    def __call__(self, job: Job, now: float) -> Attempt:
        """See `quintet.callbacks.delivery.Channel`."""
        body = sagemaker_body(job, self._client.meta.region_name)
        try:
            with calling("the topic"):
                self._client.publish(TopicArn=self._arn, Message=body)
        except Transient as error:
            return Attempt("waiting", str(error))
        return Attempt("delivered", "published")
