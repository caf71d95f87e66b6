"""OpenAPI documents of model packages, and a document as a page that needs nothing but itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from quintet.openapi.models import Described
from quintet_publish.golden_files import GOLDEN_BYTES, golden_name, read_golden
from quintet_publish.model_yaml import read_contract
from quintet_publish.package import read_file

__all__ = ["described", "page", "text"]

#: how documents are written into files
_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
_CONTRACT_BYTES = 1_000_000

Document = Mapping[str, Any]


def described(folder: Path) -> Described:
    """The contract and the golden rows of a package. Raises PackageError."""
    contract = read_contract(read_file(folder, "model.yaml", _CONTRACT_BYTES))
    name = golden_name(folder)
    golden = read_golden(contract, name, read_file(folder, name, GOLDEN_BYTES[name]))
    return Described(contract, golden)


def text(document: Document) -> str:
    """A document as JSON."""
    return orjson.dumps(document, option=_OPTIONS).decode()


def page(document: Document) -> str:
    """A document as HTML: no script, no font and no style from elsewhere."""
    environment = Environment(
        loader=PackageLoader("quintet_cli", "templates"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found = _Reader(document)
    return environment.get_template("openapi.html").render(
        info=document["info"],
        server=document["servers"][0]["url"],
        security=document["components"]["securitySchemes"],
        tags=[
            {**tag, "operations": list(found.operations(tag["name"]))} for tag in document["tags"]
        ],
        schemas=[
            {"name": name, "about": schema.get("description", ""), "rows": list(rows(schema))}
            for name, schema in document["components"]["schemas"].items()
        ],
    )


class _Reader:
    """What the page shows of a document, with references followed."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def operations(self, tag: str) -> Iterator[dict[str, Any]]:
        """The operations of a tag."""
        for path, methods in self._document["paths"].items():
            for method, one in methods.items():
                if tag not in one["tags"]:
                    continue
                asked = one.get("requestBody", {}).get("content", {})
                yield {
                    "id": one["operationId"],
                    "method": method.upper(),
                    "path": path,
                    "summary": one["summary"],
                    "parameters": [
                        {**found, "type": described_type(found["schema"])}
                        for found in map(self._followed, one.get("parameters", ()))
                    ],
                    "bodies": [_media(kind, found) for kind, found in asked.items()],
                    "answers": [
                        self._answer(status, self._followed(found))
                        for status, found in one["responses"].items()
                    ],
                }

    def _answer(self, status: str, found: Mapping[str, Any]) -> dict[str, Any]:
        bodies = [_media(kind, one) for kind, one in found.get("content", {}).items()]
        return {"status": status, "about": found["description"], "bodies": bodies}

    def _followed(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in part:
            return part
        found: Any = self._document
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return dict(found)


def _media(kind: str, found: Mapping[str, Any]) -> dict[str, Any]:
    example = found.get("example")
    if example is not None and not isinstance(example, str):
        example = json.dumps(example, ensure_ascii=False)
    schema = found.get("schema")
    return {"kind": kind, "type": described_type(schema) if schema else [], "example": example}


def rows(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for each member of an object's schema, or one for another schema."""
    if "properties" not in schema:
        yield {"name": "", "required": True, "type": described_type(schema), "about": ""}
        return
    for name, one in schema["properties"].items():
        yield {
            "name": name,
            "required": name in schema.get("required", ()),
            "type": described_type(one),
            "about": one.get("description", ""),
        }


def described_type(schema: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A schema in words, as pieces: each with the schema that it links to, or an empty text."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return [(name, name)]
    if options := schema.get("anyOf") or schema.get("oneOf"):
        pieces: list[tuple[str, str]] = []
        for option in options:
            pieces += ([("or", "")] if pieces else []) + described_type(option)
        return pieces
    if "const" in schema:
        return [(json.dumps(schema["const"]), "")]
    if "enum" in schema:
        return [("one of " + ", ".join(json.dumps(one) for one in schema["enum"]), "")]
    kinds = schema.get("type", "any")
    word = " or ".join(kinds) if isinstance(kinds, list) else kinds
    pieces = [(word + _bounds(schema), "")]
    if items := schema.get("items"):
        pieces += [("of", ""), *described_type(items)]
    if inner := schema.get("properties"):
        pieces.append(("with " + ", ".join(inner), ""))
    return pieces


_BOUNDS = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", ""),
)


def _bounds(schema: Mapping[str, Any]) -> str:
    found = ""
    for low, high, unit in _BOUNDS:
        least, most = schema.get(low), schema.get(high)
        if least is not None and most is not None:
            found += f", {least:,} to {most:,}{unit}" if least != most else f", {least:,}{unit}"
        elif least is not None:
            found += f", from {least:,}{unit}"
        elif most is not None:
            found += f", up to {most:,}{unit}"
    if "default" in schema:
        found += f", default {json.dumps(schema['default'])}"
    return found
