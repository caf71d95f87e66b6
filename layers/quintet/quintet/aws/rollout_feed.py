"""What rollouts hear of captures: the queue of `compare`, and evidence that needs no comparison."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from quintet.aws.client import AwsClient
from quintet.errors import Transient
from quintet.rollouts.compare import begun
from quintet.rollouts.evidence_store import EvidenceStore

__all__ = ["RolloutFeedQueue"]


class RolloutFeedQueue:
    """See `quintet.captures.store.RolloutFeed`."""

    def __init__(self, client: AwsClient, url: str, evidence: EvidenceStore) -> None:
        self._client = client
        self._url = url
        self._evidence = evidence

    def announce(self, key: str) -> None:
        """See `RolloutFeed.announce`. A duplicate is harmless: it writes the same evidence."""
        body = orjson.dumps({"key": key}).decode()
        payload = {"QueueUrl": self._url, "MessageBody": body}
        response = self._client.call("AmazonSQS.SendMessage", payload)
        if response.status != 200:
            raise Transient(f"sqs answered {response.status} to the announcement of captures")

    def begun(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """See `RolloutFeed.begun`."""
        key = hashlib.sha256(orjson.dumps(lines)).hexdigest()
        for (model, rollout, step), evidence in begun(lines).items():
            self._evidence.put(model, rollout, step, key, evidence)
