"""`quintet endpoints`: manage the receivers of asynchronous jobs' callbacks."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from quintet.api.gateway import owner_of
from quintet.webhooks.endpoints import Endpoint
from quintet.webhooks.endpoints import register as registered
from quintet.webhooks.endpoints import rotate as rotated
from quintet.webhooks.url_guard import Scope
from quintet_cli.options import StageName, State
from quintet_cli.receiver import Received, Receiver, receiving
from quintet_cli.registered import endpoints_of
from quintet_cli.results import prints
from quintet_cli.shapes import Changed, EndpointView, Secret
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console
from quintet_cli.views.times import shown_time

__all__ = ["register"]

HOUR = 3_600

Id = Annotated[str, typer.Argument(help="The endpoint's id, as requests name it.", metavar="ID")]
Url = Annotated[str, typer.Argument(help="Where callbacks are posted.", metavar="URL")]

console = Console(highlight=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    group = typer.Typer(no_args_is_help=True, help="Manage the endpoints that receive callbacks.")
    group.command()(add)
    group.command("ls")(show)
    for command in (rotate, enable, remove, listen):
        group.command()(command)
    app.add_typer(group, name="endpoints")


@prints(Secret)
def add(
    id: Id,
    url: Url,
    caller: Annotated[
        list[str] | None,
        typer.Option(
            help="A caller who may use it: a user's or a role's ARN, or the name of its key. By "
            "default all callers may.",
            metavar="CALLER",
        ),
    ] = None,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Secret:
    """Register an endpoint, and show its signing secret once."""
    at = Stage.open(stage, state)
    scope: Scope = "loopback" if at.endpoint_url else "public"
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    endpoint = registered(
        id,
        url,
        scope=scope,
        created=created,
        random=secrets.token_bytes,
        callers=[owner_of(one) for one in caller or ()],
    )
    endpoints_of(at).put(endpoint, None)
    console.print(f"[green]✓[/green] {id} is registered; its secret, shown only once:")
    _secret(endpoint)
    return {"id": id, "secret": endpoint.secrets[0].text}


@prints(list[EndpointView])
def show(stage: StageName = "local", state: State = DEFAULT_STATE) -> list[EndpointView]:
    """List the endpoints, without their secrets."""
    found = endpoints_of(Stage.open(stage, state)).all()
    table = Table("endpoint", "url", "created", "secrets", "callers", "state")
    now = time.time()
    for endpoint in found:
        table.add_row(
            endpoint.id,
            escape(endpoint.url),
            shown_time(endpoint.created),
            str(len(endpoint.signing(now))),
            escape("\n".join(endpoint.callers)) or "all",
            f"disabled: {endpoint.disabled}" if endpoint.disabled else "enabled",
        )
    console.print(
        table if found else "no endpoint is registered; register one with `quintet endpoints add`"
    )
    return [
        {
            "id": endpoint.id,
            "url": endpoint.url,
            "created": endpoint.created,
            "secrets": len(endpoint.signing(now)),
            "callers": list(endpoint.callers),
            "disabled": endpoint.disabled or "",
        }
        for endpoint in found
    ]


@prints(Secret)
def rotate(
    id: Id,
    overlap_hours: Annotated[
        float, typer.Option(help="How long earlier secrets keep signing.")
    ] = 24.0,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Secret:
    """Rotate an endpoint's secret, shown once; for a while callbacks carry both signatures."""
    table = endpoints_of(Stage.open(stage, state))
    before = table.get(id)
    after = rotated(
        before, now=time.time(), overlap=overlap_hours * HOUR, random=secrets.token_bytes
    )
    table.put(after, before)
    console.print(
        f"[green]✓[/green] {id} has a new secret, shown only once; the previous one signs for "
        f"{overlap_hours:g} more hours:"
    )
    _secret(after)
    return {"id": id, "secret": after.secrets[0].text}


@prints(Changed)
def enable(id: Id, stage: StageName = "local", state: State = DEFAULT_STATE) -> Changed:
    """Enable an endpoint that was disabled because it responded with 410."""
    table = endpoints_of(Stage.open(stage, state))
    table.disable(table.get(id).id, "")
    console.print(f"[green]✓[/green] {id} is enabled")
    return {"id": id}


@prints(Changed)
def remove(id: Id, stage: StageName = "local", state: State = DEFAULT_STATE) -> Changed:
    """Delete an endpoint and its secrets; its pending callbacks are not sent."""
    endpoints_of(Stage.open(stage, state)).remove(id)
    console.print(f"[green]✓[/green] {id} is removed")
    return {"id": id}


def listen(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 8080,
    secret: Annotated[
        list[str] | None,
        typer.Option(envvar="QUINTET_WEBHOOK_SECRET", help="A secret to verify signatures with."),
    ] = None,
) -> None:
    """Receive callbacks on this machine and verify their signatures, until Ctrl-C."""
    receiver = Receiver(secret or (), _told)
    with receiving(receiver, port) as url:
        console.print(f"listening on {url}")
        try:
            while True:
                time.sleep(3_600)
        except KeyboardInterrupt:
            console.print(f"{len(receiver.received)} callbacks received")


def _told(received: Received) -> int:
    mark = "[green]✓ verified[/green]" if received.verified else "[red]✗ not verified[/red]"
    text = received.body.decode(errors="replace")
    console.print(f"{mark} {escape(received.id)} {escape(text)}")
    return 204 if received.verified else 401


def _secret(endpoint: Endpoint) -> None:
    console.print(f"  {endpoint.secrets[0].text}")
