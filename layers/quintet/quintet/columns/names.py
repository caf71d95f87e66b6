"""Which known name a misspelt one may stand for."""

from __future__ import annotations

import re
from collections.abc import Iterable

from quintet.contract import Contract

__all__ = ["did_you_mean", "near_name", "suggestion"]


def near_name(name: str, others: Iterable[str]) -> str | None:
    """The one of some names that `name` may be a misspelling of, if one is close."""
    import difflib  # only refusals need it: no cold start should load it

    plain = {_plain(other): other for other in reversed([*others])}
    close = difflib.get_close_matches(_plain(name), plain, 1, 0.75)
    return plain[close[0]] if close else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: "; do you mean x?", or nothing."""
    near = near_name(name[:200], known)
    return f"; do you mean {near}?" if near else ""


def did_you_mean(name: str, known: Iterable[str], contract: Contract) -> str:
    """As `suggestion`, but of a feature that requests hold under another name, it is that name."""
    feature = contract.by_name.get(name)
    if feature is None:
        return suggestion(name, known)
    return f"; do you mean {feature.column}?" if feature.column else ""


def _plain(name: str) -> str:
    """A name in the form that spellings share."""
    return re.sub(r"[\W_]+", "", name).lower()
