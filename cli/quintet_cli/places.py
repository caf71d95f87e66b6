"""The places of a stage where refused things lie: queues, the stream's, and runs' quarantines."""

from __future__ import annotations

from collections.abc import Sequence

from quintet.batch.run_paths import RunPaths
from quintet_cli.dead_letters import DeadLetters, dead_letters
from quintet_cli.job_table import jobs_of
from quintet_cli.refused import Place
from quintet_cli.run_quarantine import RunQuarantine
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import Stage, StageError
from quintet_cli.stream_replay import stream_places

__all__ = ["named", "places"]


def places(stage: Stage) -> list[Place]:
    """All of a stage: queues by name, the stream's, and quarantines by time, the newest first."""
    return [*_queues(stage), *stream_places(stage), *_quarantines(stage)]


def named(stage: Stage, name: str) -> Place:
    """The place of that name.

    `Work` and `work` mean `WorkDeadLetters`, `streamquarantine` is `StreamQuarantine`; a model's
    name means its newest run with refused rows.

    Raises:
        StageError: there is none.
    """
    model, slash, run = name.partition("/")
    if slash:
        return _quarantine(stage, RunPaths(model, run))
    known: list[Place] = [*_queues(stage), *stream_places(stage)]
    wanted = name.lower().removesuffix("deadletters")
    for place in known:
        if place.name.lower().removesuffix("deadletters") == wanted:
            return place
    if found := _quarantines(stage, name):
        return found[0]
    raise StageError(
        f"no dead-letter queue is named {name} in stage {stage.name}, and no run of a model {name} "
        f"that ended has quarantined rows; queues: {', '.join(p.name for p in known) or 'none'}"
    )


def _queues(stage: Stage) -> Sequence[DeadLetters]:
    return dead_letters(stage, jobs_of(stage))


def _quarantines(stage: Stage, model: str | None = None) -> list[RunQuarantine]:
    """The runs that ended and have refused rows, of one model or of all, the newest first."""
    reader = RunReader(stage)
    found = []
    for folder in reader.quarantined(model):
        report = reader.report(folder)
        if report is not None:
            found.append(_place(stage, reader, folder, report))
    return sorted(found, key=lambda place: str(place.report["started"]), reverse=True)


def _quarantine(stage: Stage, folder: RunPaths) -> RunQuarantine:
    reader = RunReader(stage)
    report = reader.reported(folder)
    if not report["counts"]["quarantined"]:
        raise StageError(f"run {folder.run} of {folder.model} has no quarantined rows")
    return _place(stage, reader, folder, report)


def _place(
    stage: Stage, reader: RunReader, folder: RunPaths, report: dict[str, object]
) -> RunQuarantine:
    return RunQuarantine(
        folder, report, reader, stage.client("s3"), stage.outputs["InboxBucketName"]
    )
