"""How often drift is called: on days without any, and on days with a shift of known size.

    python -m benchmarks.drift_power --write

writes the tables into docs/monitoring.md. Each day has 20 features, one of them with four
categories, an output that follows from them, and a label of each row, true as often as the output
says. The baseline is of 5,000 rows, or of one row of each of 5,000 entities; that of the output is
of 2,000 of them. Entities have a level of their own in each feature (seven tenths of its variance),
send as many rows as Zipf's law with exponent 1.1 says, and are active on some days and not on
others. All is drawn from seeds, with other training data every 100 days: the figures repeat.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quintet.columns import Array
from quintet.contract import Contract, Feature, Output
from quintet.monitoring.baseline import baseline_of, outputs_of, with_outputs
from quintet.monitoring.drift import compared, drift_of
from quintet.monitoring.samples import Reference, Sample, count_labels

PAGE = Path("docs/monitoring.md")
START, END = "<!-- drift power -->\n", "<!-- end -->\n"
FEATURES, TRAINED, ENTITIES, LEVEL = 20, 5_000, 5_000, 0.7
SIZES = (200, 1_000, 10_000)
SHIFTS = (0.1, 0.2, 0.3, 0.5)
#: days that have one baseline
DAYS = 100
#: rows of the training data that publishing scores
SCORED = 2_000
NAMES = tuple(f"f{number}" for number in range(FEATURES))
KINDS = np.array(["a", "b", "c", "d"], dtype=object)
#: where a number becomes the next category: half of the rows are the first
BORDERS = (0.0, 0.5, 1.2)


@dataclass(frozen=True, slots=True)
class Day:
    """The features of a day's rows, their output, their labels, and their entities."""

    columns: dict[str, Array]
    score: NDArray[np.float64]
    labels: Array
    entities: list[str] | None


def contract(entity: str | None) -> Contract:
    """A contract of 19 numbers and a category, with a score."""
    features = tuple(Feature(name=name, dtype="float64") for name in NAMES[:-1])
    features += (Feature(name=NAMES[-1], dtype="string", categories=tuple(KINDS)),)
    return Contract(
        name="power",
        version=1,
        task="regression",
        features=features,
        inputs=(),
        outputs=(Output(name="score", dtype="float64", shape=(-1,), meaning="score"),),
        entity=entity,
    )


@dataclass(slots=True)
class World:
    """Training data, and days like it."""

    entity: str | None
    random: np.random.Generator
    reference: Reference
    levels: NDArray[np.float64]

    def day(self, rows: int) -> Day:
        """A day without drift."""
        if self.entity is None:
            return _day(self.random.normal(size=(rows, FEATURES)), self.random, None)
        active = self.random.lognormal(sigma=1.5, size=ENTITIES)
        weights = active / np.arange(1, ENTITIES + 1) ** 1.1
        who = self.random.choice(ENTITIES, size=rows, p=weights / weights.sum())
        values = _of_entities(self.levels[who], self.random)
        return _day(values, self.random, [f"e{number}" for number in who.tolist()])

    def moved(self, day: Day, by_rows: bool = False) -> bool:
        """Whether anything has moved; `by_rows` as if rows were independent."""
        rows = len(day.score)
        sample = Sample(self.reference, rows)
        sample.add(day.columns, np.arange(rows), day.entities, {"score": day.score})
        labels = (rows, count_labels(self.reference, day.labels, day.entities))
        found = drift_of(self.reference, [(rows, sample.document()), labels])
        assert found is not None
        if by_rows:
            return any(one["by_rows"]["moved"] for _, one in compared(found))
        return bool(found["moved"])


def world(entity: str | None, seed: list[int]) -> World:
    """A world of independent rows, or of entities."""
    random = np.random.default_rng(seed)
    levels = np.empty((0, FEATURES))
    trained = random.normal(size=(TRAINED, FEATURES))
    names = None
    if entity is not None:
        levels = random.normal(size=(ENTITIES, FEATURES))
        trained, names = _of_entities(levels, random), [f"e{n}" for n in range(ENTITIES)]
    described, day = contract(entity), _day(trained, random, names)
    features = baseline_of(described, day.columns, names, day.labels.tolist())
    outputs = outputs_of(described, {"score": day.score[:SCORED]})
    baseline = with_outputs(features, outputs, outputs)
    return World(entity, random, Reference(described, baseline), levels)


def _of_entities(levels: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    own: NDArray[np.float64] = random.normal(size=levels.shape)
    own *= np.sqrt(1 - LEVEL)
    own += np.sqrt(LEVEL) * levels
    return own


def _day(
    values: NDArray[np.float64], random: np.random.Generator, entities: list[str] | None
) -> Day:
    columns: dict[str, Array] = {name: values[:, place] for place, name in enumerate(NAMES)}
    columns[NAMES[-1]] = KINDS[np.searchsorted(BORDERS, values[:, -1])]
    score = 1 / (1 + np.exp(-values[:, :4].sum(axis=1) / 2))
    labels = np.where(random.random(len(score)) < score, "yes", "no").astype(object)
    return Day(columns, score, labels, entities)


def share(
    entity: str | None,
    rows: int,
    days: int,
    change: Callable[[Day], Day] | None = None,
    by_rows: bool = False,
) -> float:
    """The share of days that are called drift, after a change of each."""
    called = 0
    for number in range(days):
        if number % DAYS == 0:
            of = world(entity, [rows, number])
        day = of.day(rows)
        called += of.moved(change(day) if change is not None else day, by_rows)
    return called / days


def shifted(by: float) -> Callable[[Day], Day]:
    """A change: one feature is higher, by so many standard deviations."""

    def change(day: Day) -> Day:
        return _with(day, "f3", day.columns["f3"] + by)

    return change


def frozen(day: Day) -> Day:
    """A change: one feature has one value."""
    return _with(day, "f3", np.full(len(day.score), 0.3))


def swapped(day: Day) -> Day:
    """A change: two categories have each other's name."""
    kinds = day.columns[NAMES[-1]]
    named = np.where(kinds == "a", "b", np.where(kinds == "b", "a", kinds)).astype(object)
    return _with(day, NAMES[-1], named)


def rescored(day: Day) -> Day:
    """A change: the output alone is higher, by 0.3 of its standard deviation."""
    return replace(day, score=day.score + 0.3 * float(day.score.std()))


def relabelled(day: Day) -> Day:
    """A change: three tenths of the rows with the label `no` have `yes`."""
    turned = np.arange(len(day.labels)) % 10 < 3
    return replace(day, labels=np.where(turned, "yes", day.labels).astype(object))


def _with(day: Day, name: str, values: Array) -> Day:
    return replace(day, columns={**day.columns, name: values})


#: the changes of the table of power
CHANGES: dict[str, Callable[[Day], Day]] = {
    **{f"{by:g} sd": shifted(by) for by in SHIFTS},
    "frozen": frozen,
    "swapped categories": swapped,
    "output, 0.3 sd": rescored,
    "labels, 15 points": relabelled,
}


def delay(power: float) -> str:
    """The mean number of days until two of three days were called, from each day's chance."""
    if power < 0.005:
        return "none"
    # states: no day of the last two was called; the last was; the one before was
    miss = 1 - power
    chain = np.array([[miss, power, 0], [0, 0, miss], [miss, 0, 0]])
    return f"{np.linalg.solve(np.eye(3) - chain, np.ones(3))[0]:.1f}"


def power_line(entity: str | None, rows: int, days: int) -> str:
    """A line of the table of power."""
    found = [share(entity, rows, days, change) for change in CHANGES.values()]
    cells = " | ".join(f"{power:.1%} ({delay(power)})" for power in found)
    return f"| {rows:,}{', of entities' if entity else ''} | {cells} |"


def tables(days: int, power_days: int) -> str:
    """The tables in Markdown."""
    lines = [
        f"Days without drift that are called drift, of {days:,} (20 features, output, labels):",
        "",
        "| rows a day | independent rows | entities, counted once | entities, counted by rows |",
        "|---|---|---|---|",
    ]
    for rows in SIZES:
        alone = share(None, rows, days)
        first = share("customer", rows, days)
        naive = share("customer", rows, min(days, power_days), by_rows=True)
        lines.append(f"| {rows:,} | {alone:.2%} | {first:.2%} | {naive:.0%} |")
    lines += [
        "",
        f"Days on which the change of one feature, of the output or of the labels is found, of "
        f"{power_days:,}; in brackets the mean number of days until 2 of 3 days were called:",
        "",
        f"| rows a day | {' | '.join(CHANGES)} |",
        f"|---|{'---|' * len(CHANGES)}",
    ]
    for entity in (None, "customer"):
        lines += [power_line(entity, rows, power_days) for rows in SIZES]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=2_000)
    parser.add_argument("--power-days", type=int, default=400)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    text = tables(given.days, given.power_days)
    print(text)
    if given.write:
        page = PAGE.read_text("utf-8")
        head, rest = page.split(START, 1)
        PAGE.write_text(head + START + text + END + rest.split(END, 1)[1], "utf-8")


if __name__ == "__main__":
    main()
