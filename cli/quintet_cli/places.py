"""The places of a stage where refused things lie: dead-letter queues, and runs' quarantines."""

from __future__ import annotations

from collections.abc import Sequence

from quintet.batch.runs import Folder
from quintet_cli.dead_letters import DeadLetters, dead_letters
from quintet_cli.job_table import jobs_of
from quintet_cli.refused import Place
from quintet_cli.run_quarantine import RunQuarantine
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import Stage, StageError

__all__ = ["named", "places"]


def places(stage: Stage) -> list[Place]:
    """All of a stage: the queues by name, the quarantines by time, the newest first."""
    return [*_queues(stage), *_quarantines(stage)]


def named(stage: Stage, name: str) -> Place:
    """The place of that name.

    `Work` and `work` mean `WorkDeadLetters`; a model's name its newest run with refused rows.

    Raises:
        StageError: there is none.
    """
    model, slash, run = name.partition("/")
    if slash:
        return _quarantine(stage, Folder(model, run))
    queues = _queues(stage)
    wanted = name.lower().removesuffix("deadletters")
    for queue in queues:
        if queue.name.lower().removesuffix("deadletters") == wanted:
            return queue
    if found := _quarantines(stage, name):
        return found[0]
    known = ", ".join(queue.name for queue in queues) or "none"
    raise StageError(
        f"no dead-letter queue is named {name} in stage {stage.name}, and no run of a model {name} "
        f"that ended has quarantined rows; queues: {known}"
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


def _quarantine(stage: Stage, folder: Folder) -> RunQuarantine:
    reader = RunReader(stage)
    report = reader.reported(folder)
    if not report["counts"]["quarantined"]:
        raise StageError(f"run {folder.run} of {folder.model} has no quarantined rows")
    return _place(stage, reader, folder, report)


def _place(
    stage: Stage, reader: RunReader, folder: Folder, report: dict[str, object]
) -> RunQuarantine:
    return RunQuarantine(
        folder, report, reader, stage.client("s3"), stage.outputs["InboxBucketName"]
    )
