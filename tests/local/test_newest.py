"""The local AWS keeps the newest of what never ends, and drops the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from moto.logs.models import LogGroup, LogStream
from moto.sqs.models import Message, Queue

from quintet_local.newest import File, Handles, newest_events, newest_notifications, older
from quintet_local.queues import one_at_a_time


class Stream(LogStream):
    """One that is bounded as in the local AWS."""

    put_log_events = newest_events(LogStream.put_log_events, most=100)  # type: ignore[assignment]


#: abstract to mypy alone
GROUP_KIND: Any = LogGroup
QUEUE_KIND: Any = Queue


def group() -> Any:
    return GROUP_KIND("123456789012", "us-east-1", "/aws/lambda/f")


def events(*messages: str) -> list[dict[str, Any]]:
    return [{"timestamp": 1_000, "message": message} for message in messages]


def messages(*streams: LogStream) -> list[str]:
    return [event.message for stream in streams for event in stream.events]


def test_the_oldest_lines_of_a_log_group_are_dropped_whichever_stream_they_are_in() -> None:
    of = group()
    first, second = Stream(of, "first"), Stream(of, "second")
    first.put_log_events(events("a" * 30, "b" * 10))
    second.put_log_events(events("c" * 40))
    first.put_log_events(events("d" * 20))
    assert [one[0] for one in messages(first, second)] == ["a", "b", "d", "c"]
    second.put_log_events(events("e"))
    assert [one[0] for one in messages(first, second)] == ["d", "c", "e"]
    assert (first.stored_bytes, second.stored_bytes) == (20, 41)
    other = Stream(group(), "first")  # another group has a bound of its own
    other.put_log_events(events("f" * 90))
    assert [one[0] for one in messages(first, second)] == ["d", "c", "e"]


def test_lines_that_alone_exceed_the_bound_are_kept_until_others_come() -> None:
    stream = Stream(group(), "one")
    stream.put_log_events(events("a" * 500))
    assert messages(stream) == ["a" * 500]
    stream.put_log_events(events("b"))
    assert messages(stream) == ["b"]


def test_a_reader_goes_on_with_the_lines_that_it_has_begun_with() -> None:
    stream = Stream(group(), "one")
    stream.put_log_events(events("a" * 60))
    reading = iter(stream.events)
    stream.put_log_events(events("b" * 60))
    assert [event.message[0] for event in reading] == ["a", "b"]
    assert messages(stream) == ["b" * 60]


def test_a_full_file_becomes_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "F.log"
    file = File(path, most=10)
    for number in range(6):
        file.write(b"%d123\n" % number)
    file.close()
    assert older(path) == tmp_path / "F.1.log"
    assert (older(path).read_bytes(), path.read_bytes()) == (b"2123\n3123\n", b"4123\n5123\n")
    again = File(path, most=10)  # it goes on with what is there
    again.write(b"6\n")
    again.close()
    assert (older(path).read_bytes(), path.read_bytes()) == (b"4123\n5123\n", b"6\n")


def test_a_file_that_could_not_be_opened_is_opened_once_it_can_be(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "F.log"
    path.parent.mkdir()
    file = File(path, most=4)
    file.write(b"one\n")
    blocked = older(path)
    blocked.mkdir()  # a folder is in the way
    (blocked / "x").touch()
    with pytest.raises(OSError):
        file.write(b"two\n")
    (blocked / "x").unlink()
    blocked.rmdir()
    file.write(b"two\n")
    file.close()
    assert path.read_bytes().endswith(b"two\n")


def test_the_newest_deleted_handles_are_known() -> None:
    handles = Handles(most=3)
    handles.update(["a", "b"])
    handles.update(["c", "d"])
    assert [one in handles for one in "abcd"] == [False, True, True, True]


def test_a_message_is_deleted_again_without_an_error() -> None:
    delete = one_at_a_time(Queue.delete_message)
    queue = QUEUE_KIND("q", "us-east-1", "123456789012")
    message: Any = Message("id", "body", {})
    message.mark_sent()
    message.mark_received(30)
    queue.add_message(message)
    delete(queue, message.receipt_handle)
    delete(queue, message.receipt_handle)
    assert isinstance(queue.deleted_messages, Handles)
    assert message.receipt_handle in queue.deleted_messages
    assert list(queue._messages) == []


def test_a_topic_keeps_its_last_notifications() -> None:
    class Topic:
        def __init__(self) -> None:
            self.sent_notifications: list[str] = []

    def publish(topic: Any, text: str) -> str:
        topic.sent_notifications.append(text)
        return text

    topic = Topic()
    for number in range(150):
        assert newest_notifications(publish)(topic, str(number)) == str(number)
    assert topic.sent_notifications == [str(number) for number in range(50, 150)]
