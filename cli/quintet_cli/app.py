"""The `quintet` command: each of its commands is in a module that is loaded when it is run."""

from __future__ import annotations

import importlib
import importlib.metadata
import io
import os
import shlex
import sys
from functools import cache
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from quintet_cli.interrupts import INTERRUPTED
from quintet_cli.region import unify_region
from quintet_local.loopback import bypass_proxies

__all__ = ["COMMANDS", "FORMER", "app", "loaded", "main"]

#: Each command or group: its module of commands/, which has a function `register(app)` that adds
#: it, and what the help says of it. tests/cli/test_app.py compares it with the modules' own texts.
COMMANDS = {
    "demo": (
        "demo",
        "Run the main workflow here: orders, rollouts, jobs, a stream, a file, recommendations.",
    ),
    "up": ("local", "Serve template.yaml on this machine: an AWS endpoint and the API."),
    "down": ("local", "Stop the local AWS that runs from the state folder."),
    "status": (
        "local",
        "Show the local AWS: addresses, outputs, functions and their environments.",
    ),
    "env": (
        "local",
        'Print shell exports for AWS tools to use the local AWS: `eval "$(quintet env)"`.',
    ),
    "console": (
        "console",
        "Serve a page about a stage on this machine: models, rollouts, traffic, runs, refusals.",
    ),
    "new": (
        "new",
        "Write the project into a folder to change: template, functions, layers, example models.",
    ),
    "init": ("init", "Write a model package from an ONNX graph and a sample of its data."),
    "choose": (
        "choose",
        "Find the pattern that suits a use: by its flags, or by questions in a terminal.",
    ),
    "size": (
        "size",
        "Measure a model on this machine, and print the settings and prices for its load.",
    ),
    "check": ("publish", "Run the checks of `publish` on a model package, without a stage."),
    "golden": (
        "golden",
        "Compute the expected outputs of a package's golden rows anew, from its model.onnx.",
    ),
    "publish": ("publish", "Check a model package and publish it as an immutable version."),
    "promote": (
        "publish",
        "Make a published version live at once, for all requests (step by step: `rollout`).",
    ),
    "models": ("publish", "List the models, their versions, and which are live."),
    "schema": ("publish", "Print the JSON Schema of model.yaml."),
    "predict": ("predict", "Print what a model answers to records, as the API does."),
    "openapi": (
        "openapi",
        "Print the OpenAPI document of a stage, of one of its models, or of a package.",
    ),
    "proxy": ("proxy", "Sign requests of any client of this machine, and combine small ones."),
    "versions": ("versions", "List the versions of a model, withdrawn and deleted ones too."),
    "withdraw": (
        "versions",
        "Stop a version from answering, for good; its files and its digest are kept.",
    ),
    "delete": (
        "versions",
        "Delete the files of a withdrawn version; its number stays taken and its digest known.",
    ),
    "rollout": ("rollout", "Roll out a version of a model step by step, and take it back."),
    "rollback": (
        "rollback",
        "Make the version live that was live before; end a rollout if one is in progress.",
    ),
    "features": ("features", "Fill the feature store."),
    "drop": ("drop", "Score a file: upload it to the inbox, follow its run, print the report."),
    "backfill": (
        "backfill",
        "Score a range of partitions, one run each; repeat it to score what is missing.",
    ),
    "runs": ("runs", "Start, list, follow, stop and redrive the runs that score files."),
    "table": ("table", "Inspect the table of a model's scores."),
    "candidates": (
        "candidates",
        "Look at users' candidates, choose the run that readers see, say what is sold out.",
    ),
    "scores": ("scores", "Load scores for look-up by entity."),
    "jobs": ("jobs", "See and cancel asynchronous jobs."),
    "keys": ("keys", "Manage the keys of callers that send a header."),
    "endpoints": ("endpoints", "Manage the endpoints that receive callbacks."),
    "stream": ("stream", "Send records to the stream; follow its results."),
    "dlq": ("dlq", "See and replay what was refused: messages, rows, records."),
    "captures": ("captures", "Look at predictions as they were served."),
    "impressions": (
        "impressions",
        "Export what was recommended with its feedback; evaluate a version before traffic.",
    ),
    "labels": ("labels", "Load what came true of predictions."),
    "quality": ("quality", "Show how right a model's predictions were, by version and day."),
    "monitor": ("monitor", "Report a day of a model, from its captures, and download the page."),
    "skew": (
        "skew",
        "Compare the stored features of a day's captures with the files that were loaded.",
    ),
    "slo": ("slo", "Show what is left of each model's error budget, and how fast it is spent."),
    "trace": (
        "trace",
        "Draw the waterfall of one request, job, run or record of the local AWS.",
    ),
    "logs": (
        "logs",
        "Print the log lines of a function, without metrics and captures; --raw prints all.",
    ),
    "doctor": (
        "doctor",
        "Check this machine, and a stage: a model, a request, a job, a record, a file; clean up.",
    ),
    "destroy": (
        "destroy",
        "Delete a deployed stage: its stack, and its buckets, tables and logs with their content.",
    ),
}

#: of every way to misuse options and arguments; Typer exports one that derives from it
_UsageError: Any = typer.BadParameter.__mro__[2]

#: names that commands had, which still work: docs/commands.md lists them
FORMER = {("run",): ("runs", "start"), ("endpoints", "list"): ("endpoints", "ls")}


def loaded(name: str) -> typer.Typer:
    """The app of the module that has a command, with all of that module's commands."""
    return _loaded(COMMANDS[name][0])


@cache
def _loaded(module_name: str) -> typer.Typer:
    module = importlib.import_module(f"quintet_cli.commands.{module_name}")
    found = typer.Typer()
    found.callback()(lambda: None)  # a group, also if the module has one command
    module.register(found)
    return found


class _Commands(TyperGroup):
    """Lists commands by `COMMANDS`, and loads the one that is run."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {
            name: TyperCommand(name, help=text) for name, (_, text) in COMMANDS.items()
        }

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            from quintet_cli.advice import after_interrupt
            from quintet_local.failures import TRY

            print(f"\ninterrupted\n{TRY}{after_interrupt(sys.argv[1:])}", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        for old, new in FORMER.items():
            if tuple(args[: len(old)]) == old:
                args = [*new, *args[len(old) :]]
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and get_group(loaded(str(name))).commands[str(name)], rest


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Serve ONNX models through every pattern, on this machine or on AWS.",
)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if version:
        print(f"quintet {importlib.metadata.version('quintet-serving')}")
        raise typer.Exit


def main() -> None:
    """Run the command; one that fails says why and what to run next, and sets the status."""
    bypass_proxies(os.environ)
    unify_region(os.environ)
    _write_any_text()
    words = sys.argv[1:]
    try:
        status = app(standalone_mode=False)  # Typer's own messages end in a box, not a command
    except Exception as error:
        status = _failed(error, words)
        if status is None:
            raise
    except KeyboardInterrupt:  # so early that nothing was begun
        status = INTERRUPTED
    sys.exit(status if isinstance(status, int) else 0)


def _write_any_text() -> None:
    """Write characters that the terminal's encoding does not have as escapes, and go on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _failed(error: Exception, words: list[str]) -> int | None:
    from quintet_cli.failures import told  # not for every command: it needs the AWS SDK

    if not isinstance(error, (typer.Abort, _UsageError)):
        return told(error, words)
    from quintet_cli.advice import after_usage
    from quintet_cli.terminal import tell

    if isinstance(error, typer.Abort):
        tell("no answer was given", shlex.join(["quintet", *words]))
        return 1
    if type(error).__name__ != "NoArgsIsHelpError":  # of that one the help was printed
        tell(error.format_message(), after_usage(error, words))
    return int(error.exit_code)
