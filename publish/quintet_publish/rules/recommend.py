"""The rules of a contract's `recommend`. Pure."""

from __future__ import annotations

from quintet.columns import numpy_dtype
from quintet.contract import Contract, Feature, Output, Recommend
from quintet.serving.routes import NAME
from quintet_publish.rules.candidates import MAX_ITEMS
from quintet_publish.rules.terms import Found

__all__ = ["check_recommend"]

MAX_TOP = 100
MAX_AGE = 30 * 86_400
MAX_BUDGET_MS = 10_000
MAX_FEEDBACK_DAYS = 90
#: what a request says besides the contract's features
_REQUEST_KEYS = ("items", "top")
#: the kinds of numpy dtypes, in words
_KINDS = {"iu": "integers", "f": "floats"}


def check_recommend(contract: Contract, rule: Recommend) -> Found:
    """List what keeps the model from ranking a user's candidates."""
    if contract.entity is None:
        yield (), "needs `entity`, whose value names the user"
    if contract.rows == "one":
        yield (), "expected `rows: many`: all candidates of a user are ranked in one run"
    if not NAME.fullmatch(rule.candidates):
        yield ("candidates",), f"expected the name of a model, got {rule.candidates!r}"
    yield from _item(contract, rule)
    yield from _feature(contract, "score", rule.score, "f", axes=0)
    yield from _session(contract, rule)
    for field, name, kind in (("rank", rule.rank, "f"), ("category", rule.category, "iu")):
        yield from _output(contract, field, name, kind)
    yield from _context(contract, rule)
    yield from _numbers(contract, rule)


def _item(contract: Contract, rule: Recommend) -> Found:
    yield from _feature(contract, "item", rule.item, "iu", axes=0)
    feature = contract.by_name.get(rule.item)
    if feature is None or numpy_dtype(feature.dtype).kind not in "iu":
        return
    low, high = feature.range or (None, None)
    if low is None or high is None or not 1 <= low <= high <= MAX_ITEMS:
        expected = f"from 1 to at most {MAX_ITEMS}, of the items that the model knows"
        yield ("item",), f"expected a feature with a `range` {expected}; {rule.item} has none"


def _session(contract: Contract, rule: Recommend) -> Found:
    yield from _feature(contract, "session", rule.session, "iu", axes=1)
    feature = contract.by_name.get(rule.session or "")
    if feature and feature.shape and not feature.free and feature.default is None:
        unused = "a `default` for the places that a short context leaves"
        yield ("session",), f"expected {unused}; {feature.name} has none"


def _feature(contract: Contract, field: str, name: str | None, kind: str, *, axes: int) -> Found:
    if name is None:
        return
    feature = contract.by_name.get(name)
    shape = "with one axis" if axes else "with a single value"
    expected = f"expected a request feature of {_KINDS[kind]} {shape}"
    if feature is None:
        yield (field,), f"{expected}, got {name!r}"
    elif not _is(feature, kind, axes):
        found = f"{feature.dtype} {list(feature.shape)} from the {feature.source}"
        yield (field,), f"{expected}; {name} is {found}"


def _is(feature: Feature, kind: str, axes: int) -> bool:
    fits = numpy_dtype(feature.dtype).kind in kind and len(feature.shape) == axes
    return fits and feature.source == "request"


def _output(contract: Contract, field: str, name: str | None, kind: str) -> Found:
    if name is None:
        return
    output: Output | None = next((one for one in contract.outputs if one.name == name), None)
    expected = f"expected an output of {_KINDS[kind]} with the shape [-1, 1]"
    if output is None:
        yield (field,), f"{expected}, got {name!r}"
    elif numpy_dtype(output.dtype).kind not in kind or output.row_shape not in ((1,), ()):
        yield (field,), f"{expected}; {name} is {output.dtype} {list(output.shape)}"


def _context(contract: Contract, rule: Recommend) -> Found:
    """A request without a body has none of the other features."""
    for feature in contract.requested:
        if feature.name in rule.fed:
            continue
        if feature.key in _REQUEST_KEYS:
            yield (), f"the feature {feature.name} has the name of a field of the request"
        elif feature.key == "time":
            if feature.shape or numpy_dtype(feature.dtype).kind not in "iuf":
                yield (), "expected a single number for the feature time: it gets epoch seconds"
        elif feature.fill is None:
            unfilled = f"the feature {feature.name} has no `default`"
            yield (), f"{unfilled}, and a request without a body does not have it"


def _numbers(contract: Contract, rule: Recommend) -> Found:
    filters = rule.filters
    for path, value, low, high in (
        (("top",), rule.top, 1, MAX_TOP),
        (("max_age",), rule.max_age, 1, MAX_AGE),
        (("budget_ms",), rule.budget_ms, 1, MAX_BUDGET_MS),
        (("explore",), rule.explore, 0, 1),
        (("filters", "stock_max_age"), filters.stock_max_age, 1, MAX_AGE),
        (("filters", "per_category"), filters.per_category, 1, MAX_TOP),
        (("feedback_days",), rule.feedback_days, 1, MAX_FEEDBACK_DAYS),
    ):
        if value is not None and not low <= value <= high:
            yield path, f"expected a number from {low} to {high}, got {value:g}"
    if filters.per_category is not None and rule.category is None:
        yield ("filters", "per_category"), "needs `category`, the output with an item's category"
    if rule.explore > 0 and contract.capture is None:
        yield ("explore",), "needs `capture`: what was shown at random is of use only if it is kept"
    if contract.capture and rule.feedback_days > contract.capture.days:
        kept = f"`capture.days`, {contract.capture.days}"
        yield ("feedback_days",), f"expected at most {kept}, got {rule.feedback_days}"
