"""The main workflow on the local AWS, command by command, on real data."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import urllib3
from rich.progress import Progress

from quintet_cli.commands import dlq, drop, features, local, publish, runs
from quintet_cli.console.beside import running_url
from quintet_cli.demo.acts import act, console, models, next_version, roll_out, say
from quintet_cli.demo.hybrid import recommend
from quintet_cli.demo.jobs import dead_letter, drain, read_texts
from quintet_cli.demo.orders import predict, read_records, serve_orders
from quintet_cli.demo.rollouts import order_answers
from quintet_cli.demo.stream import burst, watch
from quintet_cli.demo.tables import (
    alerts_table,
    departments_table,
    samples_table,
    times_table,
)
from quintet_cli.demo.versions import in_pence, rounded
from quintet_cli.local_process import is_running
from quintet_cli.project import is_shipped, project_folder
from quintet_cli.stage import Stage, StageError
from quintet_cli.views.local import eval_line

__all__ = ["tour"]

SAMPLES = 5
ROLLOUT_ORDERS = 500  # the gates need so many customers
READINGS = 1_300
READINGS_RATE = 130
ORDERS = 8
TEXTS = (
    "The zipper broke the second time I wore these jeans and the waist runs small.",
    "Gorgeous dress, flowing fabric, I got compliments all evening at the wedding.",
    "Cozy cardigan, perfect over a blouse in autumn, but the wool is a bit itchy.",
)


def tour(orders: int, jobs: int, port: int, api_port: int, *, fresh: bool, state: Path) -> None:
    """Score `orders`, submit `jobs`, and show the other patterns on a local AWS at these ports."""
    if is_shipped(project_folder()):
        console.print("The project is the package's own; `quintet new DIR` writes it to a folder.")
    start = time.monotonic()
    stage = _start(state, port, api_port, fresh=fresh)

    act("Publish the shop's models")
    for name in ("fraud", "churn", "tickets", "sensor"):
        say(f"quintet publish models/{name}")
        publish.publish(models(name), state=state)

    act("Load the customers' history into the feature store")
    if _has_features(stage):
        console.print("it is loaded already")
    else:
        say("quintet features load models/fraud/data/features.csv --model fraud")
        features.load(models("fraud/data/features.csv"), model="fraud", state=state)

    act("Score orders at checkout, one request each")
    _score_orders(stage, orders)
    _route_texts(stage)

    act("Roll out two new versions of the checkout's model while orders come in")
    _roll_out(stage, state, max(orders, ROLLOUT_ORDERS))

    act("Submit a burst of texts as jobs, and receive a signed callback for each")
    _burst(stage, jobs)

    act("Watch sensors and orders as streams")
    _watch(stage)
    _orders_of_one(stage)

    act("Drop a file of customers: who will not buy again?")
    say("quintet drop models/churn/data/customers.csv churn")
    drop.drop(models("churn/data/customers.csv"), "churn", state=state)
    page = state / "churn-report.html"
    runs.report("churn", out=page, state=state)

    act("Replay a dead letter: a malformed message fails alone")
    dead_letter(stage)
    say("quintet dlq ls")
    dlq.list_sources(state=state)
    say("quintet dlq replay WorkDeadLetters")
    dlq.replay("WorkDeadLetters", state=state)

    act("Recommend: candidates by night, the order by what is in the basket")
    recommend(stage, state)

    console.print(f"\n[green]done in {time.monotonic() - start:.0f} s[/green]")
    _next(stage, state, page)


def _start(state: Path, port: int, api_port: int, *, fresh: bool) -> Stage:
    """Return the local AWS that already runs from this folder, or start one."""
    act("Start the local AWS from template.yaml")
    if is_running(state):
        console.print("it is running already")
    else:
        say("quintet up --detach --fresh" if fresh else "quintet up --detach")
        local.up(detach=True, port=port, api_port=api_port, state=state, fresh=fresh)
    return Stage.open("local", state)


def _has_features(stage: Stage) -> bool:
    table = stage.client("dynamodb").describe_table(TableName=stage.outputs["FeaturesTableName"])
    return bool(table["Table"]["ItemCount"])


def _score_orders(stage: Stage, most: int) -> None:
    records = read_records(models("fraud/data/requests.jsonl"), most)
    with urllib3.PoolManager(retries=False) as pool:
        before = time.perf_counter()
        predict(pool, stage.api_url, "fraud", records[0])
        cold = (time.perf_counter() - before) * 1000
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("scoring orders", total=len(records))
        served = serve_orders(
            stage.api_url, "fraud", records, SAMPLES, lambda: progress.advance(task)
        )
    console.print(samples_table(served))
    console.print(times_table(served, cold))
    if served.refused:
        raise StageError(
            f"{served.refused} of {len(served.milliseconds)} orders were refused",
            command="quintet logs Predict",
        )


def _roll_out(stage: Stage, state: Path, most: int) -> None:
    """Roll out a bad version and then a good one; each is the next of the model's numbers."""
    records = read_records(models("fraud/data/requests.jsonl"), most)
    for make, story, expected in (
        (in_pence, "takes the order's pounds for pence", "rolled back"),
        (rounded, "is as good as the live one, and smaller", "finished"),
    ):
        version = next_version(stage, "fraud")
        package = make(models("fraud"), state / "demo" / f"fraud-{version}", version)
        console.print(f"\nversion {version} {story}")
        with closing(order_answers(stage, "fraud", records)) as answers:
            of = ("fraud", version)
            roll_out(stage, state, package, of, answers, what="orders", expected=expected)


def _route_texts(stage: Stage) -> None:
    routed = []
    with urllib3.PoolManager(retries=False) as pool:
        for text in TEXTS:
            status, answer = predict(pool, stage.api_url, "tickets", {"text": text})
            if status != 200:
                raise StageError(
                    f"tickets answered {status}: {answer['detail']}",
                    command="quintet logs Predict",
                )
            routed.append((text, answer["predictions"][0]))
    console.print(departments_table(routed))


def _burst(stage: Stage, most: int) -> None:
    texts = read_texts(models("tickets/data/held_out.parquet"), most)
    say("curl -H 'Prefer: respond-async' -H 'X-Quintet-Callback: demo' .../models/tickets/predict")
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("callbacks", total=len(texts))
        drained = drain(stage, texts, lambda count: progress.update(task, completed=count))
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(drained.events.items()))
    console.print(
        f"{len(texts)} jobs accepted in {drained.accepted_s:.1f} s; "
        f"{drained.ids} callbacks received after {drained.settled_s:.1f} s, "
        f"signatures verified: {kinds}"
    )


def _watch(stage: Stage) -> None:
    path = models("sensor/data/readings.jsonl")
    say(f"quintet stream send {path} sensor --rate {READINGS_RATE} --now")
    with Progress(console=console, transient=True) as progress:
        sent = progress.add_task("readings sent", total=READINGS)
        scored = progress.add_task("readings scored", total=READINGS)

        def tick(*counts: int) -> None:
            for task, count in zip((sent, scored), counts, strict=True):
                progress.update(task, completed=count)

        watched = watch(stage, "sensor", path, most=READINGS, rate=READINGS_RATE, tick=tick)
    console.print(
        f"{watched.sent:,} readings sent and scored in {watched.seconds:.1f} s, "
        f"{len(watched.alerts)} sensors raised an alert"
    )
    if watched.alerts:
        console.print(alerts_table(watched.alerts))
    else:
        console.print("no alerts: the cool-down of an earlier demo (half an hour) is not over")


def _orders_of_one(stage: Stage) -> None:
    path = models("fraud/data/orders_stream.jsonl")
    with console.status("a customer orders again and again; the window is about to close"):
        found = burst(stage, path, ORDERS)
    console.print(
        f"customer {found.customer} ordered {found.orders} times: the checkout's score of the next "
        f"order went from {found.before:.1%} to {found.after:.1%}, {found.seconds:.0f} s later"
    )


def _next(stage: Stage, state: Path, page: Path) -> None:
    shipped = is_shipped(project_folder())
    activate = "" if shipped else "  source .venv/bin/activate\n"
    record = '{"records": [{"text": "The sleeves of this sweater are too long"}]}'
    url = running_url(state)
    console_line = f"The console: [bold]{url}[/bold]\n" if url else ""
    console.print(
        f"\nThe report of the file: [bold]{page}[/bold]\n{console_line}"
        f"The API: [bold]{stage.api_url}[/bold]   AWS endpoint: [bold]{stage.endpoint_url}[/bold]\n"
        "\nTry next (the local AWS goes on until "
        f"`{'quintet down' if shipped else 'make demo-down'}`):\n{activate}"
        f"  curl -s {stage.api_url}/models/tickets/predict -d '{record}'\n"
        "  quintet stream windows sensor\n"
        f"  {eval_line(state).strip('`')}\n"
        "  aws s3 ls\n",
        markup=True,
        soft_wrap=True,
    )
