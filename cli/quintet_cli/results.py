"""`--json`: what a command found, as its schema describes it; docs/commands.schema.json has all."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

__all__ = ["Failed", "Json", "prints", "shape_of"]

P = ParamSpec("P")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]


class Failed(Exception):
    """A command has failed with a result: it is printed, then the command exits with `status`."""

    def __init__(self, result: Any, status: int = 1) -> None:
        super().__init__(status)
        self.result = result
        self.status = status


def prints(shape: Any) -> Callable[[Callable[P, Any]], Callable[P, None]]:
    """Give a command the option `--json`, which prints what it returns, of type `shape`.

    Without it the command's own text is printed, with it none of that: the function writes its
    text in any case. Questions belong on standard error. A function that declares `as_json` itself
    is given it.
    """

    def decorate(command: Callable[P, Any]) -> Callable[P, None]:
        signature = inspect.signature(command, eval_str=True)
        own = "as_json" in signature.parameters

        @functools.wraps(command)
        def wrapper(*arguments: P.args, **options: P.kwargs) -> None:
            as_json = bool(options["as_json"] if own else options.pop("as_json"))
            status = 0
            try:
                if as_json:
                    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
                        result = command(*arguments, **options)
                else:
                    command(*arguments, **options)
            except Failed as failed:
                result, status = failed.result, failed.status
            if as_json:
                _print(shape, result)
            if status:
                raise typer.Exit(status)

        option = inspect.Parameter(
            "as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json
        )
        given = [*signature.parameters.values(), *([] if own else [option])]
        wrapper.__signature__ = signature.replace(parameters=given)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {**command.__annotations__, "as_json": Json}
        wrapper.shape = shape  # type: ignore[attr-defined]
        return wrapper

    return decorate


def shape_of(command: Callable[..., Any]) -> Any:
    """The type of what a command prints as JSON; None if it prints none."""
    return getattr(command, "shape", None)


def _print(shape: Any, result: Any) -> None:
    from pydantic import TypeAdapter  # lazily: text needs none

    adapter = TypeAdapter(shape)
    sys.stdout.write(adapter.dump_json(result, indent=2).decode() + "\n")
