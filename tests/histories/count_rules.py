"""The rules of what is sent again and again, and counts once: feedback, labels, records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.histories.history import Anomaly, History

__all__ = ["KINDS", "RULES"]

#: what is sent, and in which operation it is counted
KINDS = ("feedback", "labels", "records")


def each_counts_once(history: History) -> Iterator[Anomaly]:
    """What was acknowledged and kept is counted once; nothing is counted that nobody sent.

    A kill of the server loses the records of a stream that were not read yet, and the rest of the
    work on a batch: the ids of its rows may not be noted. So only the last server's records must
    all be there, and one that was sent to several servers counts at most once for each.
    """
    for kind in KINDS:
        counts = history.of(f"count_{kind}")
        if not counts or not history.of("finish"):
            continue
        found: dict[str, int] = dict(counts[-1].told["counts"])
        servers: dict[str, set[int]] = defaultdict(set)
        due: set[str] = set()
        for one in history.of(f"send_{kind}"):
            for id in one.told["ids"]:
                servers[id].add(history.epoch(one) if kind == "records" else 0)
            here = history.epoch(one) == history.last if kind == "records" else history.stays(one)
            if one.status == 200 and here:
                due.update(one.told["ids"])
        for id in sorted(due - found.keys()):
            yield Anomaly("what was sent is there", f"{kind}: {id} is not counted")
        for id, times in sorted(found.items()):
            if times > len(servers[id]) > 0:
                yield Anomaly("each counts once", f"{kind}: {id} counts {times} times")
            if not servers[id]:
                yield Anomaly("nothing is made up", f"{kind}: {id} was sent by nobody")


RULES = (each_counts_once,)
