"""What a ranker's contract says about its requests: `contract.compiled[RecommendPlan]`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quintet.columns import Array, Batch, from_records, numpy_dtype
from quintet.contract import Contract, Feature, Input
from quintet.errors import BadInput
from quintet.scoring.refusals import bounds
from quintet.serving.checking import check_values

__all__ = ["RecommendPlan"]


@dataclass(frozen=True, slots=True)
class _Values:
    """Checks values by a contract; nothing runs."""

    contract: Contract

    @property
    def run(self) -> Any:
        """There is no graph."""
        raise NotImplementedError


class RecommendPlan:
    """How requests for recommendations are read, and candidates become rows.

    `low` and `high` are the items that the model knows; `keys` are the features that a request may
    have by their names, besides the fields of every request.
    """

    def __init__(self, contract: Contract) -> None:
        assert contract.recommend is not None
        self.rule = rule = contract.recommend
        self.contract = contract
        item = contract.by_name[rule.item]
        self.low, self.high = _range(item)
        self._item = numpy_dtype(item.dtype)
        self._score = contract.by_name[rule.score] if rule.score else None
        if self._score:
            self._score_bounds = bounds([self._score])
        self._session = contract.by_name[rule.session] if rule.session else None
        if self._session:
            self._session_range = _range(self._session)
        context = [feature for feature in contract.requested if feature.name not in rule.fed]
        self.keys = frozenset(feature.key for feature in context)
        self._context = _Values(_only(contract, context)) if context else None
        self._time = next((feature for feature in context if feature.key == "time"), None)

    def context(self, given: dict[str, Any], time: float) -> Batch | None:
        """The context's features as one row, those in `given` by their keys; None without any.

        Raises:
            BadInput: a value is not one of its feature's.
        """
        if self._context is None:
            return None
        if self._time is not None:
            whole = numpy_dtype(self._time.dtype).kind in "iu"
            given = {**given, self._time.key: int(time) if whole else time}
        batch = from_records(self._context.contract, [given])
        try:
            check_values(self._context, batch)
        except BadInput as error:
            raise BadInput([refusal._replace(row=None) for refusal in error.refusals]) from None
        return batch

    def session(self, items: Sequence[int]) -> list[int]:
        """The newest of a context's items that the feature for them takes, the newest last."""
        if self._session is None:
            return list(items)
        low, high = self._session_range
        known = [item for item in items if low <= item <= high]
        return known[-self._session.largest[0] :]

    def rows(
        self,
        user: str,
        ids: Array,
        scores: Array,
        session: Sequence[int],
        context: Batch | None,
    ) -> Batch:
        """A row for each of k candidates: `ids` (k,) and `scores` (k,), the rest in all rows."""
        rule, count = self.rule, len(ids)
        batch = Batch(count, {rule.item: ids.astype(self._item)}, np.ones(count, dtype=np.bool_))
        batch.entities = [user] * count
        if self._score is not None:
            low, high = self._score_bounds  # scores were rounded when they were stored
            values = scores.astype(numpy_dtype(self._score.dtype))
            batch.columns[self._score.name] = np.clip(values, low, high)
        if self._session is not None:
            batch.columns[self._session.name] = _session_rows(self._session, session, count)
        if context is not None:
            batch.absent = context.absent
            for name, column in context.columns.items():
                batch.columns[name] = np.repeat(column, count, axis=0)
        return batch


def _session_rows(feature: Feature, session: Sequence[int], count: int) -> Array:
    """The session in `count` rows; a fixed axis is filled up at its end."""
    row = np.array(session, dtype=numpy_dtype(feature.dtype))
    if feature.free:
        return np.fromiter((row for _ in range(count)), dtype=object, count=count)
    whole = np.full(feature.shape, feature.default, dtype=row.dtype)
    whole[: len(row)] = row
    return np.tile(whole, (count, 1))


def _range(feature: Feature) -> tuple[int, int]:
    low, high = bounds([feature])
    assert low is not None
    assert high is not None
    return math.ceil(low[0]), math.floor(high[0])


def _only(contract: Contract, features: Sequence[Feature]) -> Contract:
    """A contract of some features alone."""
    inputs = [
        Input(
            name=one.name, dtype=one.dtype, shape=(-1, *(one.shape or (1,))), features=(one.name,)
        )
        for one in features
    ]
    return replace(
        contract,
        features=tuple(features),
        inputs=tuple(inputs),
        outputs=(),
        entity=None,
        id=None,
        recommend=None,
    )
