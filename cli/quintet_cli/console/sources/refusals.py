"""What was refused: dead letters, quarantines, and who replayed some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from quintet.aws.scores_bucket import S3ObjectStore
from quintet.replay.items import ReplayDepth, ReplaySource
from quintet_cli.replaying import catalog_at
from quintet_cli.stage import Stage

__all__ = ["Refusals", "read_refusals"]

REPLAYS = 10


@dataclass(frozen=True, slots=True)
class Refusals:
    """Each source with its depth, and the newest replays' audit records."""

    sources: list[tuple[ReplaySource, ReplayDepth]]
    replays: list[dict[str, Any]]


def read_refusals(stage: Stage) -> Refusals | None:
    """What was refused, and replayed; None if nothing was."""
    sources = [(source, source.depth()) for source in catalog_at(stage).all()]
    store = S3ObjectStore(stage.signed("s3"), stage.outputs["ScoresBucketName"])
    newest = sorted(store.keys("audit/dlq/"), reverse=True)[:REPLAYS]
    replays = [orjson.loads(body) for key in newest if (body := store.get(key))]
    if not replays and not any(depth.waiting or depth.note for _, depth in sources):
        return None
    return Refusals(sources, replays)
