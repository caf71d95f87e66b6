"""The demo's hybrid act: candidates of a night, ranked by the basket, shown, clicked, exported."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import numpy as np

from quintet.aws.captures import CaptureBucket
from quintet.captures.tables import read_parquet
from quintet_cli.commands import drop, impressions, publish
from quintet_cli.demo.acts import console, models, next_version, roll_out, say
from quintet_cli.demo.recommendations import Shelf, cut, item_names, read_orders
from quintet_cli.demo.tables import SHOWN_COLUMNS, clicks_table, impression_table, shelves_table
from quintet_cli.demo.versions import backwards
from quintet_cli.impressions.logged import logged
from quintet_cli.registry import live_contract
from quintet_cli.stage import Stage, StageError

__all__ = ["recommend"]

#: a customer whose basket changes much
CUSTOMER = "12560"
CAPTURED_SECONDS = 60


def recommend(stage: Stage, state: Path) -> None:
    """Play the act.

    Raises:
        StageError: a part of it did not end as it should.
    """
    begun = time.time()
    for name in ("candidates", "ranker"):
        say(f"quintet publish models/{name}")
        publish.publish(models(name), state=state)
    orders = read_orders(models("ranker/data/held_out.parquet"))
    file = state / "demo/customers.parquet"
    count = cut(models("candidates/data/customers.parquet"), file, orders)
    console.print(f"\n{count:,} customers came back in November 2011: tonight's run is for them")
    say(f"quintet drop {file} candidates")
    drop.drop(file, "candidates", state=state)

    shelf, names = Shelf(stage, "ranker"), item_names(models("candidates/data/items.csv"))
    (order,) = (one for one in orders if one.customer == CUSTOMER)
    say(f"curl .../models/ranker/recommendations/{CUSTOMER}    # and again with the basket")
    shown = shelf.ranked(order, []), shelf.ranked(order, order.basket)
    console.print(shelves_table(order, names, *shown))

    version = next_version(stage, "ranker")
    package = backwards(models("ranker"), state / "demo" / f"ranker-{version}", version)
    console.print(f"\nversion {version} of the ranker ranks backwards")
    with closing(shelf.answers(orders)) as answers:
        of = ("ranker", version)
        roll_out(stage, state, package, of, answers, what="customers", expected="rolled back")

    say("curl .../feedback    # clicked: what the rest of the customer's order has")
    clicks = shelf.tell()
    console.print(f"feedback on {len(shelf.shown):,} impressions: {clicks:,} clicks")
    with console.status("captures arrive"):
        _wait(stage, begun, set(shelf.shown))
    out, since = state / "demo/impressions.parquet", time.strftime("%FT%TZ", time.gmtime(begun))
    say(f"quintet impressions export ranker --open --since {since} -o {out}")
    impressions.export("ranker", output=out, since=since, still_open=True, state=state)
    table = read_parquet(out.read_bytes())
    rows = {name: np.array(table[name].to_pylist()) for name in SHOWN_COLUMNS}
    console.print(impression_table(rows, names, shown[1].impression))
    console.print(clicks_table(rows))


def _wait(stage: Stage, since: float, wanted: set[str]) -> None:
    """Wait until impressions are captured. Raises StageError if they are not in time."""
    bucket = CaptureBucket(stage.signed("s3"), stage.outputs["CapturesBucketName"])
    contract, until = live_contract(stage, "ranker"), time.monotonic() + CAPTURED_SECONDS
    while True:
        hours = logged(bucket, "ranker", since, time.time(), lambda _: contract)
        missing = wanted - {one.decode() for hour in hours for one in hour.shown.events.tolist()}
        if not missing:
            return
        if time.monotonic() > until:
            count = f"{len(missing)} of {len(wanted)} impressions"
            raise StageError(
                f"{count} were not captured in {CAPTURED_SECONDS} s",
                command="quintet captures query",
            )
        time.sleep(0.5)
