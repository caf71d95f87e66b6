"""`quintet candidates`: users' items, the run that readers see, and the items that are sold out."""

from __future__ import annotations

import getpass
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from quintet.aws.candidates import CandidatePointers, CandidateTable
from quintet.aws.stocks import StockTable
from quintet.batch.candidates import CandidateSet, expiry_note, show_candidates, unpacked
from quintet.batch.plans import RunPaths
from quintet.batch.popular import lists_of
from quintet.batch.stock import Stock, stock_of
from quintet.batch.stores import ObjectStore
from quintet.batch.tables import current_run, read_manifest
from quintet.errors import BadInput
from quintet_cli.options import Model, StageName, State
from quintet_cli.registry import live_contract, named_near, route_of
from quintet_cli.results import prints
from quintet_cli.run_reader import RunReader
from quintet_cli.shapes import Candidates, Pointer
from quintet_cli.shapes import Stock as StockView
from quintet_cli.since import moment
from quintet_cli.stage import DEFAULT_STATE, Stage, StageError
from quintet_cli.stock_files import read_item_numbers
from quintet_cli.terminal import Console

__all__ = ["register"]

candidates = typer.Typer(
    no_args_is_help=True,
    help="Look at users' candidates, choose the run that readers see, say what is sold out.",
)
console = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.add_typer(candidates, name="candidates")


@candidates.command()
@prints(Candidates)
def show(
    model: Model,
    user: Annotated[
        str | None,
        typer.Argument(
            help="A user: the value of the entity. Without, the items that most users have.",
            metavar="USER",
        ),
    ] = None,
    *,
    run: Annotated[
        str | None, typer.Option("--run", help="A run; by default the one that readers see.")
    ] = None,
    top: Annotated[int, typer.Option("--top", help="How many items to print.", min=1)] = 20,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Candidates:
    """Print the items that a user has, the best first; without a user, those listed most."""
    opened, now = Stage.open(stage, state), time.time()
    client, table = opened.signed("dynamodb"), opened.outputs["CandidatesTableName"]
    pointer = current_run(model, None, CandidatePointers(client, table))
    if run is None and pointer is None:
        route_of(opened, model)
        raise StageError(
            f"no run of {model} has made candidates yet", command=f"quintet runs ls {model}"
        )
    shown = run or str((pointer or {})["run"])
    stock = StockTable(client, table).get(model)
    told: Candidates = {"run": shown, "user": user, "items": [], "scores": [], "segments": {}}
    if user is None:
        whole = pointer if run is None else read_manifest(RunPaths(model, run), _store(opened))
        listed = (whole or {}).get("candidates")
        _print_popular(model, shown, listed, top)
        lists = lists_of(listed or {"users": 0})
        told["segments"] = {name or "": list(items[:top]) for name, _, items in lists}
    else:
        found = CandidateTable(client, table).get(model, shown, user, now)
        if found is None:
            raise StageError(
                f"{user} has no candidates in run {shown}: unknown to it, or deleted",
                command=f"quintet candidates show {model}",
            )
        _print_set(shown, found, top, stock)
        ids, scores = unpacked(found.body)
        told["items"], told["scores"] = ids[:top].tolist(), scores[:top].tolist()
    if stock is not None:
        _plain(f"{int(stock.sold_out.sum()):,} items are sold out, {_as_of(stock.at, now)}")
    if run is None and (note := expiry_note(pointer, now)):
        _plain(note)
    return told


def _print_popular(model: str, run: str, found: dict[str, Any] | None, top: int) -> None:
    lists = list(lists_of(found or {"users": 0}))
    if not lists:
        raise StageError(
            f"run {run} has counted no items: no user has candidates in it",
            command=f"quintet runs show {model} {run}",
        )
    _plain(f"run {run}: the items that most users have among their first")
    for name, users, items in lists:
        of = f"segment {name}" if name else "all"
        _plain(f"  {of}, {users:,} users: {' '.join(map(str, items[:top]))}")


def _print_set(run: str, found: CandidateSet, top: int, stock: Stock | None) -> None:
    ids, scores = unpacked(found.body)
    whom = f"{found.user}, segment {found.segment}" if found.segment else found.user
    _plain(f"run {run}: the first {min(top, len(ids))} of {len(ids)} items for {whom}")
    for item, score in zip(ids[:top].tolist(), scores[:top].tolist(), strict=True):
        sold_out = stock is not None and item < len(stock.sold_out) and stock.sold_out[item]
        _plain(f"  {item:>8}  {score:.4g}{'  sold out' if sold_out else ''}")


def _as_of(at: float, now: float) -> str:
    """A moment and its age, in the largest unit of which there are two or more."""
    moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    units = (("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1))
    age = max(0.0, now - at)
    name, size = next((one for one in units if age >= 2 * one[1]), units[-1])
    return f"as of {moment} ({int(age // size)} {name} ago)"


@candidates.command()
@prints(StockView)
def stock(
    model: Model,
    file: Annotated[
        str,
        typer.Argument(
            help="A file, or - for the input: a number a line, or JSONL or CSV with a field item.",
            metavar="FILE",
        ),
    ],
    *,
    in_stock: Annotated[
        bool, typer.Option("--in-stock", help="The items are in stock; all others are sold out.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option("--at", help="When this was so: 30m ago, or 2026-01-31T12:00; now."),
    ] = None,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> StockView:
    """Say which items are sold out, for the recommendations that leave them out."""
    opened = Stage.open(stage, state)
    rule = live_contract(opened, model).candidates
    if rule is None:
        raise BadInput.of("model", "a model with `candidates` in its contract", model)
    then = time.time() if at is None else moment(at, "--at")
    now = time.time()
    if then > now:
        raise BadInput.of("--at", "a time that has passed", str(at))
    numbers = read_item_numbers(file)
    told, unknown = stock_of(numbers, rule.items, then, in_stock=in_stock)
    table = StockTable(opened.signed("dynamodb"), opened.outputs["CandidatesTableName"])
    if not table.put(model, told):
        stored = table.get(model)
        later = _as_of(stored.at, now) if stored else "later"
        raise StageError(
            f"the stored stock is {later}; it was not replaced by one {_as_of(then, now)}",
            command="quintet candidates stock --help",
        )
    number = f"{int(told.sold_out.sum()):,} of {rule.items:,} items of {model}"
    _plain(f"{number} are sold out, {_as_of(then, now)}")
    if unknown:
        _plain(f"  {unknown:,} numbers were left out: the items are 1 to {rule.items:,}")
    return {
        "model": model,
        "sold_out": int(told.sold_out.sum()),
        "items": rule.items,
        "at": then,
        "unknown": unknown,
    }


@candidates.command()
@prints(Pointer)
def promote(
    model: Model,
    run: Annotated[str, typer.Argument(help="A run that has succeeded.", metavar="RUN")],
    force: Annotated[
        bool, typer.Option("--force", help="Show a run even if no user has candidates in it.")
    ] = False,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Pointer:
    """Let readers see the candidates of a run, for example an older one; the next run moves on."""
    opened = Stage.open(stage, state)
    table = opened.outputs["CandidatesTableName"]
    with named_near(opened, model):
        pointer = show_candidates(
            RunPaths(model, run),
            store=_store(opened),
            cells=CandidatePointers(opened.signed("dynamodb"), table),
            clock=lambda: datetime.now(UTC),
            by=getpass.getuser(),
            force=force,
        )
    assert pointer is not None  # only a run's own report may leave it unset
    _plain(f"readers see the candidates of run {pointer['run']}")
    if before := pointer["before"]:
        _plain(f"  to undo: quintet candidates promote {model} {before}")
    found: Pointer = pointer  # type: ignore[assignment]
    return found


def _store(opened: Stage) -> ObjectStore:
    return RunReader(opened).store


def _plain(text: str) -> None:
    """Print a line unchanged: a user's key may look like markup."""
    console.print(text, markup=False, soft_wrap=True)
