"""Runs the local AWS with a clock that is fast: python -m tests.kits.hurried ORIGIN RATE ...

Leases, visibility time-outs, delays and schedules are then over that much sooner, for the services
and for the functions alike. The words behind RATE are Python and its arguments,
`-m quintet_local ...`; this process becomes that. What a process measures by the monotonic clock,
such as a function's time-out, takes its time.
"""

from __future__ import annotations

import asyncio
import datetime
import runpy
import sys
import time
from pathlib import Path
from typing import Any

from tests.histories.clocked import moved

from quintet_local import environment

__all__ = ["Fast", "through"]

#: what an environment runs before the loop of the runtime; it has the standard library alone
BEFORE = """
import runpy, time
def fast(real=time.time, origin={origin!r}, rate={rate!r}):
    return origin + (real() - origin) * rate
time.time = fast
time.time_ns = lambda: int(fast() * 1e9)
runpy.run_path({bootstrap!r}, run_name="__main__")
"""


class Fast:
    """The machine's clock until `origin`, and from there on `rate` times as fast."""

    def __init__(self, origin: float, rate: float) -> None:
        self.origin, self.rate = origin, rate
        self._time = time.time

    def time(self) -> float:
        """See `time.time`."""
        return self.origin + (self._time() - self.origin) * self.rate

    def time_ns(self) -> int:
        """See `time.time_ns`."""
        return int(self.time() * 1e9)


def through(clock: Fast) -> tuple[str, ...]:
    """The command that gives a local AWS this clock: see `start_local_aws`."""
    return sys.executable, "-m", "tests.kits.hurried", repr(clock.origin), repr(clock.rate)


def main() -> None:
    """Take the fast clock, and become the local AWS."""
    origin, rate, _, _, module, *rest = sys.argv[1:]
    clock = Fast(float(origin), float(rate))
    time.time, time.time_ns = clock.time, clock.time_ns
    datetime.datetime = moved(datetime.datetime, clock)  # type: ignore[misc]
    sleep = asyncio.sleep

    async def shorter(seconds: float, result: Any = None) -> Any:
        return await sleep(seconds / clock.rate, result)

    # schedules sleep until a moment of this clock
    asyncio.sleep = shorter  # type: ignore[assignment]
    script = Path(rest[rest.index("--state") + 1]).absolute() / "bootstrap.py"
    real = str(environment.BOOTSTRAP)
    script.write_text(BEFORE.format(origin=clock.origin, rate=clock.rate, bootstrap=real))
    environment.BOOTSTRAP = script
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
