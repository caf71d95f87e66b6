"""The rollouts of a stage: begins and changes them, and reads what they have seen."""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from quintet.aws.captures import CaptureBucket
from quintet.aws.executions import StateMachineExecutions
from quintet.contract import Contract
from quintet.errors import BadInput, Conflict, NotFound, QuintetError
from quintet.rollouts import gates, transitions
from quintet.rollouts.evidence import Evidence
from quintet.rollouts.evidence_store import EvidenceObjects
from quintet.rollouts.gates import Verdict
from quintet.rollouts.judge import Judge, timeout_of
from quintet.rollouts.measures import rule_of
from quintet.rollouts.state import Rollout
from quintet.rollouts.store import Cause, Change, Stored, fields_of
from quintet_cli.registry import artifacts_of, rollouts_of, unpublished
from quintet_cli.rollout_start import Asked, begin, check_version
from quintet_cli.stage import Stage, StageError

__all__ = ["Promise", "Report", "StageRollouts", "on_stage", "promise_of"]

#: how often a rollback meets another change before it gives up
ATTEMPTS = 5

Transition = Callable[[Stored, Cause], Change]


@dataclass(frozen=True, slots=True)
class Promise:
    """What the candidate got at the present step, of `share`: entities, and requests by rows.

    The share of the entities is promised to be within 3 standard deviations; that of the rows is
    not, as some entities send more than others.
    """

    share: float
    entities: int
    candidate_entities: int
    rows: int
    candidate_rows: int

    @property
    def kept(self) -> bool:
        """Whether the share of the entities is within 3 standard deviations."""
        sd = math.sqrt(self.entities * self.share * (1 - self.share))
        return abs(self.candidate_entities - self.entities * self.share) <= 3 * sd + 1e-9


@dataclass(frozen=True, slots=True)
class Report:
    """A model's route and its rollout, with the verdict of the gates and the promise of the router.

    Without a rollout, all but the route are None; the promise also before the canary. `running`
    says whether an execution goes on with the rollout, None if that could not be read.
    """

    route: Mapping[str, Any]
    rollout: Rollout | None
    verdict: Verdict | None
    promise: Promise | None
    running: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values."""
        return {
            "route": dict(self.route),
            "rollout": None if self.rollout is None else asdict(self.rollout),
            "verdict": None if self.verdict is None else self.verdict.to_dict(),
            "promise": (
                None
                if self.promise is None
                else {**asdict(self.promise), "kept": self.promise.kept}
            ),
            "running": self.running,
        }


def promise_of(rollout: Rollout, evidence: Evidence) -> Promise | None:
    """What the candidate got at the present step of a canary; None in another phase."""
    if rollout.phase != "canary":
        return None
    now = evidence.take((evidence.step == rollout.step) & ~evidence.begun)
    mine = now.candidate
    return Promise(
        share=rollout.share,
        entities=len(np.unique(now.entity)),
        candidate_entities=len(np.unique(now.entity[mine])),
        rows=len(now),
        candidate_rows=int(mine.sum()),
    )


class StageRollouts:
    """The rollouts of a stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._store = rollouts_of(stage)
        bucket = CaptureBucket(stage.signed("s3"), stage.outputs["CapturesBucketName"])
        self._evidence = EvidenceObjects(bucket, bucket)

    def stored(self, model: str) -> Stored:
        """The route and the rollout of a model.

        Raises:
            NotFound: the model is not published on the stage.
        """
        try:
            return self._store.read(model)
        except NotFound:
            raise unpublished(self._stage, model) from None

    def contract(self, model: str, version: int, stored: Stored) -> Contract:
        """The contract of a version that answers."""
        seal = stored.route.versions[version].seal
        return artifacts_of(self._stage).contract(model, version, seal)

    def start(self, model: str, asked: Asked, reason: str) -> Change:
        """Begin a rollout, and the execution that judges it. Raises the same as `begin`."""
        executions = self._executions()
        stored = self.stored(model)
        check_version(stored.route, asked.version)
        live, candidate = (
            self.contract(model, version, stored) for version in (stored.route.live, asked.version)
        )
        id = f"v{asked.version}-{datetime.now(UTC):%Y%m%dt%H%M%S}-{secrets.token_hex(2)}"
        sealed = self._stage.seals_captures
        change = begin(stored, live, candidate, asked, self._cause(reason), id=id, sealed=sealed)
        self._write(change)
        try:
            executions.start(id, {"model": model, "rollout": id})
        except BaseException:  # nothing would judge it
            self.roll_back(model, "its execution was not started")
            raise
        return change

    def change(self, model: str, step: Transition, reason: str) -> Change:
        """Change a rollout once. Raises Conflict if the state does not allow it, or changed."""
        change = step(self.stored(model), self._cause(reason))
        self._write(change)
        return change

    def resume(self, model: str, reason: str) -> tuple[Change | None, bool]:
        """Let a paused rollout go on, and start an execution if none goes on with it.

        The change, None if it was not paused, and whether an execution was started. Raises Conflict
        if neither is due.
        """
        rollout, change = self.stored(model).rollout, None
        idle = rollout is not None and not self._is_judged(rollout)
        if rollout is None or rollout.paused or not idle:
            change = self.change(model, transitions.resume, reason)
        if rollout is not None and idle:
            name = f"{rollout.id}-{secrets.token_hex(2)}"
            self._executions().start(name, {"model": model, "rollout": rollout.id})
        return change, idle

    def promote(self, model: str, *, force: bool, reason: str) -> Change:
        """Make the candidate live by the present verdict. Raises the same as `change`."""

        def step(stored: Stored, cause: Cause) -> Change:
            verdict = self._report(stored).verdict or gates.unknown("no rollout is in progress")
            cause = Cause(at=cause.at, by=cause.by, reason=reason, evidence=verdict.to_dict())
            return transitions.promote(stored, cause, verdict=verdict.verdict, force=force)

        return self.change(model, step, reason)

    def roll_back(self, model: str, reason: str) -> Change:
        """End a rollout with the version before, whatever else changes it meanwhile.

        Raises:
            Conflict: no rollout is in progress, or it ended meanwhile.
        """
        ids = set()
        for _ in range(ATTEMPTS):
            stored = self.stored(model)
            change = transitions.roll_back(stored, self._cause(reason))
            ids.add(stored.route.rollout)
            if len(ids) > 1:  # another rollout began meanwhile
                break
            if self._store.write(change):
                return change
        raise _changed(model)

    def history(self, model: str) -> list[Change]:
        """All changes of a model's route, oldest first."""
        self.stored(model)
        return self._store.history(model)

    def report(self, model: str) -> Report:
        """The present state of a model's route and rollout."""
        return self._report(self.stored(model))

    def _report(self, stored: Stored) -> Report:
        rollout, fields = stored.rollout, fields_of(stored.route)
        if rollout is None:
            return Report(fields, None, None, None)
        verdict = self._judge(stored).verdict(rollout, time.time())
        try:
            promise = promise_of(rollout, self._evidence.read(rollout.model, rollout.id))
        except QuintetError:  # the verdict says it
            promise = None
        try:
            running = self._is_judged(rollout)
        except (QuintetError, StageError):  # not everybody may list executions
            running = None
        return Report(fields, rollout, verdict, promise, running)

    def _executions(self) -> StateMachineExecutions:
        machine = self._stage.outputs.get("RolloutStateMachineArn")
        if machine is None:
            raise StageError(
                f"stage {self._stage.name} has no rollouts yet: deploy it again first",
                command=f"make deploy STAGE={self._stage.name}",
            )
        return StateMachineExecutions(self._stage.signed("states"), machine)

    def _is_judged(self, rollout: Rollout) -> bool:
        """Whether an execution goes on with a rollout: its first one, or one that took over."""
        executions = self._executions()
        names = executions.running()
        return rollout.id in names or any(
            found is not None and found.request.get("rollout") == rollout.id
            for found in map(executions.look, names)
        )

    def _judge(self, stored: Stored) -> Judge:
        """A judge that only looks."""
        return Judge(
            store=self._store,
            evidence=self._evidence,
            rule_of=lambda model, version: rule_of(self.contract(model, version, stored)),
            timeout=timeout_of(map(int, self._stage.outputs["AnswerTimeouts"].split(","))),
            told=lambda rollout, change: None,
            notify=lambda rollout, change: False,
            unjudged=lambda rollout, error: None,
        )

    def _cause(self, reason: str) -> Cause:
        return Cause(at=time.time(), by=self._stage.caller(), reason=reason)

    def _write(self, change: Change) -> None:
        if not self._store.write(change):
            raise _changed(change.model)


def on_stage(text: str, stage: str) -> str:
    """A text whose commands of `quintet rollout` name the stage, unless it is the default."""
    at = "" if stage == "local" else f" --stage {stage}"
    return re.sub(r"`(quintet rollout [^`]*)`", rf"`\1{at}`", text)


def _changed(model: str) -> BadInput:
    return Conflict.of(
        "route",
        "the route as it was read",
        f"another change meanwhile; see `quintet rollout history {model}`, and try again",
    )
