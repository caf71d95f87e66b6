"""JSON Schemas of a contract's values: features as they are sent, outputs as they are answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quintet.columns import MAX_ID_BYTES, numpy_dtype
from quintet.contract import Contract, Feature, Output

__all__ = ["Schema", "feature", "key", "output_value", "own_id", "prediction", "record"]

Schema = dict[str, Any]

_TYPES = {"b": "boolean", "i": "integer", "u": "integer", "f": "number", "O": "string"}


def record(contract: Contract) -> Schema:
    """A row by name: the request's features, the entity key and the row's own id."""
    properties: Schema = {}
    required = []
    if contract.entity:
        properties[contract.entity] = key(contract)
        if contract.needs_entity:
            required.append(contract.entity)
    if contract.id:
        properties[contract.id] = own_id()
    for one in contract.requested:
        properties[one.key] = feature(one)
        if one.fill is None:
            required.append(one.key)
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def key(contract: Contract) -> Schema:
    """The entity key of a row."""
    if contract.needs_entity:
        about = "the entity, whose stored features are read"
        return {"type": ["string", "integer"], "minLength": 1, "description": about}
    return {"type": ["string", "integer", "null"], "description": "the entity of the row"}


def own_id() -> Schema:
    """The row's own id."""
    about = "the row's own id: captures keep it, and labels name it"
    return {"type": ["string", "integer", "null"], "maxLength": MAX_ID_BYTES, "description": about}


def feature(one: Feature) -> Schema:
    """A feature in a record; null stands for a missing value where one may be missing."""
    schema = _shaped(_element(one), one)
    if one.fill is not None:
        schema = _or_null(schema)
        if one.default is not None and not one.shape:
            schema["default"] = one.default
    if one.description:
        schema["description"] = one.description
    if one.sensitive:
        schema["writeOnly"] = True
    return schema


def _element(one: Feature) -> Schema:
    """A scalar of the feature, within its dtype, range and categories."""
    dtype = numpy_dtype(one.dtype)
    schema: Schema = {"type": _TYPES[dtype.kind]}
    if one.categories is not None:
        schema["enum"] = list(one.categories)
    if dtype.kind in "iu":
        schema |= _bounds(one, int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    elif dtype.kind == "f":
        largest = None if one.dtype == "float64" else float(np.finfo(dtype).max)
        schema |= _bounds(one, None if largest is None else -largest, largest)
    return _or_null(schema) if one.missing and one.shape else schema


def _bounds(one: Feature, least: float | None, most: float | None) -> Schema:
    low, high = one.range or (None, None)
    found = {"minimum": least if low is None else low, "maximum": most if high is None else high}
    return {name: value for name, value in found.items() if value is not None}


def _shaped(element: Schema, one: Feature) -> Schema:
    """Nested arrays of a feature's shape; free axes have at least 0 and at most `max` places."""
    schema = element
    for size, most in zip(reversed(one.shape), reversed(one.largest), strict=True):
        least = 0 if size == -1 else size
        schema = {"type": "array", "items": schema, "minItems": least, "maxItems": most}
    return schema


def _or_null(schema: Schema) -> Schema:
    found = {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        found["enum"] = [*schema["enum"], None]
    return found


# ---- outputs -------------------------------------------------------------------------------------


def prediction(contract: Contract) -> Schema:
    """A row of an answer in the records form; a request may have asked for some outputs alone."""
    properties: Schema = {}
    for one in contract.outputs:
        properties[one.name] = _by_class(one) or output_value(one)
        names = one.class_names
        if names and one.meaning == "label" and one.row_shape in ((), (1,)):
            about = "the name of the label; null if it has none"
            properties[f"{one.name}_class"] = {"enum": [*dict.fromkeys(names), None]}
            properties[f"{one.name}_class"]["description"] = about
    required = []
    if contract.fallback is not None:
        about = "whether the fallback rule answered instead of the model"
        properties["fallback"] = {"type": "boolean", "description": about}
        required.append("fallback")
    if contract.stored:
        ages = {name.name: {"type": ["number", "null"]} for name in contract.stored}
        about = "the age in seconds of each stored feature; null if it is not stored"
        properties["features_age_s"] = {**_closed(ages), "description": about}
        required.append("features_age_s")
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def output_value(one: Output) -> Schema:
    """An output of one row: a value, or nested arrays of its shape."""
    schema = _number(one)
    if one.free or one.row_shape != (1,):
        schema = _nested(schema, one.row_shape)
    if one.description:
        schema["description"] = one.description
    return schema


def _by_class(one: Output) -> Schema | None:
    """An output with a value for each class, as an object; None for another output."""
    names, shape = one.class_names, one.row_shape
    if names is None or len(shape) != 1 or not shape[0] == len(names) != 1:
        return None
    schema = _closed(dict.fromkeys(names, _number(one)))
    return {**schema, "description": one.description} if one.description else schema


def _number(one: Output) -> Schema:
    kind = numpy_dtype(one.dtype).kind
    schema: Schema = {"type": _TYPES[kind]}
    return schema if one.finite or kind != "f" else _or_null(schema)


def _nested(schema: Schema, shape: Sequence[int]) -> Schema:
    for size in reversed(shape):
        schema = {"type": "array", "items": schema}
        if size != -1:
            schema |= {"minItems": size, "maxItems": size}
    return schema


def _closed(properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
