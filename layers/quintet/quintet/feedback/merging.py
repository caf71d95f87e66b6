"""Small objects of feedback, one for each request, become few large ones, without repeats."""

from __future__ import annotations

from collections.abc import Callable

from quintet.captures.store import CaptureObjects
from quintet.feedback.table import PREFIX, joined, once, read, write
from quintet.labels.merging import Merged, merge_days

__all__ = ["merge"]


def merge(objects: CaptureObjects, has_time: Callable[[], bool] = lambda: True) -> Merged:
    """Merge the feedback of each model and day. Raises Transient."""
    return merge_days(objects, PREFIX, read, lambda parts: write(once(joined(parts))), has_time)
