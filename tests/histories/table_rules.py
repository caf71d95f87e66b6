"""The rules of a model's table: readers see whole runs, and never an older one again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.histories.history import Anomaly, History, Operation

__all__ = ["RULES"]


def pointer_is_monotonic(history: History) -> Iterator[Anomaly]:
    """A reader never sees a run that was started before one that it saw."""
    by_reader: dict[str, list[Operation]] = defaultdict(list)
    for one in history.of("read_table"):
        if one.status == 200 and "run" in one.told:
            by_reader[one.by].append(one)
    for reader, reads in by_reader.items():
        for place, later in enumerate(reads):
            for earlier in reads[:place]:
                older = later.told["newest"] < earlier.told["newest"]
                if older and history.holds(earlier, later):
                    text = f"{reader} saw {earlier.told['run']}, then {later.told['run']}"
                    yield Anomaly("the pointer is monotonic", text)
                    break


def readers_see_whole_runs(history: History) -> Iterator[Anomaly]:
    """What a reader finds of a run is all of it, and all of the file that it is over."""
    sizes = {one.told["run"]: one.told["rows"] for one in history.of("drop") if "run" in one.told}
    for one in history.of("read_table"):
        if one.status != 200 or "run" not in one.told:
            continue
        run, found = one.told["run"], one.told["rows"]
        if one.told["missing"]:
            yield Anomaly("readers see whole runs", f"{run} lacks {one.told['missing'][0]}")
        elif found != one.told["scored"] or found != sizes.get(run, found):
            text = f"{run} has {found} rows of {one.told['scored']}"
            yield Anomaly("readers see whole runs", text)


def runs_end(history: History) -> Iterator[Anomaly]:
    """Each file that was dropped on the last server is scored; kills of environments lose none."""
    done = {one.told["run"] for one in history.of("run_ended")}
    if not history.of("finish"):
        return
    for one in history.of("drop"):
        mine = one.status == 200 and history.epoch(one) == history.last
        if mine and one.told["run"] not in done:
            yield Anomaly("every run ends", f"{one.told['run']} has not succeeded")


RULES = (pointer_is_monotonic, readers_see_whole_runs, runs_end)
