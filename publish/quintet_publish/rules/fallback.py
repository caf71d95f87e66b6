"""The rules of a contract's fallback and alert. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from quintet.columns import numpy_dtype
from quintet.contract import AlertRule, Contract, Fallback
from quintet_publish.rules.terms import Found, Path, is_of

__all__ = ["check_alert", "check_fallback"]

MAX_COOLDOWN = 604_800


def check_fallback(contract: Contract, fallback: Fallback) -> Found:
    """List where the fallback disagrees with the outputs and features, and what was expected."""
    names = [output.name for output in contract.outputs]
    for name in names:
        if name not in fallback.otherwise:
            yield ("otherwise",), f"expected a value for every output, {name} has none"
    yield from _answers(contract, ("otherwise",), fallback.otherwise.items())
    for position, rule in enumerate(fallback.rules):
        here = ("rules", position)
        yield from _answers(contract, (*here, "outputs"), rule.outputs.items())
        feature = contract.by_name.get(rule.feature)
        if feature is None or feature.source != "request" or feature.shape:
            yield (
                (*here, "feature"),
                f"expected a single-valued feature of the request, got {rule.feature!r}",
            )
            continue
        if rule.above is None and rule.below is None and rule.equals is None:
            yield here, "expected above, below or equals"
        if rule.equals is not None and not is_of(feature.dtype, rule.equals):
            yield (*here, "equals"), f"expected {feature.dtype}, got {rule.equals!r}"
        if numpy_dtype(feature.dtype).kind not in "iuf" and (rule.above, rule.below) != (
            None,
            None,
        ):
            yield here, f"above and below are for numbers; {feature.name} is a {feature.dtype}"


def _answers(contract: Contract, here: Path, answers: Iterable[tuple[str, Any]]) -> Found:
    outputs = {output.name: output for output in contract.outputs}
    for name, value in answers:
        if name not in outputs:
            yield (*here, name), f"expected an output, one of {', '.join(outputs)}"
            continue
        output = outputs[name]
        if output.free:
            yield (*here, name), f"expected no fallback for the shape {list(output.shape)}"
            continue
        values = value if isinstance(value, list) else [value]
        width = int(np.prod(output.row_shape, dtype=np.int64)) if output.row_shape else 1
        shaped = len(output.row_shape) <= 1 and isinstance(value, list) == bool(output.row_shape)
        if not shaped or len(values) != width:
            yield (*here, name), f"expected a value of shape {list(output.row_shape)}"
        elif not all(is_of(output.dtype, item) for item in values):
            yield (*here, name), f"expected {output.dtype}, got {value!r}"


def check_alert(contract: Contract, alert: AlertRule) -> Found:
    """List where the alert disagrees with the outputs, and what was expected."""
    output = next((o for o in contract.outputs if o.name == alert.output), None)
    if output is None:
        names = ", ".join(o.name for o in contract.outputs)
        yield ("output",), f"expected an output, one of {names}, got {alert.output!r}"
    elif output.free:
        yield ("output",), f"expected an output of a fixed shape, got {list(output.shape)}"
    elif numpy_dtype(output.dtype).kind not in "iuf":
        yield ("output",), f"expected an output of numbers; it is {output.dtype}"
    if alert.above is None and alert.below is None:
        yield (), "expected above or below"
    if not 0 <= alert.cooldown <= MAX_COOLDOWN:
        yield (
            ("cooldown",),
            f"expected seconds from 0 to {MAX_COOLDOWN}, got {alert.cooldown:g}",
        )
