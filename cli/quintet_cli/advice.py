"""What to run after a command that failed: one line, to be pasted into a shell."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from quintet.columns.names import near_name
from quintet.errors import BadInput, Conflict, ModelFailure, NotFound, Transient
from quintet_cli.registry import Unpublished
from quintet_cli.stacks import StageError, explained
from quintet_publish.problems import Ambiguous, GoldenDiffers, PackageError, UnknownColumn
from quintet_publish.text_files import NotUtf8, conversion

__all__ = ["after_interrupt", "after_usage", "again", "beside", "next_command", "placed"]

#: what lists the things of a kind, by the field of an error that misses one
LISTS = {
    "candidates": "quintet runs ls {model}",
    "job": "quintet jobs ls",
    "key": "quintet keys ls",
    "model": "quintet models",
    "run": "quintet runs ls {model}",
    "version": "quintet models",
}
#: commands whose work goes on after Ctrl-C, and what shows or stops it
GO_ON = {
    ("demo",): "quintet down",
    ("drop",): "quintet runs watch {model}",
    ("rollout", "watch"): "quintet rollout status {model}",
    ("runs", "redrive"): "quintet runs watch {model}",
    ("runs", "start"): "quintet runs watch {model}",
}
#: options that say where a command works
PLACES = ("--stage", "--state")
#: of so many files beside one that is missing the nearest name is looked for
_NEIGHBOURS = 10_000


def next_command(error: BaseException, words: Sequence[str]) -> str:
    """Return what to run after an error of `quintet words...`, on the same stage and state."""
    return placed(advised(error, words), words)


def advised(error: BaseException, words: Sequence[str]) -> str:
    """Return what goes on after an expected error: it mends, shows, or tries again."""
    if isinstance(error, StageError):
        return error.command or again(words)
    if known := explained(error) or explained(error.__cause__):
        return known.command
    if isinstance(error, OSError):
        return _of_file(error, words)
    if isinstance(error, (BotoCoreError, ClientError)):
        return "quintet doctor"
    return _of_content(error, words)


def _of_content(error: BaseException, words: Sequence[str]) -> str:
    """Of what the user gave, or the model did."""
    if isinstance(error, Unpublished | UnknownColumn) and error.near:
        return again(words, {error.name: error.near})
    if isinstance(error, PackageError) and (folder := _package_of(error, words)):
        command = "golden" if isinstance(error, GoldenDiffers) else "check"
        return f"quintet {command} {shlex.quote(folder)}"
    if isinstance(error, PackageError | Transient):
        return again(words)
    if isinstance(error, ModelFailure):
        return "quintet logs Predict"
    if isinstance(error, BadInput):
        return _of_refusal(error, words)
    return help_of(words)


def _of_encoding(error: NotUtf8, words: Sequence[str]) -> str:
    """Convert the file, then the same with the converted one."""
    new = str(error.path.with_suffix(f".utf8{error.path.suffix}"))
    then = again(words, {word: new for word in words if Path(word) == error.path})
    return f"{conversion(error.path, error.form)} > {shlex.quote(new)} && {then}"


def _package_of(error: PackageError, words: Sequence[str]) -> str | None:
    """The package's folder: the one that was given, or that `init` has written and refused."""
    if words[:1] in (["publish"], ["check"]) and words[1:]:
        return next((word for word in words[1:] if Path(word).is_dir()), words[1])
    written = error.problems[-1].file
    return written if words[:1] == ["init"] and Path(written).is_dir() else None


def _of_refusal(error: BadInput, words: Sequence[str]) -> str:
    if isinstance(error, NotUtf8):
        return _of_encoding(error, words)
    if isinstance(error, Ambiguous) and error.label is not None:
        return again([*words, "--label", error.label])
    field, got = error.refusals[0].field, error.refusals[0].got
    if isinstance(error, Conflict) and field in ("--out", "DIR"):
        return _elsewhere(got, words)
    if isinstance(error, NotFound) and field in LISTS:
        return LISTS[field].format(model=shlex.quote(_model(words)))
    if not field.startswith("-") and any(Path(word).is_file() for word in words):
        return again(words)
    return help_of(words)


def _elsewhere(taken: str, words: Sequence[str]) -> str:
    """Write into another folder, which does not exist."""
    free = next(name for n in count(2) if not Path(name := f"{taken}-{n}").exists())
    return again(words, {taken: free}) if taken in words else again([*words, "--out", free])


def _of_file(error: OSError, words: Sequence[str]) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "df -h ."
    if not isinstance(error.filename, str | Path):
        return "quintet doctor"
    path = Path(error.filename)
    if isinstance(error, FileNotFoundError):
        near = near_name(path.name[:200], beside(path))
        if near and str(error.filename) in words:
            return again(words, {str(error.filename): str(path.with_name(near))})
        return f"ls {_quoted(next(one for one in (*path.parents, Path()) if one.is_dir()))}"
    return f"ls -ld {_quoted(path)}"


def beside(path: Path) -> list[str]:
    """The names of files in a missing file's folder, one of which may be meant."""
    try:
        return [one.name for one in islice(path.parent.iterdir(), _NEIGHBOURS)]
    except OSError:  # there may be no such folder, or nobody may list it
        return []


def after_usage(error: Any, words: Sequence[str]) -> str:
    """Return what to run after options or arguments that do not exist, or are not as expected."""
    from quintet_cli.app import COMMANDS

    if near := next(iter(getattr(error, "possibilities", None) or ()), None):
        return again(words, {error.option_name: near})
    if words and words[0] not in COMMANDS and (near := near_name(words[0][:80], COMMANDS)):
        return again([near, *words[1:]])
    return help_of(words)


def after_interrupt(words: Sequence[str]) -> str:
    """Return what to run after Ctrl-C: what shows the work that goes on, or the command again."""
    command = GO_ON.get(tuple(_resolved(words).names))
    if command is None:
        return again(words)
    return placed(command.format(model=shlex.quote(_model(words))), words)


def help_of(words: Sequence[str]) -> str:
    """Return what prints the help of the command that words begin with."""
    return shlex.join(["quintet", *_resolved(words).names, "--help"])


def placed(command: str, words: Sequence[str]) -> str:
    """Add to a command of ours the stage and the state folder of the one that failed."""
    if not command.startswith("quintet "):
        return command
    asked = shlex.split(command)[1:]
    if "--help" in asked:
        return command
    options = {option for one in _resolved(asked).params for option in one.opts}
    for option in PLACES:
        value = _given(words, option)
        if value is not None and option in options and _given(asked, option) is None:
            command += f" {option} {shlex.quote(value)}"
    return command


def again(words: Sequence[str], instead: dict[str, str] | None = None) -> str:
    """Return the command that failed, with some words in place of others."""
    return shlex.join(["quintet", *((instead or {}).get(word, word) for word in words)])


def _quoted(path: Path) -> str:
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def _given(words: Sequence[str], option: str) -> str | None:
    for place, word in enumerate(words):
        if word == option:
            return next(iter(words[place + 1 :]), None)
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


class _Resolved(NamedTuple):
    """The names of a command that words begin with, and the parameters that it takes."""

    names: tuple[str, ...] = ()
    command: Any = None

    @property
    def params(self) -> Sequence[Any]:
        return self.command.params if self.command is not None else ()


def _model(words: Sequence[str]) -> str:
    """The model that a command was given."""
    names, command = _resolved(words)
    if command is None:
        return "MODEL"
    context = command.make_context(names[-1], [*words[len(names) :]], resilient_parsing=True)
    return str(context.params.get("model") or context.params.get("name") or "MODEL")


def _resolved(words: Sequence[str]) -> _Resolved:
    from typer.main import get_group

    from quintet_cli.app import COMMANDS, FORMER, loaded

    for old, new in FORMER.items():
        if tuple(words[: len(old)]) == old:
            words = [*new, *words[len(old) :]]
    if not words or words[0] not in COMMANDS:
        return _Resolved()
    found: Any = get_group(loaded(words[0])).commands[words[0]]
    names: tuple[str, ...] = (words[0],)
    for word in words[1:]:
        if word not in getattr(found, "commands", ()):
            break
        found = found.commands[word]
        names = (*names, word)
    return _Resolved(names, found)
