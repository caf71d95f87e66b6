"""Objects of labels, one for each request, are merged."""

from __future__ import annotations

from typing import Any

import numpy as np
from arro3 import core
from tests.kits.labels import DAY, START, label

from quintet.captures.store import MemoryCaptures, Stored
from quintet.captures.tables import write_parquet
from quintet.labels.merging import FEWEST, Merged, merge
from quintet.labels.table import settle
from quintet.labels.window import labels_since


def filled(days: int = 1, each: int = FEWEST) -> MemoryCaptures:
    objects = MemoryCaptures()
    for day in range(days):
        for number in range(each):
            label(objects, [(f"e{day}-{number}", "kept", START + day * DAY)], "risk")
    return objects


def ids(objects: MemoryCaptures) -> list[bytes]:
    found: list[bytes] = np.sort(labels_since(objects, "risk", START)[0].ids).tolist()
    return found


def test_the_labels_of_a_day_become_one_object() -> None:
    objects = filled(days=2)
    label(objects, [("other", "kept", START)], "heat")
    before = ids(objects)
    assert merge(objects) == Merged(2 * FEWEST)
    assert [key.rpartition("/")[0] for key in objects.objects] == [
        "labels/model=heat/date=2023-11-15",
        "labels/model=risk/date=2023-11-15",
        "labels/model=risk/date=2023-11-16",
    ]
    assert ids(objects) == before
    assert merge(objects) == Merged()


def test_few_objects_are_left_as_they_are_and_so_is_all_without_time() -> None:
    assert merge(filled(each=FEWEST - 1)) == Merged()
    objects = filled()
    assert merge(objects, has_time=lambda: False) == Merged()
    assert len(objects.objects) == FEWEST


def test_a_label_that_is_sent_again_after_a_merge_counts_once() -> None:
    objects = filled()
    merge(objects)
    label(objects, [("e0-0", "kept", START)], "risk")
    settled = settle(labels_since(objects, "risk", START)[0])
    assert (len(settled.labels.ids), settled.twice) == (FEWEST, 1)


class MergedMeanwhile(MemoryCaptures):
    """Objects that are merged while they are read for the first time."""

    merged = False

    def get(self, key: str) -> Stored | None:
        if not self.merged:
            self.merged = True
            merge(self)
        return super().get(key)


def test_a_reader_during_a_merge_looks_again() -> None:
    objects = MergedMeanwhile()
    objects.objects = filled().objects
    assert len(ids(objects)) == FEWEST
    assert len(objects.objects) == 1


def test_a_merge_that_stopped_before_it_deleted_is_done_again() -> None:
    objects = filled()
    small = dict(objects.objects)
    merge(objects)
    (key,) = objects.objects
    objects.objects |= small
    assert merge(objects) == Merged(FEWEST)
    assert list(objects.objects) == [key]


def test_damaged_objects_are_named_and_stay_and_the_others_are_merged() -> None:
    objects = filled(each=FEWEST + 2)
    damaged = sorted(objects.objects)[:2]
    columns: dict[str, Any] = {"id": core.Array(["e"], core.DataType.string())}
    bodies = [b"PAR1 no more", write_parquet(core.Table.from_pydict(columns))]
    objects.objects |= dict(zip(damaged, bodies, strict=True))
    before, named = labels_since(objects, "risk", START)
    assert (len(before.ids), named) == (FEWEST, damaged)
    assert merge(objects) == Merged(FEWEST, damaged)
    assert len(objects.objects) == 3
    assert [objects.objects[key] for key in damaged] == bodies
    after, named = labels_since(objects, "risk", START)
    assert (sorted(after.ids.tolist()), named) == (sorted(before.ids.tolist()), damaged)
    assert merge(objects) == Merged()


def test_a_day_of_damaged_objects_is_left() -> None:
    objects = filled()
    objects.objects = dict.fromkeys(objects.objects, b"PAR1 no more")
    assert merge(objects) == Merged(0, sorted(objects.objects))
