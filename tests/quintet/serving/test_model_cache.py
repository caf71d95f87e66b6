"""The models of one environment: routes remembered, versions loaded once, memory bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from tests.kits.packages import contract

from quintet.columns import Array
from quintet.contract import Contract
from quintet.errors import ModelFailure, NotFound, Transient
from quintet.serving.model_cache import ModelCache, memory_needed
from quintet.serving.routes import MemoryRoutes, Route, UnknownModel, Version

MB = 1_000_000


@dataclass
class Loaded:
    """A model that never runs."""

    name: str
    version: int
    contract: Contract = field(default_factory=contract)
    digest: str = "digest"
    due: Callable[[], None] | None = None

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        raise NotImplementedError


class MemoryLoader:
    """Loads without files; notes what it loaded, and fails where told to."""

    def __init__(self) -> None:
        self.loads: list[tuple[str, int, str | None]] = []
        self.failure: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def load(self, model: str, version: int, seal: str | None = None) -> Loaded:
        self.loads.append((model, version, seal))
        self.entered.set()
        assert self.gate.wait(10)
        if self.failure:
            raise self.failure
        return Loaded(model, version)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def route(model: str = "m", *, live: int = 1, versions: int = 2, size: int = MB) -> Route:
    known = {n: Version(n, f"d{n}", f"seal{n}", size, "now") for n in range(1, versions + 1)}
    return Route(model, live, 1, known)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loader() -> MemoryLoader:
    return MemoryLoader()


def models(
    routes: MemoryRoutes, loader: MemoryLoader, clock: Clock, memory: int = 100 * MB
) -> ModelCache:
    return ModelCache(routes, loader, memory=memory, clock=clock)


def test_gives_the_live_version_or_the_one_asked_for(loader: MemoryLoader, clock: Clock) -> None:
    served = models(MemoryRoutes([route(live=2)]), loader, clock)
    assert served.get("m") == Loaded("m", 2)
    assert served.get("m", 1) == Loaded("m", 1)
    assert loader.loads == [("m", 2, "seal2"), ("m", 1, "seal1")]


def test_loads_a_version_once(loader: MemoryLoader, clock: Clock) -> None:
    served = models(MemoryRoutes([route()]), loader, clock)
    assert served.get("m") is served.get("m")
    assert len(loader.loads) == 1


def test_a_version_whose_due_check_fails_answers_no_more_and_is_loaded_again(
    loader: MemoryLoader, clock: Clock
) -> None:
    served = models(MemoryRoutes([route()]), loader, clock)
    found = served.get("m")
    assert isinstance(found, Loaded)

    def differ() -> None:
        raise ModelFailure("its golden outputs differ")

    found.due = differ
    with pytest.raises(ModelFailure, match=r"^its golden outputs differ$"):
        served.answering("m", None)
    assert served.get("m") is not found
    assert served.get("m", 2) == Loaded("m", 2)
    assert loader.loads == [("m", 1, "seal1"), ("m", 1, "seal1"), ("m", 2, "seal2")]


def test_a_candidate_whose_due_check_fails_is_taken_out_for_a_while(
    loader: MemoryLoader, clock: Clock
) -> None:
    taken_out: list[str] = []
    served = ModelCache(
        MemoryRoutes([route()]),
        loader,
        memory=100 * MB,
        clock=clock,
        taken_out=lambda name, version, error: taken_out.append(f"{name} {version}: {error}"),
    )
    found = served.candidate(served.route("m"), 2)
    assert isinstance(found, Loaded)

    def differ() -> None:
        raise ModelFailure("its golden outputs differ")

    found.due = differ
    for _ in range(2):
        with pytest.raises(ModelFailure, match=r"^its golden outputs differ$"):
            served.candidate(served.route("m"), 2)
    assert taken_out == ["m 2: its golden outputs differ"]
    assert len(loader.loads) == 1


def test_a_withdrawn_version_answers_no_more_though_it_is_loaded(
    loader: MemoryLoader, clock: Clock
) -> None:
    routes = MemoryRoutes([route()])
    served = models(routes, loader, clock)
    assert served.get("m", 2) == Loaded("m", 2)
    before = routes.stored["m"]
    routes.stored["m"] = replace(before, versions={1: before.versions[1]}, withdrawn={2: "noon"})
    clock.now += 5
    with pytest.raises(UnknownModel) as caught:
        served.get("m", 2)
    assert str(caught.value) == ("Request for unknown model: 'm' version 2 was withdrawn at noon")
    assert served.get("m") == Loaded("m", 1)


@pytest.mark.parametrize(
    ("name", "version", "text"),
    [
        ("other", None, "Request for unknown model: 'other' is not found"),
        ("m", 7, "Request for unknown model: 'm' version 7 is not found"),
    ],
)
def test_unknown_models_are_worded_as_tritons(
    loader: MemoryLoader, clock: Clock, name: str, version: int | None, text: str
) -> None:
    served = models(MemoryRoutes([route()]), loader, clock)
    with pytest.raises(NotFound) as caught:
        served.get(name, version)
    assert str(caught.value) == text
    assert isinstance(caught.value, UnknownModel)


def test_sees_a_promotion_after_the_routes_time(loader: MemoryLoader, clock: Clock) -> None:
    routes = MemoryRoutes([route(live=1)])
    served = models(routes, loader, clock)
    assert served.get("m") == Loaded("m", 1)
    routes.stored["m"] = route(live=2)
    clock.now += 4.9
    assert served.get("m") == Loaded("m", 1)
    clock.now += 0.2
    assert served.get("m") == Loaded("m", 2)


def test_finds_a_model_a_second_after_it_is_published(loader: MemoryLoader, clock: Clock) -> None:
    routes = MemoryRoutes()
    served = models(routes, loader, clock)
    with pytest.raises(UnknownModel):
        served.get("m")
    routes.stored["m"] = route()
    with pytest.raises(UnknownModel):
        served.get("m")
    clock.now += 1.0
    assert served.get("m") == Loaded("m", 1)


class FailingRoutes(MemoryRoutes):
    """Routes whose store can be away."""

    away = False

    def route(self, model: str) -> Route:
        if self.away:
            raise Transient("the registry is away")
        return super().route(model)


def test_an_old_route_serves_while_the_registry_is_away(loader: MemoryLoader, clock: Clock) -> None:
    routes = FailingRoutes([route()])
    served = models(routes, loader, clock)
    served.get("m")
    routes.away = True
    clock.now += 3600
    assert served.get("m") == Loaded("m", 1)
    with pytest.raises(Transient, match=r"the registry is away"):
        served.get("other")


def test_an_old_route_is_told_every_minute_until_the_registry_answers(
    loader: MemoryLoader, clock: Clock
) -> None:
    routes, told = FailingRoutes([route()]), list[tuple[str, float, str]]()
    served = ModelCache(
        routes,
        loader,
        memory=100 * MB,
        clock=clock,
        outdated=lambda name, age, error: told.append((name, age, str(error))),
    )
    served.get("m")
    began = clock.now
    reason = "the registry is away"
    routes.away = True
    for seconds in range(125):
        clock.now = began + seconds
        served.get("m")
    assert told == [("m", 5.0, reason), ("m", 65.0, reason)]
    routes.away = False
    clock.now += 5
    served.get("m")
    routes.away = True
    clock.now += 7
    served.get("m")
    assert told[2:] == [("m", 7.0, reason)]


def test_remembers_a_bounded_number_of_names(loader: MemoryLoader, clock: Clock) -> None:
    served = models(MemoryRoutes(), loader, clock)
    for number in range(3000):
        with pytest.raises(UnknownModel):
            served.route(f"name-{number}")
    assert len(served._known) == 1024


def test_the_least_recently_used_leaves_at_the_memory_bound(
    loader: MemoryLoader, clock: Clock
) -> None:
    routes = MemoryRoutes([route("a"), route("b"), route("c")])
    served = models(routes, loader, clock, memory=2 * memory_needed(MB))
    for name in ("a", "b", "a", "c"):
        served.get(name)
    assert served.in_memory() == [("a", 1), ("c", 1)]
    served.get("b")
    assert served.in_memory() == [("c", 1), ("b", 1)]
    assert [name for name, _, _ in loader.loads] == ["a", "b", "c", "b"]


def test_a_model_over_the_bound_is_refused_and_pushes_nothing_out(
    loader: MemoryLoader, clock: Clock
) -> None:
    routes = MemoryRoutes([route("small"), route("big", size=40 * MB)])
    served = models(routes, loader, clock, memory=100 * MB)
    served.get("small")
    with pytest.raises(ModelFailure) as caught:
        served.get("big")
    assert str(caught.value) == (
        "model big version 1 needs about 122 MB of memory; this function allows its models 100 MB"
    )
    assert served.in_memory() == [("small", 1)]


def test_threads_share_one_load(loader: MemoryLoader, clock: Clock) -> None:
    served = models(MemoryRoutes([route()]), loader, clock)
    loader.gate.clear()
    got: list[object] = []
    threads = [threading.Thread(target=lambda: got.append(served.get("m"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert loader.entered.wait(10)
    loader.gate.set()
    for thread in threads:
        thread.join(10)
    assert len(loader.loads) == 1
    assert len(got) == 8
    assert len({id(model) for model in got}) == 1


def test_a_failed_load_fails_all_who_wait_and_is_tried_anew(
    loader: MemoryLoader, clock: Clock
) -> None:
    served = models(MemoryRoutes([route()]), loader, clock)
    loader.failure = ModelFailure("model m version 1 does not load")
    with pytest.raises(ModelFailure, match=r"does not load"):
        served.get("m")
    assert served.in_memory() == []
    loader.failure = None
    assert served.get("m") == Loaded("m", 1)


def test_a_version_in_memory_needs_no_registry_entry(loader: MemoryLoader, clock: Clock) -> None:
    routes = MemoryRoutes([route()])
    served = models(routes, loader, clock)
    served.get("m", 2)
    routes.stored["m"] = replace(route(), versions={1: route().versions[1]})
    clock.now += 10
    assert served.get("m", 2) == Loaded("m", 2)
