"""Problems of a model package, and the error that lists them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from quintet.columns.names import near_name, suggestion
from quintet.errors import BadInput, QuintetError, Refusal

__all__ = [
    "MAX_PROBLEMS",
    "Ambiguous",
    "GoldenDiffers",
    "PackageError",
    "Problem",
    "UnknownColumn",
    "first_problems",
]

MAX_PROBLEMS = 20  # problems listed per package
MAX_COLUMNS = 12  # columns of a sample named in a refusal
MAX_TEXT = 500  # characters per problem: names and shapes in it can have any length


class Ambiguous(BadInput):
    """The columns of an input cannot be guessed: the caller must name them.

    `label` is the column that may have the right answers, if that would explain it.
    """

    def __init__(
        self, name: str, expected: str, got: str, columns: Sequence[str], label: str | None = None
    ) -> None:
        super().__init__([Refusal(None, name, expected, got)])
        self.name, self.columns, self.label = name, tuple(columns), label


class UnknownColumn(BadInput):
    """A sample has no such column; `near` is the one that may be meant."""

    def __init__(self, field: str, name: str, columns: Sequence[str]) -> None:
        expected = f"one of {', '.join(columns[:MAX_COLUMNS])}{suggestion(name, columns)}"
        super().__init__([Refusal(None, field, expected, name)])
        self.name, self.near = name, near_name(name[:200], columns)


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a package: its file, and its line and field if known."""

    file: str
    text: str
    line: int | None = None
    field: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}, line {self.line}"
        text = self.text if len(self.text) <= MAX_TEXT else f"{self.text[:MAX_TEXT]}..."
        return f"{place}: {self.field[:MAX_TEXT]}: {text}" if self.field else f"{place}: {text}"


class PackageError(QuintetError):
    """A model package cannot be published; the text lists all the problems found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            super().__init__(str(self.problems[0]))
        else:
            lines = "".join(f"\n  {problem}" for problem in self.problems[:MAX_PROBLEMS])
            more = len(self.problems) - MAX_PROBLEMS
            end = f"\n  and {more:,} more" if more > 0 else ""
            super().__init__(f"{len(self.problems)} problems:{lines}{end}")

    @classmethod
    def of(cls, file: str, text: str) -> PackageError:
        """Return an error for a single problem of a whole file."""
        return cls([Problem(file, text)])


class GoldenDiffers(PackageError):
    """The graph gives other outputs than its golden rows, which may be an older graph's."""


def first_problems(file: str, texts: Iterable[str]) -> list[Problem]:
    """Return a file's first distinct problems; the search stops there."""
    found = list(islice(_different(texts), MAX_PROBLEMS + 1))
    problems = [Problem(file, text) for text in found[:MAX_PROBLEMS]]
    return problems if len(found) <= MAX_PROBLEMS else [*problems, Problem(file, "and more")]


def _different(texts: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for text in texts:
        if text not in seen:
            seen.add(text)
            yield text
