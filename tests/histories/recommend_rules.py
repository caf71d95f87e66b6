"""The rules of recommendations: what a user is shown, each item once."""

from __future__ import annotations

from collections.abc import Iterator

from tests.histories.history import Anomaly, History
from tests.histories.recommended import users

__all__ = ["RULES"]


def items_are_candidates(history: History) -> Iterator[Anomaly]:
    """A list that was ranked is of the user's candidates, without those of the session."""
    for one in history.of("recommend"):
        if one.status != 200:
            continue
        user, items = one.told["user"], one.told["items"]
        if not items or len(set(items)) < len(items):
            yield Anomaly("a user is shown items, each once", f"{user}: {items}")
        elif one.told["step"] == "reranked":
            strange = set(items) - set(users()[user]) | set(items) & set(one.told["session"])
            if strange:
                yield Anomaly("items are of the user's candidates", f"{user}: {sorted(strange)}")


RULES = (items_are_candidates,)
