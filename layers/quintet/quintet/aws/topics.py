"""SNS topics, through the query protocol, and job notifications in SageMaker's format."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from quintet.aws.client import AwsClient
from quintet.aws.responses import AwsResponse, error_code
from quintet.errors import Transient
from quintet.jobs.job import Job
from quintet.webhooks.delivery import Attempt
from quintet.webhooks.job_events import sagemaker_body

__all__ = ["TopicChannel", "publish"]


def publish(
    client: AwsClient,
    arn: str,
    message: str,
    *,
    subject: str | None = None,
    attributes: Mapping[str, str] | None = None,
) -> AwsResponse:
    """Publish a message. It may be published twice: SNS delivers at least once.

    Raises:
        Transient: SNS did not respond.
    """
    form = {"Action": "Publish", "Version": "2010-03-31", "TopicArn": arn, "Message": message}
    if subject is not None:
        form["Subject"] = subject
    for number, (name, value) in enumerate((attributes or {}).items(), 1):
        entry = f"MessageAttributes.entry.{number}"
        form[f"{entry}.Name"] = name
        form[f"{entry}.Value.DataType"] = "String"
        form[f"{entry}.Value.StringValue"] = value
    return client.request(
        "POST",
        "/",
        headers={"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
        body=urlencode(form).encode(),
        idempotent=True,
    )


class TopicChannel:
    """Publishes to the stack's topic."""

    def __init__(self, client: AwsClient, topic_arn: str) -> None:
        self._client = client
        self._arn = topic_arn

    def __call__(self, job: Job, now: float) -> Attempt:
        """Try once to publish that a job ended; see `quintet.webhooks.notifier.JobReader`."""
        try:
            response = publish(self._client, self._arn, sagemaker_body(job, self._client.region))
        except Transient as error:
            return Attempt("waiting", str(error))
        if response.status != 200:  # its error message may contain ARNs
            return Attempt("waiting", error_code(response))
        return Attempt("delivered", "published")
