"""A contract as dicts and lists, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from quintet.contract.model import Contract
from quintet.contract.parts import Part
from quintet.contract.rules import (
    Aggregate,
    AlertRule,
    Candidates,
    Capture,
    DriftRule,
    Fallback,
    FallbackRule,
    Filters,
    Gates,
    Limits,
    Margins,
    Recommend,
    RolloutRule,
    Slo,
    Stream,
)
from quintet.contract.tensors import Feature, Input, Output

__all__ = ["from_dict", "to_dict"]


def to_dict(contract: Contract) -> dict[str, Any]:
    """The contract as JSON-ready dicts and lists, every field present."""
    return dataclasses.asdict(contract)


def from_dict(data: Mapping[str, Any]) -> Contract:
    """Build a contract from the output of `to_dict`. Publishing validated it already."""
    stream = data.get("stream")
    if stream and "id" in stream:  # published when a row's id was a setting of streams alone
        stream = dict(stream)
        data = {**data, "id": stream.pop("id"), "stream": stream}
    built: Contract = _build(Contract, data)
    return built


#: the fields that hold other parts, alone or in a tuple
_PARTS: dict[type[Part], dict[str, type[Part]]] = {
    Contract: {
        "features": Feature,
        "inputs": Input,
        "outputs": Output,
        "slo": Slo,
        "limits": Limits,
        "fallback": Fallback,
        "alert": AlertRule,
        "stream": Stream,
        "capture": Capture,
        "candidates": Candidates,
        "recommend": Recommend,
        "drift": DriftRule,
        "rollout": RolloutRule,
    },
    Fallback: {"rules": FallbackRule},
    Stream: {"aggregates": Aggregate},
    Recommend: {"filters": Filters},
    RolloutRule: {"margins": Margins, "gates": Gates},
}


def _build(kind: type[Part], data: Mapping[str, Any]) -> Any:
    """A part from JSON, in which tuples are lists."""
    parts, values = _PARTS.get(kind, {}), {}
    for name, value in data.items():
        part = parts.get(name)
        if isinstance(value, list | tuple):
            values[name] = tuple(value if part is None else [_build(part, v) for v in value])
        else:
            values[name] = value if part is None or value is None else _build(part, value)
    return kind(**values)
