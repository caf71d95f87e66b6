"""The labels of a day, by their time, as a report of drift counts them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.captures.places import Place
from quintet.captures.queries import find
from quintet.captures.store import CaptureObjects
from quintet.columns import MAX_ID_BYTES
from quintet.labels.ids import Ids, Index, event_times
from quintet.labels.served import label_positions, part_of, served
from quintet.labels.table import settle
from quintet.labels.targets import Target
from quintet.labels.window import labels_on
from quintet.monitoring.samples import Reference, count_labels

__all__ = ["label_counts"]

#: objects of captures that are searched for the predictions of a day's labels
MOST_OBJECTS = 100
HOUR = 3600


def label_counts(
    objects: CaptureObjects, reference: Reference, day: date
) -> tuple[tuple[int, dict[str, Any]] | None, list[str]]:
    """Their number and counts, as `drift_of` takes them, and notes; None if there are none.

    Where the contract has an entity, the first label of each counts: that of a prediction that is
    found in captures. Raises Transient.
    """
    contract = reference.contract
    target = Target(contract)
    known, damaged = labels_on(objects, contract.name, day)
    labels = settle(known).labels
    notes = [f"{key} cannot be read: its labels are left out" for key in damaged]
    if target.kind is None or not len(labels.ids):
        return None, notes
    if "labels" not in reference.baseline:
        return None, [
            *notes,
            f"labels are not compared: version {contract.version} has no baseline for them; name "
            "`training_target` in model.yaml, raise `version`, and publish",
        ]
    values, is_label = target.values(labels.values)
    if contract.entity is None:
        values = values[is_label]
        return (len(values), count_labels(reference, values, None)), notes
    is_found, entities = _entities(objects, contract.name, labels.ids)
    order = np.argsort(labels.times, kind="stable")
    order = order[(is_label & is_found)[order]]
    named = [entities[place].decode("utf-8", "replace") or None for place in order.tolist()]
    counts = count_labels(reference, values[order], named)
    lost = int(np.count_nonzero(is_label & ~is_found))
    if lost:
        notes.append(
            f"{lost:,} of {len(labels.ids):,} labels are not compared: their predictions are not "
            f"in captures, or not in the {MOST_OBJECTS} objects that were searched"
        )
    return (len(order), counts), notes


def _entities(objects: CaptureObjects, model: str, ids: Ids) -> tuple[NDArray[np.bool_], Ids]:
    """Which labels have a captured prediction, and its entity, b"" of one without."""
    found = np.zeros(len(ids), dtype=np.bool_)
    entities = np.zeros(len(ids), dtype=f"S{MAX_ID_BYTES}")
    index = Index(ids)
    for place in _nearest(find(objects, model), ids):
        stored = objects.get(place.key)
        names = ["entity"]
        rows = None if stored is None else served([part_of(stored.body, names)], names)
        if rows is not None:
            at = label_positions(rows, index)
            entities[at[at >= 0]] = rows.values["entity"][at >= 0]
            found[at[at >= 0]] = True
        if found.all():
            break
    return found, entities


def _nearest(places: Iterable[Place], ids: Ids) -> list[Place]:
    """Objects of the hours in the ids of online events first, then the newest."""
    times = event_times(ids)
    hours = set((times[~np.isnan(times)] // HOUR * HOUR).astype(np.int64).tolist())
    order = sorted(places, key=lambda one: (one.hour.start not in hours, -one.hour.start))
    return order[:MOST_OBJECTS]
