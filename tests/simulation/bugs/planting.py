"""Planted bugs: a line of one function is changed in place, for as long as it takes to catch it."""

from __future__ import annotations
import __future__

import importlib
import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType

from tests.simulation.campaign import SCENARIOS, Outcome, run

__all__ = ["Bug", "Misfit", "caught", "planted"]


class Misfit(Exception):
    """The line that a bug changes is not in its function any more: write the bug anew."""


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug of a scenario: in the function at `place`, "module:name", `line` becomes `instead`."""

    name: str
    scenario: str
    place: str
    line: str
    instead: str

    def function(self) -> FunctionType:
        """The function that has the bug."""
        module, _, path = self.place.partition(":")
        found: object = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        found = getattr(found, "__func__", found)  # of a class method
        assert isinstance(found, FunctionType), self.place
        return found


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """Have a bug for a while, wherever its function is referred to.

    Raises:
        Misfit: the function has no such line, or several.
    """
    function = bug.function()
    source = textwrap.dedent(inspect.getsource(function))
    source = source[source.index("def ") :]  # without its decorators
    if source.count(bug.line) != 1:
        raise Misfit(f"{bug.name}: {bug.place} has {source.count(bug.line)} times {bug.line!r}")
    changed = source.replace(bug.line, bug.instead)
    flags = __future__.annotations.compiler_flag
    names: dict[str, object] = {}
    code = compile(changed, f"<{bug.name}>", "exec", flags=flags, dont_inherit=True)
    exec(code, function.__globals__, names)
    (made,) = (one for one in names.values() if isinstance(one, FunctionType))
    before, function.__code__ = function.__code__, made.__code__
    try:
        yield
    finally:
        function.__code__ = before


def caught(bug: Bug, first: int, most: int) -> tuple[int, Outcome | None]:
    """How many seeds from `first` on it takes to catch a bug, and how the last one fails.

    The outcome is None if it is not caught by `most` seeds, or ends the simulation itself.
    """
    (scenario,) = (one for one in SCENARIOS if bug.scenario == one.NAME)
    with planted(bug):
        for number in range(most):
            try:
                found = run(first + number, scenario=scenario)
            except Exception:  # what the simulation reads at the end is not there
                return number + 1, None
            if found.failures:
                return number + 1, found
    return 0, None
