"""`quintet proxy` as a process, before a local AWS."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kits.local_aws import LocalAws

__all__ = ["proxy"]


@contextmanager
def proxy(aws: LocalAws, *options: str) -> Iterator[str]:
    """The address of a proxy; it ends well when it is told to."""
    quintet = str(Path(sys.executable).with_name("quintet"))
    command = [quintet, "proxy", "--state", str(aws.state), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            found = re.match(r"http://127\.0\.0\.1:\d+", line)
            assert found is not None, line
            yield found[0]
        finally:
            process.send_signal(signal.SIGTERM)
            process.stdout.read()
    assert process.returncode == 0
