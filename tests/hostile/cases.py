"""What a hostile package is, and the kinds of them that a seed draws from."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.files import FILES
from tests.hostile.graphs import GRAPHS
from tests.hostile.known import KNOWN
from tests.kits.packages import package

__all__ = ["KINDS", "SECRET", "Case", "Kind", "drawn", "known", "write"]

#: the content of a file beside every package: no answer may hold it, and no package change it
SECRET = "planted-secret-8f1c"

#: how a kind spoils a valid package in a folder
Spoil = Callable[[random.Random, Path], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of packages; `reason` is what a refusal says, None if the package is valid.

    With `may_pass` a package of the kind may also be accepted, if it does what it says.
    """

    spoil: Spoil
    reason: str | None
    may_pass: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """A package to make: the same seed makes the same one."""

    kind: str
    seed: str


def _kinds() -> dict[str, Kind]:
    made = {"valid": Kind(lambda draw, folder: None, None)}
    for name, (spoil, reason) in {**GRAPHS, **FILES, **KNOWN}.items():
        made[name] = Kind(spoil, reason.removeprefix("?"), may_pass=reason.startswith("?"))
    return made


#: a reason that begins with "?" may pass
KINDS = _kinds()


def drawn(cases: int, seed: int) -> list[Case]:
    """Return so many cases, each kind in turn; every kind of known defects once."""
    names = [name for name in KINDS if name not in KNOWN]
    turns = [Case(names[at % len(names)], f"{seed}:{at}") for at in range(cases)]
    return turns + known(seed)


def known(seed: int) -> list[Case]:
    """Return one case of each published defect of onnx and onnxruntime."""
    return [Case(name, f"{seed}:{name}") for name in KNOWN]


def write(case: Case, place: Path) -> Path:
    """Write the package of a case into an empty folder, beside a file with a secret."""
    (place / "secret.txt").write_text(SECRET, encoding="utf-8")
    folder = package(place / "package")
    KINDS[case.kind].spoil(random.Random(case.seed), folder)
    return folder
