"""Replays of the console: asked for twice, once each, audited, and stopped with it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.kits.local_aws import eventually
from tests.kits.torn_source import TornItem, TornSource, replays_of

from quintet.batch.stores import MemoryObjectStore
from quintet.errors import BadInput, NotFound
from quintet_cli.console import replays
from quintet_cli.console.replays import LOOKED_AT, Replays
from quintet_cli.console.shared_stage import SharedStage
from quintet_cli.stage import Stage

STAGE = SharedStage.of(Stage("shop", "https://api", {}))


def record(store: MemoryObjectStore) -> Any:
    (body,) = store.objects.values()
    return orjson.loads(body)


def test_the_first_question_sends_nothing_and_the_second_sends_what_it_showed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = TornSource([TornItem("one"), TornItem("two")])
    store, console = replays_of(source, monkeypatch), Replays(STAGE)
    source.free.set()
    asked = console.ask(source.name, ["two"], again=False)
    assert (asked.preview.count, asked.preview.would) == (2, 1)
    assert [item.wanted for item in asked.preview.items] == [False, True]
    assert (source.sent, store.objects) == ([], {})
    with pytest.raises(BadInput, match="name: expected WorkDeadLetters, got 'yes'"):
        console.start(asked.id, "yes")
    running = console.start(asked.id, " WorkDeadLetters ")
    eventually(lambda: running.state == "done", 60)
    assert source.sent == ["two"]
    found = record(store)
    assert found["status"] == "done"
    assert found["who"] == {"user": "maria", "via": "quintet console"}
    assert found["filters"] == ["two"]
    assert console.find(running.run.id) is running
    with pytest.raises(NotFound):  # a reload of the browser sends nothing again
        console.start(asked.id, source.name)


def test_an_old_question_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    source = TornSource([TornItem("one")])
    replays_of(source, monkeypatch)
    monkeypatch.setattr(replays, "ASKED_SECONDS", 0.0)
    console = Replays(STAGE)
    asked = console.ask(source.name, [], again=False)
    with pytest.raises(NotFound, match="replay: expected one that was asked for"):
        console.start(asked.id, source.name)
    assert source.sent == []


def test_a_preview_of_very_many_items_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    source = TornSource([TornItem(str(number)) for number in range(LOOKED_AT + 5)])
    replays_of(source, monkeypatch)
    preview = Replays(STAGE).preview(source.name, [], again=False)
    assert (preview.count, preview.would, preview.more) == (LOOKED_AT, LOOKED_AT, True)
    assert len(preview.items) == replays.SHOWN


def test_a_console_that_ends_stops_its_replays_and_their_records_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = TornSource([TornItem("one"), TornItem("two")])
    store, console = replays_of(source, monkeypatch), Replays(STAGE)
    running = console.start(console.ask(source.name, [], again=False).id, source.name)
    eventually(lambda: store.objects, 60)
    assert (running.state, record(store)["status"]) == ("running", "running")
    running.stop.set()
    source.free.set()
    console.stop()
    assert (running.state, running.problem) == ("stopped", "the console ended")
    assert source.sent == ["one"]
    assert record(store)["status"] == "stopped"
    assert record(store)["sent"] == [{"item": "one"}]


def test_a_replay_that_breaks_off_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    source = TornSource([TornItem("one")])
    store, console = replays_of(source, monkeypatch), Replays(STAGE)
    monkeypatch.setattr(source, "send_back", lambda *given: 1 / 0)
    running = console.start(console.ask(source.name, [], again=False).id, source.name)
    eventually(lambda: running.problem, 60)
    assert running.problem == "a defect (ZeroDivisionError)"
    assert record(store)["status"] == "stopped"
