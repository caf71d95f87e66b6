"""`quintet impressions`: what was recommended and what became of it; a version before traffic."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from quintet.aws.captures import CaptureBucket
from quintet.contract import Contract
from quintet.errors import BadInput
from quintet.feedback.table import Feedback
from quintet.serving.routes import Route
from quintet_cli.captures_files import check_form, write_rows
from quintet_cli.impressions.evaluation import evaluated
from quintet_cli.impressions.export import exported
from quintet_cli.impressions.logged import Logged, logged
from quintet_cli.impressions.outcomes import feedback_on
from quintet_cli.options import Model, StageName, State
from quintet_cli.registry import artifacts_of, route_of
from quintet_cli.results import prints
from quintet_cli.rollout_start import check_version
from quintet_cli.shapes import Evaluation, Written
from quintet_cli.since import moment
from quintet_cli.stage import DEFAULT_STATE, Stage, StageError
from quintet_cli.terminal import Console
from quintet_cli.views.impressions import evaluation_view, exported_lines

__all__ = ["register"]

impressions = typer.Typer(
    no_args_is_help=True,
    help="Export what was recommended with its feedback; evaluate a version before traffic.",
)
console = Console(highlight=False)


class Reward(StrEnum):
    """The feedback that is a success."""

    click = "click"
    purchase = "purchase"


Since = Annotated[
    str, typer.Option("--since", help="From when on: 12h, 30d, or a time (ISO 8601).")
]
Until = Annotated[str | None, typer.Option("--until", help="Until when: as --since.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.add_typer(impressions, name="impressions")


@impressions.command()
@prints(Written)
def export(
    model: Model,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .parquet, .csv or .jsonl file; by default MODEL-impressions.parquet.",
            metavar="FILE",
        ),
    ] = None,
    since: Since = "30d",
    until: Until = None,
    still_open: Annotated[
        bool,
        typer.Option("--open", help="Impressions whose window for feedback is open, too."),
    ] = False,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Written:
    """Write a row for each shown item, with its features as logged and what became of it.

    Impressions whose window for feedback is open are left out: a click may still come.
    """
    file = output or Path(f"{model}-impressions.parquet")
    check_form(file)
    opened = _Log.open(model, since, until, stage, state)
    now = math.inf if still_open else opened.now
    found = exported(opened.impressions(), opened.feedback(), now)
    if found.rows is None:
        raise StageError(
            f"no impressions of {model} in that time whose window for feedback is closed; "
            f"{found.counts['open']:,} have an open one (--open); --since takes an earlier time",
            command="quintet impressions export --help",
        )
    write_rows(file, found.rows)
    for line in (*exported_lines(found.counts, found.feedback), f"written to {file}"):
        console.print(line, markup=False, soft_wrap=True)
    opened.tell_left_out()
    return {"file": str(file), "rows": found.rows.num_rows}


@impressions.command()
@prints(Evaluation)
def evaluate(
    model: Model,
    *,
    version: Annotated[int, typer.Option("--version", help="The version to evaluate.")],
    reward: Annotated[
        Reward, typer.Option("--reward", help="The feedback that is a success.")
    ] = Reward.click,
    since: Since = "30d",
    until: Until = None,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Evaluation:
    """Estimate what a version would earn, from impressions that others showed.

    The version is loaded on this machine; nothing of the stage changes, and no caller notices.
    """
    opened = _Log.open(model, since, until, stage, state)
    check_version(opened.route, version)
    seal = opened.route.versions[version].seal
    candidate = artifacts_of(opened.stage).load(model, version, seal)
    if candidate.contract.recommend is None:
        expected = "a version with `recommend` in its model.yaml"
        raise BadInput.of("version", expected, f"{version}, which ranks no candidates")
    found = evaluated(
        opened.impressions(), candidate, opened.feedback(), reward=reward.value, now=opened.now
    )
    found = {"model": model, "version": version, **opened.span(), **found}
    for part in evaluation_view(found):
        console.print(part, soft_wrap=True)
    opened.tell_left_out()
    left_out = {"damaged": list(opened.damaged), "deleted": opened.deleted}
    evaluation: Evaluation = found | left_out  # type: ignore[assignment]
    return evaluation


@dataclass
class _Log:
    """A model's impressions of a time, and their feedback; times are in epoch seconds."""

    stage: Stage
    route: Route
    since: float
    until: float
    now: float
    damaged: Sequence[str] = ()
    deleted: list[int] = field(default_factory=list)

    @classmethod
    def open(cls, model: str, since: str, until: str | None, stage: str, state: Path) -> _Log:
        """Open the log of a stage's model, for the options of a command."""
        opened, now = Stage.open(stage, state), time.time()
        end = min(moment(until, "--until"), now)
        return cls(opened, route_of(opened, model), moment(since, "--since"), end, now)

    @property
    def _bucket(self) -> CaptureBucket:
        return CaptureBucket(self.stage.signed("s3"), self.stage.outputs["CapturesBucketName"])

    def impressions(self) -> Iterator[Logged]:
        """The impressions, hour by hour."""
        return logged(self._bucket, self.route.model, self.since, self.until, self._contract_of())

    def _contract_of(self) -> Callable[[int], Contract | None]:
        artifacts, route = artifacts_of(self.stage), self.route

        def of(version: int) -> Contract | None:
            if version not in route.versions:
                self.deleted.append(version)
                return None
            return artifacts.contract(route.model, version, route.versions[version].seal)

        return of

    def feedback(self) -> Feedback:
        """The feedback on them; objects that cannot be read are `damaged`."""
        found, self.damaged = feedback_on(self._bucket, self.route.model, self.since, self.until)
        return found

    def span(self) -> dict[str, str]:
        """The time, as JSON."""
        since, until = (datetime.fromtimestamp(at, UTC) for at in (self.since, self.until))
        return {"since": f"{since:%Y-%m-%dT%H:%M}", "until": f"{until:%Y-%m-%dT%H:%M}"}

    def tell_left_out(self) -> None:
        """Name the versions and objects that were left out."""
        for version in self.deleted:
            text = f"version {version} was deleted or withdrawn: its impressions are left out"
            console.print(text, markup=False, soft_wrap=True)
        for key in self.damaged:
            text = f"{key} cannot be read, and is left out; restore it, or delete it"
            console.print(text, markup=False, soft_wrap=True)
