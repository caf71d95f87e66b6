"""CloudFormation's intrinsic functions, resolved where their references are known."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["NO_VALUE", "IntrinsicError", "Scope", "holds", "references", "resolve"]

#: the value of `AWS::NoValue`; it is removed from objects and lists
NO_VALUE = object()
_PLACEHOLDER = re.compile(r"\$\{([^!}][^}]*)\}")


class IntrinsicError(Exception):
    """An intrinsic function is malformed or its condition or mapping does not exist."""


def _unknown(*_: str) -> Any:
    return None


@dataclass(frozen=True)
class Scope:
    """Resolves names: `ref` and `attribute` return None for what is not known yet."""

    values: Mapping[str, Any]
    conditions: Mapping[str, Any] = field(default_factory=dict)
    mappings: Mapping[str, Any] = field(default_factory=dict)
    ref: Callable[[str], Any] = _unknown
    attribute: Callable[[str, str], Any] = _unknown

    def reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        return self.values[name] if name in self.values else self.ref(name)

    def condition(self, name: str) -> bool:
        if name not in self.conditions:
            raise IntrinsicError(f"condition {name} is not in the template")
        return holds(self.conditions[name], self)


def resolve(node: Any, scope: Scope) -> Any:
    """Return `node` with every intrinsic that `scope` knows replaced, and the others unchanged."""
    if isinstance(node, list):
        items = (resolve(item, scope) for item in node)
        return [item for item in items if item is not NO_VALUE]
    if not isinstance(node, dict):
        return node
    if len(node) == 1:
        ((name, argument),) = node.items()
        function = _FUNCTIONS.get(name)
        if function is not None:
            return function(argument, scope)
    resolved = {key: resolve(value, scope) for key, value in node.items()}
    return {key: value for key, value in resolved.items() if value is not NO_VALUE}


def references(node: Any) -> Iterator[str]:
    """Return the logical ids that intrinsics left in `node` still refer to."""
    if isinstance(node, list):
        for item in node:
            yield from references(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "Ref" and isinstance(value, str):
                yield value
            elif key == "Fn::GetAtt":
                yield _attribute_path(value)[0]
            elif key == "Fn::Sub":
                text = value[0] if isinstance(value, list) else value
                for name in _PLACEHOLDER.findall(text):
                    yield name.split(".")[0]
            else:
                yield from references(value)


def _known(node: Any) -> bool:
    return next(references(node), None) is None


def _ref(name: str, scope: Scope) -> Any:
    value = scope.reference(name)
    return {"Ref": name} if value is None else value


def _attribute_path(argument: Any) -> tuple[str, str]:
    name, _, attribute = (
        argument.partition(".") if isinstance(argument, str) else (argument[0], "", argument[1])
    )
    return name, attribute


def _get_att(argument: Any, scope: Scope) -> Any:
    name, attribute = _attribute_path(argument)
    value = scope.attribute(name, attribute)
    return {"Fn::GetAtt": [name, attribute]} if value is None else value


def _sub(argument: Any, scope: Scope) -> Any:
    text, local = (argument, {}) if isinstance(argument, str) else argument
    local = {name: resolve(value, scope) for name, value in local.items()}
    waiting = {name: value for name, value in local.items() if not _known(value)}

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name in waiting:
            return match[0]
        if name in local:
            return _text(local[name])
        owner, dot, attribute = name.partition(".")
        value = scope.attribute(owner, attribute) if dot else scope.reference(name)
        return match[0] if value is None else _text(value)

    text = _PLACEHOLDER.sub(replace, text)
    if waiting:
        return {"Fn::Sub": [text, waiting]}
    if _PLACEHOLDER.search(text):
        return {"Fn::Sub": text}
    return text.replace("${!", "${")


def _join(argument: Any, scope: Scope) -> Any:
    separator, parts = argument[0], resolve(argument[1], scope)
    if not isinstance(parts, list) or not _known(parts):
        return {"Fn::Join": [separator, parts]}
    return separator.join(_text(part) for part in parts)


def _split(argument: Any, scope: Scope) -> Any:
    text = resolve(argument[1], scope)
    return text.split(argument[0]) if isinstance(text, str) else {"Fn::Split": [argument[0], text]}


def _select(argument: Any, scope: Scope) -> Any:
    index, items = resolve(argument[0], scope), resolve(argument[1], scope)
    return items[int(index)] if isinstance(items, list) else {"Fn::Select": [index, items]}


def _if(argument: Any, scope: Scope) -> Any:
    name, then, otherwise = argument
    return resolve(then if scope.condition(name) else otherwise, scope)


def _find_in_map(argument: Any, scope: Scope) -> Any:
    name, *path = resolve(argument, scope)
    try:
        value = scope.mappings[name]
        for key in path:
            value = value[_text(key)]
    except KeyError as error:
        raise IntrinsicError(f"mapping {name}: no {error}") from error
    return value


def _base64(argument: Any, scope: Scope) -> Any:
    text = resolve(argument, scope)
    if not isinstance(text, str):
        return {"Fn::Base64": text}
    return base64.b64encode(text.encode()).decode()


def _to_json(argument: Any, scope: Scope) -> Any:
    value = resolve(argument, scope)
    return json.dumps(value) if _known(value) else {"Fn::ToJsonString": value}


def holds(condition: Any, scope: Scope) -> bool:
    """Whether a condition, or an assertion of a rule, is true.

    Raises:
        IntrinsicError: it contains a function that conditions do not allow.
    """
    ((name, argument),) = condition.items()
    if name == "Condition":
        return scope.condition(argument)
    if name == "Fn::Equals":
        left, right = (_text(resolve(side, scope)) for side in argument)
        return left == right
    if name == "Fn::Contains":
        return _text(resolve(argument[1], scope)) in {_text(item) for item in argument[0]}
    if name == "Fn::Not":
        return not holds(argument[0], scope)
    if name == "Fn::And":
        return all(holds(part, scope) for part in argument)
    if name == "Fn::Or":
        return any(holds(part, scope) for part in argument)
    raise IntrinsicError(f"{name} is not a condition function")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


_FUNCTIONS: Mapping[str, Callable[[Any, Scope], Any]] = {
    "Ref": _ref,
    "Fn::GetAtt": _get_att,
    "Fn::Sub": _sub,
    "Fn::Join": _join,
    "Fn::Split": _split,
    "Fn::Select": _select,
    "Fn::If": _if,
    "Fn::FindInMap": _find_in_map,
    "Fn::Base64": _base64,
    "Fn::ToJsonString": _to_json,
}
