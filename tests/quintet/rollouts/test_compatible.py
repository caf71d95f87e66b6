"""Whether a version may take over from another, and whether their rows can be compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.kits.models import LOG, SHOP

from quintet.contract import Capture, Contract, Feature, Limits, Output
from quintet.errors import Conflict
from quintet.rollouts.compatible import (
    Unpaired,
    check_captured,
    check_compatible,
    differences,
    unpaired,
)

LIVE = replace(SHOP, capture=Capture())
NEW = replace(LIVE, version=4)
AMOUNT, ITEMS, ORDERS = LIVE.features
LABEL, PROBABILITY = LIVE.outputs


def with_features(*features: Feature) -> Contract:
    return replace(NEW, features=features)


def with_amount(**fields: Any) -> Contract:
    return with_features(replace(AMOUNT, **fields), ITEMS, ORDERS)


def with_label(**fields: Any) -> Contract:
    return replace(NEW, outputs=(replace(LABEL, **fields), PROBABILITY))


def test_a_new_version_of_the_same_contract_is_compatible() -> None:
    check_compatible(LIVE, NEW)
    check_captured(LIVE, NEW)
    assert unpaired(LIVE, NEW) == Unpaired("", "")


@pytest.mark.parametrize(
    "candidate",
    [
        with_features(*NEW.features, Feature(name="new", dtype="float32", default=0.0)),
        with_features(*NEW.features, Feature(name="new", dtype="float32", missing="nan")),
        with_features(
            *NEW.features, Feature(name="new", dtype="float32", source="store", default=0.0)
        ),
        with_features(AMOUNT, ITEMS),
        with_amount(range=(-5, None)),
        with_amount(range=None, default=0.0),
        replace(NEW, limits=Limits(rows=11, bytes=20_000)),
        replace(NEW, slo=replace(NEW.slo, p95_ms=1.0), fallback=None),
        with_label(finite=False, description="other words"),
    ],
)
def test_what_callers_do_not_notice_is_compatible(candidate: Contract) -> None:
    assert differences(LIVE, candidate) == []


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (replace(NEW, entity=None), "entity: expected 'customer' as in version 3, got None"),
        (replace(NEW, id="order"), "id: expected None as in version 3, got 'order'"),
        (
            replace(NEW, limits=Limits(rows=9, bytes=20_000)),
            "limits.rows: expected at least 10 as in version 3, got 9",
        ),
        (
            with_features(*NEW.features, Feature(name="new", dtype="float32")),
            "features.new: expected a default, as version 3 does not require it, got none",
        ),
        (
            with_features(*NEW.features, Feature(name="new", dtype="float32", source="store")),
            "features.new: expected a default, as version 3 does not require it, got none",
        ),
        (
            with_features(AMOUNT, ITEMS, Feature(name="orders_90d", dtype="float32")),
            "features.orders_90d: expected a default, as version 3 does not require it, got none",
        ),
        (
            with_features(AMOUNT, ORDERS),
            "features.items: expected a feature, as callers of version 3 send it, got none",
        ),
        (
            with_amount(dtype="float64"),
            "features.amount.dtype: expected float32 as in version 3, got float64",
        ),
        (
            with_amount(shape=(2,)),
            "features.amount.shape: expected [] as in version 3, got [2]",
        ),
        (
            with_amount(column="Amount"),
            "features.amount.column: expected amount as in version 3, got Amount",
        ),
        (
            with_amount(source="stream"),
            "features.amount.source: expected request as in version 3, got stream",
        ),
        (
            with_features(AMOUNT, replace(ITEMS, default=None), ORDERS),
            "features.items.default: expected one as in version 3, got none",
        ),
        (
            with_amount(range=(0, 5_000)),
            "features.amount.range: expected all of [0, 10000] as in version 3, got [0, 5000]",
        ),
        (
            with_features(AMOUNT, replace(ITEMS, range=(0, None)), ORDERS),
            "features.items.range: expected all of any value as in version 3, got [0, any]",
        ),
        (
            with_features(AMOUNT, replace(ITEMS, categories=(1, 2)), ORDERS),
            "features.items.categories: expected any value as in version 3, got [1, 2]",
        ),
        (
            replace(NEW, outputs=(PROBABILITY, LABEL)),
            "outputs: expected [label, probability] as in version 3, got [probability, label]",
        ),
        (
            replace(NEW, outputs=(LABEL,)),
            "outputs: expected [label, probability] as in version 3, got [label]",
        ),
        (
            with_label(dtype="int32"),
            "outputs.label.dtype: expected int64 as in version 3, got int32",
        ),
        (
            with_label(meaning="value"),
            "outputs.label.meaning: expected label as in version 3, got value",
        ),
        (
            with_label(classes=("cancelled", "kept")),
            "outputs.label.classes: expected [kept, cancelled] as in version 3, "
            "got [cancelled, kept]",
        ),
        (
            replace(NEW, outputs=(LABEL, replace(PROBABILITY, shape=(-1, 2)))),
            "outputs.probability.shape: expected [1] as in version 3, got [2]",
        ),
    ],
)
def test_each_difference_is_named(candidate: Contract, message: str) -> None:
    with pytest.raises(Conflict) as caught:
        check_compatible(LIVE, candidate)
    assert str(caught.value) == message


def test_all_differences_are_named_together() -> None:
    with pytest.raises(Conflict) as caught:
        check_compatible(LIVE, replace(LOG, name="shop", version=4))
    assert str(caught.value) == (
        "entity: expected 'customer' as in version 3, got None; "
        "features.x: expected a default, as version 3 does not require it, got none; "
        "features.amount: expected a feature, as callers of version 3 send it, got none; "
        "features.items: expected a feature, as callers of version 3 send it, got none; "
        "outputs: expected [label, probability] as in version 3, got [logs]"
    )


def test_larger_rows_and_more_categories_are_compatible_and_fewer_are_not() -> None:
    tags = Feature(name="tags", dtype="int64", shape=(-1,), max=8)
    colour = Feature(name="colour", dtype="string", categories=("red", "blue"))
    text = Output(name="out", dtype="float32", shape=(-1,), meaning="value")
    live = replace(LOG, features=(tags, colour), outputs=(text,))

    def found(most: int, categories: tuple[str, ...]) -> list[str]:
        some = (replace(tags, max=most), replace(colour, categories=categories))
        return list(map(str, differences(live, replace(live, version=2, features=some))))

    assert found(9, ("blue", "red", "green")) == []
    assert found(7, ("red",)) == [
        "features.tags.max: expected at least [8] as in version 1, got [7]",
        "features.colour.categories: expected [blue] as in version 1, got [red]",
    ]


@pytest.mark.parametrize("capture", [None, Capture(rate=0.0)])
def test_without_captures_no_gate_can_decide(capture: Capture | None) -> None:
    for live, new, version in (
        (replace(LIVE, capture=capture), NEW, 3),
        (LIVE, replace(NEW, capture=capture), 4),
    ):
        with pytest.raises(Conflict) as caught:
            check_captured(live, new)
        assert str(caught.value) == (
            "capture: expected captures of both versions, which every gate reads, got none of "
            f"version {version}; publish a version with `capture: {{}}` in model.yaml, or go "
            "without a rollout: `quintet promote shop 4`"
        )


def test_sensitive_features_are_not_in_captures() -> None:
    secret = tuple(replace(one, sensitive=one.name == "amount") for one in LIVE.features)
    why = "amount is sensitive, and not in captures of version"
    assert unpaired(replace(LIVE, features=secret), NEW) == Unpaired(f"{why} 3", "")
    assert unpaired(LIVE, replace(NEW, features=secret)) == Unpaired("", f"{why} 4")


def test_encrypted_features_are_known_to_who_may_open_them() -> None:
    """And not to a version whose own captures would show them."""
    sealed = replace(LIVE.capture or Capture(), sensitive="encrypted")
    secret = tuple(replace(one, sensitive=one.name == "amount") for one in LIVE.features)
    live, new = (replace(one, features=secret, capture=sealed) for one in (LIVE, NEW))
    assert unpaired(live, new) == Unpaired("", "")
    assert unpaired(live, replace(new, capture=Capture())) == Unpaired(
        "", "amount is sensitive, and not in captures of version 4"
    )
    assert unpaired(live, new, "no key") == Unpaired(
        "amount is encrypted in captures of version 3: no key",
        "amount is encrypted in captures of version 4: no key",
    )
    assert unpaired(live, NEW) == Unpaired(
        "amount is encrypted in captures of version 3, and not sensitive in version 4, whose "
        "captures would show it",
        "",
    )
    assert unpaired(LIVE, new) == Unpaired("", "")


def test_a_dropped_feature_without_default_leaves_the_live_version_nothing_to_score() -> None:
    assert unpaired(LIVE, with_features(AMOUNT, ITEMS)) == Unpaired(
        "", "orders_90d has no default, and version 4 does not have it"
    )


def test_rows_that_are_too_large_for_a_line_have_no_features_in_captures() -> None:
    image = (Feature(name="image", dtype="float32", shape=(3, 224, 224)),)
    live = replace(LIVE, features=image)
    why = "rows of 150,528 values are too large to be captured with their features"
    assert unpaired(live, replace(live, version=4)) == Unpaired(why, why)
