"""A step that ends its process is found without ending ours."""

from __future__ import annotations

import os
import signal
import time

from quintet.formats.crashes import Crash, first_crash


def test_the_first_step_that_crashes_is_named_with_its_signal() -> None:
    def read(step: int) -> None:
        if step == 1:
            raise ValueError("no crash")
        if step in (2, 3):
            os.kill(os.getpid(), signal.SIGABRT)

    assert first_crash(read, 4) == Crash(2, signal.SIGABRT)
    assert first_crash(read, 2) is None
    assert first_crash(read, 0) is None


def test_a_step_that_hangs_is_given_up() -> None:
    begun = time.monotonic()
    assert first_crash(lambda step: time.sleep(60), 1, patience=0.2) is None
    assert time.monotonic() - begun < 30
