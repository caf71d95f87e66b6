"""Labels as they come: what is taken, and why a row is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.kits.labels import BINARY, NUMBER, START
from tests.kits.models import ECHO, SHOP

from quintet.errors import BadInput
from quintet.labels.ids import Index, event_times, groups, hashes
from quintet.labels.intake import checked
from quintet.labels.targets import Target


def taken(target: Target, *rows: tuple[Any, Any, Any]) -> tuple[list[Any], list[str]]:
    ids, values, times = zip(*rows, strict=True)
    found, refusals = checked(target, ids, values, times, START)
    labels = zip(found.ids.tolist(), found.values.tolist(), found.times.tolist(), strict=True)
    return list(labels), [str(refusal) for refusal in refusals]


def test_ids_are_texts_or_numbers_labels_also_booleans_and_times_iso_or_seconds() -> None:
    labels, refusals = taken(
        Target(BINARY),
        ("e1.0", "cancelled", START),
        (77, True, "2023-11-15T00:00:00Z"),
        ("ö", 0.0, str(START)),
    )
    assert labels == [
        (b"e1.0", b"cancelled", START),
        (b"77", b"1", START),
        ("ö".encode(), b"0.0", START),
    ]
    assert refusals == []


def test_a_refusal_names_row_and_field_and_the_other_rows_are_taken() -> None:
    labels, refusals = taken(
        Target(BINARY),
        ("", "kept", START),
        (None, "kept", START),
        ("x" * 201, "kept", START),
        (True, "kept", START),
        ("a", "purple", START),
        ("b", None, START),
        ("c", "kept", "soon"),
        ("d", "kept", None),
        ("e", "kept", START + 86_400),
        ("f", "kept", START + 10),
    )
    assert labels == [(b"f", b"kept", START + 10)]
    of_id = "expected the id of a prediction, of 1 to 200 bytes, got"
    of_class = "expected one of kept, cancelled, or a class's number, got"
    of_time = "expected a time before 2100: seconds since 1970, or ISO 8601, got"
    assert refusals == [
        f"row 0: id: {of_id} ''",
        f"row 1: id: {of_id} null",
        f"row 2: id: {of_id} '{'x' * 60}...'",
        f"row 3: id: {of_id} true",
        f"row 4: label: {of_class} 'purple'",
        f"row 5: label: {of_class} null",
        f"row 6: time: {of_time} 'soon'",
        f"row 7: time: {of_time} null",
        f"row 8: time: expected a time that is not in the future, got {START + 86_400}",
    ]


def test_labels_of_numbers_are_finite() -> None:
    labels, refusals = taken(
        Target(NUMBER), ("a", "1e3", START), ("b", -2, START), ("c", "nan", START), ("d", [], START)
    )
    assert [value for _, value, _ in labels] == [b"1e3", b"-2"]
    assert refusals == [
        "row 2: label: expected a finite number, got 'nan'",
        "row 3: label: expected a finite number, got []",
    ]


def test_a_model_without_classes_or_a_value_has_no_labels() -> None:
    with pytest.raises(BadInput, match="model: expected a model with classes"):
        taken(Target(ECHO), ("a", "1", START))
    # a label with classes, and a score that ranks
    target = Target(SHOP)
    assert (target.names, target.score) == (("kept", "cancelled"), "output_probability")


def test_an_index_finds_ids_of_any_width() -> None:
    random = np.random.default_rng(0)
    letters = random.integers(97, 123, (5_000, 37), dtype=np.uint8)
    letters[np.arange(37) >= random.integers(1, 38, 5_000)[:, None]] = 0
    ids = np.unique(letters.view("S37").reshape(-1))
    random.shuffle(ids)
    wanted = np.concatenate([ids[::3], np.array([b"", b"absent", ids[0][:1] + b"!"])])
    expected = [*range(0, len(ids), 3), -1, -1, -1]
    assert Index(ids).find(wanted.astype("S90")).tolist() == expected
    assert Index(ids[:0]).find(wanted).tolist() == [-1] * len(wanted)
    assert hashes(ids.astype("S64")).tolist() == hashes(ids).tolist()


def test_groups_are_those_of_equal_ids() -> None:
    ids = np.array([b"b", b"a", b"b", b"c", b"a"])
    found = groups(ids)
    same = found[:, None] == found
    assert (same == (ids[:, None] == ids)).all()
    assert sorted(set(found.tolist())) == [0, 1, 2]


def test_only_ids_of_online_events_have_a_time() -> None:
    ids = np.array([b"018bcfe5680000000000000000000000", b"018bcfe5680000000000000000000000.12"])
    assert event_times(ids).tolist() == [1_700_000_000.0, 1_700_000_000.0]
    other = np.array(
        [b"order-7", b"018bcfe568000000000000000000000g", b"0" * 32, b"0" * 33, b"job-1"]
    )
    assert np.isnan(event_times(other)).all()
