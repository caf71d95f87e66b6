"""What is wrong with a model package: the problems found, and the error that lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quintet.errors import QuintetError

__all__ = ["PackageError", "Problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a package: in which file, at which line and field where known."""

    file: str
    text: str
    line: int | None = None
    field: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{place}: {self.field}: {self.text}" if self.field else f"{place}: {self.text}"


class PackageError(QuintetError):
    """A model package cannot be published; the text lists all the problems found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            super().__init__(str(self.problems[0]))
        else:
            lines = "".join(f"\n  {problem}" for problem in self.problems)
            super().__init__(f"{len(self.problems)} problems:{lines}")

    @classmethod
    def of(cls, file: str, text: str) -> PackageError:
        """A single problem of a whole file."""
        return cls([Problem(file, text)])
