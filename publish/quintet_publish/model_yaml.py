"""Converts model.yaml to a Contract: reads it safely, reports problems by line and field."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from quintet.contract import Contract
from quintet_publish.problems import MAX_PROBLEMS, PackageError, Problem
from quintet_publish.rules import check_contract
from quintet_publish.rules.terms import Path

__all__ = ["CONTRACT", "MAX_BYTES", "contract_schema", "read_contract"]

CONTRACT = "model.yaml"
MAX_BYTES = 1_000_000
MAX_NODES = 60_000  # two thousand features, each with all its fields
MAX_DEPTH = 20
MAX_DETAILS = 200  # of pydantic's errors
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast
PLAIN_TAGS = {
    f"tag:yaml.org,2002:{kind}"
    for kind in ("bool", "float", "int", "map", "null", "seq", "str", "timestamp")
}


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Contract]:
    return TypeAdapter(Contract)


def contract_schema() -> dict[str, Any]:
    """Return the JSON Schema of model.yaml."""
    schema = _adapter().json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def read_contract(content: bytes, file: str = "model.yaml") -> Contract:
    """Return the contract in model.yaml.

    Raises:
        PackageError: it is not YAML, or breaks the contract's rules.
    """
    root = _compose(content, file)
    document = _Document(file, root)
    if found := list(islice(_odd_nodes(root, ()), MAX_PROBLEMS + 1)):
        raise document.error(found)
    try:
        # as JSON, so that lists become tuples and nothing else is converted
        contract = _adapter().validate_json(json.dumps(_data(root)), strict=True)
    except ValidationError as error:
        raise document.error(_validation_problems(document, error)) from error
    if problems := list(check_contract(contract)):
        raise document.error(problems)
    return contract


# ---- YAML --------------------------------------------------------------------------------------


def _compose(content: bytes, file: str) -> yaml.MappingNode:
    if len(content) > MAX_BYTES:
        raise PackageError.of(file, f"expected at most {MAX_BYTES:,} bytes, got {len(content):,}")
    try:
        text = content.decode("utf-8-sig")
        _check_events(yaml.parse(text, Loader=_LOADER), file)
        root = yaml.compose(text, Loader=_LOADER)
    except UnicodeDecodeError as error:
        raise PackageError.of(file, f"expected UTF-8; byte {error.start} is not") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise PackageError([Problem(file, f"not YAML: {error.problem}", line)]) from error
    except yaml.YAMLError as error:
        raise PackageError.of(file, f"not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(root, yaml.MappingNode):
        raise PackageError.of(file, "expected a mapping, as docs/first-package.md shows")
    return root


def _check_events(events: Iterable[yaml.Event], file: str) -> None:
    """Refuse what costs much more than its bytes: aliases, which expand, depth, and numbers."""
    depth = 0
    for count, event in enumerate(events):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1 if event.start_mark else None
            raise PackageError([Problem(file, "not YAML: aliases are not read", line)])
        if depth > MAX_DEPTH:
            raise PackageError.of(file, "not YAML: nested too deep")
        if count > MAX_NODES:
            raise PackageError.of(file, f"expected at most {MAX_NODES:,} keys and values")


def _odd_nodes(node: yaml.Node, path: Path) -> Iterator[tuple[Path, str]]:
    """Find what YAML allows and a contract does not: duplicate or odd keys, non-JSON values."""
    if node.tag not in PLAIN_TAGS:
        yield path, f"expected plain YAML, got the tag {node.tag}"
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag not in PLAIN_TAGS:
                yield path, "expected plain words as keys"
                continue
            here = (*path, key.value)
            if key.value in seen:
                line = key.start_mark.line + 1
                yield here, f"is listed twice, at lines {seen[key.value]} and {line}"
            seen.setdefault(key.value, key.start_mark.line + 1)
            yield from _odd_nodes(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield from _odd_nodes(item, (*path, position))
    else:
        yield from _odd_scalar(node, path)


def _odd_scalar(node: yaml.Node, path: Path) -> Iterator[tuple[Path, str]]:
    kind = node.tag.rpartition(":")[2]
    try:
        value = _data(node)
    except (
        ArithmeticError,
        LookupError,
        ValueError,
        yaml.YAMLError,
    ):  # `!!int "abc"`, or 5,000 digits
        yield path, f"expected {kind}, got {node.value[:60]!r}"
        return
    if isinstance(value, float) and not math.isfinite(value):
        yield path, f"expected a finite number, got {node.value[:60]}"
    elif isinstance(value, int) and abs(value) >= 2**64:
        yield path, f"expected a number of at most 64 bits, got {node.value[:60]}"


def _data(node: yaml.Node) -> Any:
    """Convert a node to JSON types: keys and times keep their text in the file."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: _data(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_data(item) for item in node.value]
    if node.tag.endswith(":timestamp"):
        return node.value
    return yaml.constructor.SafeConstructor().construct_object(node)


class _Document:
    """A YAML document that knows the lines of its fields."""

    def __init__(self, file: str, root: yaml.Node) -> None:
        self._file = file
        self._root = root

    def error(self, found: Iterable[tuple[Path, str]]) -> PackageError:
        """Return problems, each at the line of its field or of the nearest enclosing node."""
        problems = [
            Problem(self._file, text, self._line(path), _dotted(path)) for path, text in found
        ]
        return PackageError(sorted(problems, key=lambda problem: problem.line or 0))

    def known(self, path: Path) -> Path:
        """Return the parts of a path that the document has: pydantic's also name alternatives."""
        node: yaml.Node | None = self._root
        found: Path = ()
        for part in path:
            _, child = _child(node, part)
            if child is not None:
                node, found = child, (*found, part)
        return found

    def _line(self, path: Path) -> int:
        node: yaml.Node | None = self._root
        line = self._root.start_mark.line
        for part in path:
            key, node = _child(node, part)
            if node is None:
                break
            line = (key or node).start_mark.line
        return int(line) + 1


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node | None, yaml.Node | None]:
    """Return the nodes of the key and the value; None if absent."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return None, node.value[part]
    return None, None


def _dotted(path: Path) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


# ---- pydantic's errors as problems ------------------------------------------------------------


def _validation_problems(document: _Document, error: ValidationError) -> Iterator[tuple[Path, str]]:
    """Return one problem per field: pydantic reports every alternative of a union."""
    alternatives: dict[Path, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False)[:MAX_DETAILS]:
        path: Path = detail["loc"]
        if detail["type"] in _WHOLE:
            yield path, _WHOLE[detail["type"]]
        else:
            alternatives.setdefault(document.known(path), []).append(detail)
    for path, details in alternatives.items():
        if any(other[: len(path)] == path for other in alternatives.keys() - {path}):
            continue  # the deeper alternative is more specific
        expected = " or ".join(dict.fromkeys(map(_expected, details)))
        yield path, f"expected {expected}, got {_got(details[0]['input'])}"


#: errors about whether a field may or must exist
_WHOLE = {
    "missing": "is required",
    "extra_forbidden": "is not a field of the contract",
    "unexpected_keyword_argument": "is not a field of the contract",
}


def _expected(detail: ErrorDetails) -> str:
    words = detail["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return words.removeprefix("an ").removeprefix("valid ").removeprefix("a ")


def _got(given: Any) -> str:
    if isinstance(given, Mapping):
        return "a mapping"
    return "a list" if isinstance(given, list) else repr(given)[:60]
