"""Whether a version's run fits into the time that is left for an answer."""

from __future__ import annotations

from collections import deque

__all__ = ["RunTimes"]

#: the runs by which the next one's time is expected
_KEPT = 8


class RunTimes:
    """The times of each version's last runs in this environment, in milliseconds.

    The first run of a version is left out: it is slower than those that follow.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], deque[float]] = {}

    def fits(self, version: tuple[str, int], elapsed: float, budget: float) -> bool:
        """Whether a run that begins after `elapsed` is expected to end within the budget.

        If only the run's time is in the way, a known time is forgotten each time, so that a version
        that was slow for a moment is tried again.
        """
        if elapsed >= budget:
            return False
        times = self._known.get(version)
        if not times or elapsed + sum(times) / len(times) <= budget:
            return True
        times.popleft()
        return False

    def add(self, version: tuple[str, int], took: float) -> None:
        """Remember the time of a run."""
        times = self._known.get(version)
        if times is None:
            self._known[version] = deque(maxlen=_KEPT)
        else:
            times.append(took)
