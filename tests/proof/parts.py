"""The parts of the proof: what each claims, and the commands that show it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PARTS", "Part"]


@dataclass(frozen=True)
class Part:
    """A module whose last line is JSON with `failures`, with its words for either run."""

    claim: str
    module: str
    quick: tuple[str, ...]
    whole: tuple[str, ...]


PARTS = (
    Part(
        "Under any faults each record has one end, and one effect",
        "tests.simulation",
        ("--seeds", "270"),
        ("--seeds", "1500"),
    ),
    Part(
        "A bug in the handlers is caught",
        "tests.simulation.bugs",
        # some bugs of captures take hundreds of seeds, at four a second
        ("--times", "1", "--seeds", "400", "--scenario", "jobs", "stream", "batch"),
        ("--times", "3"),
    ),
    Part(
        "A changed line of what decides fails a fast test",
        "tests.mutation",
        ("--only", "leases", "--sample", "9"),
        ("--seed", "0"),
    ),
    Part(
        "The same rows are answered alike in every form",
        "tests.differential",
        ("--cases", "3000"),
        ("--cases", "100000"),
    ),
    Part(
        "No input raises, is answered with a 5xx, takes long or tells a secret",
        "tests.fuzz",
        ("--cases", "3000"),
        ("--cases", "100000"),
    ),
    Part(
        "A package that means harm is refused or contained",
        "tests.hostile",
        ("--cases", "60"),
        ("--cases", "300"),
    ),
    Part(
        "What a client was told stays true when environments and the server are killed",
        "tests.histories",
        ("--minutes", "0.4"),
        ("--minutes", "8"),
    ),
)
