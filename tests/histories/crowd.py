"""All clients of a campaign at once, on models that are published before."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace

from tests.histories.clients import Client, World, run_all
from tests.histories.counted import FED, LABELLED, STREAMED, Compacting, Feedback, Labels, Records
from tests.histories.history import Operation
from tests.histories.jobs import ENDPOINT, Jobs, Listener
from tests.histories.jobs import MODEL as WORKED
from tests.histories.nemesis import Heart
from tests.histories.recommended import Nights, Recommending, publish_shop
from tests.histories.stage import Stage
from tests.histories.tables import MODEL as TABLED
from tests.histories.tables import Dropping, TableReader
from tests.histories.versions import Asker, Publishing, publish
from tests.kits import models
from tests.kits.switched import CONTRACT, ROWS
from typer.testing import CliRunner

from quintet_cli.app import app

__all__ = ["Crowd", "publish_models", "register", "unreached"]

#: how long jobs may take to end once nothing goes wrong any more: a killed worker's come back
PATIENCE = 300.0
#: before the first fault: something is there, and kept
HEAD_START = 4.0
#: what must be answered at least once, else a campaign shows nothing
REACHED = (
    *("submit", "look", "webhook", "ask", "publish", "promote", "withdraw"),
    *("roll_out", "roll_back", "compact"),
    *("drop", "read_table", "send_feedback", "send_labels", "send_records"),
    *("make_candidates", "recommend"),
)


def unreached(operations: list[Operation]) -> list[str]:
    """What was never answered."""
    answered = {one.does for one in list(operations) if one.status and one.status < 300}
    return sorted(set(REACHED) - answered)


def register(stage: Stage, url: str) -> list[str]:
    words = ["endpoints", "add", ENDPOINT, url, "--state", str(stage.state)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return re.findall(r"whsec_\S+", done.output)


def publish_models(world: World) -> None:
    """Publish the models that do not change."""
    registry = world.stage.local.registry
    for name in (WORKED, TABLED):
        publish(replace(CONTRACT, name=name, version=1), registry)
    models.publish_graph(FED, models.log_graph(), models.ROWS["log"], registry)
    models.publish_graph(LABELLED, models.shop_graph(), models.ROWS["shop"], registry)
    models.publish_graph(STREAMED, models.log_graph(), ROWS, registry)
    publish_shop(world.stage)


class Crowd:
    """All clients of a campaign."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.heart = Heart(world)
        self.jobs = [Jobs(world, f"jobs-{number}") for number in (1, 2)]
        self.readers = [TableReader(world, f"reader-{number}") for number in (1, 2)]
        self.senders = [Feedback(world, "fed"), Labels(world, "told"), Records(world, "read")]
        self.everyone: list[Client] = [
            self.heart,
            *self.jobs,
            *self.readers,
            *self.senders,
            Dropping(world, "dropping"),
            Nights(world, "nights"),
            Recommending(world, "recommending"),
            Compacting(world, "compacting"),
            Publishing(world, "publishing"),
            *(Asker(world, f"asker-{number}") for number in (1, 2)),
        ]

    def work(self, during: Callable[[], object]) -> None:
        """Let all work while something is done, and until each kind of work was done once."""
        self.world.stage.up.set()
        threads = run_all(self.everyone)
        try:
            time.sleep(HEAD_START)
            during()
            until = time.monotonic() + PATIENCE  # on a busy machine little was done
            while unreached(self.world.recorder.operations) and time.monotonic() < until:
                time.sleep(0.5)
        finally:
            self.world.ended.set()
            for thread in threads:
                thread.join()

    def settle(self, listener: Listener) -> None:
        """Send what was not acknowledged, wait until all that the last server took has ended, at
        most `PATIENCE`, and count.
        """
        for sender in self.senders:
            for chosen in sender.due:
                sender.send(*chosen)
        kills = [one.began for one in self.world.recorder.operations if one.does == "kill_server"]
        since = max(kills, default=0.0)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not self._settled(since, listener.heard):
            time.sleep(0.5)
        for sender in self.senders:
            sender.count()
        now = time.monotonic()
        self.world.recorder.add(Operation("finish", "campaign", now, now))

    def _settled(self, since: float, heard: set[str]) -> bool:
        """Whether the jobs, runs and records since then have ended."""
        settled = [one.settle(since) for one in self.jobs]
        mine = {
            one.jobs.get(key) for one in self.jobs for key, at in one.first.items() if at > since
        }
        history = self.world.recorder.operations
        runs = {
            one.told["run"]
            for one in history
            if one.does == "drop" and one.status == 200 and one.began > since
        }
        ended = self.readers[0].ended(runs)
        records = next(one for one in self.senders if one.kind == "records")
        sent = {
            id
            for one in history
            if one.does == "send_records" and one.status == 200 and one.began > since
            for id in one.told["ids"]
        }
        return all(settled) and mine <= heard and runs <= ended and sent <= set(records.counts())
