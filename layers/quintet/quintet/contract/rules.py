"""The rules of a contract: how its model is served, watched and rolled out."""

from __future__ import annotations

import dataclasses
from functools import cached_property

from quintet.contract.parts import (
    Compiled,
    Gate,
    How,
    Part,
    Scalar,
    SensitiveCapture,
    WhenCandidatesStale,
)

__all__ = [
    "Aggregate",
    "AlertRule",
    "Candidates",
    "Capture",
    "DriftRule",
    "Fallback",
    "FallbackRule",
    "Filters",
    "Gates",
    "Limits",
    "Margins",
    "Recommend",
    "RolloutRule",
    "Slo",
    "Stream",
]


class Slo(Part):
    """The service level objectives of requests.

    `p95_ms` is the 95th percentile of their time in milliseconds; `availability` is the share that
    does not fail on our side.
    """

    p95_ms: float = 200.0
    availability: float = 0.999


class Limits(Part):
    """The limits of one request: rows, and bytes of its (uncompressed) body.

    `max_refused` is the largest share of a batch run's rows that may be refused; a run whose
    rows are all refused exceeds it in any case.
    """

    rows: int = 1000
    bytes: int = 4_500_000
    max_refused: float = 1.0


class FallbackRule(Part):
    """Answers with `outputs` if the request's `feature` is above, below or equal to a value."""

    feature: str
    outputs: dict[str, Scalar | list[float]]
    above: float | None = None
    below: float | None = None
    equals: Scalar | None = None


class Fallback(Part):
    """Answers without stored features: the first matching rule, else `otherwise`.

    Values are keyed by output name, for one row; rules read request features only.
    """

    otherwise: dict[str, Scalar | list[float]]
    rules: tuple[FallbackRule, ...] = ()


class AlertRule(Part):
    """A prediction raises an alert if the named output (its last column) is above or below.

    On a stream, an entity raises at most one alert in `cooldown` seconds.
    """

    output: str
    above: float | None = None
    below: float | None = None
    cooldown: float = 300.0


class Aggregate(Part):
    """An aggregate of each entity in a window: a count, or a statistic (`how`) of the field `of`.

    It is stored under `name`, which a feature with the source `window` reads.
    """

    name: str
    how: How
    of: str | None = None
    description: str = ""


class Stream(Part):
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

    @cached_property
    def compiled(self) -> Compiled[Stream]:
        """Values that are computed once for these windows: `compiled[make]`."""
        return Compiled(self)


class Capture(Part):
    """Which predictions are captured, as they were served: a share `rate` of them, for `days` days.

    A share of 1 is all. Of features marked `sensitive` nothing is captured (drop), or their values
    encrypted with a key of the stage, for the comparison of rollouts alone: see docs/captures.md.
    """

    rate: float = 1.0
    days: int = 30
    sensitive: SensitiveCapture = "drop"


class Candidates(Part):
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


class Filters(Part):
    """Which candidates an answer leaves out.

    `seen` are the items of the request's context. `stock_max_age` is the age in seconds up to which
    the list of items that are sold out applies; None: it is not read. `per_category` is the most
    items of one category.
    """

    seen: bool = True
    stock_max_age: float | None = None
    per_category: int | None = None


class Recommend(Part):
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


class DriftRule(Part):
    """When a feature has moved: see docs/monitoring.md.

    `false_alarms` is the chance of any false alarm in a report without drift. `floor` is the
    smallest effect, from 0 to 1, that counts: for numbers the largest distance of the distribution
    functions, for categories half the sum of the differences in shares.
    """

    false_alarms: float = 0.01
    floor: float = 0.08


class Margins(Part):
    """How much worse than the live version a new one may be.

    `failures` and `labels` are shares of rows: of more failed ones, and of those whose label
    changes. `score` is a shift in standard deviations of the live version's score, `latency` the
    ratio of the times of a request.
    """

    failures: float = 0.0005
    score: float = 0.1
    labels: float = 0.05
    latency: float = 1.25


class Gates(Part):
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


class RolloutRule(Part):
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
