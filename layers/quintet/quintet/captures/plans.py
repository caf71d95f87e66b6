"""What a contract captures, compiled once: `contract.compiled[CapturePlan]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from quintet.columns import Array, Batch, column_names
from quintet.contract import Contract, to_dict
from quintet.errors import Refusal
from quintet.record import Value
from quintet.serving import Prediction

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["About", "CapturePlan", "Rows", "Seal", "Sealed", "about_from"]

#: the positions of rows, or all of them
Rows = np.ndarray[tuple[Any, ...], np.dtype[np.int64]] | slice

#: the fields of requests that refusals name, besides the contract's
_REQUEST_FIELDS = {"answer", "body", "inputs", "model", "outputs", "partial", "record", "records"}

#: how many reasons of a refusal an event names
MOST_REASONS = 10


class About(Value):
    """What is captured of a model's version, so that a reader of captures needs no contract.

    `groups` are the names of scalar features of one dtype; `shaped` are features with a shape, each
    (name, dtype, shape), a shape with -1 if rows differ in shape. `ages` are the stored features.
    `outputs` are (name, dtype, columns); columns are None if rows differ in shape, and are lists.
    `digest` is the contract's.
    """

    model: str
    version: int
    digest: str
    rate: float
    days: int
    groups: Sequence[tuple[Sequence[str], str]]
    shaped: Sequence[tuple[str, str, Sequence[int]]]
    ages: Sequence[str]
    outputs: Sequence[tuple[str, str, Sequence[str] | None]]


def about_from(data: Mapping[str, Any]) -> About:
    """An About as orjson wrote it into a line."""
    return About(**data)


class Sealed(NamedTuple):
    """The encrypted sensitive features of some rows, base64: a text a row, and the wrapped data key
    that opens them."""

    key: str
    rows: list[str]


class CapturePlan:
    """What is captured of a contract's predictions: of sensitive features, nothing readable."""

    def __init__(self, contract: Contract) -> None:
        assert contract.capture is not None
        seen = {feature.name for feature in contract.features if not feature.sensitive}
        groups = [
            (tuple(name for name in names if name in seen), dtype)
            for (_, dtype), names in contract.scalar_groups.items()
        ]
        self.about = About(
            model=contract.name,
            version=contract.version,
            digest=_digest(contract),
            rate=contract.capture.rate,
            days=contract.capture.days,
            groups=[(names, dtype) for names, dtype in groups if names],
            shaped=[
                (f.name, f.dtype, f.shape) for f in contract.features if f.shape and f.name in seen
            ],
            ages=[feature.name for feature in contract.stored],
            outputs=[
                (o.name, o.dtype, None if o.free else column_names(o)) for o in contract.outputs
            ],
        )
        #: the same as JSON, for lines
        self.json = orjson.Fragment(orjson.dumps(self.about))
        self._names = [names for names, _ in groups if names]
        #: all features that are captured
        self.names = seen
        #: the sensitive features that are captured encrypted, in the contract's order
        self.sealed: tuple[str, ...] = ()
        if contract.capture.sensitive == "encrypted":
            self.sealed = tuple(feature.name for feature in contract.features if feature.sensitive)
        self._shaped = [name for name, _, _ in self.about.shaped]
        self._falls_back = [
            (position, feature.name, np.inf if feature.max_age is None else feature.max_age)
            for position, feature in enumerate(contract.stored)
            if feature.when_stale == "fallback"
        ]
        self._of_model = {output.name for output in contract.outputs} | {"model"}
        known = {feature.key for feature in contract.features}
        known |= {output.name for output in contract.outputs} | _REQUEST_FIELDS
        self._known = known | contract.request_keys

    def features(self, batch: Batch, rows: Rows | None) -> list[Array]:
        """The captured features of some rows, or of all: (rows, names) of each group, then each
        shaped one."""
        found, columns = [], batch.columns
        for names in self._names:
            matrix: Array | None = batch.stacked.get(names)
            if matrix is None:
                matrix = np.column_stack([columns[name] for name in names])
            found.append(matrix if rows is None else matrix[rows])
        for name in self._shaped:
            found.append(columns[name] if rows is None else columns[name][rows])
        return found

    def fallback_reasons(self, prediction: Prediction, rows: NDArray[np.int64]) -> list[str]:
        """Why the fallback rule answered some rows, by their positions in the batch."""
        if prediction.unavailable:
            return ["feature store unavailable"] * len(rows)
        ages = prediction.ages[rows]
        reasons = [""] * len(rows)
        for position, name, oldest in self._falls_back:
            age = ages[:, position]
            for row in np.flatnonzero(np.isnan(age)).tolist():
                reasons[row] += f"; {name} is missing"
            for row in np.flatnonzero(age > oldest).tolist():
                reasons[row] += f"; {name} is too old"
        return [reason.removeprefix("; ") for reason in reasons]

    def refusal(self, reasons: Sequence[Refusal]) -> str:
        """The reasons of a refusal, without values: callers may have chosen a field's name."""
        shown = [f"{self._field(one.field)}: expected {one.expected}" for one in reasons]
        more = len(shown) - MOST_REASONS
        return "; ".join(shown[:MOST_REASONS]) + (f"; and {more} more" if more > 0 else "")

    def is_models(self, refusal: Refusal) -> bool:
        """Whether a row is refused for what the model made of it, not for what was sent."""
        return refusal.field.partition("[")[0] in self._of_model

    def _field(self, name: str) -> str:
        return name if name.partition("[")[0] in self._known else "request"


#: seals the sensitive features of some rows of a batch (None: of all), which are the event's, or
#: each of its own event, and are numbered in it; None if that is not possible now
Seal = Callable[
    [CapturePlan, Batch, Rows | None, str | Sequence[str], "NDArray[np.int64]"], Sealed | None
]


def _digest(contract: Contract) -> str:
    """The first 16 digits of the contract's SHA-256."""
    import hashlib  # with OpenSSL: a contract without captures needs none

    text = orjson.dumps(to_dict(contract), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:16]
