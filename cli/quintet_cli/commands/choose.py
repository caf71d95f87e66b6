"""`quintet choose`: the pattern that suits a use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import EnumType
from typing import Annotated, Any

import typer

from quintet_cli.choosing.answers import Answer
from quintet_cli.choosing.answers import choose as chosen
from quintet_cli.choosing.needs import (
    Cost,
    Delay,
    Known,
    Load,
    Loss,
    Needs,
    Source,
    duration,
    positive,
    shown,
    volume,
)
from quintet_cli.options import parsed
from quintet_cli.results import prints
from quintet_cli.terminal import Console
from quintet_cli.views.choose import choose_view

__all__ = ["register"]

console = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command()(choose)


_time, _rate, _number = parsed(duration), parsed(volume), parsed(positive)
_Time = Annotated[
    float | None,
    typer.Option("--latency", parser=_time, metavar="TIME", help="How long an answer may take."),
]


@prints(Answer)
def choose(
    *,
    source: Annotated[
        Source | None, typer.Option("--source", help="What brings the inputs.")
    ] = None,
    latency: _Time = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--volume",
            parser=_rate,
            metavar="N/PERIOD",
            help="How many inputs on average: 20/s, 200000/d.",
        ),
    ] = None,
    load: Annotated[
        Load | None, typer.Option("--load", help="How the volume is spread over the day.")
    ] = None,
    freshness: Annotated[
        float | None,
        typer.Option(
            "--freshness",
            parser=_time,
            metavar="TIME",
            help="How old the data behind an answer may be.",
        ),
    ] = None,
    known: Annotated[
        Known | None, typer.Option("--known", help="What of an input is known beforehand.")
    ] = None,
    callback: Annotated[
        bool | None, typer.Option("--callback", help="Answers go to the caller's URL.")
    ] = None,
    loss: Annotated[
        Loss | None,
        typer.Option("--loss", help="none: no input may be lost, even if not sent again."),
    ] = None,
    delay: Annotated[
        Delay | None, typer.Option("--delay", help="Whether a late answer still counts.")
    ] = None,
    cost: Annotated[
        Cost | None, typer.Option("--cost", help="lowest: collect inputs in files sooner.")
    ] = None,
    gpu: Annotated[bool | None, typer.Option("--gpu", help="The model needs a GPU.")] = None,
    size_gb: Annotated[
        float | None,
        typer.Option("--size-gb", parser=_number, metavar="N", help="GB of the model in memory."),
    ] = None,
    model_ms: Annotated[
        float | None,
        typer.Option(
            "--model-ms",
            parser=_number,
            metavar="N",
            help="Milliseconds of a vCPU that a request takes.",
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what would change the answer.")
    ] = False,
) -> Answer:
    """Find the pattern that suits a use: by its flags, or by questions in a terminal.

    TIME is a number with ms, s, m, h or d; N/PERIOD a number by s, m, h, d or month.
    """
    given: dict[str, Any] = {
        "source": source,
        "latency_s": latency,
        "rate": rate,
        "load": load,
        "freshness_s": freshness,
        "known": known,
        "callback": callback,
        "loss": loss,
        "delay": delay,
        "cost": cost,
        "gpu": gpu,
        "size_gb": size_gb,
        "model_ms": model_ms,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if not given and sys.stdin.isatty():
        given = _asked()
    missing = [
        flag
        for name, flag in (("source", "--source"), ("latency_s", "--latency"))
        if name not in given
    ]
    if missing:
        raise typer.BadParameter(
            f"{' and '.join(missing)} missing: give --source request, events or files and "
            "--latency TIME, for example --source request --latency 200ms; without any flag, "
            "a terminal asks"
        )
    needs = Needs(**given)
    if needs.model_ms > needs.latency_s * 1000:
        raise typer.BadParameter(
            f"--model-ms: the model alone takes {needs.model_ms:g} ms, more than --latency, "
            f"{shown(needs.latency_s)}: allow more time, or take a smaller model"
        )
    answer = chosen(needs)
    for line in choose_view(answer, explain):
        console.print(line, markup=False, soft_wrap=True)
    return answer


def _asked() -> dict[str, Any]:
    """Return the needs by questions on standard error; each has a default but the first two."""

    def ask(question: str, kind: Any, default: Any = None) -> Any:
        choices = list(kind.__members__) if isinstance(kind, EnumType) else None
        text = f"{question} ({', '.join(choices)})" if choices else question
        return typer.prompt(text, default=default, value_proc=_value(kind, choices), err=True)

    given = {
        "source": ask("What brings the inputs?", Source),
        "latency_s": ask("How long may an answer take? (200ms, 10s, 2m, 8h)", _time),
        "rate": ask("How many, by s, m, h, d or month?", _rate, "1/s"),
        "load": ask("How is that spread over the day?", Load, "spiky"),
        "freshness_s": ask("How old may the data behind an answer be?", _time, "1d"),
        "loss": ask("How many inputs may be lost, if not sent again?", Loss, "some"),
        "delay": ask("How many answers may be late?", Delay, "none"),
        "cost": ask("What counts more: cost and speed alike, or cost?", Cost, "balanced"),
    }
    if given["source"] is Source.request:
        known = "How much of an input is known before it is asked for?"
        given["known"] = ask(known, Known, "none")
        given["callback"] = typer.confirm("Shall answers go to a URL?", default=False, err=True)
    given["gpu"] = typer.confirm("Does the model need a GPU?", default=False, err=True)
    return given


def _value(kind: Any, choices: list[str] | None) -> Callable[[str], Any]:
    def value(text: str) -> Any:
        if choices is not None and text not in choices:
            raise typer.BadParameter(f"expected one of {', '.join(choices)}, got {text[:40]!r}")
        return kind(text)

    return value
