"""A local AWS that is killed and started again, on a disk that fills, with a clock that jumps.

The clock is that of the services (`clocked`): functions keep the machine's, as on AWS theirs is
another one.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from pathlib import Path

import psutil
from tests.histories.disk import disk_at
from tests.kits.local_aws import FREE_PORTS, LocalAws, LocalAwsFailed, eventually, start_local_aws

__all__ = ["PARAMETERS", "Stage", "runs"]

#: a killed worker's message comes back after six times its time-out
PARAMETERS = {
    "WorkBatchSize": "10",
    "WorkTimeoutSeconds": "5",
    "WorkMaxConcurrency": "2",
    "StreamWindowSeconds": "5",
    "StreamShards": "2",
}
TRIES = 5
START_SECONDS = 300.0
END_SECONDS = 120.0


class Stage:
    """A local AWS in `folder`, on the same ports after each start."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        self._folder = folder
        self._clock = folder / "clock"
        self._killed = 0
        self.disk = disk_at(self.state)
        self._options: tuple[str, ...] = FREE_PORTS
        self.jump(0)
        self._through = (sys.executable, "-m", "tests.histories.clocked", str(self._clock))
        #: set while a server answers
        self.up = threading.Event()
        #: how many servers were started
        self.servers = 0
        try:
            self.local = self.start()
        except LocalAwsFailed:
            self._remove()
            raise

    def start(self) -> LocalAws:
        """Start a server on what is kept.

        Raises:
            LocalAwsFailed: it does not start, several times.
        """
        self.servers += 1
        for attempt in range(TRIES):
            try:
                self.local = start_local_aws(
                    self.state,
                    parameters=PARAMETERS,
                    options=self._options,
                    through=self._through,
                    seconds=START_SECONDS,
                )
                break
            except LocalAwsFailed as error:
                # another process may have taken the port meanwhile
                if "is taken" not in str(error) or attempt + 1 == TRIES:
                    raise
                time.sleep(2)
        ports = [url.rpartition(":")[2] for url in (self.local.endpoint_url, self.local.api_url)]
        self._options = ("--port", ports[0], "--api-port", ports[1])
        return self.local

    def kill(self) -> None:
        """End the server as a power failure would, and wait for its environments to end with it.

        Each ends itself once it notices, on a busy machine late, and may send a webhook until then.
        """
        environments = self.environments()
        self.local.process.kill()
        self.local.process.wait()
        eventually(lambda: not any(map(runs, environments)), END_SECONDS)
        self._keep_log()

    def environments(self) -> list[psutil.Process]:
        """The processes of functions."""
        try:
            return psutil.Process(self.local.process.pid).children()
        except psutil.NoSuchProcess:
            return []

    def jump(self, seconds: int) -> None:
        """Let the services' clock be `seconds` before or behind the machine's."""
        partial = self._clock.with_suffix(".partial")
        partial.write_text(str(seconds))
        partial.replace(self._clock)

    def fill(self) -> None:
        """Fill the disk."""
        self.disk.fill(self.local.process.pid)

    def free(self) -> None:
        """Give the disk its space back."""
        self.disk.free(self.local.process.pid)

    def close(self) -> None:
        """Stop the server and unmount its disk."""
        try:
            self.local.stop()
        finally:
            self._keep_log()
            self._remove()

    def _keep_log(self) -> None:
        shutil.copy(self.state / "up.log", self._folder / f"up-{self._killed}.log")
        self._killed += 1

    def _remove(self) -> None:
        self.disk.close()
        shutil.rmtree(self.state, ignore_errors=True)


def runs(process: psutil.Process) -> bool:
    """Whether a process has not ended, though nobody may have waited for it yet."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
