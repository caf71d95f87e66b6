"""Finds what may not be in a history; pure."""

from __future__ import annotations

from collections.abc import Iterable

from tests.histories import count_rules, job_rules, model_rules, recommend_rules, table_rules
from tests.histories.history import Anomaly, History, Operation

__all__ = ["RULES", "check"]

RULES = (
    *job_rules.RULES,
    *model_rules.RULES,
    *table_rules.RULES,
    *count_rules.RULES,
    *recommend_rules.RULES,
)


def check(operations: Iterable[Operation]) -> list[Anomaly]:
    """The anomalies of a history, by rule."""
    history = History(operations)
    return [anomaly for rule in RULES for anomaly in rule(history)]
