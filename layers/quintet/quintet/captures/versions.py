"""The captures of an event that a rollout routed: lines for each version that began it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.captures.lines import failure_line, prediction_lines, taken_out_line
from quintet.captures.plans import CapturePlan, Seal
from quintet.columns import Batch
from quintet.contract import Contract
from quintet.errors import BadInput
from quintet.serving import Prediction
from quintet.serving.router import TakenOut

__all__ = ["Began", "version_lines"]


class Began(NamedTuple):
    """A version that began to answer an event, by its contract, and its route.

    `asked` are the rows that it was asked about, and their positions in the event if known.
    """

    contract: Contract
    route: str
    mark: str
    asked: tuple[Batch, NDArray[np.int64] | None] | None = None


def version_lines(
    event: Mapping[str, Any],
    answered: Sequence[Prediction],
    taken_out: Sequence[TakenOut],
    error: Exception | None,
    began: Iterable[Began] = (),
    *,
    seal: Seal | None = None,
) -> list[bytes]:
    """The lines of each version; `event` has the event's fields with its `rows` and times (`ms`).

    `answered` are the predictions that versions made, `error` is why the caller got none. A version
    that began and made no prediction failed with it. A version's times are those of the event
    without the other versions' runs.
    """
    lines = [taken_out_line(event, one) for one in taken_out]
    for one in answered:
        plan: CapturePlan = one.contract.compiled[CapturePlan]
        own = _routed(event, one.route, one.rollout) | {"ms": _times(event, one, answered)}
        if isinstance(error, BadInput) or (error is not None and one.scores.refusals):
            mine = (one.batch, one.rows) if one.rollout else None
            lines.append(failure_line(plan, own, error, event["rows"], mine, seal=seal))
        else:
            lines += prediction_lines(plan, own, one, seal=seal)
    ended = {(one.contract.version, one.rollout) for one in answered}
    for contract, route, mark, asked in began:
        if error is not None and (contract.version, mark) not in ended:
            failed: CapturePlan = contract.compiled[CapturePlan]
            own = _routed(event, route, mark)
            rows = asked if mark else None
            lines.append(failure_line(failed, own, error, event["rows"], rows, seal=seal))
    return lines


def _routed(event: Mapping[str, Any], route: str, mark: str) -> dict[str, Any]:
    return {**event, "route": route} | ({"rollout": mark} if mark else {})


def _times(
    event: Mapping[str, Any], one: Prediction, answered: Sequence[Prediction]
) -> dict[str, float]:
    """The times of one version's part, in milliseconds."""
    took = event["ms"] | one.took
    if "total_ms" in event["ms"]:
        others = sum(other.took["total_ms"] for other in answered if other is not one)
        took["total_ms"] = event["ms"]["total_ms"] - others
    return {step: round(milliseconds, 3) for step, milliseconds in took.items()}
