"""The rules of a contract's `candidates`. Pure."""

from __future__ import annotations

from quintet.contract import Candidates, Contract, Output
from quintet_publish.rules.terms import Found, under

__all__ = ["check_candidates"]

#: of a user: 6 KB of the item, two read units
MAX_LISTED = 1_000
MAX_ITEMS = 1_000_000
MAX_NIGHTS = 30


def check_candidates(contract: Contract, rule: Candidates) -> Found:
    """List what keeps a batch run from storing the items of its rows."""
    if contract.entity is None:
        yield (), "needs `entity`, whose value names the user of a row"
    outputs = {output.name: output for output in contract.outputs}
    for field, name, kind in (("ids", rule.ids, "int"), ("scores", rule.scores, "float")):
        output = outputs.get(name)
        if output is None:
            yield (field,), f"expected an output, one of {', '.join(outputs)}, got {name!r}"
        elif not output.dtype.startswith(kind) or not _listed(output):
            expected = f"expected an output of {kind}s with the shape [-1, k], k up to {MAX_LISTED}"
            yield (field,), f"{expected}; {name} is {output.dtype} {list(output.shape)}"
    sizes = {outputs[name].row_shape for name in (rule.ids, rule.scores) if name in outputs}
    if len(sizes) > 1:
        yield ("scores",), f"expected as many in a row as {rule.ids} has"
    if rule.segment is not None:
        yield from under(("segment",), _segment(contract, rule.segment))
    for field, value, most in (
        ("items", rule.items, MAX_ITEMS),
        ("nights", rule.nights, MAX_NIGHTS),
    ):
        if not 1 <= value <= most:
            yield (field,), f"expected a number from 1 to {most}, got {value}"


def _segment(contract: Contract, name: str) -> Found:
    feature = contract.by_name.get(name)
    if feature is None or feature.source != "request":
        known = ", ".join(found.name for found in contract.requested)
        yield (), f"expected a feature of the request, one of {known}, got {name!r}"
    elif feature.shape or not (feature.dtype == "string" or "int" in feature.dtype):
        found = f"{feature.dtype} {list(feature.shape)}"
        yield (), f"expected a feature that is one text or integer a row; {name} is {found}"
    elif feature.sensitive:
        yield (), f"expected a feature that may be stored; {name} is sensitive"


def _listed(output: Output) -> bool:
    return len(output.row_shape) == 1 and 1 <= output.row_shape[0] <= MAX_LISTED
