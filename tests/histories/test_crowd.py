"""A campaign waits for all that its clients sent before it counts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.histories.crowd import Crowd
from tests.histories.history import Recorder
from tests.histories.jobs import Listener


class Sender:
    """Something that was not acknowledged is left."""

    def __init__(self, did: list[str]) -> None:
        self.due = [(["a"], 1.0)]
        self._did = did

    def send(self, ids: list[str], at: float) -> None:
        self._did.append(f"send {ids[0]}")

    def count(self) -> None:
        self._did.append("count")


def test_what_is_sent_last_is_waited_for_and_then_counted(tmp_path: Path) -> None:
    did: list[str] = []
    crowd: Any = object.__new__(Crowd)  # without clients of its own
    recorder = Recorder(tmp_path / "history.jsonl")
    crowd.world = SimpleNamespace(recorder=recorder)
    crowd.senders = [Sender(did), Sender(did)]

    def settled(*_: object) -> bool:
        did.append("wait")
        return True

    crowd._settled = settled
    crowd.settle(Listener(recorder))
    recorder.close()
    assert did == ["send a", "send a", "wait", "count", "count"]
    assert [one.does for one in recorder.operations] == ["finish"]
