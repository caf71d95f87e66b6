"""`quintet keys`: the keys of callers that send a header instead of an AWS signature."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.table import Table

from quintet.aws.caller_keys import KeyTable
from quintet.callers.keys import Key, make_key
from quintet_cli.options import StageName, State
from quintet_cli.results import prints
from quintet_cli.since import ahead
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console
from quintet_cli.usage_plans import UsagePlans

__all__ = ["CallerKey", "NewKey", "register"]

console = Console(highlight=False, soft_wrap=True)

Id = Annotated[str, typer.Argument(help="The key's id, as `quintet keys ls` has it.", metavar="ID")]


@dataclass(frozen=True, kw_only=True)
class CallerKey:
    """A key without its secret. Times are UTC in ISO 8601; `models` empty means all.

    `rate` is requests a second, null for the API's own limit; `state` is valid, expired or revoked.
    """

    id: str
    name: str
    created: str
    models: list[str]
    rate: int | None
    expires: str | None
    revoked: str | None
    state: str


@dataclass(frozen=True, kw_only=True)
class NewKey(CallerKey):
    """A key that was made; `key` is what the caller sends."""

    key: str


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    group = typer.Typer(no_args_is_help=True, help="Manage the keys of callers that send a header.")
    for command in (create, ls, revoke):
        group.command()(command)
    app.add_typer(group, name="keys")


@prints(NewKey)
def create(
    name: Annotated[
        str,
        typer.Argument(help="The caller: it owns its jobs, and stands in the log.", metavar="NAME"),
    ],
    *,
    models: Annotated[
        list[str] | None,
        typer.Option(help="A model that it may ask, or several: a,b. By default all.", metavar="M"),
    ] = None,
    rate: Annotated[
        int | None, typer.Option(help="Requests a second; by default the API's own limit.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(help="When it ends: in 12h, 90d, or at 2027-01-31T12:00.", metavar="WHEN"),
    ] = None,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> NewKey:
    """Make a key of a caller, and show it once."""
    now = time.time()
    named = tuple(one.strip() for given in models or () for one in given.split(",") if one.strip())
    until = None if expires is None else ahead(expires, "--expires", now)
    key, text = make_key(name, now, models=named, rate=rate, expires=until)
    opened = Stage.open(stage, state)
    if key.rate is not None:
        UsagePlans.of(opened).add(key)
    _keys(opened).add(key)
    console.print(f"[green]✓[/green] {name} has the key {key.id}; the key, shown only once:")
    console.print(f"  {text}", markup=False)
    if (auth := opened.outputs.get("ApiAuth", "")) != "keys":
        console.print(
            f"the stage takes no keys yet (ApiAuth is {auth}): "
            + ("quintet up --auth keys" if stage == "local" else "deploy it with ApiAuth=keys")
        )
    return NewKey(**vars(_shown(key, now)), key=text)


@prints(list[CallerKey])
def ls(*, stage: StageName = "local", state: State = DEFAULT_STATE) -> list[CallerKey]:
    """List the keys, the oldest first, without their secrets."""
    now = time.time()
    found = [_shown(key, now) for key in _keys(Stage.open(stage, state)).all()]
    table = Table("key", "caller", "models", "rate", "created", "expires", "state", box=None)
    for one in found:
        table.add_row(
            one.id,
            one.name,
            ", ".join(one.models) or "all",
            "" if one.rate is None else f"{one.rate}/s",
            one.created,
            one.expires or "never",
            one.state if one.revoked is None else f"revoked {one.revoked}",
        )
    console.print(table if found else "there is no key; make one with `quintet keys create NAME`")
    return found


@prints(CallerKey)
def revoke(id: Id, *, stage: StageName = "local", state: State = DEFAULT_STATE) -> CallerKey:
    """Revoke a key for good; it is refused within 10 seconds."""
    opened, now = Stage.open(stage, state), time.time()
    key = _keys(opened).revoke(id, now)
    if key.rate is not None:
        UsagePlans.of(opened).remove(key)
    console.print(f"[green]✓[/green] the key {id} of {key.name} is revoked")
    return _shown(key, now)


def _keys(stage: Stage) -> KeyTable:
    return KeyTable(stage.signed("dynamodb"), stage.outputs["KeysTableName"])


def _shown(key: Key, now: float) -> CallerKey:
    expired = key.expires is not None and key.expires <= now
    return CallerKey(
        id=key.id,
        name=key.name,
        created=_moment(key.created) or "",
        models=list(key.models),
        rate=key.rate,
        expires=_moment(key.expires),
        revoked=_moment(key.revoked),
        state="revoked" if key.revoked is not None else "expired" if expired else "valid",
    )


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
