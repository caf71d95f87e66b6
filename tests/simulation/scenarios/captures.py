"""Captures, impressions, labels and feedback: delivered, compacted, erased, each counted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any, ClassVar

import orjson
from tests.kits.captures import (
    CAPTURED,
    delivery,
    impression,
    impression_line_of,
    lines_of,
    records,
    table,
)
from tests.kits.models import SHELF, SHOP
from tests.simulation.kernel import Simulation, Task
from tests.simulation.lambdas import Answer, Function, Quiet, handler, template
from tests.simulation.scenario import START, Scenario

from quintet.api.feedback import FeedbackApi
from quintet.api.labels import LabelsApi
from quintet.captures.compaction import Compacted, compact
from quintet.captures.delivery import deliver
from quintet.captures.erasure import erase
from quintet.captures.places import FAILED, RAW, TABLE
from quintet.captures.store import MemoryCaptures, MemoryRolloutFeed
from quintet.captures.tables import read_parquet
from quintet.contract import Contract
from quintet.errors import Transient
from quintet.feedback import table as feedback
from quintet.feedback.erasure import erase as erase_feedback
from quintet.labels import table as labels
from quintet.protocols.http import Request

__all__ = ["Captures"]

CONTRACTS: dict[str, Contract] = {"shop": SHOP, "shelf": SHELF}
#: the columns that tell one row from another
PLACE = ("event", "row", "outcome", "entity")


@cache
def _lines(number: int) -> tuple[str, ...]:
    """What a request, and a recommendation, wrote to the log in the first or the second hour."""
    entities = (f"c{(number + place) % 4}" for place in range(1 + number % 3))
    rows = [{"customer": entity, "amount": 5.0 + number} for entity in entities]
    at = START - 7200 + 3600 * (number % 2) + number
    shown = impression_line_of(f"shown-{number:03d}", impression(f"u{number}"), now=at)
    return (*lines_of(f"event-{number:03d}", rows, now=at, contract=CAPTURED), shown)


@cache
def _wanted(number: int) -> tuple[tuple[Any, ...], ...]:
    """The rows of a request and a recommendation, as readers find them."""
    calm = MemoryCaptures()
    deliver(delivery(_lines(number)), calm)
    return tuple(records(table(calm), *PLACE))


class Captures(Scenario):
    """See the module. An input is a request and a recommendation, with a label and feedback."""

    NAME = "captures"
    HOURS = 0.7
    REACH = (
        "a delivery was cut otherwise the second time",
        "a delivery was given up, and the compaction wrote it",
        "a compaction lost the race for an hour",
        "a compaction began while captures were written",
        "an hour that was compacted got new rows",
        "rows that came twice were merged into one",
        "objects of labels were merged",
        "a label was sent again",
        "feedback was sent again",
        "an erasure took rows out while captures were written",
        "an erasure lost the race for an hour",
        "a compaction lost the race for an hour to an erasure",
        "feedback of an erased user was taken out",
        "rows of an erased entity were delivered again",
    )
    RARE: ClassVar[dict[str, float]] = {
        "captures.swap": 8.0,
        "captures.delete": 6.0,
        "captures.get": 2.0,
    }

    def __init__(self, simulation: Simulation, keep: Collection[int] | None) -> None:
        super().__init__(simulation, keep)
        self.count = self.chance.choice((5, 12, 30))
        self.objects, self.feed = MemoryCaptures(), MemoryRolloutFeed()
        bucket, feed = self.port("captures", self.objects), self.port("feed", self.feed)
        self.bucket = bucket
        zombies = self.chance.random() < 0.5
        functions = template().of_type("AWS::Lambda::Function")

        def function(name: str) -> Function:
            found = handler(
                name.lower(),
                clock=simulation.clock,
                telemetry=lambda: Told(self),
                bucket=lambda: bucket,
                feed=lambda: feed,
            )
            return Function(simulation, name, found, functions[name]["Timeout"], zombies)

        self.capture, self.compactor = function("Capture"), function("Compact")
        #: deliveries and compactions that are not over
        self.delivering = self.compacting = 0
        self.merged = set[str]()
        self.acknowledged = Counter[tuple[str, int]]()
        #: who is to be erased; and of whom that was done, when it began
        self.leaving = set[str]()
        self.erased: dict[str, float] = {}
        #: the new rows that were put while somebody was erased, and after that
        self.put_since: list[tuple[float, bytes]] = []

    @property
    def inputs(self) -> int:
        """See `Scenario.inputs`."""
        return self.count

    @property
    def numbers(self) -> list[int]:
        """The inputs that are there."""
        return [number for number in range(self.count) if self.kept(number)]

    # ---- what happens --------------------------------------------------------------------------

    def play(self) -> None:
        """See `Scenario.play`."""
        simulation, chance, numbers = self.simulation, self.chance, self.numbers
        at, size, arrivals = START, chance.choice((1, 3, 10)), list[tuple[int, float]]()
        #: seconds between deliveries: while a compaction reads and writes, or longer
        pace = chance.choice((0.02, 5.0, 200.0))
        if chance.random() < 0.4:  # deliveries are given up, or nothing can be merged
            where = chance.choice(("captures.put", "captures.swap"))
            self.faults.fail(where, START, START + (400 if where == "captures.put" else 1800))
        for start in range(0, len(numbers), size):
            at += chance.uniform(0, pace)
            some = numbers[start : start + size]
            arrivals.append((some[0], at))
            self._deliver([line for number in some for line in _lines(number)], at)
            if chance.random() < 0.3:
                again = [*some[len(some) // 2 :], some[0], *numbers[:1]]
                self._deliver([line for number in again for line in _lines(number)], at + 60, True)
        for _ in range(chance.choice((3, 9))):
            at = START + chance.uniform(0, 12 * pace)
            simulation.at(at, self._compact)
            if chance.random() < 0.4:
                simulation.at(at + chance.uniform(0, 0.03), self._compact)
        for _ in range(chance.choice((0, 1, 2, 2))):  # while captures arrive, beside a compaction
            number, at = chance.choice(arrivals or [(0, START)])
            name = chance.choice(("c0", "c1", "c2", f"u{number}"))
            simulation.at(at + chance.uniform(0, 0.1), self._compact)
            self._erase(name, at + chance.choice((0.1, 0.1, 900.0)) * chance.random() - START)
        for number in numbers:
            for model, field, row in _told(number):
                for _ in range(chance.choice((1, 1, 2))):
                    self._tell(number, model, field, row, chance.uniform(0, 1200))
        simulation.violations += self.until_quiet(600, 12 * 3600)
        simulation.violations += self._check_erased()
        self._compact()
        simulation.run(simulation.now + 1800)
        for name in sorted(self.leaving):  # once more, as the page says
            erase_feedback(self.objects, name)
            erase(self.objects, self.objects, name)

    def _deliver(self, lines: list[str], at: float, again: bool = False) -> None:
        """Call the function as CloudWatch Logs does: asynchronously, with two repeats."""
        simulation, event = self.simulation, delivery(lines)
        failures = 0
        self.delivering += 1

        def attempt() -> None:
            if again:
                self.reach("a delivery was cut otherwise the second time")
            self.capture.invoke(event, then)

        def then(answer: Answer) -> None:
            nonlocal failures
            failures += bool(answer.error)
            if answer.error and failures < 3:
                simulation.at(simulation.now + 60 * failures, attempt)
                return
            self.delivering -= 1
            if answer.error:  # to the function's destination of failures
                key = f"{FAILED}async/Capture/{simulation.now:.6f}.json"
                self.objects.put(key, orjson.dumps({"requestPayload": event}))

        simulation.at(at, attempt)

    def _compact(self) -> None:
        if self.delivering:
            self.reach("a compaction began while captures were written")
        self.compacting += 1

        def then(answer: Answer) -> None:
            self.compacting -= 1
            if answer.error and self.simulation.now > self.faults.calm + 1000:
                self.simulation.violations.append(f"compaction: {answer.error} in calm weather")

        self.compactor.invoke({}, then)

    def _erase(self, entity: str, after: float) -> None:
        """Somebody at a terminal, who erases an entity until it is done."""
        simulation = self.simulation

        def run() -> None:
            self.leaving.add(entity)
            for _ in range(300):
                begun = simulation.now
                try:
                    if erase_feedback(self.bucket, entity).rows:
                        self.reach("feedback of an erased user was taken out")
                    done = erase(self.bucket, self.bucket, entity)
                except Transient:
                    simulation.sleep(120)
                    continue
                self.erased[entity] = begun
                if done.objects and self.delivering:
                    self.reach("an erasure took rows out while captures were written")
                return
            simulation.violations.append(f"erasure: {entity} was never erased")

        simulation.spawn(run, f"Erase-{entity}", after=max(0.0, after))

    def _tell(self, number: int, model: str, field: str, row: dict[str, Any], after: float) -> None:
        """Send a label, or feedback, until it is acknowledged."""
        simulation = self.simulation
        kind = LabelsApi if field == "labels" else FeedbackApi
        api = kind(CONTRACTS.__getitem__, self.bucket, simulation.clock)
        body = orjson.dumps({"model": model, field: [row]}).decode()
        request = Request("POST", "", headers={"content-type": "application/json"}, raw=body)

        def run() -> None:
            for _ in range(60):
                try:
                    api.add(request)
                except Transient:
                    simulation.sleep(60)
                    continue
                self.acknowledged[field, number] += 1
                if self.acknowledged[field, number] > 1:
                    is_label = field == "labels"
                    self.reach("a label was sent again" if is_label else "feedback was sent again")
                return

        simulation.spawn(run, f"{field}-{number}", after=after)

    def quiet(self) -> bool:
        """See `Scenario.quiet`."""
        return not (self.delivering or self.compacting)

    def observe(self, task: Task, site: str, given: tuple[Any, ...], found: Any) -> None:
        """See `Scenario.observe`."""
        key = str(given[0]) if given else ""
        if site == "captures.swap" and key.startswith(TABLE):
            if found is True:
                self.merged.add(key.rpartition("/")[0])
            elif found is False and task.name.startswith("Erase"):
                self.reach("an erasure lost the race for an hour")
            elif found is False:
                self.reach("a compaction lost the race for an hour")
                if self.leaving:
                    self.reach("a compaction lost the race for an hour to an erasure")
        elif site == "captures.swap" and found is True and key.startswith(labels.PREFIX):
            self.reach("objects of labels were merged")
        elif site == "captures.put" and key.startswith(RAW):
            if self.leaving:
                self.put_since.append((self.simulation.now, given[1]))
            if task.name.startswith("Compact"):
                self.reach("a delivery was given up, and the compaction wrote it")
            if key.replace(RAW, TABLE, 1).rpartition("/")[0] in self.merged:
                self.reach("an hour that was compacted got new rows")

    # ---- what must hold ------------------------------------------------------------------------

    def check(self) -> Iterator[str]:
        """See `Scenario.check`."""
        objects = self.objects
        if left := objects.keys(RAW) + objects.keys(FAILED):
            yield f"conservation: {len(left)} objects were never merged"
        found = Counter(
            row
            for key in objects.keys(TABLE)
            for row in records(read_parquet(objects.objects[key]), *PLACE)
        )
        wanted = Counter(
            row for number in self.numbers for row in _wanted(number) if row[3] not in self.leaving
        )
        for name, prefix in (("captures", "event-"), ("impressions", "shown-")):
            rows, right = _of(found, prefix), _of(wanted, prefix)
            if rows != right:
                odd = (rows - right) + (right - rows)
                yield f"{name}: {odd.total()} rows too many or too few: {list(odd)[:2]}"
        if compact(objects, objects, self.simulation.now).rows:
            yield "conservation: another compaction found new rows"
        yield from self._check_told()

    def _check_erased(self) -> Iterator[str]:
        """Of who was erased there is nothing but what was put since."""
        objects = self.objects
        found = [
            row
            for prefix in (RAW, TABLE)
            for key in objects.keys(prefix)
            for row in records(read_parquet(objects.objects[key]), *PLACE)
        ]
        for entity, begun in self.erased.items():
            since = {
                row
                for moment, body in self.put_since
                if moment >= begun
                for row in records(read_parquet(body), *PLACE)
            }
            left = {row for row in found if row[3] == entity}
            if left & since:
                self.reach("rows of an erased entity were delivered again")
            if back := sorted(map(str, left - since)):
                yield f"erasure: {len(back)} rows of {entity} are back: {back[:2]}"

    def _check_told(self) -> Iterator[str]:
        def bodies(prefix: str) -> list[bytes]:
            return [self.objects.objects[key] for key in self.objects.keys(prefix)]

        told = labels.settle(labels.joined(map(labels.read, bodies(labels.PREFIX)))).labels
        acts = feedback.once(feedback.joined(map(feedback.read, bodies(feedback.PREFIX))))
        for field, ids in (("labels", told.ids), ("feedback", acts.impressions)):
            found = Counter(one.decode() for one in ids.tolist())
            stem = "event" if field == "labels" else "shown"
            gone = [n for n in self.numbers if field == "feedback" and f"u{n}" in self.leaving]
            sent = {
                f"{stem}-{number:03d}"
                for of, number in self.acknowledged
                if of == field and number not in gone
            }
            if left := found.keys() & {f"{stem}-{number:03d}" for number in gone}:
                yield f"erasure: feedback of an erased user is left: {sorted(left)}"
            if lost := sent - found.keys():
                yield f"{field}: acknowledged and lost: {sorted(lost)[:3]}"
            if twice := [one for one, count in found.items() if count > 1]:
                yield f"{field}: counted more than once: {twice[:3]}"


class Told(Quiet):
    """The telemetry of a function, which tells what was reached."""

    def __init__(self, scenario: Captures) -> None:
        self.scenario = scenario

    def compacted(self, done: Compacted, merged: object) -> None:
        """See `quintet.captures.telemetry.CaptureTelemetry.compacted`."""
        if done.duplicates:
            self.scenario.reach("rows that came twice were merged into one")


def _told(number: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What is told of an input: its model, the field of the body, the row."""
    day = START - 100_000
    yield "shop", "labels", {"id": f"event-{number:03d}", "label": "kept", "time": day}
    act = {"impression": f"shown-{number:03d}", "item": 5, "type": "click", "user": f"u{number}"}
    yield "shelf", "feedback", {**act, "time": day + number}


def _of(rows: Counter[tuple[Any, ...]], prefix: str) -> Counter[tuple[Any, ...]]:
    return Counter({row: count for row, count in rows.items() if row[0].startswith(prefix)})
