"""Replays of a stage: where from, and who asks for one."""

from __future__ import annotations

import getpass

from quintet.aws.scores_bucket import S3ObjectStore
from quintet.replay.aws.catalog import catalog_of
from quintet.replay.catalog import ReplayCatalog
from quintet.replay.replays import Replay, ReplayRun
from quintet_cli.stage import Stage

__all__ = ["catalog_at", "run_of"]


def catalog_at(stage: Stage) -> ReplayCatalog:
    """Return the sources of replays of a stage."""
    return catalog_of(stage.name, stage.outputs, stage.client, stage.signed)


def run_of(stage: Stage, asked: Replay, via: str = "") -> ReplayRun:
    """Return a replay, to be run; its record says who asked, and `via` what, if it is given.

    Who is the caller's identity on AWS, and the account on this machine.
    """
    arn: str = stage.client("sts").get_caller_identity()["Arn"]
    who = {"arn": arn, "user": getpass.getuser(), **({"via": via} if via else {})}
    bucket = stage.outputs["ScoresBucketName"]
    return ReplayRun(asked, S3ObjectStore(stage.signed("s3"), bucket), bucket, who)
