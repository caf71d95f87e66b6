"""What a local AWS and its environments use, over time, under traffic of all patterns.

The server holds in memory what it keeps: an operation leaves half an item and a quarter of an
object, with 2 KiB of content, and twice as much for moto's and our notes about them. So its memory
has a bound per operation. Nothing else may grow.
"""

from __future__ import annotations

import itertools
import json
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tests.histories.stage import Stage

__all__ = ["BOUNDS", "Sampler", "Trend", "slope", "trends"]

#: seconds between two samples
EVERY = 5.0
#: of the samples, what is left out: environments start, caches fill
WARM_UP = 0.3
#: how much each may grow: the server's memory in KiB an operation, all else over the time after
#: the warm-up. The server's pool has up to 64 threads, one for each call of a peak, and each new
#: environment has some connections. A model that is published anew stays in
#: the memory of `predict` for a while. What leaks by the call grows by thousands in an hour
BOUNDS = {
    "server KiB an operation": 10.0,
    "server descriptors": 40.0,
    "server threads": 24.0,
    "files of environments": 5.0,
    "environment MiB": 16.0,
    "environment descriptors": 2.0,
    "environment threads": 1.0,
}


@dataclass(frozen=True)
class Trend:
    """How a series went: its first and last level, and its growth, with the bound of that."""

    name: str
    first: float
    last: float
    growth: float
    bound: float

    @property
    def flat(self) -> bool:
        """Whether it grows no more than it may."""
        return self.growth <= self.bound


@dataclass
class Series:
    """Values at times, in seconds."""

    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, at: float, value: float) -> None:
        """One more."""
        self.times.append(at)
        self.values.append(value)

    def warm(self) -> Series:
        """Without the warm-up."""
        first = int(len(self.times) * WARM_UP)
        return Series(self.times[first:], self.values[first:])


class Sampler:
    """Takes samples in a thread until `stop`, and writes each as a line of a file.

    `operations` tells how many there were so far.
    """

    def __init__(self, stage: Stage, operations: Callable[[], int], path: Path) -> None:
        self._stage = stage
        self._path = path
        self._operations = operations
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.series: dict[str, Series] = defaultdict(Series)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with self._path.open("w") as file:
            while not self._ended.wait(EVERY):
                at, sample = time.monotonic(), dict(self._sample())
                for name, value in sample.items():
                    self.series[name].add(at, value)
                file.write(json.dumps({"at": at, **sample}) + "\n")
                file.flush()

    def _sample(self) -> Iterator[tuple[str, float]]:
        server = psutil.Process(self._stage.local.process.pid)
        yield "operations", self._operations()
        used = _used(server)
        # asyncio has a thread for each environment, which waits for its end
        used["threads"] -= len(self._stage.environments())
        for name, value in used.items():
            yield f"server {name}", value
        scratch = self._stage.state / "scratch"
        yield "files of environments", sum(path.is_file() for path in scratch.rglob("*"))
        yield from self._environments()

    def _environments(self) -> Iterator[tuple[str, float]]:
        """Per function, the mean of its environments: they come and go."""
        found: dict[str, list[dict[str, float]]] = defaultdict(list)
        for process in self._stage.environments():
            try:
                function = process.environ()["AWS_LAMBDA_FUNCTION_NAME"]
                found[function].append(_used(process))
            except (psutil.Error, KeyError):  # it ends, or has not begun
                continue
        for function, used in found.items():
            for name in used[0]:
                mean = statistics.fmean(one[name] for one in used)
                yield f"environment {name} {function}", mean


def _used(process: psutil.Process) -> dict[str, float]:
    with process.oneshot():
        return {
            "MiB": process.memory_info().rss / 2**20,
            "descriptors": process.num_fds(),
            "threads": process.num_threads(),
        }


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """The median of the slopes between all pairs (Theil and Sen): one outlier moves it little."""
    pairs = itertools.combinations(zip(times, values, strict=True), 2)
    slopes = [(b - a) / (t - s) for (s, a), (t, b) in pairs if t > s]
    return statistics.median(slopes) if slopes else 0.0


def trends(series: dict[str, Series], least: int = 12) -> list[Trend]:
    """The trend of each bound; of environments, of the function that grows most.

    What has fewer than `least` samples after the warm-up is left out.
    """
    warm = {name: one.warm() for name, one in series.items()}
    warm = {name: one for name, one in warm.items() if len(one.times) >= least}
    found = []
    for name, bound in BOUNDS.items():
        if name == "server KiB an operation":
            done, memory = warm.get("operations"), warm.get("server MiB")
            if done and memory:
                found.append(_trend(name, Series(done.values, memory.values), 1024, bound))
            continue
        own = [
            _trend(key, one, one.times[-1] - one.times[0], bound)
            for key, one in warm.items()
            if key.startswith(name)
        ]
        if own:
            found.append(max(own, key=lambda trend: trend.growth))
    return found


def _trend(name: str, series: Series, unit: float, bound: float) -> Trend:
    edge = max(len(series.values) // 5, 1)
    first, last = (
        statistics.median(part) for part in (series.values[:edge], series.values[-edge:])
    )
    growth = slope(series.times, series.values) * unit
    return Trend(name, first, last, growth, bound)
