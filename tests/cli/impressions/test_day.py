"""A day of real sessions, from the request to the export, while a tenth of the requests to the
store fail: impressions are answers, and feedback counts once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import orjson
import pytest
from tests.kits.captures import FaultyCaptures, delivery, records, until_done
from tests.kits.labels import DAY, START
from tests.kits.models import event, received
from tests.kits.recommending import Shop

from quintet.api.feedback import FeedbackApi
from quintet.api.labels import failure
from quintet.api.routing import Routes
from quintet.captures.compaction import compact
from quintet.captures.delivery import deliver
from quintet.contract import Filters
from quintet.feedback.merging import merge
from quintet_cli.demo.recommendations import Order, read_orders
from quintet_cli.impressions.export import exported
from quintet_cli.impressions.logged import logged
from quintet_cli.impressions.outcomes import feedback_on
from quintet_publish.kit import contract_of, predict, read_table

MODELS = Path("models")
RANKER = contract_of(MODELS / "ranker")
HOURS, ANSWERS = 24, 2
#: of each hour's customers, the last is new in every fourth hour
NEW_EVERY = 4


class Day:
    """The shop's ranker over candidates of real customers, and the feedback on what it shows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self._random = FaultyCaptures(), random.Random(11)
        graph = (MODELS / "ranker/model.onnx").read_bytes()
        rule = {"budget_ms": 10_000, "filters": Filters(per_category=5), "explore": 0.5}
        self.shop = Shop(RANKER, rule=rule, graph=graph)
        self.orders = read_orders(MODELS / "ranker/data/held_out.parquet")[: HOURS * ANSWERS]
        self._make_candidates()
        self.answers: dict[str, tuple[Order, Any]] = {}
        self.done: dict[str, set[tuple[str, int]]] = {"view": set(), "click": set()}
        monkeypatch.setattr("time.time_ns", lambda: int(self.shop.clock.now * 1e9))  # in events
        self._api = FeedbackApi(lambda name: RANKER, self.store, self.shop.clock)
        self._routes = Routes(
            {("POST", "/feedback"): (lambda request, call: self._api.add(request), failure)}
        )

    def _make_candidates(self) -> None:
        table, package = read_table(MODELS / "candidates/data/customers.parquet"), "candidates"
        rows = np.isin(table["customer_id"], [order.customer for order in self.orders])
        some = {name: column[rows] for name, column in table.items()}
        contract, model = contract_of(MODELS / package), onnx.load(MODELS / package / "model.onnx")
        made = predict(model, contract, some)
        for user, ids, scores in zip(some["customer_id"], made["ids"], made["scores"], strict=True):
            self.shop.has(user, ids, scores, taste=None)
        self.shop.shows({"": range(1, 101)})

    def hour(self, number: int) -> list[str]:
        """The lines of an hour's answers; their feedback is sent, and every third again."""
        lines = []
        for place in range(ANSWERS):
            self.shop.clock.now = START + number * 3600 + place * 900
            order = self.orders[number * ANSWERS + place]
            new = place == ANSWERS - 1 and number % NEW_EVERY == 0
            user = f"new{number}" if new else order.customer
            told = self.shop.post(user, {"items": order.basket})
            assert (told.status, told.body["step"]) == (200, "popular" if new else "reranked")
            self.answers[told.body["impression"]] = (order, told.body)
            lines += [orjson.dumps(line).decode() for line in told.captures]
            self._feedback(told.body["impression"], order, told.items, again=place == 0)
        return lines

    def _feedback(self, name: str, order: Order, items: Sequence[int], *, again: bool) -> None:
        rows = []
        for item in items[: self._random.randint(1, len(items))]:
            for kind in ("view", "click") if item in order.rest else ("view",):
                time = self.shop.clock.now + 60
                rows.append({"impression": name, "item": item, "type": kind, "time": time})
                self.done[kind].add((name, item))
        self.shop.clock.now += 120
        for _ in range(1 + again):
            until_done(lambda: self._send(rows))

    def _send(self, rows: list[dict[str, Any]]) -> None:
        body = orjson.dumps({"model": "ranker", "feedback": rows})
        sent = event("POST", "/feedback", body, {"Content-Type": "application/json"})
        assert self._api.add(received(sent, self._routes)).status == 200


def test_an_export_has_each_answer_and_each_feedback_of_a_day_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    day, drawn = Day(monkeypatch), random.Random(3)
    for number in range(HOURS):
        lines = day.hour(number)
        again = drawn.sample(lines, 2)  # delivered twice, in another batch
        for some in (lines[:2], lines[2:], again):
            until_done(partial(deliver, delivery(some), day.store))
        until_done(partial(compact, day.store, day.store, day.shop.clock.now))
        until_done(partial(merge, day.store))
    end = START + DAY
    until_done(partial(compact, day.store, day.store, end + 7200))
    assert day.store.faults > 50

    contract = replace(RANKER, version=1)
    found = until_done(
        lambda: exported(
            logged(day.store, "ranker", START, end, lambda _: contract),
            feedback_on(day.store, "ranker", START, end)[0],
            end + 8 * DAY,
        )
    )
    shown = {
        (name, place, one["item"]): answer["step"]
        for name, (_, answer) in day.answers.items()
        for place, one in enumerate(answer["items"], 1)
    }
    popular = Counter(shown.values())["popular"]
    assert len(day.answers) == HOURS * ANSWERS
    assert found.counts == {
        "impressions": len(day.answers),
        "open": 0,
        "rows": len(shown),
        "without_features": popular,
    }
    assert found.feedback["counted"] == len(day.done["view"]) + len(day.done["click"])
    assert sum(found.feedback.values()) == found.feedback["counted"]
    assert found.rows is not None
    rows = records(
        found.rows, "impression", "position", "item", "step", "viewed", "clicked", "feature_item"
    )
    assert len(rows) == len(shown)
    assert {row[:3]: row[3] for row in rows} == shown
    assert {(row[0], row[2]) for row in rows if row[4]} == day.done["view"]
    assert {(row[0], row[2]) for row in rows if row[5]} == day.done["click"]
    assert {(row[3], row[6]) for row in rows} == {
        (step, item if step == "reranked" else None) for (_, _, item), step in shown.items()
    }
