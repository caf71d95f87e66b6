"""`--json`: what a command found, as its schema describes it; docs/commands.schema.json has all."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from quintet_local.failures import TRY

__all__ = ["Failed", "Json", "prints", "prints_lines", "shape_of"]

P = ParamSpec("P")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]


class Failed(Exception):
    """A command has failed with a result: it is printed, then the command exits with `status`.

    `command` is what to run next; None if each line of the result says that itself.
    """

    def __init__(self, result: Any, status: int = 1, *, command: str | None) -> None:
        super().__init__(status)
        self.result = result
        self.status = status
        self.command = command


def prints(shape: Any) -> Callable[[Callable[P, Any]], Callable[P, None]]:
    """Give a command the option `--json`, which prints what it returns, of type `shape`.

    Without it the command's own text is printed, with it none of that: the function writes its
    text in any case. Questions belong on standard error. A function that declares `as_json` itself
    is given it.
    """

    def once(command: Callable[[], Any], write: Callable[[Any], None]) -> None:
        try:
            result = command()
        except Failed as failed:
            write(failed.result)
            if failed.command is not None:
                from quintet_cli.advice import placed  # lazily: it needs the AWS SDK

                print(f"{TRY}{placed(failed.command, sys.argv[1:])}", file=sys.stderr)
            raise typer.Exit(failed.status) from None
        write(result)

    return functools.partial(_decorated, shape, once, 2)


def prints_lines(shape: Any) -> Callable[[Callable[P, Iterator[Any]]], Callable[P, None]]:
    """The same for a command that follows something: it yields, and each thing is a line."""

    def each(command: Callable[[], Iterator[Any]], write: Callable[[Any], None]) -> None:
        for found in command():
            write(found)

    return functools.partial(_decorated, shape, each, None)


def shape_of(command: Callable[..., Any]) -> Any:
    """The type of what a command prints as JSON; None if it prints none."""
    return getattr(command, "shape", None)


def _decorated(
    shape: Any, run: Callable[..., None], indent: int | None, command: Callable[P, Any]
) -> Callable[P, None]:
    signature = inspect.signature(command, eval_str=True)
    own = "as_json" in signature.parameters

    @functools.wraps(command)
    def wrapper(*arguments: P.args, **options: P.kwargs) -> None:
        as_json = bool(options.get("as_json", False) if own else options.pop("as_json", False))
        asked = functools.partial(command, *arguments, **options)
        if not as_json:
            run(asked, lambda result: None)
            return
        write = _writer(shape, indent)
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            run(asked, write)

    option = inspect.Parameter(
        "as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json
    )
    given = [*signature.parameters.values(), *([] if own else [option])]
    wrapper.__signature__ = signature.replace(parameters=given)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {**command.__annotations__, "as_json": Json}
    wrapper.shape = shape  # type: ignore[attr-defined]
    return wrapper


def _writer(shape: Any, indent: int | None) -> Callable[[Any], None]:
    """What writes a result onto the standard output of now, whatever it is later."""
    from pydantic import TypeAdapter  # lazily: text needs none

    adapter, out = TypeAdapter(shape), sys.stdout

    def write(result: Any) -> None:
        out.write(adapter.dump_json(result, indent=indent).decode() + "\n")
        out.flush()

    return write
