"""Labels joined with captures: which label counts for which prediction, and what follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn import metrics
from tests.kits.labels import (
    BINARY,
    CLASSES,
    DAY,
    NUMBER,
    START,
    capture,
    event_id,
    label,
)

from quintet.captures.compaction import compact
from quintet.captures.store import MemoryCaptures
from quintet.contract import Contract
from quintet.labels.estimates import Estimator
from quintet.labels.statistics import expected_auc
from quintet.labels.targets import Target
from quintet.labels.window import quality
from quintet_cli.views.quality import quality_view

NOTHING = {
    "read": 0,
    "used": 0,
    "twice": 0,
    "corrected": 0,
    "contradictory": 0,
    "late": 0,
    "not_a_label": 0,
    "unknown": 0,
}


def risks(p: Any) -> dict[str, Any]:
    """The outputs of BINARY, whose label reviews from 0.15 on."""
    p = np.array(p, dtype=np.float64)
    return {
        "output_label": (p >= 0.15).astype(np.int64),
        "output_p_kept": 1 - p,
        "output_p_cancelled": p,
    }


def found(
    objects: MemoryCaptures, contract: Contract = BINARY, by: str | None = None, days: int = 3
) -> dict[str, Any]:
    return quality(
        objects, contract.name, START, START + days * DAY, lambda version: Target(contract), by=by
    )


def test_an_id_is_an_event_its_row_or_the_rows_own() -> None:
    objects = MemoryCaptures()
    one, two = event_id(START, 1), event_id(START, 2)
    capture(objects, [one], [START], risks([0.5]))
    capture(objects, [two, two], [START, START], risks([0.1, 0.9]), row=np.array([0, 1]), rows=2)
    # of a shard and a sequence number, with the row's own id
    capture(
        objects,
        ["events.shard-0.4959"] * 2,
        [START + 60] * 2,
        risks([0.2, 0.3]),
        row=np.array([0, 1]),
        rows=2,
        row_id=["öre-7", None],
    )
    labels = [
        (one, "cancelled", START + 9),
        (f"{two}.1", "1", START + 9),
        (two, "0", START + 9),  # which of its rows?
        ("öre-7", "kept", START + 9),
        ("events.shard-0.4959.1", "accept", START + 9),
    ]
    label(objects, labels, "risk")
    said = found(objects)
    assert said["labels"] == NOTHING | {"read": 5, "used": 4, "unknown": 1}
    (version,) = said["versions"]
    assert (version["rows"], version["labelled"]) == (5, 4)
    assert version["realised"]["accuracy"] == 0.5  # 0.5 and 0.9 were cancelled, 0.2 and 0.3 kept
    assert version["realised"]["auc"] == 1.0
    assert version["realised"]["brier"] == pytest.approx((0.25 + 0.01 + 0.04 + 0.09) / 4)


def test_twice_corrected_contradictory_late_unknown_and_of_no_class() -> None:
    objects = MemoryCaptures()
    events = [event_id(START, number) for number in range(5)]
    capture(objects, events, [START] * 5, risks([0.9, 0.8, 0.7, 0.6, 0.5]))
    rows = [
        (events[0], "kept", START + 1),
        (events[0], "kept", START + 1),  # twice
        (events[0], "kept", START + 2),  # and once more
        (events[1], "kept", START + 1),
        (events[1], "cancelled", START + 2),  # corrected
        (events[2], "kept", START + 1),  # twice, with the last
        (events[2], "cancelled", START + 5),
        (events[2], "kept", START + 5),  # contradictory
        (events[3], "purple", START + 1),  # of no class
        (event_id(START - DAY, 0) + ".3", "kept", START + 1),  # late
        (event_id(START, 99), "kept", START + 1),  # unknown
        ("order-1", "kept", START + 1),  # unknown
    ]
    label(objects, rows[:6], "risk")
    label(objects, rows[6:], "risk")
    said = found(objects)
    assert said["labels"] == {
        "read": 12,
        "used": 2,
        "twice": 3,
        "corrected": 1,
        "contradictory": 1,
        "late": 1,
        "not_a_label": 1,
        "unknown": 2,
    }
    (version,) = said["versions"]
    assert (version["rows"], version["labelled"]) == (5, 2)
    assert version["realised"]["auc"] == 0.0  # 0.9 kept, 0.8 cancelled


def test_loading_again_and_captures_that_come_twice_change_nothing() -> None:
    objects = MemoryCaptures()
    events = [event_id(START, number) for number in range(3)]
    capture(objects, events, [START] * 3, risks([0.1, 0.2, 0.9]))
    rows = [(event, "kept", START + 1.5 + n) for n, event in enumerate(events)]
    label(objects, rows, "risk")
    before, keys = found(objects), objects.keys("labels/")
    label(objects, rows[::-1], "risk")
    assert objects.keys("labels/") == keys
    assert keys[0].startswith("labels/model=risk/date=2023-11-15/")
    capture(objects, events[:2], [START] * 2, risks([0.1, 0.2]))  # delivered in another batch
    assert found(objects) == before
    compact(objects, objects, START + DAY)
    assert objects.keys("raw/") == []
    assert found(objects) == before


def test_days_and_versions_have_their_own_quality_and_estimates_need_no_label() -> None:
    random = np.random.default_rng(0)
    objects = MemoryCaptures()
    truths, told = [], []
    for day in range(2):
        p = random.beta(2, 4, 4_000)
        true = (random.random(4_000) < p).astype(int)
        events = [event_id(START + day * DAY, number) for number in range(4_000)]
        shown = np.sqrt(p)  # overconfident
        capture(objects, events, [START + day * DAY] * 4_000, risks(shown))
        truths.append(true)
        told.append(shown)
        if day == 0:
            label(
                objects, [(e, str(t), START + 9) for e, t in zip(events, true, strict=True)], "risk"
            )
    other = event_id(START, 10_000)
    capture(objects, [other], [START + DAY], risks([0.5]), version=2)
    first, second = found(objects)["versions"]
    assert (second["version"], second["rows"], second["realised"]) == (2, 1, None)
    zero, one = first["days"]
    assert (zero["day"], one["day"]) == ("2023-11-15", "2023-11-16")
    assert zero["realised"]["accuracy"] == metrics.accuracy_score(truths[0], told[0] >= 0.15)
    assert zero["realised"]["auc"] == pytest.approx(metrics.roc_auc_score(truths[0], told[0]))
    assert zero["realised"]["log_loss"] == pytest.approx(metrics.log_loss(truths[0], told[0]))
    assert (zero["calibrated_on"], one["calibrated_on"]) == (0, 4_000)
    # without labels, and calibrated by the first day's: what it will turn out to be
    assert (one["labelled"], one["realised"]) == (0, None)
    assert one["estimated"] == {
        "accuracy": pytest.approx(np.mean(truths[1] == (told[1] >= 0.15)), abs=0.02),
        "auc": pytest.approx(metrics.roc_auc_score(truths[1], told[1]), abs=0.02),
        "log_loss": pytest.approx(metrics.log_loss(truths[1], told[1]), abs=0.02),
    }
    # the first day's had nothing to be calibrated by
    assert abs(zero["estimated"]["log_loss"] - zero["realised"]["log_loss"]) > 0.05


def test_several_classes_by_name_label_and_number() -> None:
    objects = MemoryCaptures()
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.4, 0.5, 0.1]])
    names = ("shoes", "hats", "coats")
    events = [event_id(START, number) for number in range(4)]
    values = {f"output_p_{name}": p[:, at] for at, name in enumerate(names)}
    capture(objects, events, [START] * 4, values, model="texts")
    rows = [(events[0], "shoes"), (events[1], "5"), (events[2], "7.0"), (events[3], "shoes")]
    label(objects, [(event, text, START) for event, text in rows], "texts")
    (version,) = found(objects, CLASSES)["versions"]
    truth = [0, 1, 2, 0]
    assert version["realised"] == {
        "accuracy": 0.75,
        "auc": pytest.approx(metrics.roc_auc_score(truth, p, multi_class="ovr")),
        "log_loss": pytest.approx(metrics.log_loss(truth, p)),
        "calibration_error": pytest.approx((0.4 + abs(0.5 + 0.5 - 1) + 0.3) / 4),
    }
    assert version["estimated"] == {
        "accuracy": pytest.approx((0.6 + 0.5 + 0.7 + 0.5) / 4),
        "auc": pytest.approx(np.mean([expected_auc(one, one) for one in p.T])),
        "log_loss": pytest.approx(-(p * np.log(p)).sum() / 4),
    }


def test_the_quality_of_several_classes_is_estimated_before_labels_come() -> None:
    random = np.random.default_rng(3)
    objects = MemoryCaptures()
    names = ("shoes", "hats", "coats")
    rows: list[tuple[str, str, float]] = []
    for day, mix in enumerate(([0.5, 0.5, 0.5], [1, 1, 0.5])):  # the second is harder to tell
        p = random.dirichlet(mix, 5_000)
        truth = np.array([random.choice(3, p=row) for row in p])
        told = p**2 / (p**2).sum(axis=1, keepdims=True)  # too sure
        events = [event_id(START + day * DAY, number) for number in range(5_000)]
        values = {f"output_p_{name}": told[:, at] for at, name in enumerate(names)}
        capture(objects, events, [START + day * DAY] * 5_000, values, model="texts")
        if day == 0:
            rows = [(e, names[at], START) for e, at in zip(events, truth.tolist(), strict=True)]

    def second_day() -> dict[str, Any]:
        (version,) = found(objects, CLASSES)["versions"]
        day: dict[str, Any] = version["days"][1]
        return day

    before = second_day()["estimated"]
    label(objects, rows, "texts")
    after = second_day()
    assert (after["labelled"], after["realised"], after["calibrated_on"]) == (0, None, 5_000)
    realised = {
        "accuracy": np.mean(told.argmax(axis=1) == truth),
        "auc": metrics.roc_auc_score(truth, told, multi_class="ovr"),
        "log_loss": metrics.log_loss(truth, told),
    }
    assert set(before) == set(after["estimated"]) == set(realised)
    for name, value in realised.items():
        assert abs(after["estimated"][name] - value) < 0.04, name
        assert abs(before[name] - value) > 0.1, name


def test_of_very_many_classes_accuracy_alone_is_estimated() -> None:
    probabilities = np.full((3, 101), 1 / 101)
    estimator = Estimator(probabilities, np.array([0, 5, -1]), np.full(3, np.nan))
    assert estimator.calibrate(np.arange(3)) == 0
    assert estimator.of(np.arange(3)) == {"accuracy": pytest.approx(2 / 303)}


def test_numbers_have_errors_and_no_estimate() -> None:
    objects = MemoryCaptures()
    events = [event_id(START, number) for number in range(3)]
    capture(objects, events, [START] * 3, {"output_y": np.array([1.0, 2.0, 5.0])}, model="heat")
    label(objects, [(events[0], "2", START), (events[2], "4.5e0", START)], "heat")
    label(objects, [(events[1], "warm", START)], "heat")
    said = found(objects, NUMBER)
    assert said["labels"] == NOTHING | {"read": 3, "used": 2, "not_a_label": 1}
    (version,) = said["versions"]
    assert version["realised"] == {
        "rmse": pytest.approx(np.sqrt((1 + 0.25) / 2)),
        "mae": 0.75,
        "bias": -0.25,
    }
    assert version["estimated"] is None
    reason = "no estimate for numbers: a value does not say how far off it may be"
    assert version["no_estimate"] == reason
    assert reason in list(quality_view(said))


def test_labels_without_probabilities_have_no_estimate() -> None:
    objects = MemoryCaptures()
    contract = replace(BINARY, outputs=tuple(o for o in BINARY.outputs if o.name == "label"))
    events = [event_id(START, number) for number in range(2)]
    capture(objects, events, [START] * 2, {"output_label": np.array([0, 1])})
    label(objects, [(events[0], "1", START)], "risk")
    (version,) = found(objects, contract)["versions"]
    assert (version["realised"], version["estimated"]) == ({"accuracy": 0.0}, None)
    assert version["no_estimate"] == "no estimate without `probabilities` among the outputs"


def test_segments_are_values_or_quarters_of_numbers() -> None:
    objects = MemoryCaptures()
    events = [event_id(START, number) for number in range(40)]
    own = {
        "feature_country": np.array(["de", "fr"] * 20, dtype=object),
        "feature_amount": np.arange(40.0),
    }
    own["feature_amount"][39] = np.nan
    capture(objects, events, [START] * 40, risks(np.linspace(0, 1, 40)) | own)
    label(objects, [(events[0], "kept", START), (events[1], "cancelled", START)], "risk")
    (version,) = found(objects, by="feature_country")["versions"]
    parts = version["segments"]
    assert [(part["value"], part["rows"], part["labelled"]) for part in parts] == [
        ("de", 20, 1),
        ("fr", 20, 1),
    ]
    assert [part["realised"]["accuracy"] for part in parts] == [1.0, 0.0]
    (version,) = found(objects, by="feature_amount")["versions"]
    assert [(part["value"], part["rows"]) for part in version["segments"]] == [
        ("0 to 9.5", 10),
        ("9.5 to 19", 9),
        ("19 to 28.5", 10),
        ("28.5 to 38", 10),
        (None, 1),
    ]


def test_what_is_left_out_is_counted() -> None:
    objects = MemoryCaptures()
    events = [event_id(START, number) for number in range(3)]
    capture(
        objects, events, [START] * 3, risks([0.1, 0.2, 0.9]), fallback=np.array([0, 1, 0], bool)
    )
    capture(objects, [event_id(START, 9)], [START], risks([0.5]), version=7)
    capture(objects, [event_id(START, 8)], [START], risks([np.nan]))
    label(objects, [(event, "kept", START) for event in events], "risk")
    said = quality(
        objects,
        "risk",
        START,
        START + DAY,
        lambda version: Target(BINARY) if version == 1 else None,
    )
    assert said["deleted"] == {"7": 1}
    assert said["labels"] == NOTHING | {"read": 3, "used": 3}
    (version,) = said["versions"]
    assert (version["rows"], version["labelled"]) == (2, 2)
    assert (version["by_rule"], version["not_finite"]) == (1, 1)


def test_damaged_objects_are_named_and_left_out() -> None:
    objects = MemoryCaptures()
    for number in range(2):
        event = event_id(START + number * 3600, number)
        capture(objects, [event], [START + number * 3600], risks([0.1]))
        label(objects, [(event, "kept", START)], "risk")
    whole = found(objects)
    assert whole["damaged"] == []
    damaged = [objects.keys("raw/")[0], objects.keys("labels/")[0]]
    objects.objects |= dict.fromkeys(damaged, b"PAR1 no more")
    said = found(objects)
    assert said["damaged"] == damaged
    assert (said["versions"][0]["rows"], said["labels"]["read"]) == (1, 1)


def test_nothing_captured_and_nothing_labelled() -> None:
    objects = MemoryCaptures()
    assert found(objects)["versions"] == []
    capture(objects, ["e"], [START], risks([0.1]), outcome="refused")
    assert found(objects)["versions"] == []
    capture(objects, [event_id(START, 1)], [START], risks([0.1]))
    said = found(objects)
    assert said["labels"] == NOTHING
    assert said["versions"][0]["realised"] is None
    # a clock that runs ahead: beyond the window
    capture(objects, [event_id(START + 9 * DAY, 1)], [START + 9 * DAY], risks([0.1]))
    assert found(objects) == said
