"""Labels as they come, in requests and files: checked, or refused with their reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.columns import MAX_ID_BYTES
from quintet.errors import BadInput, Refusal, shown
from quintet.formats.moments import EXPECTED, moment_of, plausible
from quintet.labels.ids import Ids
from quintet.labels.table import MAX_LABEL_BYTES, Labels
from quintet.labels.targets import Target

__all__ = ["AHEAD", "COLUMNS", "checked", "in_bytes", "in_seconds", "untimely"]

#: the fields of a label
COLUMNS = ("id", "label", "time")
#: seconds that the clock of a label may be ahead
AHEAD = 300


def checked(
    target: Target,
    ids: Sequence[Any],
    values: Sequence[Any],
    times: Sequence[Any],
    now: float,
) -> tuple[Labels, list[Refusal]]:
    """The labels among rows, and why the other rows are refused, by row.

    An id is a text or an integer, a value a text, number or boolean, and a time epoch seconds or
    ISO 8601, not after `now`.

    Raises:
        BadInput: the model has nothing that labels can be compared with.
    """
    if target.kind is None:
        expected = "a model with classes (`classes` of a label or probabilities), or with a value"
        raise BadInput.of("model", expected, "one without")
    found_ids, found_values = (
        in_bytes(ids, MAX_ID_BYTES, (str, int)),
        in_bytes(values, MAX_LABEL_BYTES, (str, int, float)),
    )
    moments = in_seconds(times)
    _, is_label = target.truth(found_values)
    good_id, timely = found_ids != b"", moments <= now + AHEAD  # not of NaN
    good = good_id & is_label & timely
    refusals = []
    for row in np.flatnonzero(~good).tolist():
        if not good_id[row]:
            expected = f"the id of a prediction, of 1 to {MAX_ID_BYTES} bytes"
            refusals.append(Refusal(row, "id", expected, shown(ids[row])))
        if not is_label[row]:
            refusals.append(Refusal(row, "label", target.expected, shown(values[row])))
        if not timely[row]:
            refusals.append(untimely(row, moments[row], times[row]))
    return Labels(found_ids[good], found_values[good], moments[good]), refusals


def untimely(row: int, moment: float, value: Any) -> Refusal:
    """The refusal of a row's time: in the future, or no time at all (NaN)."""
    expected = EXPECTED if np.isnan(moment) else "a time that is not in the future"
    return Refusal(row, "time", expected, shown(value))


def in_bytes(values: Sequence[Any], most: int, kinds: tuple[type, ...]) -> Ids:
    """Values as UTF-8, (rows,); b"" of those that are none of the kinds, or too long."""
    found = []
    for value in values:
        text = b""
        if isinstance(value, str):
            text = value.strip().encode("utf-8", "replace")
        elif isinstance(value, bool):
            text = b"01"[value : value + 1] if float in kinds else b""
        elif isinstance(value, kinds):
            text = str(value).encode()
        found.append(text if len(text) <= most else b"")
    return np.array(found, dtype=np.bytes_) if found else np.zeros(0, dtype="S1")


def in_seconds(values: Sequence[Any]) -> NDArray[np.float64]:
    """Times in epoch seconds, (rows,); NaN where a value is none."""
    if isinstance(values, np.ndarray):
        return np.where(plausible(values), values, np.nan)
    found = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        try:
            found[row] = moment_of(value)
        except ValueError:
            continue
    return found
