"""What commands print with `--json` where no class of theirs says it."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

__all__ = [
    "Backfilled",
    "Candidates",
    "Changed",
    "Comparison",
    "Day",
    "Destroyed",
    "EndpointView",
    "Erasure",
    "Evaluation",
    "Gone",
    "Health",
    "Item",
    "JobLine",
    "JobView",
    "Jobs",
    "Live",
    "Loading",
    "LogLine",
    "PackageView",
    "Place",
    "Pointer",
    "Quality",
    "Rehearsal",
    "Replayed",
    "Report",
    "RolloutView",
    "RunLine",
    "Secret",
    "Sending",
    "Skew",
    "SloView",
    "Started",
    "Stock",
    "Stopped",
    "Written",
]

#: of reports, which have more fields: those named here are there in any case
MORE = ConfigDict(extra="allow")


@with_config(MORE)
class PackageView(TypedDict):
    """A package that passed its checks, and where it was published."""

    name: str
    version: int
    digest: str
    new: bool
    live: int | None
    stage: str | None


class Live(TypedDict):
    """The version that answers requests, and the one before."""

    model: str
    live: int
    before: int | None


class Gone(TypedDict):
    """A version that was withdrawn, or whose files were deleted."""

    model: str
    version: int
    objects: int


class LogLine(TypedDict):
    """A line of a function's log, and when it was written (epoch seconds)."""

    time: float
    line: str


class Loading(TypedDict):
    """A file that was loaded: its rows, those that were refused, and what changed."""

    rows: int
    refused: int
    changed: int | None
    reasons: list[str]


class Report(TypedDict):
    """A run's report."""

    model: str
    run: str
    status: str
    counts: dict[str, int]


@with_config(MORE)
class Started(TypedDict):
    """A run that was started, and its report if it was followed."""

    model: str
    run: str
    new: bool
    report: Report | None


class RunLine(TypedDict):
    """A run of a model; numbers are None until they are known. `read`: readers see it."""

    started: str
    run: str
    status: str
    file: str
    rows: int | None
    scored: int | None
    quarantined: int | None
    read: bool


class Pointer(TypedDict):
    """The run that readers of a table or a partition see."""

    model: str
    partition: str | None
    run: str


@with_config(MORE)
class Comparison(TypedDict):
    """The scores of two runs over one input."""

    model: str
    runs: list[str]
    versions: list[int]
    rows: dict[str, int]


@with_config(MORE)
class JobLine(TypedDict):
    """A job in a list; times are in epoch seconds."""

    id: str
    model: str
    version: int
    state: str
    created: float
    updated: float


class JobView(JobLine):
    """A job. `result` is its text, if it is of a text type and stored with the job."""

    owner: str
    attempts: int
    problem: dict[str, Any] | None
    result: str | None


class Jobs(TypedDict):
    """Jobs, the newest first; `more`: there are older ones."""

    jobs: list[JobLine]
    more: bool


class EndpointView(TypedDict):
    """An endpoint, without its secrets."""

    id: str
    url: str
    created: str
    secrets: int
    callers: list[str]
    disabled: str


class Secret(TypedDict):
    """An endpoint's secret, which is shown once."""

    id: str
    secret: str


class Changed(TypedDict):
    """The id of what was changed."""

    id: str


class Sending(TypedDict):
    """Records that were sent to the stream, and those that were not."""

    records: int
    left: int


class Place(TypedDict):
    """A place of refused things: how many it holds, and of what."""

    name: str
    waiting: int
    noun: str
    note: str
    about: str


class Item(TypedDict):
    """A refused message, row or record, in lines of text."""

    lines: list[str]


class Replayed(TypedDict):
    """What was sent back, or would be; `record` is the address of the replay's record."""

    sent: int
    left: int
    destination: str
    record: str | None


class Candidates(TypedDict):
    """The items of a user, the best first, or those listed most by segment ("" is all users)."""

    run: str
    user: str | None
    items: list[int]
    scores: list[float]
    segments: dict[str, list[int]]


class Stock(TypedDict):
    """How many of a model's items are sold out, since when (epoch seconds)."""

    model: str
    sold_out: int
    items: int
    at: float
    unknown: int


class Written(TypedDict):
    """A file that was written, and its rows if it has some."""

    file: str
    rows: int | None


class Erasure(TypedDict):
    """Captures and feedback of an entity that were erased."""

    entity: str
    captures: dict[str, Any]
    feedback: dict[str, Any]


@with_config(MORE)
class Evaluation(TypedDict):
    """What a version would earn, from impressions that others showed."""

    model: str
    version: int
    since: str
    until: str


@with_config(MORE)
class Quality(TypedDict):
    """How right a model's predictions were."""

    model: str


@with_config(MORE)
class Skew(TypedDict):
    """Stored features as they were served on a day."""

    day: str


@with_config(MORE)
class Rehearsal(TypedDict):
    """What another version would have answered."""

    since: str
    until: str


@with_config(MORE)
class Day(TypedDict):
    """A model's day: rows by kind, features that moved, and the page."""

    day: str
    rows: dict[str, int]
    moved: list[str]
    drifting: list[str]
    file: str


@with_config(MORE)
class RolloutView(TypedDict):
    """A model's route, its rollout, the gates' verdict, and what the candidate got."""

    route: dict[str, Any]
    rollout: dict[str, Any] | None
    verdict: dict[str, Any] | None
    promise: dict[str, Any] | None
    running: bool | None


class SloView(TypedDict):
    """What is left of a model's error budgets (shares), and which alarms burn."""

    stage: str
    model: str
    requests: float
    availability_left: float | None
    latency_left: float | None
    burning: list[str]


class Health(TypedDict):
    """A local AWS: its addresses, outputs and environments."""

    api_url: str
    endpoint_url: str
    outputs: dict[str, str]
    environments: dict[str, dict[str, int]]


class Stopped(TypedDict):
    """Whether a local AWS ran and was stopped."""

    stopped: bool


class Backfilled(TypedDict):
    """The partitions of a backfill, one result each, and how many are scored."""

    scored: int
    partitions: list[dict[str, str]]


class Destroyed(TypedDict):
    """Resources of a stage that were deleted, by kind."""

    stacks: list[str]
    buckets: list[str]
    tables: list[str]
    logs: list[str]
