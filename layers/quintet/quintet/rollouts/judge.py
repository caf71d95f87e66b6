"""Judges rollouts, and does what follows: their state is in the store alone.

Any number of judges may look at a rollout at any time. A change is written only if the route is
still the one that was read; who loses that race reads again. A judge that is killed loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from quintet.contract import RolloutRule
from quintet.errors import ModelFailure, NotFound, QuintetError, Transient
from quintet.rollouts import gates, transitions
from quintet.rollouts.decisions import decide, roll_back_if_bad, seconds_to_next
from quintet.rollouts.evidence_store import EvidenceStore
from quintet.rollouts.gates import Verdict
from quintet.rollouts.notices import has_notice
from quintet.rollouts.state import Rollout
from quintet.rollouts.stops import Stop
from quintet.rollouts.store import Cause, Change, Event, RolloutStore, Stored

__all__ = ["Judge", "Ticked", "timeout_of"]

#: how many races with other changes are lost before a judge gives up
ATTEMPTS = 5
#: when a notice that could not be sent is tried again, and for how long, in seconds
NOTICE_SECONDS, GIVE_UP_SECONDS = 60, 3600
#: what captures take to arrive, with one retry
CAPTURE_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a look at a rollout led to.

    `done` says that the rollout is over. If it is not, it is to be looked at again in `wait`
    seconds. `event` is that of the change, None if nothing was due.
    """

    done: bool
    wait: int
    event: Event | None = None


@dataclass(frozen=True)
class Judge:
    """Judges the rollouts of a stage.

    `rule_of` gives the rule in the contract of a model's version. A request that began `timeout`
    seconds ago and has no outcome has crashed. `told` is called with a rollout and the change that
    was made of it, `unjudged` with one on which no verdict could be reached. `notify` sends the
    notice of a change, and says whether it was sent; if not, or if the judge is killed before, the
    next look sends it: at least once. None of these may raise.
    """

    store: RolloutStore
    evidence: EvidenceStore
    rule_of: Callable[[str, int], RolloutRule]
    timeout: float
    told: Callable[[Rollout, Change], None]
    notify: Callable[[Rollout, Change], bool]
    unjudged: Callable[[Rollout, Exception], None]

    def tick(self, model: str, rollout: str, now: float) -> Ticked:
        """Look at a rollout at `now` (epoch seconds), and make the change that is due.

        Raises:
            Transient: the store or the contract could not be read, or every race was lost.
        """

        def due(stored: Stored, found: Rollout) -> Change | None:
            return decide(stored, self.verdict(found, now), self._rule(found), now)

        going, change = self._change(model, lambda found: found.id == rollout, due, now)
        event = None if change is None else change.event
        if going is None:
            wait = NOTICE_SECONDS if self._has_unsent(model) else 0
            return Ticked(not wait, wait, event)
        return Ticked(False, seconds_to_next(going, self._rule(going), now), event)

    def judge_now(self, model: str, rollout: str, now: float) -> bool:
        """Roll a rollout back if it is bad at `now`, epoch seconds; it never goes on by this.

        Raises: see `tick`.
        """

        def due(stored: Stored, found: Rollout) -> Change | None:
            return roll_back_if_bad(stored, self.verdict(found, now), now)

        return self._change(model, lambda found: found.id == rollout, due, now)[1] is not None

    def stop(self, stop: Stop, now: float) -> list[str]:
        """Roll back what a stop is for; return the models.

        A rollout that began after the stop's cause is left alone.

        Raises:
            Transient: some could not be rolled back; the others were. Repeat.
        """
        cause = Cause(at=now, by=stop.by, reason=stop.reason)

        def due(stored: Stored, found: Rollout) -> Change | None:
            return transitions.roll_back(stored, cause)

        stopped, left = [], []
        for model in self.store.active() if stop.model is None else [stop.model]:
            try:
                _, change = self._change(model, lambda found: found.started <= stop.at, due, now)
            except Transient as error:
                left.append(f"{model}: {error}")
                continue
            if change is not None:
                stopped.append(model)
        if left:
            raise Transient(f"not rolled back yet: {'; '.join(left)}")
        return stopped

    def verdict(self, rollout: Rollout, now: float) -> Verdict:
        """The verdict on a rollout at `now`, epoch seconds; a judge that fails has no evidence."""
        try:
            return gates.judge(
                gates.rule_for(rollout, self._rule(rollout)),
                self.evidence.read(rollout.model, rollout.id),
                step=rollout.step,
                share=rollout.share,
                phase=rollout.phase,
                now=now,
                timeout=self.timeout,
            )
        except Exception as error:
            self.unjudged(rollout, error)
            reason = str(error) if isinstance(error, QuintetError) else type(error).__name__
            return gates.unknown(f"the evidence could not be judged: {reason}")

    def _change(
        self,
        model: str,
        wanted: Callable[[Rollout], bool],
        due: Callable[[Stored, Rollout], Change | None],
        now: float,
    ) -> tuple[Rollout | None, Change | None]:
        """Make the change that is due: the rollout afterwards, None if it is over, and the change.

        A model without a rollout that is wanted has none. The notice of an earlier change is sent
        first, if it is still due.
        """
        for _ in range(ATTEMPTS):
            try:
                stored = self.store.read(model)
            except NotFound:
                return None, None
            if stored.unsent:
                self._send_again(model, stored.unsent, now)
            rollout = stored.rollout
            if rollout is None or not wanted(rollout):
                return None, None
            change = due(stored, rollout)
            if change is None:
                return rollout, None
            if self.store.write(replace(change, notice=has_notice(change))):
                self.told(rollout, change)
                if has_notice(change):
                    self._send(rollout, change)
                return change.rollout, change
        raise Transient(f"the route of {model} changed {ATTEMPTS} times meanwhile")

    def _send(self, rollout: Rollout, change: Change) -> None:
        """Send the notice of a change, which stands all the same; if it fails, it stays due."""
        if self.notify(rollout, change):
            with suppress(Transient):
                self.store.sent(change.model, change.revision)

    def _send_again(self, model: str, revision: int, now: float) -> None:
        """Send a notice that may not have been sent; after an hour nobody tries any more."""
        *before, change = [one for one in self.store.history(model) if one.revision <= revision]
        rollouts = [one.rollout for one in before if one.rollout is not None]
        if rollouts and now - change.cause.at < GIVE_UP_SECONDS:
            self._send(rollouts[-1], change)
        else:
            self.store.sent(model, revision)

    def _has_unsent(self, model: str) -> bool:
        try:
            return self.store.read(model).unsent > 0
        except NotFound:
            return False

    def _rule(self, rollout: Rollout) -> RolloutRule:
        """The rule of the candidate; the default one if the candidate cannot be read any more."""
        try:
            return self.rule_of(rollout.model, rollout.candidate)
        except (ModelFailure, NotFound):
            return RolloutRule()


def timeout_of(answer_timeouts: Iterable[int]) -> float:
    """After how many seconds a request without an outcome has crashed, by the time-outs (seconds)
    of the functions that answer requests."""
    return max(answer_timeouts) + CAPTURE_SECONDS
