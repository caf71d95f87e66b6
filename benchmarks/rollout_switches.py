"""Switches of a route under load: python -m benchmarks.rollout_switches --seconds 300

Callers ask the API of a local AWS without a pause of more than 0.1 s while rollouts begin, grow,
are rolled back, promoted and finished at random moments. Counts the requests that were not
answered, and the answers of a version that the table had not named for 10 s.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

from benchmarks.reports import options, report
from tests.kits.local_aws import start_local_aws
from tests.kits.switched import NAME, Switches, calling, publish

from quintet.rollouts import transitions
from quintet.rollouts.store import Cause, RolloutStore

#: a switch takes effect within the seconds of the route's cache, and a request's time
BOUND = 10.0
#: seconds between two switches, at most
PAUSE = 12.0


def switch(routes: RolloutStore, switches: Switches, number: int, draw: random.Random) -> str:
    """Change the route in one of the ways that its state allows; the event."""
    stored, cause = routes.read(NAME), Cause(at=float(number), by="bench", reason="a switch")
    live, rollout = stored.route.live, stored.rollout
    if rollout is None:
        other = 2 if live == 1 else 1
        steps, name = [0.1, 0.5, 1.0], f"r{number}"
        made = transitions.start(stored, other, cause, id=name, steps=steps, shadow=False)
    elif rollout.phase == "watching":
        ways = (transitions.finish, transitions.roll_back)
        made = draw.choice(ways)(stored, cause)
    elif draw.random() < 0.3:
        made = transitions.roll_back(stored, cause)
    elif draw.random() < 0.3 or rollout.step + 1 == len(rollout.steps):
        made = transitions.promote(stored, cause, verdict="", force=True)
    else:
        made = transitions.advance(stored, cause)
    assert routes.write(made)
    after = made.after
    switches.note({after["live"], after.get("canary", after["live"])})
    return made.event


def main() -> None:
    """Measure and report."""
    parser = options(__doc__, "rollout_switches")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--callers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=20)
    given = parser.parse_args()
    draw, switches = random.Random(given.seed), Switches()
    events: list[str] = []
    with tempfile.TemporaryDirectory() as state:
        local = start_local_aws(Path(state))
        try:
            publish(local)
            with calling(local, given.callers) as callers:
                until = time.monotonic() + given.seconds
                while time.monotonic() < until:
                    time.sleep(draw.uniform(0.2, PAUSE))
                    events.append(switch(local.registry.routes, switches, len(events), draw))
        finally:
            local.stop()
    seen = [one for caller in callers for one in caller.seen]
    late = [at / 2 for at in range(21) if switches.overdue(seen, at / 2)]
    found = {
        "requests": len(seen) + sum(len(caller.lost) for caller in callers),
        "lost": sum(len(caller.lost) for caller in callers),
        "switches": len(events),
        "by two versions": sum(len(set(one.versions)) > 1 for one in seen),
        f"overdue by {BOUND:g} s": len(switches.overdue(seen, BOUND)),
        "last overdue after s": max(late, default=0.0) if late else 0.0,
    }
    note = f"{given.seconds:g} s, {given.callers} callers, seed {given.seed}"
    report("rollout_switches", [found], note, write=given.write)


if __name__ == "__main__":
    main()
