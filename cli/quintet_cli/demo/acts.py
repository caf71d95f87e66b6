"""What the demo's acts share: titles, commands as one types them, rollouts that are followed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from quintet.rollouts.store import Change
from quintet.rollouts.transitions import shown
from quintet_cli.commands import publish, rollout
from quintet_cli.demo.rollouts import RolledOut, follow
from quintet_cli.project import project_folder
from quintet_cli.rollouts import StageRollouts
from quintet_cli.stage import Stage, StageError
from quintet_cli.terminal import Console
from quintet_cli.views.rollouts import history_table

__all__ = ["act", "console", "models", "next_version", "roll_out", "say"]

console = Console(highlight=False)


def act(title: str) -> None:
    """Begin an act."""
    console.print()
    console.rule(f"[bold]{title}", align="left")


def say(command: str) -> None:
    """Print a command that the demo runs."""
    console.print(f"[dim]$ {command}[/dim]")


def models(path: str) -> Path:
    """A path below models/ of the project."""
    return project_folder() / "models" / path


def next_version(stage: Stage, model: str) -> int:
    """The number after those of a model's versions."""
    return max(StageRollouts(stage).stored(model).route.versions) + 1


def roll_out(
    stage: Stage,
    state: Path,
    package: Path,
    of: tuple[str, int],
    answers: Iterator[Sequence[int | None]],
    *,
    what: str,
    expected: str,
) -> RolledOut:
    """Roll out a version of a model while it is asked, until the rollout is over.

    `answers` are as in `follow`; `what` they answer is printed.

    Raises:
        StageError: it did not end as expected, or a request was refused.
    """
    model, version = of
    say(f"quintet publish {package}")
    publish.publish(package, state=state)
    say(f"quintet rollout start {model} {version} --skip-shadow")
    rollout.start(model, version, skip_shadow=True, state=state)
    begun = StageRollouts(stage).history(model)[-1]
    with console.status(f"{what} come in") as status:

        def tick(last: Change, found: RolledOut) -> None:
            count = sum(found.answered.values())
            where = "over" if last.rollout is None else shown(last.rollout)
            status.update(f"{count:,} {what}; {where}")

        found = follow(stage, model, answers, begun, tick)
    console.print(history_table(found.changes))
    answered = ", ".join(f"version {v} {n:,}" for v, n in sorted(found.answered.items()))
    console.print(f"{what} answered in {found.seconds:.0f} s: {answered}")
    if found.refused or found.changes[-1].event != expected:
        raise StageError(
            f"version {version} was {found.changes[-1].event}, {found.refused} {what} refused; "
            f"expected {expected}, and none refused",
            command=f"quintet rollout status {model}",
        )
    return found
