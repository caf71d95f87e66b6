"""What is left of the error budgets of a stage's models, from the counts that `predict` writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quintet.aws.request_counts import RequestCounts
from quintet.contract import Slo
from quintet.errors import ModelFailure
from quintet.monitoring.budgets import watch
from quintet.monitoring.burn import SLOW, Burn, Burned, Pair
from quintet_cli.registry import artifacts_of, registry_of
from quintet_cli.stage import Stage

__all__ = ["DAYS", "Budget", "Budgets", "budgets_of"]

#: the days of a budget
DAYS = 30
HOUR = 3600


@dataclass(frozen=True, slots=True)
class Budget:
    """A model's objectives, its counts of the last `DAYS` days, and its burn by window."""

    slo: Slo
    spent: Burned
    burns: Mapping[str, Burn]

    @property
    def availability_left(self) -> float | None:
        """The share of the budget for failures that is left; negative if overspent; None: no
        requests."""
        return self._left(self.spent.failed, self.spent.requests, 1 - self.slo.availability)

    @property
    def latency_left(self) -> float | None:
        """The share of the budget for slow answers that is left."""
        return self._left(self.spent.slow, self.spent.requests - self.spent.failed, SLOW)

    @staticmethod
    def _left(bad: float, of: float, budget: float) -> float | None:
        return 1 - bad / of / budget if of > 0 else None


@dataclass(frozen=True, slots=True)
class Budgets:
    """The budgets by model, what burns by pair, and the requests that left no line.

    Of these, `died` ended their process or its time, and Lambda ran no process for `throttled`.
    """

    of: Mapping[str, Budget]
    burning: Mapping[Pair, list[str]]
    died: float
    throttled: float

    @property
    def availability(self) -> float | None:
        """The share of the stage's requests that succeeded, of all models and those without a line;
        None without requests."""
        asked = sum(budget.spent.requests for budget in self.of.values())
        lost = self.died + self.throttled
        failed = sum(budget.spent.failed for budget in self.of.values())
        return 1 - (failed + lost) / (asked + lost) if asked + lost else None


def budgets_of(stage: Stage, now: float) -> Budgets:
    """The budgets of all models of a stage.

    `died` are Lambda's Errors of `predict`, and `throttled` its Throttles: it answers failures
    itself, so these are requests that wrote no line; no metric says of which model.

    Raises:
        Transient: the registry or CloudWatch did not answer.
    """
    slos = _slos(stage)
    source = RequestCounts(stage.signed("monitoring"), stage.name)
    watched = watch(slos, source, now)
    end = (now // HOUR + 1) * HOUR
    steps = DAYS * 24
    counts = source.read(sorted(slos), end, steps=steps, seconds=HOUR)
    found = {
        model: Budget(slo, counts[model].last(steps), watched.burns.get(model, {}))
        for model, slo in slos.items()
    }
    function = {"FunctionName": stage.outputs["PredictName"]}
    died, throttled = (
        source.sum("AWS/Lambda", metric, function, end - steps * HOUR, end)
        for metric in ("Errors", "Throttles")
    )
    burning = {pair: list(of) for pair, of in watched.burning.items()}
    return Budgets(found, burning, died, throttled)


def _slos(stage: Stage) -> dict[str, Slo]:
    registry, artifacts = registry_of(stage), artifacts_of(stage)
    found = {}
    for model in registry.models():
        route = registry.route(model)
        try:
            contract = artifacts.contract(model, route.live, route.versions[route.live].seal)
        except (KeyError, ModelFailure):  # its live version was withdrawn, or changed in the bucket
            continue
        found[model] = contract.slo
    return found
