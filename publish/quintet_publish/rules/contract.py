"""The rules of a contract that concern several of its fields. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from quintet.columns import numpy_dtype
from quintet.contract import Contract, Fallback, Feature, Input, Output
from quintet.serving.model_cache import NAME
from quintet_publish.rules.stream import check_stream
from quintet_publish.rules.terms import FIELD, RESERVED, Found, Path

__all__ = ["check_contract"]

TENSOR = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")
MAX_VERSION = 99_999_999
MAX_ROWS = 1_000_000
MAX_BODY = 6_291_456  # Lambda's payload
MAX_ELEMENTS = 2**24  # of one row of a tensor
MAX_CACHE_SECONDS = 86_400
MAX_COOLDOWN = 604_800


def check_contract(contract: Contract) -> Found:
    """Where the contract contradicts itself, and what was expected."""
    yield from _header(contract)
    for kind in ("features", "inputs", "outputs"):
        yield from _unique(kind, [item.name for item in getattr(contract, kind)])
    for position, feature in enumerate(contract.features):
        for path, text in _feature(contract, feature):
            yield ("features", position, *path), text
    for position, graph_input in enumerate(contract.inputs):
        for path, text in _input(contract, graph_input):
            yield ("inputs", position, *path), text
    for position, output in enumerate(contract.outputs):
        for path, text in _output(output):
            yield ("outputs", position, *path), text
    yield from _unused(contract)
    if contract.fallback:
        for path, text in _fallback(contract, contract.fallback):
            yield ("fallback", *path), text
    yield from _alert(contract)
    if contract.stream:
        for path, text in check_stream(contract, contract.stream):
            yield ("stream", *path), text


def _header(contract: Contract) -> Found:
    if not NAME.fullmatch(contract.name):
        yield (
            ("name",),
            "expected a lower-case letter, then at most 62 lower-case letters, digits, _ or -",
        )
    if not 1 <= contract.version <= MAX_VERSION:
        yield ("version",), f"expected a number from 1 to {MAX_VERSION}, got {contract.version}"
    if contract.entity is not None:
        if not FIELD.fullmatch(contract.entity):
            yield ("entity",), "expected a letter or _, then letters, digits, _ . or -"
        if any(feature.name == contract.entity for feature in contract.stored):
            yield ("entity",), "is also the name of a stored feature, which it cannot be"
    for name, value, most in (
        ("rows", contract.limits.rows, MAX_ROWS),
        ("bytes", contract.limits.bytes, MAX_BODY),
    ):
        if not 1 <= value <= most:
            yield ("limits", name), f"expected a number from 1 to {most}, got {value}"
    if contract.slo.p95_ms <= 0:
        yield ("slo", "p95_ms"), f"expected more than 0, got {contract.slo.p95_ms:g}"
    if not 0 <= contract.cache_ttl <= MAX_CACHE_SECONDS:
        yield (
            ("cache_ttl",),
            f"expected seconds from 0 to {MAX_CACHE_SECONDS}, got {contract.cache_ttl:g}",
        )


def _unique(kind: str, names: Sequence[str]) -> Found:
    if not names:
        yield (kind,), "expected at least one"
    for position, name in enumerate(names):
        if name in names[:position]:
            yield (kind, position, "name"), f"{name} stands twice"


# ---- features ------------------------------------------------------------------------------------


def _feature(contract: Contract, feature: Feature) -> Found:
    if not FIELD.fullmatch(feature.name):
        yield ("name",), "expected a letter or _, then at most 62 letters, digits, _ . or -"
    yield from _dimensions(feature.shape)
    if feature.range is not None:
        yield from _range(feature)
    if feature.categories is not None:
        yield from _categories(feature)
    if feature.default is not None:
        for text in _value(feature, feature.default):
            yield ("default",), text
    yield from (_requested if feature.source == "request" else _stored)(contract, feature)


def _dimensions(shape: Sequence[int], offset: int = 0) -> Found:
    if any(size < 1 for size in shape):
        yield ("shape",), f"expected sizes of at least 1 after position {offset}, got {list(shape)}"
    elif np.prod(shape, dtype=np.float64) > MAX_ELEMENTS:
        yield ("shape",), f"expected at most {MAX_ELEMENTS} elements a row"


def _range(feature: Feature) -> Found:
    assert feature.range is not None
    low, high = feature.range
    if numpy_dtype(feature.dtype).kind not in "iuf":
        yield ("range",), f"is for numbers; {feature.name} is a {feature.dtype}"
    elif feature.categories is not None:
        yield ("range",), "expected either a range or categories, got both"
    elif low is None and high is None:
        yield ("range",), "expected a lowest or a highest value, or both"
    elif low is not None and high is not None and low > high:
        yield ("range",), f"expected the lowest value first, got {low:g} and {high:g}"


def _categories(feature: Feature) -> Found:
    categories = feature.categories or ()
    if numpy_dtype(feature.dtype).kind == "b" or feature.shape:
        what = f"{feature.dtype} of shape {list(feature.shape)}"
        yield ("categories",), f"are for a single string or number; {feature.name} is a {what}"
        return
    if not categories:
        yield ("categories",), "expected at least one"
    for position, category in enumerate(categories):
        if category in categories[:position]:
            yield ("categories", position), f"{category!r} stands twice"
        elif not _is_of(feature.dtype, category):
            yield ("categories", position), f"expected {feature.dtype}, got {category!r}"


def _value(feature: Feature, value: Any) -> Iterator[str]:
    """Why a value is none that the feature can have."""
    if not _is_of(feature.dtype, value):
        yield f"expected {feature.dtype}, got {value!r}"
        return
    low, high = feature.range or (None, None)
    if (low is not None and value < low) or (high is not None and value > high):
        yield f"expected a value in the feature's range, got {value!r}"
    if feature.categories is not None and value not in feature.categories:
        yield f"expected one of the feature's categories, got {value!r}"


def _is_of(dtype: str, value: Any) -> bool:
    kind = numpy_dtype(dtype).kind
    if kind == "O":
        return isinstance(value, str)
    if kind == "b" or isinstance(value, bool):
        return kind == "b" and isinstance(value, bool)
    if kind == "f":
        return isinstance(value, int | float)
    limits = np.iinfo(dtype)
    return isinstance(value, int) and int(limits.min) <= value <= int(limits.max)


def _requested(_: Contract, feature: Feature) -> Found:
    if feature.max_age is not None:
        yield ("max_age",), "is for features of a store or window; this comes with the request"
    if feature.when_stale != "refuse":
        yield ("when_stale",), "is for features of a store or window; this comes with the request"


def _stored(contract: Contract, feature: Feature) -> Found:
    if contract.entity is None:
        yield ("source",), "needs the contract's `entity`: the key that joins stored features"
    if feature.name in RESERVED:
        yield ("name",), f"expected a name other than {' and '.join(RESERVED)}"
    if feature.shape:
        yield ("shape",), "stored features are single values"
    if feature.max_age is not None and feature.max_age <= 0:
        yield ("max_age",), f"expected more than 0 seconds, got {feature.max_age:g}"
    if feature.max_age is None and feature.when_stale != "serve":
        yield ("max_age",), "is required, in seconds, unless `when_stale` is serve"
    if feature.when_stale == "default" and feature.default is None:
        yield ("default",), "is required, since `when_stale` is default"
    if feature.when_stale == "fallback" and contract.fallback is None:
        yield ("when_stale",), "is fallback, and the contract has no `fallback`"


# ---- tensors -------------------------------------------------------------------------------------


def _input(contract: Contract, graph_input: Input) -> Found:
    yield from _tensor(graph_input)
    if graph_input.features is None:
        yield from _fed_by_one(contract, graph_input)
        return
    names = graph_input.features
    expected = (-1, len(names))
    if graph_input.shape != expected:
        yield ("shape",), f"expected {list(expected)} for {len(names)} features"
    for position, name in enumerate(names):
        feature = contract.by_name.get(name)
        if feature is None:
            yield ("features", position), f"expected a feature of the contract, got {name!r}"
        elif feature.shape:
            yield ("features", position), f"expected a single value, {name} is a vector"
        elif feature.dtype != graph_input.dtype:
            yield (
                ("features", position),
                f"expected {graph_input.dtype}, as the input is; {name} is {feature.dtype}",
            )
        if name in names[:position]:
            yield ("features", position), f"{name} stands twice"


def _fed_by_one(contract: Contract, graph_input: Input) -> Found:
    feature = contract.by_name.get(graph_input.name)
    if feature is None:
        yield ("features",), f"is required, since no feature is called {graph_input.name}"
        return
    if feature.dtype != graph_input.dtype:
        yield ("dtype",), f"expected {feature.dtype}, as the feature {feature.name} is"
    allowed = [feature.shape] if feature.shape else [(), (1,)]
    if graph_input.shape[1:] not in allowed:
        shapes = " or ".join(str([-1, *shape]) for shape in allowed)
        yield ("shape",), f"expected {shapes}, as the feature {feature.name} is"


def _output(output: Output) -> Found:
    yield from _tensor(output)
    kind = numpy_dtype(output.dtype).kind
    if output.meaning == "label" and kind not in "iuOb":
        yield ("dtype",), "expected an integer, a string or a bool for a label"
    if output.meaning in ("score", "probabilities", "embedding") and kind != "f":
        yield ("dtype",), f"expected a float for {output.meaning}"
    if output.meaning in ("probabilities", "embedding") and len(output.shape) != 2:
        yield ("shape",), f"expected [-1, n] for {output.meaning}"
    if output.classes is None:
        return
    if len(set(output.classes)) != len(output.classes) or not output.classes:
        yield ("classes",), "expected different names, at least one"
    if output.meaning == "probabilities" and output.shape[1:] != (len(output.classes),):
        yield ("classes",), f"expected as many as the columns of {list(output.shape)}"


def _tensor(tensor: Input | Output) -> Found:
    if not TENSOR.fullmatch(tensor.name):
        yield ("name",), "expected letters, digits, _ . : / or -"
    if tensor.shape[:1] != (-1,):
        yield ("shape",), f"expected -1, the rows, first, got {list(tensor.shape)}"
    else:
        yield from _dimensions(tensor.shape[1:], 1)


def _unused(contract: Contract) -> Found:
    used = {name for i in contract.inputs for name in i.features or (i.name,)}
    used |= {rule.feature for rule in (contract.fallback.rules if contract.fallback else ())}
    for position, feature in enumerate(contract.features):
        if feature.name not in used:
            yield ("features", position, "name"), f"{feature.name} feeds no input"


# ---- fallback and alert --------------------------------------------------------------------------


def _fallback(contract: Contract, fallback: Fallback) -> Found:
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
        if rule.equals is not None and not _is_of(feature.dtype, rule.equals):
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
        values = value if isinstance(value, list) else [value]
        width = int(np.prod(output.shape[1:], dtype=np.int64)) if output.shape[1:] else 1
        shaped = len(output.shape) <= 2 and isinstance(value, list) == (len(output.shape) == 2)
        if not shaped or len(values) != width:
            yield (*here, name), f"expected a value of shape {list(output.shape[1:])}"
        elif not all(_is_of(output.dtype, item) for item in values):
            yield (*here, name), f"expected {output.dtype}, got {value!r}"


def _alert(contract: Contract) -> Found:
    alert = contract.alert
    if alert is None:
        return
    output = next((o for o in contract.outputs if o.name == alert.output), None)
    if output is None:
        names = ", ".join(o.name for o in contract.outputs)
        yield ("alert", "output"), f"expected an output, one of {names}, got {alert.output!r}"
    elif numpy_dtype(output.dtype).kind not in "iuf":
        yield ("alert", "output"), f"expected an output of numbers; it is {output.dtype}"
    if alert.above is None and alert.below is None:
        yield ("alert",), "expected above or below"
    if not 0 <= alert.cooldown <= MAX_COOLDOWN:
        yield (
            ("alert", "cooldown"),
            f"expected seconds from 0 to {MAX_COOLDOWN}, got {alert.cooldown:g}",
        )
