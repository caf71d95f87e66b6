"""Batch runs that have quarantined rows, read from the scores bucket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from quintet.batch.inputs import plan_of, sources_from
from quintet.batch.plans import Plan, RunPaths, plan_from, slug
from quintet.batch.stores import ObjectStore
from quintet.replay.items import ReplayError

__all__ = ["QuarantinedRuns"]


@dataclass(frozen=True)
class QuarantinedRuns:
    """The runs of a scores bucket that refused rows."""

    store: ObjectStore

    def newest_first(self, model: str | None = None) -> list[tuple[RunPaths, dict[str, Any]]]:
        """The runs that ended with quarantined rows, with reports; for one model or all."""
        root = f"runs/{slug(model)}/" if model else "runs/"
        keys = (key.split("/") for key in self.store.keys(root))
        folders = dict.fromkeys(RunPaths(k[1], k[2]) for k in keys if k[3:4] == ["quarantine"])
        found = [(folder, self._report(folder)) for folder in folders]
        ended = [(folder, report) for folder, report in found if report is not None]
        return sorted(ended, key=lambda run: str(run[1]["started"]), reverse=True)

    def report(self, folder: RunPaths) -> dict[str, Any]:
        """The report of a run with quarantined rows.

        Raises:
            ReplayError: the run does not exist, has no report yet, or refused no rows.
        """
        found = self._report(folder)
        if found is None:
            known = self.store.get(folder.plan) is not None
            hint = f"`quintet runs watch {folder.model} {folder.run}`" if known else "no such run"
            raise ReplayError(f"run {folder.run} has no report: {hint}")
        if not found["counts"]["quarantined"]:
            raise ReplayError(f"run {folder.run} of {folder.model} has no quarantined rows")
        return found

    def plans(self, folder: RunPaths) -> Mapping[str | None, Plan]:
        """The plan of each file of a run, by its key; by None if the run has one file.

        Raises:
            ReplayError: a document of the run is missing, or two files have the same key.
        """
        body = self.store.get(folder.plan)
        plan = plan_from(body) if body else None
        if not isinstance(plan, Plan):
            raise ReplayError(f"run {folder.run} has no plan any more; its rows stay")
        if plan.scope == "key":
            return {None: plan}
        body = self.store.get(plan.inputs_key)
        if body is None:
            raise ReplayError(f"run {plan.run} has no inputs.json any more; its rows stay")
        found: dict[str | None, Plan] = {}
        for source in sources_from(body, range(plan.files)).values():
            if source.input.key in found:
                raise ReplayError(
                    f"run {plan.run} has files {source.input.key} of two buckets, and its "
                    "quarantine does not tell them apart; its rows stay"
                )
            found[source.input.key] = plan_of(plan, source)
        return found

    def _report(self, folder: RunPaths) -> dict[str, Any] | None:
        body = self.store.get(folder.report)
        report: dict[str, Any] | None = orjson.loads(body) if body else None
        return report
