"""Small objects of labels, one for each request, become few large ones.

The new object is there before the old ones are deleted: who stops in between leaves labels twice,
which readers take once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from quintet.captures.store import CaptureObjects
from quintet.labels.table import MERGED, PREFIX, object_key, read, write

__all__ = ["FEWEST", "merge"]

#: objects of a day that are not worth merging yet, and the most that are merged at once
FEWEST, MOST = 20, 100


def merge(objects: CaptureObjects, has_time: Callable[[], bool] = lambda: True) -> int:
    """Merge the objects of each model and day; how many were merged. Raises Transient."""
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for key in objects.keys(PREFIX):
        if not key.endswith(MERGED):
            folders[key.rpartition("/")[0]].append(key)
    merged = 0
    for folder, keys in folders.items():
        for start in range(0, len(keys), MOST):
            some = keys[start : start + MOST]
            if len(some) < FEWEST or not has_time():
                continue
            found = [stored.body for stored in map(objects.get, some) if stored is not None]
            body = write(read(found))
            # not there yet, or the same
            objects.swap(object_key(folder, body, MERGED), body, None)
            objects.delete(some)
            merged += len(some)
    return merged
