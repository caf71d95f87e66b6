"""The replay sources of a stage: dead-letter queues, the stream's, and runs' quarantines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quintet.batch.plans import RunPaths
from quintet.batch.stores import InputBucket, ObjectStore
from quintet.replay.items import ReplayError, ReplaySource
from quintet.replay.marks import MarkObjects
from quintet.replay.quarantined_runs import QuarantinedRuns
from quintet.replay.run_quarantine import ReplayInbox, RunQuarantine

__all__ = ["ReplayCatalog"]


@dataclass(frozen=True)
class ReplayCatalog:
    """Lists and finds sources; `fixed` are those that exist independently of runs.

    `store` and `marked` are the scores bucket, `files` and `inbox` the inbox.
    """

    stage: str
    fixed: Sequence[ReplaySource]
    store: ObjectStore
    marked: MarkObjects
    files: InputBucket
    inbox: ReplayInbox

    def all(self) -> list[ReplaySource]:
        """Every source: queues by name, the stream's sources, and quarantines, newest first."""
        return [*self.fixed, *self._quarantines()]

    def named(self, name: str) -> ReplaySource:
        """The source of that name.

        `Work` and `work` mean `WorkDeadLetters`, `streamquarantine` is `StreamQuarantine`; a
        model's name means its newest run with quarantined rows.

        Raises:
            ReplayError: no source has that name.
        """
        model, slash, run = name.partition("/")
        if slash:
            folder = RunPaths(model, run)
            return self._quarantine(folder, QuarantinedRuns(self.store).report(folder))
        wanted = name.lower().removesuffix("deadletters")
        for source in self.fixed:
            if source.name.lower().removesuffix("deadletters") == wanted:
                return source
        if found := self._quarantines(name):
            return found[0]
        queues = ", ".join(source.name for source in self.fixed) or "none"
        raise ReplayError(
            f"no dead-letter queue is named {name} in stage {self.stage}, and no run of a model "
            f"{name} that ended has quarantined rows; queues: {queues}"
        )

    def _quarantines(self, model: str | None = None) -> list[RunQuarantine]:
        runs = QuarantinedRuns(self.store).newest_first(model)
        return [self._quarantine(folder, report) for folder, report in runs]

    def _quarantine(self, folder: RunPaths, report: Mapping[str, Any]) -> RunQuarantine:
        return RunQuarantine(folder, report, self.store, self.marked, self.files, self.inbox)
