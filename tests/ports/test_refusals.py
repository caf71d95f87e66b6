"""What ports refuse, and what the order of calls makes of them: alike in memory and on AWS.

Ports that are not here have a suite of their own beside who uses them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.kits.aws import moto_server
from tests.kits.evidence import evidence
from tests.kits.local_aws import eventually
from tests.ports.pair import Aws, outcome
from tests.ports.pairs import PAIRS

from quintet.errors import Transient
from quintet.jobs.store import JobEvent

FORMS = ("memory", "aws")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as found:
        yield found


@pytest.fixture(params=FORMS)
def aws(request: pytest.FixtureRequest, url: str) -> Aws | None:
    """The AWS of an adapter; None for the version in memory."""
    return Aws(url) if request.param == "aws" else None


def port_of(name: str, aws: Aws | None) -> Any:
    """A port as its pair makes it, with nothing stored."""
    pair = PAIRS[name]
    return pair.memory() if aws is None else pair.adapter(aws)


# ---- runs ------------------------------------------------------------------------------------


def stopped(runs: Any, name: str) -> Any:
    """An execution that was stopped, once it is: Step Functions answers before."""
    return eventually(lambda: (found := runs.look(name)).status == "ABORTED" and found)


def test_a_name_is_started_once(aws: Aws | None) -> None:
    runs = port_of("runs", aws)
    assert runs.start("r", {"a": 1})
    assert runs.start("r", {"a": 1})  # the same again, while it runs
    assert not runs.start("r", {"a": 2})
    runs.stop("r", "over")
    found = stopped(runs, "r")
    assert not runs.start("r", {"a": 1})
    assert (found.name, found.status, found.request) == ("r", "ABORTED", {"a": 1})


def test_a_run_is_stopped_once_and_only_if_it_is_there(aws: Aws | None) -> None:
    runs = port_of("runs", aws)
    runs.start("r", {})
    runs.stop("r", "why")
    found = stopped(runs, "r")
    runs.stop("r", "other")
    assert runs.look("r") == found
    with pytest.raises(Transient):
        runs.stop("none", "why")


@pytest.mark.parametrize("name", ["none", "a b", "x" * 81, ""])
def test_a_run_that_is_not_there_is_none(aws: Aws | None, name: str) -> None:
    assert port_of("runs", aws).look(name) is None


# ---- models ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["none", "", "..", "x" * 3000, "a\x00"])
def test_a_model_that_is_not_there_is_unknown(aws: Aws | None, name: str) -> None:
    text = f"Request for unknown model: '{name[:80]}' is not found"
    for port in (port_of("routes", aws).route, port_of("rollouts", aws).read):
        assert outcome(lambda: port(name)) == ("UnknownModel", text)  # noqa: B023
    catalog = port_of("catalog", aws)
    for version in (None, 3):
        assert outcome(lambda: catalog.pin(name, version)) == ("UnknownModel", text)  # noqa: B023


def test_a_version_that_is_not_there_is_unknown(aws: Aws | None) -> None:
    catalog = port_of("catalog", aws)
    text = "Request for unknown model: 'tiny' version 9 is not found"
    assert outcome(lambda: catalog.pin("tiny", 9)) == ("UnknownModel", text)


# ---- queues ----------------------------------------------------------------------------------


def test_many_events_are_sent_and_all_are_named(aws: Aws | None) -> None:
    queue = port_of("events", aws)
    events = [JobEvent(f"j{number}", "completed", 1.0) for number in range(25)]
    assert queue.send_many(events) == events
    assert queue.send_many([]) == []
    if aws is None:
        sent = queue.messages
    else:
        attributes = {"QueueUrl": aws.queue, "AttributeNames": ["ApproximateNumberOfMessages"]}
        found = aws.boto("sqs").get_queue_attributes(**attributes)["Attributes"]
        sent = ["x"] * int(found["ApproximateNumberOfMessages"])
    assert len(sent) == 25


def test_dead_letters_stay_and_some_are_shown(aws: Aws | None) -> None:
    letters = port_of("dead letters", aws)
    assert letters.look(10) == []
    bodies = {f"letter {number}" for number in range(12)}
    for body in bodies:
        letters.put(body)
    assert len(letters.look(5)) == 5
    for _ in range(2):
        assert {*letters.look(100)} == bodies


def test_letters_are_held_released_and_sent_back(aws: Aws | None) -> None:
    letters = port_of("letters", aws)
    assert letters.source == ("source" if aws is None else aws.name)
    (held,) = letters.receive()
    assert (held.body, letters.receive(), letters.count()) == ("one", [], (0, 1))
    letters.release([held])
    assert letters.count() == (1, 0)
    (held,) = letters.receive()
    new = letters.send_back(held, "r1")
    assert new != held.id
    assert letters.count() == (0, 0)
    if aws is None:
        ((attributes, body),) = ((one.attributes, one.body) for one in letters.returned)
    else:
        found = aws.boto("sqs").receive_message(QueueUrl=aws.queue, MessageAttributeNames=["All"])
        ((attributes, body),) = ((m["MessageAttributes"], m["Body"]) for m in found["Messages"])
    assert (body, attributes["quintet-replay"]["StringValue"]) == ("one", "r1")


# ---- objects ---------------------------------------------------------------------------------


def test_a_file_of_a_replay_is_put_once(aws: Aws | None) -> None:
    inbox = port_of("inbox of replays", aws)
    first = inbox.put_once("a/ü 1.csv", b"1", {"quintet-output": "csv"})
    assert inbox.put_once("a/ü 1.csv", b"2", {}) == first


def test_a_mark_is_replaced_only_as_it_was_seen(aws: Aws | None) -> None:
    marks = port_of("marks", aws)
    with pytest.raises(Transient):
        marks.version("marks/1")
    assert not marks.swap("marks/1", b"1", "of-none")
    assert marks.swap("marks/1", b"1", None)
    seen = marks.version("marks/1")
    assert not marks.swap("marks/1", b"2", None)
    assert marks.swap("marks/1", b"2", seen.tag)
    assert not marks.swap("marks/1", b"3", seen.tag)
    assert marks.swap("marks/1", b"2", seen.tag)  # a reply that was lost: it is there
    assert marks.version("marks/1").tag != seen.tag


def test_an_object_of_the_stream_that_is_gone_is_transient(aws: Aws | None) -> None:
    objects = port_of("objects of the stream", aws)
    with pytest.raises(Transient):
        objects.read("none")
    assert list(objects.list("none/")) == list(objects.folders("none/")) == []


def test_documents_are_named_by_any_key(aws: Aws | None) -> None:
    store = port_of("documents", aws)
    keys = ["a/month=2026-01/x y.json", "a/ü+&%.json", "a/1.json"]
    for key in keys:
        store.put(key, key.encode())
    assert store.keys("a/") == sorted(keys)
    assert [store.get(key) for key in keys] == [key.encode() for key in keys]


# ---- evidence and keys -----------------------------------------------------------------------


def test_evidence_of_the_same_is_replaced_and_each_element_counts_once(aws: Aws | None) -> None:
    store = port_of("evidence", aws)
    assert len(store.read("m", "r1")) == 0
    store.put("m", "r1", 0, "a", evidence(3))
    store.put("m", "r1", 0, "a", evidence(2))
    assert store.read("m", "r1").event.tolist() == ["e0", "e1"]
    store.put("m", "r1", 1, "b", evidence(2, event=["e1", "e2"], at=[9.0, 5.0]))
    found = store.read("m", "r1")
    assert (found.event.tolist(), found.at.tolist()) == (["e0", "e1", "e2"], [0.0, 1.0, 5.0])
    assert len(store.read("m", "r")) == len(store.read("n", "r1")) == 0


def test_what_is_no_wrapped_key_is_not_opened(aws: Aws | None) -> None:
    keys = port_of("data keys", aws)
    first, second = keys.make(), keys.make()
    assert first.plain != second.plain
    assert keys.unwrap(first.wrapped) == first.plain
    assert keys.unwrap(first.wrapped[:-1] + bytes([first.wrapped[-1] ^ 1])) is None
    if aws is None:
        keys.enabled = False
        assert keys.unwrap(first.wrapped) is None
        with pytest.raises(Transient):
            keys.make()


# ---- counts ----------------------------------------------------------------------------------


def test_counts_are_there_for_every_model_that_is_asked_for(aws: Aws | None) -> None:
    found = port_of("counts", aws).read(["n", "m"], 1_800_000_000.0, steps=2, seconds=300)
    assert {model: of.requests.tolist() for model, of in found.items()} == {
        "n": [0.0, 0.0],
        "m": [3.0, 4.0],
    }
