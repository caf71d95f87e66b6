"""The contract of a model: the content of `model.yaml`, as dataclasses.

These classes hold a *validated* contract. They import nothing heavy, because `predict`
reads one in Lambda's init; the publisher (`quintet_publish.package`) validates `model.yaml`
with pydantic against the same classes and writes the result as `contract.json`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cached_property
from typing import Any, ClassVar, Literal

from quintet.record import Record

__all__ = [
    "Aggregate",
    "AlertRule",
    "Candidates",
    "Capture",
    "Contract",
    "DType",
    "Decimal",
    "DriftRule",
    "Fallback",
    "FallbackRule",
    "Feature",
    "Filters",
    "Gates",
    "Header",
    "Input",
    "Limits",
    "Margins",
    "Output",
    "Recommend",
    "RolloutRule",
    "Slo",
    "Stream",
    "from_dict",
    "to_dict",
]

DType = Literal[
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "string",
]
Rows = Literal["many", "one"]
Source = Literal["request", "store", "window"]
Empty = Literal["text", "missing"]
Missing = Literal["nan"]
Header = Literal["first", "none"]
Decimal = Literal[".", ","]
SensitiveCapture = Literal["drop", "encrypted"]
WhenStale = Literal["serve", "default", "fallback", "refuse"]
WhenGoldenDiffers = Literal["refuse", "warn"]
WhenCandidatesStale = Literal["flag", "skip"]
Meaning = Literal["label", "score", "probabilities", "value", "embedding"]
How = Literal["count", "sum", "mean", "min", "max", "stddev", "last", "distinct"]
Scalar = bool | int | float | str
#: YAML reads a plain `on` and `off` as booleans
Gate = Literal["on", "dry_run", "off"] | bool


class _Part(Record):
    """A part of a contract; `model.yaml` has no fields that are not its own."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}


class Feature(_Part):
    """One column of a record.

    Records, files and tensors have it under `column`, by default its `name`.
    `shape` is that of one row: () is a scalar, (64,) a vector of 64, (-1,) a vector of any length
    up to `max`, which bounds the free axes (-1) in order. With `pad`, all rows of a run are filled
    up with that value to the longest of them. A feature without a
    `default` is required. `max_age` is in seconds and applies to stored features;
    `when_stale` says what happens if the value is older or missing: serve (use the
    old value; if it is missing, the default, else refuse), default, fallback (the
    contract's fallback rule answers) or refuse. `empty` says how to read an empty text: as text,
    or as missing, for tools that write missing values as empty text. With `missing: nan`, the graph
    gets NaN for a missing value or element, and the feature is not required.
    """

    name: str
    column: str | None = None
    dtype: DType
    shape: tuple[int, ...] = ()
    max: int | tuple[int, ...] | None = None
    pad: Scalar | None = None
    source: Source = "request"
    range: tuple[float | None, float | None] | None = None
    categories: tuple[str | int, ...] | None = None
    default: Scalar | None = None
    missing: Missing | None = None
    empty: Empty = "text"
    max_age: float | None = None
    when_stale: WhenStale = "refuse"
    sensitive: bool = False
    description: str = ""

    @cached_property
    def key(self) -> str:
        """Its name in records, files and tensors, and in refusals of them."""
        return self.column or self.name

    @cached_property
    def fill(self) -> Scalar | None:
        """What a missing value becomes: NaN, or the default; None: the value is required.

        A row with free axes has no length if it is missing, so it is required.
        """
        return math.nan if self.missing and not self.free else self.default

    @cached_property
    def free(self) -> bool:
        """Whether rows may differ in shape."""
        return -1 in self.shape

    @cached_property
    def largest(self) -> tuple[int, ...]:
        """The shape of the largest row."""
        return _bounded(self.shape, self.max)


class Input(_Part):
    """One input tensor of the graph; its dimension `batch_axis` is the rows (-1).

    `features` names one feature, of any shape, or the scalar features stacked into
    (rows, len(features)); without it, the input takes the feature of the same name.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    features: tuple[str, ...] | None = None
    batch_axis: int = 0

    @cached_property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return _without(self.shape, self.batch_axis)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The features that feed it: one, or several scalars side by side."""
        return self.features or (self.name,)


class Output(_Part):
    """One output tensor of the graph and its meaning; the dimension `batch_axis` is the rows.

    `max` bounds its free axes, as those of a feature.

    `classes` names the classes: a list in the order of the label's numbers (0, 1, ...) or of
    the columns of the probabilities, or a mapping from the graph's labels, as text, to names;
    with a mapping, the columns are in ascending order of the labels. A row whose output is not
    finite is refused unless `finite` is false.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    meaning: Meaning
    max: int | tuple[int, ...] | None = None
    classes: tuple[str, ...] | dict[str, str] | None = None
    finite: bool = True
    description: str = ""
    batch_axis: int = 0

    @cached_property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return _without(self.shape, self.batch_axis)

    @cached_property
    def free(self) -> bool:
        """Whether rows may differ in shape."""
        return -1 in self.row_shape

    @cached_property
    def largest(self) -> tuple[int, ...]:
        """The shape of the largest row."""
        return _bounded(self.row_shape, self.max)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels that have a name, as text, in column order."""
        if isinstance(self.classes, dict):
            return tuple(sorted(self.classes, key=_label_order))
        return tuple(map(str, range(len(self.classes or ()))))

    @cached_property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes, in column order."""
        if isinstance(self.classes, dict):
            return tuple(self.classes[label] for label in self.labels)
        return self.classes

    @cached_property
    def class_of(self) -> Mapping[Any, str]:
        """The name of each label: an integer, or the text of a string output."""
        if self.dtype == "string":
            return self.classes if isinstance(self.classes, dict) else {}
        names = zip(self.labels, self.class_names or (), strict=True)
        return {int(label): name for label, name in names if _is_int(label)}


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def _bounded(shape: tuple[int, ...], most: int | tuple[int, ...] | None) -> tuple[int, ...]:
    bounds = iter((most,) if isinstance(most, int) else most or ())
    return tuple(next(bounds) if size == -1 else size for size in shape)


def _is_int(label: str) -> bool:
    return label.removeprefix("-").isdecimal()


def _label_order(label: str) -> tuple[bool, int, str]:
    """Sort key: integers by value, before texts."""
    return (False, int(label), "") if _is_int(label) else (True, 0, label)


class Slo(_Part):
    """The service level objectives of requests.

    `p95_ms` is the 95th percentile of their time in milliseconds; `availability` is the share that
    does not fail on our side.
    """

    p95_ms: float = 200.0
    availability: float = 0.999


class Limits(_Part):
    """The limits of one request: rows, and bytes of its (uncompressed) body.

    `max_refused` is the largest share of a batch run's rows that may be refused; a run whose
    rows are all refused exceeds it in any case.
    """

    rows: int = 1000
    bytes: int = 4_500_000
    max_refused: float = 1.0


class FallbackRule(_Part):
    """Answers with `outputs` if the request's `feature` is above, below or equal to a value."""

    feature: str
    outputs: dict[str, Scalar | list[float]]
    above: float | None = None
    below: float | None = None
    equals: Scalar | None = None


class Fallback(_Part):
    """Answers without stored features: the first matching rule, else `otherwise`.

    Values are keyed by output name, for one row; rules read request features only.
    """

    otherwise: dict[str, Scalar | list[float]]
    rules: tuple[FallbackRule, ...] = ()


class AlertRule(_Part):
    """A prediction raises an alert if the named output (its last column) is above or below.

    On a stream, an entity raises at most one alert in `cooldown` seconds.
    """

    output: str
    above: float | None = None
    below: float | None = None
    cooldown: float = 300.0


class Aggregate(_Part):
    """An aggregate of each entity in a window: a count, or a statistic (`how`) of the field `of`.

    It is stored under `name`, which a feature with the source `window` reads.
    """

    name: str
    how: How
    of: str | None = None
    description: str = ""


class Stream(_Part):
    """How the records of a stream are grouped into windows, by the contract's entity.

    Without `time`, windows are those of the event source: by arrival, with the length set in the
    template. With it, a record belongs to the window of `window` seconds that contains the time in
    its field `time` (epoch seconds, or ISO 8601). A record that arrives more than
    `allowed_lateness` seconds after the end of its window is scored, but counted as late and left
    out of the aggregates.

    A row with an id of its own (the contract's `id`; without one, a field `id` that has no other
    use) that a producer sends again under another sequence number is scored once.
    """

    aggregates: tuple[Aggregate, ...] = ()
    time: str | None = None
    window: float | None = None
    allowed_lateness: float = 0.0


class Capture(_Part):
    """Which predictions are captured, as they were served: a share `rate` of them, for `days` days.

    A share of 1 is all. Of features marked `sensitive` nothing is captured (drop), or their values
    encrypted with a key of the stage, for the comparison of rollouts alone: see docs/captures.md.
    """

    rate: float = 1.0
    days: int = 30
    sensitive: SensitiveCapture = "drop"


class Candidates(_Part):
    """A batch run stores each row's items, for its entity: see docs/recommendations.md.

    `ids` and `scores` name the outputs that hold them, (rows, k) each. Items are numbered from 1 to
    `items`; 0 is none. `segment` names a request feature, such as a country: the items that a run
    lists most often are counted for each of its values too. A run's sets are kept for `nights` days
    and a week.
    """

    ids: str
    scores: str
    items: int
    segment: str | None = None
    nights: int = 2


class Filters(_Part):
    """Which candidates an answer leaves out.

    `seen` are the items of the request's context. `stock_max_age` is the age in seconds up to which
    the list of items that are sold out applies; None: it is not read. `per_category` is the most
    items of one category.
    """

    seen: bool = True
    stock_max_age: float | None = None
    per_category: int | None = None


class Recommend(_Part):
    """The model ranks the candidates of another one for a user: see docs/recommendations.md.

    `candidates` is the model that makes them. `item`, `score` and `session` name request features:
    a row's item, its score as a candidate, and the items of the context, the same in all rows.
    `rank` and `category` name outputs. An answer has `top` items. Candidates of a run that started
    more than `max_age` seconds ago are flagged or skipped (`when_stale`). The model is not run if
    the answer would take more than `budget_ms`. The share `explore` of answers is in random order.
    Feedback counts for `feedback_days` days.
    """

    candidates: str
    item: str
    rank: str
    score: str | None = None
    session: str | None = None
    category: str | None = None
    top: int = 20
    max_age: float = 172_800.0
    when_stale: WhenCandidatesStale = "flag"
    budget_ms: float = 50.0
    explore: float = 0.0
    filters: Filters = Filters()
    feedback_days: int = 7

    @cached_property
    def fed(self) -> frozenset[str]:
        """The request features that are fed with candidates and the context's items."""
        return frozenset(filter(None, (self.item, self.score, self.session)))


class DriftRule(_Part):
    """When a feature has moved: see docs/monitoring.md.

    `false_alarms` is the chance of any false alarm in a report without drift. `floor` is the
    smallest effect, from 0 to 1, that counts: for numbers the largest distance of the distribution
    functions, for categories half the sum of the differences in shares.
    """

    false_alarms: float = 0.01
    floor: float = 0.08


class Margins(_Part):
    """How much worse than the live version a new one may be.

    `failures` and `labels` are shares of rows: of more failed ones, and of those whose label
    changes. `score` is a shift in standard deviations of the live version's score, `latency` the
    ratio of the times of a request.
    """

    failures: float = 0.0005
    score: float = 0.1
    labels: float = 0.05
    latency: float = 1.25


class Gates(_Part):
    """The tests of a rollout: on, dry_run (shown, but decides nothing) or off.

    `failures`, `score` and `labels` compare both versions' answers to the same row; `crashes`,
    `errors` and `latency` compare what callers got, entity by entity.
    """

    failures: Gate = "on"
    score: Gate = "on"
    labels: Gate = "on"
    crashes: Gate = "on"
    errors: Gate = "on"
    latency: Gate = "on"

    @cached_property
    def modes(self) -> dict[str, str]:
        """The mode of each gate: on, dry_run or off."""
        words = {True: "on", False: "off"}
        return {name: words.get(mode, mode) for name, mode in dataclasses.asdict(self).items()}


class RolloutRule(_Part):
    """How a new version comes into service: see docs/rollouts.md.

    `steps` are the shares (0 to 1) of the entities that it answers, ascending. A step lasts at
    least `minutes`, and pauses after `max_minutes` without a verdict. For `watch_minutes` after its
    promotion an alarm still brings the version before back.
    """

    steps: tuple[float, ...] = (0.01, 0.1, 0.5, 1.0)
    minutes: float = 10.0
    max_minutes: float = 1440.0
    watch_minutes: float = 60.0
    margins: Margins = Margins()
    gates: Gates = Gates()


class Contract(_Part):
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
    def compiled(self) -> Compiled:
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


class Compiled(dict[Callable[[Contract], Any], Any]):
    """The results of `make(contract)`, keyed by `make`; each is called once."""

    def __init__(self, contract: Contract) -> None:
        super().__init__()
        self._contract = contract

    def __missing__(self, make: Callable[[Contract], Any]) -> Any:
        made = self[make] = make(self._contract)
        return made


def to_dict(contract: Contract) -> dict[str, Any]:
    """The contract as JSON-ready dicts and lists, every field present."""
    return dataclasses.asdict(contract)


def from_dict(data: Mapping[str, Any]) -> Contract:
    """Build a contract from the output of `to_dict`. Publishing validated it already."""
    stream = data.get("stream")
    if stream and "id" in stream:  # published when a row's id was a setting of streams alone
        stream = dict(stream)
        data = {**data, "id": stream.pop("id"), "stream": stream}
    built: Contract = _build(Contract, data)
    return built


#: the fields that hold other parts, alone or in a tuple
_PARTS: dict[type[_Part], dict[str, type[_Part]]] = {
    Contract: {
        "features": Feature,
        "inputs": Input,
        "outputs": Output,
        "slo": Slo,
        "limits": Limits,
        "fallback": Fallback,
        "alert": AlertRule,
        "stream": Stream,
        "capture": Capture,
        "candidates": Candidates,
        "recommend": Recommend,
        "drift": DriftRule,
        "rollout": RolloutRule,
    },
    Fallback: {"rules": FallbackRule},
    Stream: {"aggregates": Aggregate},
    Recommend: {"filters": Filters},
    RolloutRule: {"margins": Margins, "gates": Gates},
}


def _build(kind: type[_Part], data: Mapping[str, Any]) -> Any:
    """A part from JSON, in which tuples are lists."""
    parts, values = _PARTS.get(kind, {}), {}
    for name, value in data.items():
        part = parts.get(name)
        if isinstance(value, list | tuple):
            values[name] = tuple(value if part is None else [_build(part, v) for v in value])
        else:
            values[name] = value if part is None or value is None else _build(part, value)
    return kind(**values)
