"""How often drift is called: on days without any, and on days with a shift of known size.

    python -m benchmarks.drift_power --write

writes the tables into docs/monitoring.md. Each day has 20 features; the baseline is of 5,000 rows,
or of one row of each of 5,000 entities. Entities have a level of their own in each feature (seven
tenths of its variance), send as many rows as Zipf's law with exponent 1.1 says, and are active on
some days and not on others. All is drawn from seeds, with other training
data every 100 days: the figures repeat.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quintet.contract import Contract, Feature
from quintet.monitoring.baseline import baseline_of
from quintet.monitoring.drift import drift_of
from quintet.monitoring.samples import Reference, Sample

PAGE = Path("docs/monitoring.md")
START, END = "<!-- drift power -->\n", "<!-- end -->\n"
FEATURES, TRAINED, ENTITIES, LEVEL = 20, 5_000, 5_000, 0.7
SIZES = (200, 1_000, 10_000)
SHIFTS = (0.1, 0.2, 0.3, 0.5)
#: days that have one baseline
DAYS = 100
NAMES = tuple(f"f{number}" for number in range(FEATURES))
Day = dict[str, NDArray[np.float64]]


def contract(entity: str | None) -> Contract:
    """A contract of 20 numbers."""
    features = tuple(Feature(name=name, dtype="float64") for name in NAMES)
    return Contract(
        name="power",
        version=1,
        task="regression",
        features=features,
        inputs=(),
        outputs=(),
        entity=entity,
    )


@dataclass(slots=True)
class World:
    """Training data, and days like it."""

    entity: str | None
    random: np.random.Generator
    reference: Reference
    levels: NDArray[np.float64]

    def day(self, rows: int) -> tuple[Day, list[str | None] | None]:
        """A day without drift: its rows, and their entities."""
        if self.entity is None:
            return _columns(self.random.normal(size=(rows, FEATURES))), None
        active = self.random.lognormal(sigma=1.5, size=ENTITIES)
        weights = active / np.arange(1, ENTITIES + 1) ** 1.1
        who = self.random.choice(ENTITIES, size=rows, p=weights / weights.sum())
        values = _of_entities(self.levels[who], self.random)
        return _columns(values), [f"e{number}" for number in who.tolist()]

    def moved(self, columns: Day, entities: list[str | None] | None, by_rows: bool = False) -> bool:
        """Whether any feature has moved; `by_rows` as if rows were independent."""
        rows = len(columns["f0"])
        sample = Sample(self.reference, rows)
        sample.add(columns, np.arange(rows), entities)
        found = drift_of(self.reference, [(rows, sample.document())])
        assert found is not None
        if by_rows:
            return any(one["by_rows"]["moved"] for one in found["features"])
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
    described = contract(entity)
    baseline = baseline_of(described, _columns(trained), names)
    return World(entity, random, Reference(described, baseline), levels)


def _of_entities(levels: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    own: NDArray[np.float64] = random.normal(size=levels.shape)
    own *= np.sqrt(1 - LEVEL)
    own += np.sqrt(LEVEL) * levels
    return own


def _columns(values: NDArray[np.float64]) -> Day:
    return {name: values[:, place] for place, name in enumerate(NAMES)}


def share(
    entity: str | None,
    rows: int,
    days: int,
    change: Callable[[Day], None] | None = None,
    by_rows: bool = False,
) -> float:
    """The share of days that are called drift, after a change of each."""
    called = 0
    for number in range(days):
        if number % DAYS == 0:
            of = world(entity, [rows, number])
        columns, entities = of.day(rows)
        if change is not None:
            change(columns)
        called += of.moved(columns, entities, by_rows)
    return called / days


def shifted(by: float) -> Callable[[Day], None]:
    """A change: one feature is higher, by so many standard deviations."""

    def change(day: Day) -> None:
        day["f3"] = day["f3"] + by

    return change


def frozen(day: Day) -> None:
    """A change: one feature has one value."""
    day["f3"] = np.full(len(day["f3"]), 0.3)


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
    found = [share(entity, rows, days, shifted(by)) for by in SHIFTS]
    found.append(share(entity, rows, days, frozen))
    cells = " | ".join(f"{power:.1%} ({delay(power)})" for power in found)
    return f"| {rows:,}{', of entities' if entity else ''} | {cells} |"


def tables(days: int, power_days: int) -> str:
    """The tables in Markdown."""
    lines = [
        f"Days without drift that are called drift, of {days:,} (20 features):",
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
        f"Days on which the change of one of 20 features is found, of {power_days:,}; in brackets",
        "the mean number of days until 2 of 3 days were called:",
        "",
        f"| rows a day | {' | '.join(f'{by:g} sd' for by in SHIFTS)} | frozen |",
        f"|---|{'---|' * (len(SHIFTS) + 1)}",
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
