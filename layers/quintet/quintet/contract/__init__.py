"""The contract of a model: the content of `model.yaml`, as dataclasses.

These classes hold a *validated* contract. They import nothing heavy, because `predict`
reads one in Lambda's init; the publisher (`quintet_publish.package`) validates `model.yaml`
with pydantic against the same classes and writes the result as `contract.json`.
"""

from __future__ import annotations

from quintet.contract.dicts import from_dict, to_dict
from quintet.contract.model import Contract
from quintet.contract.parts import (
    Decimal,
    DType,
    Header,
    How,
    Meaning,
    Missing,
    Scalar,
    Source,
    WhenStale,
)
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

__all__ = [
    "Aggregate",
    "AlertRule",
    "Candidates",
    "Capture",
    "Contract",
    "DType",
    "Decimal",
    "DriftRule",
    "Fallback",
    "FallbackRule",
    "Feature",
    "Filters",
    "Gates",
    "Header",
    "How",
    "Input",
    "Limits",
    "Margins",
    "Meaning",
    "Missing",
    "Output",
    "Recommend",
    "RolloutRule",
    "Scalar",
    "Slo",
    "Source",
    "Stream",
    "WhenStale",
    "from_dict",
    "to_dict",
]
