"""Small objects of labels, one for each request, become few large ones; feedback's as well.

The new object is there before the old ones are deleted: who stops in between leaves rows twice,
which readers take once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from quintet.captures.store import CaptureObjects
from quintet.errors import BadInput
from quintet.labels.table import MERGED, PREFIX, joined, object_key, read, write

__all__ = ["FEWEST", "Merged", "merge", "merge_days"]

T = TypeVar("T")

#: objects of a day that are not worth merging yet, and the most that are merged at once
FEWEST, MOST = 20, 100


@dataclass(slots=True)
class Merged:
    """How many objects were merged, and the keys of those that cannot be read, which stay."""

    objects: int = 0
    damaged: list[str] = field(default_factory=list)


def merge(objects: CaptureObjects, has_time: Callable[[], bool] = lambda: True) -> Merged:
    """Merge the labels of each model and day. Raises Transient."""
    return merge_days(objects, PREFIX, read, lambda parts: write(joined(parts)), has_time)


def merge_days(
    objects: CaptureObjects,
    prefix: str,
    read_one: Callable[[bytes], T],
    write_all: Callable[[Sequence[T]], bytes],
    has_time: Callable[[], bool],
) -> Merged:
    """Merge the objects below a prefix, those of each model and day. Raises Transient.

    `read_one` raises BadInput for an object that is damaged.
    """
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for key in objects.keys(prefix):
        if not key.endswith(MERGED):
            folders[key.rpartition("/")[0]].append(key)
    done = Merged()
    for folder, keys in folders.items():
        for start in range(0, len(keys), MOST):
            some = keys[start : start + MOST]
            if len(some) < FEWEST or not has_time():
                continue
            found = []
            for key in list(some):
                if (stored := objects.get(key)) is None:
                    continue
                try:
                    found.append(read_one(stored.body))
                except BadInput:
                    done.damaged.append(key)
                    some.remove(key)
            if not some:
                continue
            body = write_all(found)
            # not there yet, or the same
            objects.swap(object_key(folder, body, MERGED), body, None)
            objects.delete(some)
            done.objects += len(some)
    return done
