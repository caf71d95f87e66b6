"""A template's parameters: values, checked against CloudFormation's bounds and rules.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/rules-section-structure.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from quintet.columns.names import suggestion
from quintet_local.intrinsics import IntrinsicError, Scope, holds

__all__ = ["LOCAL_PARAMETERS", "ParameterError", "parameters"]

#: Parameters of the local stage that samconfig.toml does not set.
LOCAL_PARAMETERS: Mapping[str, str] = {"Stage": "local", "ApiAuth": "none"}


class ParameterError(Exception):
    """A parameter that CloudFormation would refuse; the text names it."""


def parameters(source: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Return the value of every parameter of the template `source`; `given` overrides the defaults.

    Raises:
        ParameterError: a value is missing, unknown, out of its bounds, or against a rule.
    """
    declared: Mapping[str, Any] = source.get("Parameters") or {}
    for name in given:
        if name not in declared:
            known = ", ".join(sorted(declared)) or "none"
            hint = suggestion(name, [*declared])
            raise ParameterError(f"parameter {name}: not in the template, which has {known}{hint}")
    local = {name: value for name, value in LOCAL_PARAMETERS.items() if name in declared}
    if given.get("Stage", "local") != "local":
        local = {}
    defaults = {name: spec["Default"] for name, spec in declared.items() if "Default" in spec}
    found = {name: str(value) for name, value in (defaults | local | dict(given)).items()}
    for name, spec in declared.items():
        if name not in found:
            raise ParameterError(f"parameter {name}: has no default and was not given")
        for expected in _broken(found[name], spec):
            raise ParameterError(f"parameter {name}: expected {expected}, got {found[name]!r}")
    for assertion in _failed(source.get("Rules") or {}, found):
        raise ParameterError(assertion)
    return found


def _broken(value: str, spec: Mapping[str, Any]) -> Iterator[str]:
    """Describe each bound of its parameter that `value` violates."""
    allowed = [str(one) for one in spec.get("AllowedValues", [value])]
    if value not in allowed:
        yield f"one of {', '.join(allowed)}"
    # CloudFormation matches the whole value
    if "AllowedPattern" in spec and not re.fullmatch(spec["AllowedPattern"], value):
        yield f"a match of {spec['AllowedPattern']}"
    size: float = len(value)
    low, high, unit = spec.get("MinLength"), spec.get("MaxLength"), " characters"
    if spec.get("Type") == "Number":
        low, high, unit = spec.get("MinValue"), spec.get("MaxValue"), ""
        try:
            size = float(value)
        except ValueError:
            yield "a number"
            return
    if low is not None and size < float(low):
        yield f"at least {low}{unit}"
    if high is not None and size > float(high):
        yield f"at most {high}{unit}"


def _failed(rules: Mapping[str, Any], values: Mapping[str, str]) -> Iterator[str]:
    """Return the descriptions of the assertions that do not hold."""
    scope = Scope(values)
    for name, rule in rules.items():
        try:
            if "RuleCondition" in rule and not holds(rule["RuleCondition"], scope):
                continue
            for assertion in rule["Assertions"]:
                if not holds(assertion["Assert"], scope):
                    yield f"rule {name}: {assertion.get('AssertDescription', 'does not hold')}"
        except IntrinsicError as error:
            raise ParameterError(f"rule {name}: {error}") from error
