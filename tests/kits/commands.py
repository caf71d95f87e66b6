"""Commands of ours as they are written: in messages and documents."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from typer.main import get_group

from quintet_cli.app import COMMANDS, loaded

__all__ = ["check_command", "commands_in"]

#: what parts a command of a shell from the next
_ENDS = frozenset("|&;<>")
_COMMENT = "   "  # of a list of commands, each with what it does


def check_command(words: Sequence[str], place: str = "") -> None:
    """Check that a command of ours exists and takes these options and arguments.

    Raises:
        AssertionError: no command has this name.
        Exception: Typer's, for options or arguments that it does not take.
    """
    name, *rest = words[1:]
    assert name in COMMANDS, f"{place}: {' '.join(words)}"
    group: Any = get_group(loaded(name)).commands[name]
    if rest[-1:] == ["--help"]:
        for word in rest[:-1]:
            group = group.commands[word]
        return
    while hasattr(group, "commands"):
        group = group.commands[rest.pop(0)]
    group.make_context(name, rest)


def commands_in(code: str) -> Iterator[list[str]]:
    """The words of each command of ours in a block, without comments, pipes and redirections.

    In a list of commands, a word in brackets may be left out.
    """
    lines = code.replace("\\\n", " ").splitlines()
    for number, line in enumerate(lines):
        if not line.startswith("quintet "):
            continue
        for end in range(number + 1, len(lines) + 1):  # a text in quotes may be of several lines
            given = "\n".join([line.split(_COMMENT)[0], *lines[number + 1 : end]])
            lexer = shlex.shlex(given, posix=True, punctuation_chars=True)
            lexer.wordchars += "[]{}:,%$=@*+"
            try:
                words = list(lexer)
            except ValueError:
                continue
            stop = next((n for n, word in enumerate(words) if set(word) <= _ENDS), len(words))
            yield [word.strip("[]") for word in words[:stop]]
            break
