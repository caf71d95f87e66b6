"""Feedback on recommendations: taken in whole or not at all, and counted once by who reads it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from arro3 import core
from tests.kits.labels import event_id
from tests.kits.models import NOW, SHELF, SHOP, event, received

from quintet.api.feedback import FeedbackApi
from quintet.api.labels import MAX_ROWS, failure
from quintet.api.routing import Routes
from quintet.captures.store import MemoryCaptures
from quintet.captures.tables import write_parquet
from quintet.contract import Contract
from quintet.errors import BadInput, NotFound, TooLarge, Transient
from quintet.feedback.merging import merge
from quintet.feedback.reading import read
from quintet.feedback.table import Feedback
from quintet.labels.merging import FEWEST, Merged
from quintet.serving.routes import UnknownModel

SINCE, UNTIL = NOW - 3600, NOW + 3600
DAY = 86_400
ONE = {"impression": "i1", "item": 5, "type": "click", "time": NOW, "user": "c1"}


def contract(name: str) -> Contract:
    if name not in ("shelf", "shop"):
        raise UnknownModel(name)
    return SHELF if name == "shelf" else SHOP


def sent(sink: MemoryCaptures, body: Any, now: float = NOW) -> Any:
    """The answer to a request at `now`."""
    api = FeedbackApi(contract=contract, sink=sink, clock=lambda: now)
    routes = Routes({("POST", "/feedback"): (lambda request, call: api.add(request), failure)})
    headers = {"Content-Type": "application/json"}
    request = received(event("POST", "/feedback", orjson.dumps(body), headers), routes)
    answer = api.add(request)
    return answer.status, orjson.loads(answer.body)


def send(sink: MemoryCaptures, *rows: dict[str, Any], now: float = NOW) -> None:
    assert sent(sink, {"model": "shelf", "feedback": rows}, now)[0] == 200


def rows_of(feedback: Feedback) -> list[tuple[Any, ...]]:
    columns = (
        feedback.impressions,
        feedback.items,
        feedback.types,
        feedback.users,
        feedback.times,
        feedback.received,
    )
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def test_feedback_is_kept_by_the_day_on_which_it_happened() -> None:
    sink = MemoryCaptures()
    rows = [
        ONE,
        {"impression": "i1", "item": 5, "type": "view"},
        {"impression": "i2", "item": 2**40, "type": "purchase", "time": NOW - DAY, "user": 7},
        {
            "impression": "i2",
            "item": 1,
            "type": "view",
            "time": "2023-11-14T22:00:00Z",
            "user": None,
        },
    ]
    body = {"model": "shelf", "feedback": rows}
    assert sent(sink, body, NOW + 1) == (200, {"model": "shelf", "feedback": 4})
    assert [key.rpartition("/")[0] for key in sorted(sink.objects)] == [
        "feedback/model=shelf/date=2023-11-13",
        "feedback/model=shelf/date=2023-11-14",
    ]
    found = read(sink, "shelf", NOW - 2 * DAY, UNTIL)
    assert (found.twice, found.damaged) == (0, [])
    assert rows_of(found.feedback) == [
        (b"i1", 5, b"click", b"c1", NOW, NOW + 1),
        (b"i1", 5, b"view", b"", NOW + 1, NOW + 1),
        (b"i2", 1, b"view", b"", NOW - 800, NOW + 1),
        (b"i2", 2**40, b"purchase", b"7", NOW - DAY, NOW + 1),
    ]
    assert len(read(sink, "shelf", SINCE, NOW).feedback) == 1
    assert len(read(sink, "other", SINCE, UNTIL).feedback) == 0


ROW = "row 0: {}: expected {}, got {}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"impression": None},
            ROW.format("impression", "the id of an impression, of 1 to 200 bytes", "null"),
        ),
        ({"impression": "i" * 201}, "impression: expected the id of an impression, of 1 to 200 b"),
        ({"item": 0}, ROW.format("item", "the number of an item, from 1", "0")),
        ({"item": "5"}, ROW.format("item", "the number of an item, from 1", "'5'")),
        ({"item": True}, ROW.format("item", "the number of an item, from 1", "true")),
        ({"item": 5.0}, ROW.format("item", "the number of an item, from 1", "5.0")),
        ({"item": 2**63}, ROW.format("item", "the number of an item, from 1", str(2**63))),
        ({"type": "like"}, ROW.format("type", "view, click or purchase", "'like'")),
        ({"type": None}, ROW.format("type", "view, click or purchase", "null")),
        ({"time": NOW + 301}, "time: expected a time that is not in the future, got 1700000301.0"),
        ({"time": "soon"}, "time: expected a time before 2100: seconds since 1970, or ISO 8601"),
        ({"user": 1.5}, "user: expected the key of a user, of 1 to 2,048 bytes, or none, got 1.5"),
        ({"user": ""}, "user: expected the key of a user, of 1 to 2,048 bytes, or none, got ''"),
        ({"users": "c1"}, r"feedback\[0\]: expected keys of .*, got 'users'; do you mean user?"),
    ],
)
def test_a_request_with_a_wrong_row_keeps_none(change: dict[str, Any], message: str) -> None:
    sink = MemoryCaptures()
    with pytest.raises(BadInput, match=message):
        sent(sink, {"model": "shelf", "feedback": [ONE | change, ONE]})
    assert sink.objects == {}


def test_what_is_no_feedback_or_of_no_ranker_is_refused() -> None:
    sink = MemoryCaptures()
    with pytest.raises(BadInput, match="feedback: expected an array of 1 to 10,000 objects, got"):
        sent(sink, {"model": "shelf"})
    with pytest.raises(BadInput, match=r"model: expected a model that recommends \(`recommend` in"):
        sent(sink, {"model": "shop", "feedback": [ONE]})
    with pytest.raises(NotFound, match="model"):
        sent(sink, {"model": "nobody", "feedback": [ONE]})
    with pytest.raises(TooLarge, match="feedback: expected at most 10,000 in a request"):
        sent(sink, {"model": "shelf", "feedback": [ONE] * (MAX_ROWS + 1)})
    assert sink.objects == {}


def test_the_first_time_of_an_impression_item_and_type_counts() -> None:
    sink = MemoryCaptures()
    send(sink, ONE | {"time": NOW + 5}, now=NOW + 5)
    send(sink, ONE, now=NOW + 10)  # later, about before
    send(sink, ONE, ONE, ONE | {"item": 6}, now=NOW + 20)
    send(sink, ONE | {"time": NOW - DAY}, now=NOW + 30)  # on the day before
    found = read(sink, "shelf", SINCE - DAY, UNTIL)
    assert rows_of(found.feedback) == [
        (b"i1", 5, b"click", b"c1", NOW - DAY, NOW + 30),
        (b"i1", 6, b"click", b"c1", NOW, NOW + 20),
    ]
    assert found.twice == 4
    later = read(sink, "shelf", SINCE, UNTIL)  # where that click is no news
    assert [row[1] for row in rows_of(later.feedback)] == [6]
    assert later.twice == 4


def test_what_another_user_says_displaces_nothing() -> None:
    sink = MemoryCaptures()
    send(sink, ONE, ONE | {"user": "c2", "time": NOW - 60})
    found = read(sink, "shelf", SINCE, UNTIL)
    assert [(row[3], row[4]) for row in rows_of(found.feedback)] == [
        (b"c1", NOW),
        (b"c2", NOW - 60),
    ]


def test_a_time_before_the_impression_displaces_none_after_it() -> None:
    sink, shown = MemoryCaptures(), event_id(NOW, 7)
    early, late = ONE | {"impression": shown, "time": NOW - 60}, ONE | {"impression": shown}
    send(sink, early, late, late | {"time": NOW + 5}, now=NOW + 9)
    send(sink, early | {"item": 6})
    found = read(sink, "shelf", SINCE, UNTIL)
    assert [(row[1], row[4]) for row in rows_of(found.feedback)] == [(5, NOW), (6, NOW - 60)]


def test_the_objects_of_a_day_become_one_without_repeats() -> None:
    sink = MemoryCaptures()
    for number in range(FEWEST):
        send(sink, ONE, ONE | {"item": number % 3 + 1}, now=NOW + number)
    before = read(sink, "shelf", SINCE, UNTIL)
    assert (len(before.feedback), before.twice) == (4, 2 * FEWEST - 4)
    assert merge(sink) == Merged(FEWEST)
    (key,) = sink.objects
    assert key.startswith("feedback/model=shelf/date=2023-11-14/")
    after = read(sink, "shelf", SINCE, UNTIL)
    assert (rows_of(after.feedback), after.twice) == (rows_of(before.feedback), 0)
    send(sink, ONE, now=NOW + 99)
    assert rows_of(read(sink, "shelf", SINCE, UNTIL).feedback) == rows_of(before.feedback)


def test_damaged_objects_are_named_and_the_others_count() -> None:
    sink = MemoryCaptures()
    send(sink, ONE)
    (good,) = sink.objects
    folder = good.rpartition("/")[0]
    other = core.Table.from_pydict({"id": core.Array(["e"], core.DataType.string())})
    sink.objects |= {f"{folder}/x.parquet": b"PAR1", f"{folder}/y.parquet": write_parquet(other)}
    found = read(sink, "shelf", SINCE, UNTIL)
    assert (len(found.feedback), found.damaged) == (
        1,
        [f"{folder}/x.parquet", f"{folder}/y.parquet"],
    )


def test_a_lost_reply_keeps_the_first_time() -> None:
    class Lost(MemoryCaptures):
        lost = True

        def put(self, key: str, body: bytes) -> None:
            super().put(key, body)
            if self.lost:
                self.lost = False
                raise Transient("no reply")

    sink, row = Lost(), {"impression": "i1", "item": 5, "type": "view"}
    with pytest.raises(Transient):
        sent(sink, {"model": "shelf", "feedback": [row]}, NOW)
    send(sink, row, now=NOW + 9)
    found = read(sink, "shelf", SINCE, UNTIL)
    assert (rows_of(found.feedback), found.twice) == ([(b"i1", 5, b"view", b"", NOW, NOW)], 1)
