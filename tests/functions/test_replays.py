"""One contract for every source of a replay: dead letters, runs' and the stream's quarantines.

It holds for the ports in memory and for those on AWS (moto).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.kits.aws import moto_server
from tests.kits.replays import PLACES, Killed, Saboteur, World, aws_world, memory_world

from quintet.errors import Transient
from quintet.replay.items import Pace, ReplayError, matching
from quintet.replay.replays import Replay, ReplayRun

NAMES = ["bad-1", "bad-2", "bad-3"]
#: the calls of ports that change something
WRITES = {"send_back", "swap", "put", "put_once"}

EVERYWHERE = [*itertools.product(("memory", "aws"), PLACES)]
#: the sources whose items stay, with a mark; a dead letter is deleted
MARKED = [(where, place) for where, place in EVERYWHERE if place != "WorkDeadLetters"]

Make = Callable[[], World]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as found:
        yield found


@pytest.fixture(params=EVERYWHERE, ids="-".join)
def make(request: pytest.FixtureRequest, url: str) -> Make:
    """Makes a source anew that holds NAMES."""
    where, place = request.param
    if where == "memory":
        return lambda: memory_world(place, NAMES)
    return lambda: aws_world(place, NAMES, url)


@pytest.fixture
def world(make: Make) -> World:
    return make()


def started(world: World, *filters: str, name: str = "r1", **asked: Any) -> ReplayRun:
    """A replay of a world, not yet begun, at no limited rate."""
    asked = {"source": world.open(), **asked}
    who = {"arn": "arn:aws:iam::123456789012:user/ada", "user": "ada"}
    pace = Pace(None)
    return ReplayRun(Replay(filters=filters, **asked), world.store, "scores", who, name, pace=pace)


def replayed(world: World, *filters: str, **asked: Any) -> ReplayRun:
    """A replay of a world that has ended."""
    run = started(world, *filters, **asked)
    for _ in run.run():
        pass
    return run


def record(world: World, run: ReplayRun) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(world.store.get(run.key) or b"{}")
    return found


def test_looking_finds_every_item_in_order_and_changes_nothing(world: World) -> None:
    for _ in range(2):
        source = world.open()
        shown = ["\n".join(item.lines()) for item in Replay(source).items()]
        assert [re.findall(r"bad-\d", text)[-1] for text in shown] == NAMES
        assert source.depth().waiting == len(NAMES)
    assert [item.fits("bad-2") for item in Replay(source, ["bad-2"]).items()] == [True]
    assert world.sent() == []


def test_a_dry_run_says_what_would_go_and_changes_nothing(world: World) -> None:
    asked = Replay(world.open(), ["bad-3"])
    assert [wanted for _, wanted in asked.preview()] == [False, False, True]
    assert (world.sent(), world.open().depth().waiting) == ([], len(NAMES))
    assert world.store.keys("audit/") == []


def test_a_replay_sends_what_fits_leaves_the_rest_and_is_recorded(world: World) -> None:
    run = replayed(world, "bad-2")
    assert (run.sent, run.left, world.sent()) == (1, 2, ["bad-2"])
    assert world.open().depth().waiting == 2
    found = record(world, run)
    assert found.pop("started") <= found.pop("finished")
    assert found == {
        "replay": "r1",
        "status": "done",
        "place": run.replay.source.name,
        "sent_to": run.replay.source.destination,
        "who": run.who,
        "filters": ["bad-2"],
        "again": False,
        "rate": run.replay.source.rate,
        "sent": [step.record for step in run.steps],
    }
    assert len(found["sent"]) == 1


def test_what_was_sent_does_not_go_again_unless_asked(world: World) -> None:
    replayed(world, "bad-2")
    assert replayed(world, name="r2").sent == 2
    assert sorted(world.sent()) == NAMES
    assert (replayed(world, name="r3").sent, world.open().depth().waiting) == (0, 0)
    there = [*world.open().items()]
    assert all("(replayed before, by r" in item.lines()[0] for item in there)
    assert replayed(world, name="r4", again=True).sent == len(there)
    assert len(world.sent()) == len(NAMES) + len(there)


def test_items_go_in_order(world: World) -> None:
    replayed(world)
    assert world.sent() == NAMES


def kills(make: Make, everywhere: bool) -> Iterator[tuple[int, bool]]:
    """The calls of ports at which a replay may be killed: all, or the first of each that writes."""
    watch = Saboteur()
    world = make()
    replayed(world, source=watch.over(world.open()))
    calls = watch.calls
    for at, name in enumerate(calls, 1):
        if everywhere or (name in WRITES and calls.index(name) == at - 1):
            yield from ((at, False), (at, True))


def test_what_a_killed_replay_left_goes_with_the_next_and_nothing_twice(
    make: Make, request: pytest.FixtureRequest
) -> None:
    everywhere = "memory" in request.node.name
    for at, after in kills(make, everywhere):
        world = make()
        source = Saboteur(at, after).over(world.open())
        killed = started(world, source=source)
        with pytest.raises(Killed):
            for _ in killed.run():
                pass
        assert record(world, killed)["status"] == "stopped"
        world.wait()
        replayed(world, name="r2")
        assert (sorted(world.sent()), world.open().depth().waiting) == (NAMES, 0), (at, after)


@pytest.mark.parametrize("make", MARKED, ids="-".join, indirect=True)
@pytest.mark.parametrize(("after", "finished"), [(False, []), (True, ["bad-2"])])
def test_what_a_killed_replay_had_marked_goes_whatever_the_next_one_wants(
    make: Make, after: bool, finished: list[str]
) -> None:
    watch, world = Saboteur(), make()
    replayed(world, "bad-2", source=watch.over(world.open()))
    world = make()
    source = Saboteur(watch.calls.index("swap") + 1, after).over(world.open())
    with pytest.raises(Killed):
        replayed(world, "bad-2", source=source)
    replayed(world, "bad-3", name="r2")
    assert world.sent() == [*finished, "bad-3"]


def test_of_two_replays_at_once_no_item_goes_twice(world: World) -> None:
    slowly = Pace(1 / 60, sleep=lambda seconds: None)  # an item a step
    first = world.open().send_back(matching([]), "first", slowly)
    while not next(first).sent:
        pass
    replayed(world, name="second")
    if world.open().noun == "messages":  # the first one holds them all
        assert sum(step.sent for step in first) == 2
    else:
        with pytest.raises(ReplayError, match=r"^another replay of \S+ is under way$"):
            next(first)
    assert sorted(world.sent()) == NAMES


def test_a_rate_is_kept(world: World) -> None:
    waits: list[float] = []
    pace = Pace(1 / 60, lambda: 0.0, waits.append)
    steps = [step for step in world.open().send_back(matching([]), "r1", pace) if step.sent]
    assert [step.sent for step in steps] == [1, 1, 1]
    assert waits == [pytest.approx(60.0), pytest.approx(120.0)]


class _Away:
    """A port that cannot be reached."""

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any) -> Any:
            raise Transient("AWS cannot be reached")

        return call


@pytest.mark.parametrize("place", PLACES)
def test_an_error_tells_what_was_sent_and_is_recorded(place: str) -> None:
    world = memory_world(place, NAMES)
    source = world.open()
    port = {"WorkDeadLetters": "messages", "tiny": "inbox"}.get(place, "stream")
    taking = getattr(source, port)
    away: Any = _Away()
    away.source = away.bucket = away.name = source.destination
    away.receive, away.release = getattr(taking, "receive", None), getattr(taking, "release", None)
    run = started(world, source=replace(source, **{port: away}))
    told = (
        rf"^AWS cannot be reached; 0 {source.noun} were sent, the others stay in {source.name}\. "
        rf"Record: s3://scores/{re.escape(run.key)}$"
    )
    with pytest.raises(ReplayError, match=told):
        [*run.run()]
    assert record(world, run)["status"] == "stopped"
    assert replayed(world, name="r2").sent == len(NAMES)


def test_a_record_is_found_by_its_time() -> None:
    world = memory_world(PLACES[0], NAMES)
    run = started(world)
    run.started = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
    assert run.key == "audit/dlq/20261120T083000Z-r1.json"
    assert run.address == f"s3://scores/{run.key}"
