"""What goes wrong: environments and the server are killed, the disk fills, the clock jumps.

A client (`Heart`) writes a counter into a table again and again. After a kill of the server the
counter tells which of its writes outlived it, and so where the snapshot was taken.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import psutil
from tests.histories.clients import Client, World
from tests.histories.history import SLOW, Operation

__all__ = ["Heart", "Nemesis"]

#: the farthest that the services' clock is from the machine's, in seconds
FARTHEST = 60
BEATS = "history#beat"
#: answers between two faults: on a busy machine faults alone would be left. And most seconds
ANSWERS = {"kill_server": 60, "kill_environment": 8}
MOST = 60.0


class Heart(Client):
    """Writes the number of each beat into a table."""

    pause = 0.15

    def __init__(self, world: World) -> None:
        super().__init__(world, "heart")
        self.sent: list[float] = []
        #: held during a beat, and by who kills the server until it knows what was kept
        self.still = threading.Lock()

    def step(self) -> None:
        """One beat."""
        with self.still:
            self._beat()

    def _beat(self) -> None:
        table = self.world.stage.local.outputs["FeaturesTableName"]
        item = {"entity": {"S": BEATS}, "number": {"N": str(len(self.sent))}}
        self.sent.append(time.monotonic())
        try:
            self.world.stage.local.client("dynamodb").put_item(TableName=table, Item=item)
        except Exception:  # the server has ended; the beat may have come before
            return
        finally:
            began, ended = self.sent[-1], time.monotonic()
            if ended - began > SLOW:
                self.world.recorder.add(Operation("slow_beat", self.name, began, ended))

    def kept(self) -> float:
        """When the beat that a new server knows was sent."""
        local = self.world.stage.local
        found = local.client("dynamodb").get_item(
            TableName=local.outputs["FeaturesTableName"], Key={"entity": {"S": BEATS}}
        )
        return self.sent[int(found["Item"]["number"]["N"])] if "Item" in found else float("-inf")


class Nemesis:
    """Makes faults of a seed, one after the other."""

    def __init__(self, world: World, heart: Heart) -> None:
        self._world = world
        self._stage = world.stage
        self._heart = heart
        self._draw = random.Random(f"{world.seed} nemesis")
        #: until when the disk was full
        self._freed = float("-inf")
        self._answered = 0
        self.made: Counter[str] = Counter()
        self.lost: list[float] = []

    def run(self, seconds: float) -> None:
        """Go on for so long; each kind comes in the first round, in some order."""
        until = time.monotonic() + seconds
        kinds = {
            "kill_environment": self.kill_environment,
            "kill_server": self.kill_server,
            "jump_clock": self.jump_clock,
            "fill_disk": self.fill_disk,
        }
        if self._stage.disk.missing:
            del kinds["fill_disk"]
        names = [*kinds, "kill_server", *["kill_environment"] * 6]
        while time.monotonic() < until:
            self._draw.shuffle(names)
            for name in names:
                if time.monotonic() >= until and self.made[name]:
                    continue
                time.sleep(self._draw.uniform(0.5, 3.0))
                self._wait(ANSWERS.get(name, 0))
                kinds[name]()
        self._stage.jump(0)

    def _wait(self, answers: int) -> None:
        """Wait until there are so many more answers since the last fault."""
        until = time.monotonic() + MOST
        recorder = self._world.recorder
        while recorder.answered < self._answered + answers and time.monotonic() < until:
            time.sleep(0.1)
        self._answered = recorder.answered

    def kill_environment(self) -> None:
        """Kill the process of one environment."""
        found = self._stage.environments()
        if not found:
            return
        chosen, began = self._draw.choice(found), time.monotonic()
        try:
            name = chosen.environ().get("AWS_LAMBDA_FUNCTION_NAME", "")
            chosen.kill()
        except psutil.Error:  # it has just ended
            return
        self._note("kill_environment", began, function=name)

    def kill_server(self) -> None:
        """Kill the server, start it again, and find out what it has kept.

        The kill is noted as of when nothing of the server was left: until then it may have answered
        what was asked after its end had been decided.
        """
        self._stage.up.clear()
        with self._heart.still:
            self._stage.kill()
            began = time.monotonic()
            self._stage.free()
            self._stage.jump(self._draw.randint(-FARTHEST, FARTHEST))
            self._stage.start()
            kept = self._heart.kept()
        self.lost.append(began - kept)
        self._note("kill_server", began, kept=kept, freed=min(self._freed, began))
        self._stage.up.set()

    def fill_disk(self) -> None:
        """Fill the disk for some seconds; sometimes the server is killed meanwhile."""
        began = time.monotonic()
        self._freed = float("inf")
        self._stage.fill()
        time.sleep(self._draw.uniform(2, 6))
        if self._draw.random() < 0.3:
            self.kill_server()
        self._stage.free()
        self._freed = time.monotonic()
        self._note("fill_disk", began)

    def jump_clock(self) -> None:
        """Move the services' clock."""
        seconds = self._draw.randint(-FARTHEST, FARTHEST)
        began = time.monotonic()
        self._stage.jump(seconds)
        self._note("jump_clock", began, seconds=seconds)

    def _note(self, does: str, began: float, **told: object) -> None:
        self.made[does] += 1
        self._world.recorder.add(Operation(does, "nemesis", began, time.monotonic(), None, told))
