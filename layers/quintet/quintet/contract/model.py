"""The whole contract of a model, and what is computed from it once."""

from __future__ import annotations

import math
from dataclasses import field
from functools import cached_property

from quintet.contract.parts import (
    Compiled,
    Decimal,
    DType,
    Header,
    Part,
    Rows,
    Scalar,
    WhenGoldenDiffers,
)
from quintet.contract.rules import (
    AlertRule,
    Candidates,
    Capture,
    DriftRule,
    Fallback,
    Limits,
    Recommend,
    RolloutRule,
    Slo,
    Stream,
)
from quintet.contract.tensors import Feature, Input, Output

__all__ = ["Contract"]


class Contract(Part):
    """The contract of a model package: `model.yaml`, validated.

    `constants` are the values of inputs that are the same in every run; a list is a tensor's
    values in row-major order. `rows` is "one" for a graph that takes one row in a run: it has no
    rows, or as many as it was exported for, or its rows depend on each other.
    `version` numbers an immutable publication. `entity` names the key column that joins
    stored features. `id` names the field with a row's own id, which is not a feature: captures
    keep it, labels name it, and a stream scores its row once. `cache_ttl` is in seconds; 0 disables
    the prediction cache. `training_data` is a CSV or Parquet file in the package from which
    publishing computes the baseline; `training_target` is its column of correct answers, which
    publishing compares with the outputs.
    `header` says whether the first record of a CSV file names its columns, or whether it has none
    and its cells are in the contract's order. `decimal` is the decimal separator of numbers in CSV;
    with a comma, points separate thousands.
    `when_golden_differs` says what a load does where golden outputs differ by more than their
    tolerance, but at most ten times as much: refuse, or warn (serve, with a log line and a metric).
    """

    name: str
    version: int
    task: str
    features: tuple[Feature, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    constants: dict[str, Scalar | list[Scalar]] = field(default_factory=dict)
    rows: Rows = "many"
    description: str = ""
    entity: str | None = None
    id: str | None = None
    slo: Slo = Slo()
    limits: Limits = Limits()
    fallback: Fallback | None = None
    alert: AlertRule | None = None
    stream: Stream | None = None
    capture: Capture | None = None
    candidates: Candidates | None = None
    recommend: Recommend | None = None
    drift: DriftRule = DriftRule()
    rollout: RolloutRule = RolloutRule()
    cache_ttl: float = 0.0
    training_data: str | None = None
    training_target: str | None = None
    header: Header = "first"
    decimal: Decimal = "."
    when_golden_differs: WhenGoldenDiffers = "refuse"

    def __hash__(self) -> int:
        # fields hold unhashable dicts; name and version identify a contract in every cache
        return hash((self.name, self.version))

    @cached_property
    def compiled(self) -> Compiled[Contract]:
        """Values that the scoring paths compute once for this contract: `compiled[make]`."""
        return Compiled(self)

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        """The features by name."""
        return {feature.name: feature for feature in self.features}

    @cached_property
    def by_key(self) -> dict[str, Feature]:
        """The features of a request by their names in it."""
        return {feature.key: feature for feature in self.requested}

    @cached_property
    def requested(self) -> tuple[Feature, ...]:
        """The features that a request carries."""
        return tuple(f for f in self.features if f.source == "request")

    @cached_property
    def stored(self) -> tuple[Feature, ...]:
        """The features joined from the feature store by the entity key."""
        return tuple(f for f in self.features if f.source != "request")

    @cached_property
    def scalar_groups(self) -> dict[tuple[bool, DType], tuple[str, ...]]:
        """The names of scalar features read together, keyed by (stored or not, dtype)."""
        groups: dict[tuple[bool, DType], tuple[str, ...]] = {}
        for feature in self.features:
            if not feature.shape:
                key = (feature.source != "request", feature.dtype)
                groups[key] = (*groups.get(key, ()), feature.name)
        return groups

    @cached_property
    def request_keys(self) -> frozenset[str]:
        """The keys that a record may have: the request's features, the entity key and the id."""
        return frozenset(self.by_key.keys() | set(filter(None, (self.entity, self.id))))

    @cached_property
    def grouped(self) -> bool:
        """Whether the rows of a batch may need several runs."""
        return self.rows == "one" or any(feature.free for feature in self.features)

    @cached_property
    def time_key(self) -> str | None:
        """The key of a record's event time on a stream."""
        time = self.stream.time if self.stream else None
        return self.by_name[time].key if time in self.by_name else time

    @cached_property
    def max_values(self) -> int:
        """The number of values in the largest allowed batch."""
        row = len(self.request_keys) + sum(math.prod(f.largest) for f in self.requested)
        return self.limits.rows * row

    @cached_property
    def needs_entity(self) -> bool:
        """Whether a record needs its entity key to be scored."""
        return bool(self.stored)
