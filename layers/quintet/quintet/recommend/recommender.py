"""Answer with recommendations: read, rank, filter, and fall back where a part fails.

The steps of the ladder: the candidates in the ranker's order, the candidates in their own order,
what is popular in the user's segment, what is popular.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from quintet.batch.candidates import unpacked
from quintet.captures.events import new_event, taken
from quintet.columns import Batch
from quintet.contract import Contract
from quintet.errors import ModelFailure, NotFound, QuintetError, Transient
from quintet.recommend.answers import Recommendation
from quintet.recommend.budget import RunTimes
from quintet.recommend.filters import Exclusions, Listed, chosen
from quintet.recommend.plans import RecommendPlan
from quintet.recommend.reads import Prefetched, Reads, Shown, ShownRuns, UserItems
from quintet.recommend.requests import Asked
from quintet.serving import ModelStats, Online, RequestContext
from quintet.serving.model_cache import ModelCache
from quintet.serving.prediction import ModelRoute
from quintet.serving.routing import assigned

__all__ = ["Recommender"]


@dataclass(frozen=True, slots=True)
class _Gathered:
    """What was read for a request: a user's items, None if the store could not be read."""

    asked: Asked
    plan: RecommendPlan
    shown: Shown
    user: UserItems | None
    age: float
    stale: bool
    out: Exclusions
    why: list[str]


@dataclass(frozen=True)
class Recommender:
    """What recommendations are made with; `contracts` are those of versions that do not load."""

    online: Online
    reads: Reads
    runs: ShownRuns
    contracts: ModelCache
    times: RunTimes = field(default_factory=RunTimes)

    def recommend(
        self,
        context: RequestContext,
        model: str,
        read: Callable[[RecommendPlan, float], Asked],
    ) -> Recommendation:
        """Recommend items for a user; the request is read by the plan of the model's contract.

        What was shown is the context's `impression`; a failure of the ranker, which the answer
        hides, is its `hidden`.

        Raises:
            NotFound: there is no such model, it ranks nothing, or there is nothing to show.
            BadInput: the request is refused.
            Transient: the store could not be read, and nothing is known that could be shown.
        """
        route, contract = self._route(context, model)
        if contract.recommend is None:
            expected = "a model with `recommend` in its contract"
            raise NotFound.of("model", expected, f"{model!r}, which ranks no candidates")
        plan: RecommendPlan = contract.compiled[RecommendPlan]
        context.event = new_event()
        now = self.online.clock()
        found = self._gathered(plan, read(plan, now), now)
        context.steps.ended["read_ms"] = context.steps.timer()
        answer = next(filter(None, self._ladder(context, route, found)), None)
        if answer is None:
            raise _nothing(found)
        capture = (context.contract or contract).capture  # of the version that answers
        if capture and taken(context.event, capture.rate):
            answer.impression = context.event
            if answer.step == "reranked":
                answer.explore(plan.rule.explore)
        context.impression = answer.logged()
        context.steps.ended["filter_ms"] = context.steps.timer()
        return answer

    def _route(self, context: RequestContext, model: str) -> tuple[ModelRoute | None, Contract]:
        """The route of a model, None if its live version does not load; and the contract."""
        try:
            route = self.online.route(context, model, None)
            return route, route.model.contract
        except (ModelFailure, Transient) as error:
            try:
                contract = self.contracts.get(model).contract
            except QuintetError:
                raise error from None
            context.model, context.version, context.route = model, contract.version, "live"
            context.contract, context.hidden = contract, error
            context.steps.ended["load_ms"] = context.steps.timer()
            return None, contract

    def _gathered(self, plan: RecommendPlan, asked: Asked, now: float) -> _Gathered:
        rule, contract, why = plan.rule, plan.contract, list[str]()
        shown = self.runs.get(rule.candidates)
        if shown is None:
            expected = f"a run of {rule.candidates} that made candidates"
            how = f"none: score a file of users with `quintet drop FILE {rule.candidates}`"
            raise NotFound.of("candidates", expected, how)
        user = None
        try:
            names = [feature.name for feature in contract.stored]
            key = contract.entity or ""
            user = self.reads.user(rule.candidates, shown.run, asked.user, key, names)
        except Transient:
            why.append("store_failed")
        age = max(now - shown.started, 0.0)
        sold_out, limit = shown.sold_out, rule.filters.stock_max_age
        if limit is None:
            sold_out = None
        elif sold_out is None or now - shown.stock_at > limit:
            sold_out = None
            why.append("stock_old")
        out = Exclusions(asked.items, sold_out, plan.low, plan.high)
        return _Gathered(asked, plan, shown, user, age, age > rule.max_age, out, why)

    def _ladder(
        self, context: RequestContext, route: ModelRoute | None, found: _Gathered
    ) -> Iterator[Recommendation | None]:
        """The answer of each step; None if a step has no items."""
        why, candidates = found.why, _candidates(found)
        if candidates is not None:
            ranked = self._ranked(context, route, found, candidates)
            for step, listed in (("reranked", ranked), ("candidates", candidates)):
                if listed is not None:
                    yield _answer(found, step, listed)
                    why.append("all_filtered")
        popular = found.shown.popular
        segment = found.asked.segment or (found.user.segment if found.user else "")
        lists = [("popular", popular[""])] if "" in popular else []
        if segment and segment in popular:
            lists.insert(0, ("segment", popular[segment]))
        for step, items in lists:
            yield _answer(found, step, Listed(items))
        why.append("seen_shown")
        unseen = replace(found, out=found.out._replace(seen=()))
        for step, items in lists:
            yield _answer(unseen, step, Listed(items))

    def _ranked(
        self,
        context: RequestContext,
        route: ModelRoute | None,
        found: _Gathered,
        candidates: Listed,
    ) -> Listed | None:
        """The candidates that the ranker knows, in its order; None if it does not answer."""
        if route is None:
            found.why.append("model_failed")
            return None
        contract = self._answering(route, found.asked.user)
        known = contract.compiled[RecommendPlan] if contract.recommend else found.plan
        items, scores = candidates.items, candidates.scores
        knows = (items >= known.low) & (items <= known.high)
        mine = np.flatnonzero(knows)[: contract.limits.rows]
        if not len(mine):
            found.why.append("all_unknown")
            return None
        elapsed = (context.steps.timer() - context.steps.started) * 1000
        version = (contract.name, contract.version)
        if not self.times.fits(version, elapsed, found.plan.rule.budget_ms):
            found.why.append("budget")
            return None
        assert scores is not None
        asked = found.asked
        batch = found.plan.rows(asked.user, items[mine], scores[mine], asked.session, asked.context)
        listed = self._run(context, route, found, batch)
        return listed and listed._replace(unknown=items[~knows].tolist())

    def _answering(self, route: ModelRoute, user: str) -> Contract:
        """The contract of the version that answers a user."""
        rollout = route.rollout
        if rollout is not None and rollout.splits:
            ((choice, _),) = assigned(rollout, [user]).items()
            if choice.version != rollout.live:
                try:
                    return self.online.models.candidate(rollout, choice.version).contract
                except QuintetError:
                    pass  # the live version answers, and the other one's failure is logged
        return route.model.contract

    def _run(
        self, context: RequestContext, route: ModelRoute, found: _Gathered, batch: Batch
    ) -> Listed | None:
        """The rows of a batch in the order of their ranks; None if the model fails."""
        online, rule = self.online, found.plan.rule
        assert found.user is not None
        names = [feature.name for feature in found.plan.contract.stored]
        read = Prefetched(found.asked.user, names, found.user.features, online.features)
        ids = batch.columns[rule.item]
        try:
            prediction = replace(online, features=read).predict(context, route, batch, by_row=False)
        except QuintetError as error:
            context.hidden = error
            found.why.append("model_failed" if isinstance(error, ModelFailure) else "features")
            self._stats(context).fail(context)
            return None
        ended = context.steps.ended
        took = (ended["score_ms"] - ended["features_ms"]) * 1000
        self.times.add((context.model, context.version), took)
        self._stats(context).succeed(context, online.clock())
        if prediction.scores.fallback.all():
            found.why.append("features")
            return None
        outputs = prediction.scores.outputs
        rank = outputs[rule.rank].reshape(-1)
        order = np.argsort(-rank, kind="stable")
        categories = outputs[rule.category].reshape(-1)[order] if rule.category else None
        return Listed(ids[order].astype(np.int64), rank[order], categories)

    def _stats(self, context: RequestContext) -> ModelStats:
        return self.online.stats[context.model, context.version]


def _candidates(found: _Gathered) -> Listed | None:
    """A user's candidates in their own order; None if they are not to be used."""
    if found.user is None:
        return None
    body = found.user.candidates
    if not body:
        found.why.append("no_candidates")
        return None
    if found.stale and found.plan.rule.when_stale == "skip":
        found.why.append("stale")
        return None
    ids, scores = unpacked(body)
    items = ids.astype(np.int64)
    if len(set(items.tolist())) < len(items):
        first = np.sort(np.unique(items, return_index=True)[1])
        items, scores = items[first], scores[first]
    return Listed(items, scores.astype(np.float32))


def _answer(found: _Gathered, step: str, listed: Listed) -> Recommendation | None:
    """The answer that a list gives; None if the filters leave nothing of it."""
    picked = chosen(listed, found.plan.rule.filters, found.out, found.asked.top)
    if not picked.items:
        return None
    return Recommendation(
        asked=found.asked,
        model=found.plan.rule.candidates,
        shown=found.shown,
        age=found.age,
        stale=found.stale,
        step=step,
        why=", ".join(dict.fromkeys(found.why)),
        items=picked.items,
        scores=picked.scores,
        filtered=picked.filtered,
    )


def _nothing(found: _Gathered) -> QuintetError:
    """The error if there is nothing to show."""
    model, run = found.plan.rule.candidates, found.shown.run
    if not found.shown.popular:
        if "store_failed" in found.why:
            return Transient(f"the candidates of {model} cannot be read now")
        got = f"none for the user, and run {run} has no list of popular items: run {model} again"
        return NotFound.of("candidates", "a user's candidates or popular items", got)
    return NotFound.of("items", "some that no filter leaves out", f"none in run {run} of {model}")
