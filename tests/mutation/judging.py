"""What the mutants of a module say: its score, and what differs from the list of survivors."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.running import Mutant

__all__ = ["LEAST", "LIST", "Score", "Survivor", "entry", "listed", "scored"]

LIST = Path(__file__).with_name("survivors.toml")
#: percent of a module's mutants that its tests must kill
LEAST = 90.0
KILLED, TIMEOUT, NOT_RUN = "killed", "timeout", "not checked"

#: where a survivor is, and its changed lines: a number would change with every edit
Survivor = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Score:
    """A module's mutants: `mutants` ran, `of` all. A time-out is no kill, and is to be listed.

    `wrong` says in lines what is to be mended: survivors that are not listed, listed ones that are
    killed now, a low score, or no mutants.
    """

    module: str
    of: int
    mutants: int
    killed: int
    timeouts: int
    survivors: int
    wrong: tuple[str, ...]

    @property
    def percent(self) -> float:
        """The share that was killed, in percent; 0 without mutants."""
        return 100 * self.killed / self.mutants if self.mutants else 0.0


def scored(
    module: str, found: Sequence[Mutant], reasons: Mapping[Survivor, str], *, whole: bool
) -> Score:
    """The score of a module's mutants: of all that its subject runs if `whole`, else of some."""
    every = [one for one in found if one.module == module]
    mine = [one for one in every if one.end != NOT_RUN]
    alive = {_survivor(one): one for one in mine if one.end != KILLED}
    timeouts = sum(one.end == TIMEOUT for one in mine)
    killed = sum(one.end == KILLED for one in mine)
    known = {one for one in reasons if one[0] == module}
    wrong = [f"is not listed:\n{entry(alive[one])}" for one in alive if one not in known]
    if whole:
        wrong += [f"is listed, but survives no more: {one}" for one in known - alive.keys()]
    counts = len(every), len(mine), killed, timeouts, len(mine) - killed - timeouts
    percent = Score(module, *counts, ()).percent
    if not mine:
        wrong.append("has no mutants")
    elif whole and percent < LEAST:
        wrong.append(f"scores {percent:.1f} %, under {LEAST:g} %")
    return Score(module, *counts, tuple(f"{module} {line}" for line in wrong))


def listed(text: str, modules: Collection[str]) -> dict[Survivor, str]:
    """The reasons in a list of survivors.

    Raises:
        ValueError: an entry has no reason, names no module of `modules`, or is there twice.
    """
    found: dict[Survivor, str] = {}
    for one in tomllib.loads(text).get("survivor", []):
        key = (one["module"], one["function"], one["before"], one["after"])
        if not one["reason"].strip():
            raise ValueError(f"a survivor of {key[0]} {key[1]} has no reason")
        if key[0] not in modules:
            raise ValueError(f"{key[0]} is not mutated")
        if key in found:
            raise ValueError(f"a survivor of {key[0]} {key[1]} is listed twice: {key[3]}")
        found[key] = one["reason"]
    return found


def entry(mutant: Mutant) -> str:
    """A survivor as the list has it, without its reason."""
    lines = ["[[survivor]]"]
    for name in ("module", "function", "before", "after"):
        lines.append(f"{name} = {_quoted(getattr(mutant, name))}")
    return "\n".join([*lines, f'reason = ""  # {mutant.end}', ""])


def _quoted(text: str) -> str:
    """A literal of TOML."""
    if "'" not in text and "\n" not in text:
        return f"'{text}'"
    return f"'''\n{text}'''"


def _survivor(one: Mutant) -> Survivor:
    return one.module, one.function, one.before, one.after
