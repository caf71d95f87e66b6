"""`quintet size`: settings for a model and its load, from what it is measured to take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict

from quintet.errors import BadInput
from quintet_cli.choosing.needs import duration, volume
from quintet_cli.options import ModelVersion, StageName, State, parsed
from quintet_cli.project import project_folder
from quintet_cli.results import prints
from quintet_cli.sizing.curves import Measured
from quintet_cli.sizing.measuring import Subject, measure, of_package, of_stage
from quintet_cli.sizing.months import Month, months
from quintet_cli.sizing.patch import parameters_of, patch
from quintet_cli.sizing.plan import Load, Size, Strategy, size_of
from quintet_cli.stage import CONFIG, DEFAULT_STATE, Stage
from quintet_cli.terminal import Console
from quintet_cli.views.size import size_view
from quintet_publish.model_yaml import CONTRACT

__all__ = ["Sized", "register"]

console = Console(highlight=False)

_time, _rate = parsed(duration), parsed(volume)


class Sized(BaseModel):
    """What a model was measured to take, and the settings for its load."""

    model_config = ConfigDict(extra="forbid")

    measured: Measured
    load: Load
    size: Size
    months: tuple[Month, ...]
    parameters: dict[str, str]
    patch: str


def register(app: typer.Typer) -> None:
    """Add this module's command to the `quintet` command."""
    app.command()(size)


@prints(Sized)
def size(
    model: Annotated[
        str, typer.Argument(help="A published model, or a package's folder.", metavar="MODEL")
    ],
    *,
    rate: Annotated[
        float,
        typer.Option(
            "--volume", parser=_rate, metavar="N/PERIOD", help="Requests on average: 20/s, 9000/d."
        ),
    ] = "1/s",  # type: ignore[assignment]
    peak: Annotated[
        float, typer.Option("--peak", min=1, help="How many times that the busiest minute has.")
    ] = 3.0,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Records of a request.")] = 1,
    latency: Annotated[
        float | None,
        typer.Option(
            "--latency",
            parser=_time,
            metavar="TIME",
            help="How long an answer may take; by default `slo.p95_ms` of the contract.",
        ),
    ] = None,
    network: Annotated[
        float,
        typer.Option(
            "--network",
            parser=_time,
            metavar="TIME",
            help="What the callers' network and API Gateway take of it.",
        ),
    ] = "10ms",  # type: ignore[assignment]
    batch_rows: Annotated[
        int | None,
        typer.Option("--batch-rows", min=1, help="Rows of a batch run; by default a day's."),
    ] = None,
    batch_window: Annotated[
        float,
        typer.Option("--batch-window", parser=_time, metavar="TIME", help="How long it may take."),
    ] = "1h",  # type: ignore[assignment]
    strategy: Annotated[
        Strategy, typer.Option("--strategy", help="What counts where the latency is kept.")
    ] = Strategy.balanced,
    patched: Annotated[
        str, typer.Option("--config-env", help="The stage of samconfig.toml that the patch is of.")
    ] = "prod",
    version: ModelVersion = None,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Sized:
    """Measure a model on this machine, and print the settings and prices for its load.

    TIME is a number with ms, s, m, h or d; N/PERIOD a number by s, m, h, d or month.
    """
    measured = measure(_subject(model, version, stage, state))
    if rows > (most := measured.most_rows):
        raise BadInput.of("--rows", f"at most {most:,}, as one request may have", f"{rows:,}")
    load = Load(
        rate=rate,
        peak=peak,
        rows=rows,
        latency_ms=measured.slo_ms if latency is None else latency * 1000,
        network_ms=network * 1000,
        batch_rows=batch_rows or max(1, round(rate * rows * 86_400)),
        batch_window_s=batch_window,
    )
    found = size_of(measured, load, strategy)
    sized = Sized(
        measured=measured,
        load=load,
        size=found,
        months=months(measured, load, found),
        parameters=parameters_of(found),
        patch=patch(project_folder() / CONFIG, patched, found),
    )
    for line in size_view(measured, load, found, sized.months):
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"patch of {CONFIG}, for `patch -p0`")
    console.print(sized.patch or "  none: it has these settings", markup=False, soft_wrap=True)
    return sized


def _subject(model: str, version: int | None, stage: str, state: Path) -> Subject:
    if (Path(model) / CONTRACT).is_file():
        return of_package(Path(model))
    return of_stage(Stage.open(stage, state), model, version)
