"""Online scoring: the prediction cache, and what is known of a request."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests.kits.models import LOG, SHOP, Clock, online, renamed, shop_features

from quintet.columns import Array, Batch, from_records
from quintet.errors import BadInput, ModelFailure, NotFound
from quintet.onnx_model import OnnxModel
from quintet.scoring import Scores
from quintet.serving import ModelRoute, Online, PredictionCache, RequestContext, Steps
from quintet.serving.model_cache import ModelCache
from quintet.serving.routes import MemoryRoutes, Route, Version

CACHED = renamed(LOG, cache_ttl=30.0)


def new_context() -> RequestContext:
    """A context whose every look at the clock is a millisecond later."""
    ticks = itertools.count()
    steps = Steps(lambda: next(ticks) / 1000, started=next(ticks) / 1000)
    return RequestContext("id", steps=steps)


def ask(
    service: Online, records: list[dict[str, object]], outputs: list[str] | None = None
) -> tuple[RequestContext, Scores]:
    told = new_context()
    name = next(iter(service.index()))
    route = service.route(told, name, None)
    batch = from_records(route.model.contract, records)
    return told, service.predict(told, route, batch, outputs=outputs).scores


def test_the_same_columns_are_found_until_they_expire() -> None:
    clock = Clock()
    service = online(CACHED, clock=clock)
    first, one = ask(service, [{"x": 3}])
    again, other = ask(service, [{"x": 3.0, "y": 0}])
    assert (first.cache, again.cache) == ("miss", "hit")
    assert one is other
    clock.now += 30
    assert ask(service, [{"x": 3}])[0].cache == "miss"


@pytest.mark.parametrize(
    "records",
    [[{"x": 4}], [{"x": 3, "y": 1}], [{"x": 3}, {"x": 3}], [{"x": 5, "y": 3}]],
)
def test_other_columns_are_another_prediction(records: list[dict[str, object]]) -> None:
    service = online(CACHED)
    ask(service, [{"x": 3}])
    assert ask(service, records)[0].cache == "miss"


def test_other_outputs_are_another_prediction() -> None:
    service = online(renamed(SHOP, cache_ttl=30.0))
    record: dict[str, object] = {"customer": "c1", "amount": 1}
    told = [ask(service, [record], outputs)[0].cache for outputs in (None, ["label"], ["label"])]
    assert told == ["miss", "miss", "hit"]


def test_a_changed_feature_is_another_prediction() -> None:
    features = shop_features()
    service = online(renamed(SHOP, cache_ttl=30.0), features=features)
    record: dict[str, object] = {"customer": "c1", "amount": 1}
    _, before = ask(service, [record])
    features.put("customer", "c1", "orders_90d", 9, Clock().now)
    told, after = ask(service, [record])
    assert told.cache == "miss"
    assert (after.outputs["probability"] > before.outputs["probability"]).all()


def test_the_cache_is_off_without_a_ttl_and_bounded_with_one() -> None:
    assert ask(online(LOG), [{"x": 3}])[0].cache == ""
    cache = PredictionCache(most=1, clock=Clock())
    scores = Scores(np.arange(0), {}, np.zeros(0, np.bool_), [])
    cache.put(b"a", scores, 10)
    cache.put(b"b", scores, 10)
    assert (cache.get(b"a"), cache.get(b"b")) == (None, scores)


def test_texts_that_join_alike_are_told_apart() -> None:
    def key(*texts: str) -> bytes:
        return PredictionCache.key((), {"t": np.array(texts, dtype=object)}, [])

    assert len({key("ab", "c"), key("a", "bc"), key("abc"), key("abc", "")}) == 4


class Raising:
    """The model `log`, whose graph raises where x is 13."""

    def __init__(self) -> None:
        self._model = online(LOG).models.get("log")
        self.contract = LOG

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        """See `quintet.scoring.Model.run`."""
        if (next(iter(feeds.values()))[:, 0] == 13).any():
            raise ModelFailure("the graph raised")
        return self._model.run(outputs, feeds)


def test_a_row_on_which_the_graph_raises_fails_alone_where_partial_results_are_asked_for() -> None:
    service, told = online(LOG), new_context()
    service.route(told, "log", None)
    batch = from_records(LOG, [{"x": 3}, {"x": 13}, {"x": "three"}, {"x": 5}])
    found = service.predict(told, ModelRoute(Raising(), "live"), batch, partial=True)
    assert found.scores.index.tolist() == [0, 3]
    refused = [(r.row, r.field, r.got) for r in found.scores.refusals]
    assert refused == [(1, "model", "the graph raised"), (2, "x", "'three'")]
    assert (told.rows, told.refused) == (4, 2)
    whole = from_records(LOG, [{"x": 3}, {"x": 13}])
    with pytest.raises(ModelFailure, match="the graph raised"):
        service.predict(told, ModelRoute(Raising(), "live"), whole)


def test_a_context_holds_names_counts_and_times() -> None:
    service = online(SHOP)
    asked: list[dict[str, object]] = [{"customer": c, "amount": 1} for c in ("c1", "c2", "c3")]
    told, _ = ask(service, asked)
    counts = (told.model, told.version, told.route, told.rows, told.refused, told.fallback)
    assert counts == ("shop", 3, "live", 3, 0, 2)
    steps = ("load_ms", "decode_ms", "features_ms", "score_ms")
    times = {**dict.fromkeys(steps, pytest.approx(1.0)), "total_ms": pytest.approx(5.0)}
    assert told.steps.milliseconds() == times


def test_a_refusal_names_what_decoding_found_and_what_values_are() -> None:
    service = online(SHOP)
    told = new_context()
    route = service.route(told, "shop", None)
    records = [{"customer": "c1", "amount": -1}, {"amount": 1}, {"customer": "c1", "amount": 1}]
    batch: Batch = from_records(route.model.contract, records)
    with pytest.raises(BadInput) as caught:
        service.predict(told, route, batch)
    found = [(refusal.row, refusal.field) for refusal in caught.value.refusals]
    assert found == [(0, "amount"), (1, "customer")]
    assert (told.rows, told.refused) == (3, 2)


class Refusing:
    """Loads nothing."""

    def load(self, model: str, version: int, seal: str | None = None) -> OnnxModel:
        """See `quintet.serving.model_cache.Loader.load`."""
        raise ModelFailure(f"{model} version {version} does not load")


def test_a_failed_load_is_its_models_failure_and_an_unknown_name_nobodys() -> None:
    clock = Clock()
    routes = MemoryRoutes([Route("log", 1, 1, {1: Version(1, "d", "s", 1000, "now")})])
    cache = ModelCache(routes, Refusing(), memory=10**9, clock=clock)
    service = replace(online(SHOP), models=cache)
    known, unknown = new_context(), new_context()
    with pytest.raises(ModelFailure, match="does not load"):
        service.route(known, "log", None)
    with pytest.raises(NotFound):
        service.route(unknown, "invented", None)
    assert [(c.model, c.version) for c in (known, unknown)] == [("log", 0), ("", 0)]
