"""The request of a run: the input of its execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

from quintet.batch.plans import Scope
from quintet.columns import suggestion
from quintet.contract import Header
from quintet.errors import BadInput, Refusal, json_kind, shown

__all__ = [
    "ALL",
    "Passthrough",
    "RunRequest",
    "header_of",
    "model_of",
    "passthrough_of",
    "request_from",
]

SCOPES: tuple[Scope, ...] = ("key", "prefix", "manifest")
TEXTS = (
    *("bucket", "model", "version_id", "partition", "output", "callback", "features", "owner"),
    "traceparent",
    "header",
    *SCOPES,
)
#: columns of the input to keep beside the scores: a list, names to new names, or all ("*")
Passthrough = list[str] | dict[str, str] | str
ALL = "*"
MAX_PASSTHROUGH = 200
KEEP_FORM = 'a list of columns, {"column": "new name"}, or "*" for all'
FIELDS = (*TEXTS, "version", "keep", "trial")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """The request of a run. `started` is ISO 8601; `version` None means the live one.

    The input is one object (`key`), all objects under a `prefix`, or those that the object
    `manifest` lists. `partition` (`month=2026-01`) selects only the files in folders of that name.
    `output` is the format of the scores, `keep` the columns of the input beside them: a list, names
    to new names, or "*". `header` says whether CSV files have one (see
    `quintet.contract.Contract`). The object's metadata may also set these three. `callback` is the
    id of an endpoint that is notified when the run ends. `features` is a prefix of files with the
    history of the stored features. Readers do not see a run that is a `trial`. `owner` is the API
    caller who requested the run; a run without an owner belongs to the stage. `traceparent` is the
    run's W3C context, if its caller sent one (see `quintet.batch.plans.run_context`).
    """

    run: str
    started: str
    bucket: str
    key: str | None = None
    prefix: str | None = None
    manifest: str | None = None
    version_id: str | None = None
    partition: str | None = None
    version: int | None = None
    model: str = ""
    output: str | None = None
    keep: Passthrough | None = None
    callback: str | None = None
    features: str | None = None
    header: Header | None = None
    trial: bool | None = None
    owner: str | None = None
    traceparent: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", self.model or self.source.partition("/")[0])

    @property
    def scope(self) -> Scope:
        """The scope of the input."""
        return next(name for name in SCOPES if getattr(self, name) is not None)

    @property
    def source(self) -> str:
        """The key, the prefix, or the manifest's key."""
        found: str = getattr(self, self.scope)
        return found


def model_of(data: Mapping[str, Any]) -> str:
    """The model of a request, which may be invalid.

    For a dropped file, the model is the name of the first folder.
    """
    return str(data.get("model") or str(data.get("key") or "").partition("/")[0])


def request_from(data: Mapping[str, Any], *, run: str = "", started: str = "") -> RunRequest:
    """Parse a request from the starter of a run.

    Raises:
        BadInput: a field is missing, unknown or invalid.
    """
    refusals = [
        Refusal(
            None,
            str(name)[:60],
            f"one of {', '.join(FIELDS)}",
            f"another field{suggestion(str(name), FIELDS)}",
        )
        for name in data
        if name not in FIELDS
    ]
    for name in TEXTS:
        value = data.get(name)
        if value is not None and not (isinstance(value, str) and len(value) <= 1024):
            got = "a longer one" if isinstance(value, str) else json_kind(value)
            refusals.append(Refusal(None, name, "a string of at most 1,024 characters", got))
    version = data.get("version")
    if version is not None and (type(version) is not int or version < 1):
        refusals.append(Refusal(None, "version", "a whole number from 1", shown(version)))
    if (trial := data.get("trial")) is not None and type(trial) is not bool:
        refusals.append(Refusal(None, "trial", "true or false", shown(trial)))
    if not data.get("bucket"):
        refusals.append(Refusal(None, "bucket", "the name of a bucket", "nothing"))
    given = [name for name in SCOPES if data.get(name) is not None]
    if len(given) != 1:
        got = " and ".join(given) or "none"
        refusals.append(Refusal(None, "input", "one of key, prefix, manifest", got))
    elif not data[given[0]]:
        refusals.append(Refusal(None, given[0], "a text that is not empty", "nothing"))
    if data.get("features") == "":
        refusals.append(Refusal(None, "features", "a text that is not empty", "nothing"))
    refusals += _odd_keep(data.get("keep")) + _at_odds(data, given)
    try:
        header_of(data.get("header"), "header")
    except BadInput as error:
        refusals += error.refusals
    if refusals:
        raise BadInput(refusals)
    return RunRequest(run=run, started=started, **data)


def passthrough_of(text: str) -> Passthrough | None:
    """Parse `keep` from object metadata or the command line: `customer_id, segment=group`."""
    if text.strip() in ("", ALL):
        return text.strip() or None
    pairs = [part.partition("=") for part in text.split(",")]
    return {old.strip(): (new or old).strip() for old, _, new in pairs}


def header_of(value: Any, field: str) -> Header | None:
    """Parse a request's `header`, or that of an object's metadata; None if it says nothing.

    Raises:
        BadInput: it is neither first nor none.
    """
    for known in (None, *get_args(Header)):
        if value == known:
            return cast("Header | None", known)
    raise BadInput.of(field, "first or none", shown(value))


def _odd_keep(value: Any) -> list[Refusal]:
    """The refusals of a request's `keep`."""
    names = [*value, *value.values()] if isinstance(value, dict) else value
    good = value is None or value == ALL
    if isinstance(names, list) and 0 < len(names) <= 2 * MAX_PASSTHROUGH:
        good = all(isinstance(name, str) and 0 < len(name) <= 200 for name in names)
    return [] if good else [Refusal(None, "keep", KEEP_FORM, "something else")]


def _at_odds(data: Mapping[str, Any], given: Sequence[str]) -> list[Refusal]:
    """The refusals of fields that exclude each other."""
    found = []
    if given == ["prefix"] and data.get("version_id") is not None:
        found.append(Refusal(None, "version_id", "none with a prefix", "one"))
    partition = data.get("partition")
    if given == ["key"] and partition is not None:
        found.append(Refusal(None, "partition", "none with a key", "one"))
    if isinstance(partition, str) and not all(
        name and value for name, _, value in (p.partition("=") for p in partition.split("/"))
    ):
        found.append(Refusal(None, "partition", "name=value, or a/b of those", partition[:60]))
    if given and given != ["key"] and not data.get("model"):
        found.append(Refusal(None, "model", f"the model's name, with a {given[0]}", "nothing"))
    return found
