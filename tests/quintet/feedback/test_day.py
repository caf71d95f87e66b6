"""A day of a shop, while a tenth of the requests to its store fail: 0 lost, 0 double."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
from tests.kits.captures import (
    FaultyCaptures,
    delivery,
    impression,
    impression_line_of,
    records,
    table,
    until_done,
)
from tests.kits.labels import DAY, START, event_id
from tests.kits.models import SHELF, event, received

from quintet.api.feedback import FeedbackApi
from quintet.api.labels import failure
from quintet.api.routing import Routes
from quintet.captures.compaction import compact
from quintet.captures.delivery import deliver
from quintet.captures.store import MemoryCaptures
from quintet.contract import Capture
from quintet.feedback.merging import merge
from quintet.feedback.reading import Known, read

CONTRACT = replace(SHELF, capture=Capture(days=30))
ANSWERS, HOURS = 240, 24
Key = tuple[bytes, int, bytes]


class Shop:
    """Answers of a day and what users do with them, in the order of time."""

    def __init__(self) -> None:
        self.store = FaultyCaptures()
        self.shown: dict[str, dict[str, Any]] = {}
        self.done: dict[Key, float] = {}
        self._random = random.Random(5)
        self._now = START
        api = FeedbackApi(lambda name: CONTRACT, self.store, self._clock)
        self._api = api
        self._routes = Routes(
            {("POST", "/feedback"): (lambda request, call: api.add(request), failure)}
        )

    def _clock(self) -> float:
        self._now += 0.25
        return self._now

    def hour(self, start: float) -> Iterator[str]:
        """The lines of an hour's answers; their feedback is sent, each until it is answered, and
        every third again."""
        each = ANSWERS // HOURS
        for number in range(each):
            self._now = start + number * 300
            name = event_id(self._now, number)
            items = self._random.sample(range(1, 500), 5)
            self.shown[name] = impression(f"c{number}", items)
            yield impression_line_of(name, self.shown[name], now=self._now, contract=CONTRACT)
            rows = []
            for item in items[: self._random.randint(0, 5)]:
                kind = self._random.choice(["view", "click", "purchase"])
                at = self._now + self._random.randint(1, 60)
                rows.append({"impression": name, "item": item, "type": kind, "time": at})
                self.done[name.encode(), item, kind.encode()] = at
            for _ in range(1 + (number % 3 == 0)):
                if rows:
                    until_done(lambda rows=rows: self._send(rows))  # type: ignore[misc]

    def _send(self, rows: list[dict[str, Any]]) -> None:
        body = orjson.dumps({"model": "shelf", "feedback": rows})
        sent = event("POST", "/feedback", body, {"Content-Type": "application/json"})
        self._now += 60
        assert self._api.add(received(sent, self._routes)).status == 200


def test_a_days_impressions_are_its_answers_and_feedback_counts_once() -> None:
    shop, drawn = Shop(), random.Random(7)
    for hour in range(HOURS):
        start = START + hour * 3600
        lines = list(shop.hour(start))
        again = drawn.sample(lines, 3)  # delivered twice, in another batch
        for some in (lines[:4], lines[4:], again):
            sent = delivery(some)
            until_done(lambda sent=sent: deliver(sent, shop.store))  # type: ignore[misc]
        until_done(lambda start=start: compact(shop.store, shop.store, start + 600))  # type: ignore[misc]
        until_done(lambda: merge(shop.store))
    end = START + DAY + 7200
    until_done(lambda: compact(shop.store, shop.store, end))
    known: Known = until_done(lambda: read(shop.store, "shelf", START, end))
    assert shop.store.faults > 100
    healthy = MemoryCaptures()
    healthy.objects = shop.store.objects
    assert healthy.keys("raw/") == []
    rows = records(table(healthy), "event", "outcome", "impression")
    assert Counter(name for name, _, _ in rows) == Counter(shop.shown.keys())
    assert {name: orjson.loads(shown) for name, _, shown in rows} == shop.shown
    found = known.feedback
    keys = list(
        zip(found.impressions.tolist(), found.items.tolist(), found.types.tolist(), strict=True)
    )
    assert dict(zip(keys, found.times.tolist(), strict=True)) == shop.done
    assert (len(keys), known.damaged) == (len(shop.done), [])
