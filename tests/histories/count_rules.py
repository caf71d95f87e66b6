"""The rules of what is sent again and again, and counts once: feedback, labels, records."""

from __future__ import annotations

from collections.abc import Iterator

from tests.histories.history import Anomaly, History

__all__ = ["KINDS", "RULES"]

#: what is sent, and in which operation it is counted
KINDS = ("feedback", "labels", "records")


def each_counts_once(history: History) -> Iterator[Anomaly]:
    """What was acknowledged and kept is counted once; nothing is counted that nobody sent.

    A kill of the server loses the records of a stream that were not read yet, so only the last
    server's must all be there.
    """
    for kind in KINDS:
        counts = history.of(f"count_{kind}")
        if not counts or not history.of("finish"):
            continue
        found: dict[str, int] = dict(counts[-1].told["counts"])
        sent: set[str] = set()
        due: set[str] = set()
        for one in history.of(f"send_{kind}"):
            sent.update(one.told["ids"])
            here = history.epoch(one) == history.last if kind == "records" else history.stays(one)
            if one.status == 200 and here:
                due.update(one.told["ids"])
        for id in sorted(due - found.keys()):
            yield Anomaly("what was sent is there", f"{kind}: {id} is not counted")
        for id, times in sorted(found.items()):
            if times > 1:
                yield Anomaly("each counts once", f"{kind}: {id} counts {times} times")
            if id not in sent:
                yield Anomaly("nothing is made up", f"{kind}: {id} was sent by nobody")


RULES = (each_counts_once,)
