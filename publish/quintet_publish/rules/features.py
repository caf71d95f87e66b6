"""The rules of a feature. Pure."""

from __future__ import annotations

from typing import Any

from quintet.columns import numpy_dtype
from quintet.contract import Contract, Feature
from quintet_publish.rules.terms import FIELD, RESERVED, Found, dimensions, is_of, tensor_name

__all__ = ["check_feature"]


def check_feature(contract: Contract, feature: Feature) -> Found:
    """List where a feature contradicts itself or its contract, and what was expected."""
    if not FIELD.fullmatch(feature.name):
        yield ("name",), "expected a letter or _, then at most 62 letters, digits, _ . or -"
    if feature.column is not None:
        yield from _column(contract, feature)
    yield from dimensions(feature.shape, feature.max)
    if feature.pad is not None:
        yield from _pad(feature, feature.pad)
    if feature.range is not None:
        yield from _range(feature)
    if feature.categories is not None:
        yield from _categories(feature)
    if feature.default is not None:
        yield from _default(feature, feature.default)
    if feature.missing and feature.default is not None:
        yield ("missing",), "expected either a default or missing: nan, got both"
    if feature.missing and numpy_dtype(feature.dtype).kind != "f":
        yield ("missing",), f"nan is for floats; {feature.name} is {feature.dtype}"
    if feature.empty == "missing" and (feature.dtype != "string" or feature.shape):
        what = f"{feature.dtype} of shape {list(feature.shape)}"
        yield ("empty",), f"missing is for a single string; {feature.name} is a {what}"
    yield from (_requested if feature.source == "request" else _stored)(contract, feature)


def _pad(feature: Feature, value: Any) -> Found:
    if not feature.free:
        yield ("pad",), f"is for a shape with a size of -1, got {list(feature.shape)}"
    elif not is_of(feature.dtype, value):
        yield ("pad",), f"expected {feature.dtype}, got {value!r}"


def _column(contract: Contract, feature: Feature) -> Found:
    column = feature.column or ""
    yield from tensor_name(("column",), column)
    alike = contract.requested if feature.source == "request" else contract.stored
    for other in alike:
        if other is not feature and other.key == column:
            yield ("column",), f"is the column of {other.name} too"
    if contract.entity in (column, feature.name):
        yield ("column",), f"the column {contract.entity} is the entity key"


def _range(feature: Feature) -> Found:
    assert feature.range is not None
    low, high = feature.range
    if numpy_dtype(feature.dtype).kind not in "iuf":
        yield ("range",), f"is for numbers; {feature.name} is a {feature.dtype}"
    elif feature.categories is not None:
        yield ("range",), "expected either a range or categories, got both"
    elif low is None and high is None:
        yield ("range",), "expected a lowest or a highest value, or both"
    elif low is not None and high is not None and low > high:
        yield ("range",), f"expected the lowest value first, got {low:g} and {high:g}"


def _categories(feature: Feature) -> Found:
    categories = feature.categories or ()
    if numpy_dtype(feature.dtype).kind == "b" or feature.shape:
        what = f"{feature.dtype} of shape {list(feature.shape)}"
        yield ("categories",), f"are for a single string or number; {feature.name} is a {what}"
        return
    if not categories:
        yield ("categories",), "expected at least one"
    for position, category in enumerate(categories):
        if category in categories[:position]:
            yield ("categories", position), f"{category!r} is listed twice"
        elif not is_of(feature.dtype, category):
            yield ("categories", position), f"expected {feature.dtype}, got {category!r}"


def _default(feature: Feature, value: Any) -> Found:
    if feature.free:
        yield ("default",), f"is for a fixed shape, got {list(feature.shape)}"
        return
    if not is_of(feature.dtype, value):
        yield ("default",), f"expected {feature.dtype}, got {value!r}"
        return
    low, high = feature.range or (None, None)
    if (low is not None and value < low) or (high is not None and value > high):
        yield ("default",), f"expected a value in the feature's range, got {value!r}"
    if feature.categories is not None and value not in feature.categories:
        yield ("default",), f"expected one of the feature's categories, got {value!r}"


def _requested(_: Contract, feature: Feature) -> Found:
    if feature.max_age is not None:
        yield ("max_age",), "is for features of a store or window; this comes with the request"
    if feature.when_stale != "refuse":
        yield ("when_stale",), "is for features of a store or window; this comes with the request"


def _stored(contract: Contract, feature: Feature) -> Found:
    if feature.empty == "missing":
        yield ("empty",), "missing is for features that come with the request; this is stored"
    if contract.entity is None:
        yield ("source",), "needs the contract's `entity`: the key that joins stored features"
    if feature.name in RESERVED:
        yield ("name",), f"expected a name other than {' and '.join(RESERVED)}"
    if feature.shape:
        yield ("shape",), "stored features are single values"
    if feature.max_age is not None and feature.max_age <= 0:
        yield ("max_age",), f"expected more than 0 seconds, got {feature.max_age:g}"
    if feature.max_age is None and feature.when_stale != "serve":
        yield ("max_age",), "is required, in seconds, unless `when_stale` is serve"
    if feature.when_stale == "default" and feature.fill is None:
        yield ("default",), "is required, since `when_stale` is default"
    if feature.when_stale == "fallback" and contract.fallback is None:
        yield ("when_stale",), "is fallback, and the contract has no `fallback`"
