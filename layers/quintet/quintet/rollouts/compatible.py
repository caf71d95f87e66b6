"""Whether a version may take over from another: what their contracts say to callers. Pure.

A candidate answers requests that were made for the live version, and callers do not change on the
day of its promotion. So it takes everything that the live version takes, and answers in its form.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from quintet.captures.lines import MAX_BYTES
from quintet.contract import Contract, Feature, Output
from quintet.errors import Conflict, Refusal

__all__ = ["Unpaired", "check_captured", "check_compatible", "differences", "unpaired"]

#: of a value in a capture, at least: "255," and "0.5,"
NUMBER_BYTES = 4


@dataclass(frozen=True, slots=True)
class Unpaired:
    """Why the versions of a rollout cannot be compared row by row; empty where they can.

    In `shadow`, the candidate is asked about rows that the live version answered; as a `canary`,
    the live version about rows that the candidate answered.
    """

    shadow: str
    canary: str


def check_compatible(live: Contract, candidate: Contract) -> None:
    """Check that a candidate may take over from the live version.

    Raises:
        Conflict: it may not; the error names each difference.
    """
    if found := differences(live, candidate):
        raise Conflict(found)


def check_captured(live: Contract, candidate: Contract) -> None:
    """Check that the answers of both versions are captured, as every gate reads captures.

    Raises:
        Conflict: those of one are not.
    """
    for contract in (live, candidate):
        if contract.capture is None or contract.capture.rate == 0:
            name, version = contract.name, contract.version
            raise Conflict.of(
                "capture",
                "captures of both versions, which every gate reads",
                f"none of version {version}; publish a version with `capture: {{}}` in model.yaml, "
                f"or go without a rollout: `quintet promote {name} {candidate.version}`",
            )


def differences(live: Contract, candidate: Contract) -> list[Refusal]:
    """What a candidate would refuse, or answer otherwise, for the live version's callers."""
    of = f"version {live.version}"
    found = [
        Refusal(None, name, f"{before!r} as in {of}", repr(after))
        for name, before, after in (
            ("entity", live.entity, candidate.entity),
            ("id", live.id, candidate.id),
        )
        if before != after
    ]
    for name in ("rows", "bytes"):
        least, most = getattr(live.limits, name), getattr(candidate.limits, name)
        if most < least:
            found.append(Refusal(None, f"limits.{name}", f"at least {least} as in {of}", str(most)))
    found += _of_features(live, candidate, of)
    found += _of_outputs(live.outputs, candidate.outputs, of)
    return found


def unpaired(live: Contract, candidate: Contract, unopened: str = "") -> Unpaired:
    """Why rows that one version answered cannot be scored by the other from their captures.

    `unopened` is why encrypted features cannot be opened, if they cannot.
    """
    return Unpaired(
        _unknown(candidate, live, unopened) or _uncovered(candidate, live),
        _unknown(live, candidate, unopened),
    )


# ---- features -----------------------------------------------------------------------------------


def _of_features(live: Contract, candidate: Contract, of: str) -> Iterator[Refusal]:
    for feature in candidate.features:
        before, where = live.by_name.get(feature.name), f"features.{feature.name}"
        if before is None or (before.source != "request" and feature.source == "request"):
            if feature.fill is None:
                expected = f"a default, as {of} does not require it"
                yield Refusal(None, where, expected, "none")
        else:
            for what, expected, got in _of_feature(before, feature):
                yield Refusal(None, f"{where}.{what}", f"{expected} as in {of}", got)
    for feature in live.requested:
        if feature.name not in candidate.by_name:
            expected = f"a feature, as callers of {of} send it"
            yield Refusal(None, f"features.{feature.name}", expected, "none")


def _of_feature(before: Feature, after: Feature) -> Iterator[tuple[str, str, str]]:
    """Field, what was expected and what came, for each difference that callers would notice."""
    for name in ("dtype", "shape"):
        if getattr(before, name) != getattr(after, name):
            yield name, _shown(getattr(before, name)), _shown(getattr(after, name))
    if before.source != "request":
        return
    if after.source != "request":
        yield "source", "request", after.source
        return
    if before.key != after.key:
        yield "column", before.key, after.key
    if before.fill is not None and after.fill is None:
        yield "default", "one", "none"
    if before.shape == after.shape and any(
        new < old for old, new in zip(before.largest, after.largest, strict=True)
    ):
        yield "max", f"at least {_shown(before.largest)}", _shown(after.largest)
    if after.range is not None:
        low, high = before.range or (None, None)
        if _above(after.range[0], low) or _above(high, after.range[1], none=True):
            yield "range", f"all of {_shown(before.range)}", _shown(after.range)
    if after.categories is not None:
        left = [one for one in before.categories or () if one not in after.categories]
        if before.categories is None or left:
            yield "categories", _shown(left or "any value"), _shown(after.categories)


def _above(one: float | None, other: float | None, *, none: bool = False) -> bool:
    """Whether a bound is above another one; an absent one is below all, with `none` above all."""
    absent = float("inf") if none else float("-inf")
    return (absent if one is None else one) > (absent if other is None else other)


def _unknown(asked: Contract, answered: Contract, unopened: str) -> str:
    """Which features of the version that is asked are not in captures of the one that answered."""
    numbers = sum(math.prod(max(size, 1) for size in one.shape) for one in answered.features)
    if numbers * NUMBER_BYTES > MAX_BYTES:
        return f"rows of {numbers:,} values are too large to be captured with their features"
    for feature in asked.features:
        known = answered.by_name.get(feature.name)
        if known is not None and known.sensitive:
            version = answered.version
            if not _seals(answered):
                return f"{feature.name} is sensitive, and not in captures of version {version}"
            if unopened:
                return f"{feature.name} is encrypted in captures of version {version}: {unopened}"
        if known is None and feature.fill is None:
            return f"{feature.name} has no default, and version {answered.version} does not have it"
    return ""


def _uncovered(asked: Contract, answered: Contract) -> str:
    """Which feature the shadow captures of the version that is asked would hold in the clear,
    though it is encrypted in captures of the one that answered."""
    for feature in asked.features:
        known = answered.by_name.get(feature.name)
        if known is not None and known.sensitive and not feature.sensitive and _seals(answered):
            return (
                f"{feature.name} is encrypted in captures of version {answered.version}, and not "
                f"sensitive in version {asked.version}, whose captures would show it"
            )
    return ""


def _seals(contract: Contract) -> bool:
    return contract.capture is not None and contract.capture.sensitive == "encrypted"


# ---- outputs ------------------------------------------------------------------------------------


def _of_outputs(
    live: tuple[Output, ...], candidate: tuple[Output, ...], of: str
) -> Iterator[Refusal]:
    for before, after in zip_longest(live, candidate):
        if before is None or after is None or before.name != after.name:
            names = [_shown([one.name for one in outputs]) for outputs in (live, candidate)]
            yield Refusal(None, "outputs", f"{names[0]} as in {of}", names[1])
            return
        for what, expected, got in _of_output(before, after):
            where = f"outputs.{before.name}.{what}"
            yield Refusal(None, where, f"{_shown(expected)} as in {of}", _shown(got))


def _of_output(before: Output, after: Output) -> Iterator[tuple[str, Any, Any]]:
    for what, name in (
        ("dtype", "dtype"),
        ("shape", "row_shape"),
        ("meaning", "meaning"),
        ("classes", "class_names"),
        ("classes", "labels"),
    ):
        pair = getattr(before, name), getattr(after, name)
        if pair[0] != pair[1]:
            yield what, *pair


def _shown(value: Any) -> str:
    match value:
        case tuple() | list():
            return f"[{', '.join('any' if one is None else str(one) for one in value)}]"
        case None:
            return "any value"
    return str(value)
