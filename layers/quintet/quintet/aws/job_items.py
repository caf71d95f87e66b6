"""Convert jobs to items of the jobs table and back, and the conditions of writes to them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, cast

from quintet.aws.dynamodb import Item, attributes, number, plain, text
from quintet.jobs.job import Content, Job, JobOutcome, JobRollout, Lease, State
from quintet.jobs.store import JobEvent, JobSummary

__all__ = [
    "FREE",
    "LEASE",
    "LEASE_AS_READ",
    "MINE",
    "OPEN",
    "SHARDS",
    "STATES",
    "TAKE_OVER",
    "expiry",
    "job_item",
    "job_of",
    "leasing",
    "mine",
    "moment",
    "notice_id",
    "notice_item",
    "notice_of",
    "outcome_attributes",
    "seconds",
    "shard",
    "summary_of",
    "taking_over",
]

#: partitions of the sparse index: every job writes to it, so a single partition would throttle
SHARDS = 8
_NOTICE = "outbox#"

OPEN = "(#state = :accepted OR #state = :leased)"
FREE = "(#state = :accepted OR (#state = :leased AND lease_until <= :now))"
MINE = "#state = :leased AND lease_owner = :worker AND attempts = :fence AND lease_until > :now"
STATES = {":accepted": text("ACCEPTED"), ":leased": text("LEASED")}

_LEASE = (
    "SET #state = :leased, lease_owner = :worker, lease_until = :until, updated = :now "
    "ADD attempts :one"
)
#: the update and its condition to lease an accepted job, to lease one that is unchanged since it
#: was read, and to take over an expired lease; `leasing` and `taking_over` give the values
LEASE = (_LEASE, "#state = :accepted AND deadline > :now")
LEASE_AS_READ = (_LEASE, f"{LEASE[1]} AND attempts = :fence")
TAKE_OVER = (
    f"{_LEASE}, broken :one",
    "#state = :leased AND attempts = :fence AND lease_until <= :now AND deadline > :now",
)


def moment(at: float) -> str:
    """Seconds since the epoch as a string that sorts by time."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")


def seconds(at: str) -> float:
    """Parse a string of `moment` to seconds since the epoch."""
    return datetime.fromisoformat(at).timestamp()


def shard(kind: str, job: str) -> str:
    """The partition of the sparse index that holds a job's `open` mark or its `notice`."""
    return f"{kind}#{sum(job.encode()) % SHARDS}"


def job_item(job: Job) -> Item:
    """The item of a newly accepted job."""
    item = {
        "job": text(job.id),
        "owner": text(job.owner),
        "model": text(job.model),
        "version": {"N": str(job.version)},
        "form": text(job.form),
        "state": text(job.state),
        "request": _content_item(job.request),
        "created": text(moment(job.created)),
        "updated": number(job.updated),
        "deadline": number(job.deadline),
        "attempts": {"N": str(job.attempts)},
        "inference_id": text(job.inference_id),
        "announce": {"BOOL": job.notify_topic},
        "outbox": text(shard("open", job.id)),
        "due": text(moment(job.deadline)),
    }
    if job.endpoint is not None:
        item["endpoint"] = text(job.endpoint)
    if job.output:
        item["output"] = text(job.output)
    if job.run_limit is not None:
        item["run_limit"] = {"N": str(job.run_limit)}
    if job.traceparent:
        item["traceparent"] = text(job.traceparent)
    if job.rollout is not None:
        item["rollout"] = {"M": attributes(asdict(job.rollout))}
    return item


def job_of(item: Mapping[str, Any]) -> Job:
    """The job of an item."""
    attempts = int(item["attempts"]["N"])
    lease = None
    if "lease_owner" in item:
        until = float(item["lease_until"]["N"])
        lease = Lease(item["lease_owner"]["S"], attempts, until)
    return Job(
        id=item["job"]["S"],
        owner=item["owner"]["S"],
        model=item["model"]["S"],
        version=int(item["version"]["N"]),
        form=item["form"]["S"],
        request=_content_of(item["request"]["M"]),
        created=seconds(item["created"]["S"]),
        updated=float(item["updated"]["N"]),
        deadline=float(item["deadline"]["N"]),
        state=cast(State, item["state"]["S"]),
        attempts=attempts,
        broken=int(item["broken"]["N"]) if "broken" in item else 0,
        inference_id=item["inference_id"]["S"],
        endpoint=item["endpoint"]["S"] if "endpoint" in item else None,
        notify_topic=item["announce"]["BOOL"],
        output=item["output"]["S"] if "output" in item else "",
        run_limit=int(item["run_limit"]["N"]) if "run_limit" in item else None,
        lease=lease,
        result=_content_of(item["result"]["M"]) if "result" in item else None,
        problem=json.loads(item["problem"]["S"]) if "problem" in item else None,
        reopened=int(item["reopened"]["N"]) if "reopened" in item else 0,
        traceparent=item["traceparent"]["S"] if "traceparent" in item else "",
        rollout=_rollout_of(item["rollout"]["M"]) if "rollout" in item else None,
    )


def _rollout_of(fields: Mapping[str, Any]) -> JobRollout:
    given = {name: plain(value) for name, value in fields.items()}
    return JobRollout(**{**given, "share": float(given["share"])})


def summary_of(item: Mapping[str, Any]) -> JobSummary:
    """A job's summary from an item of the index by owner."""
    return JobSummary(
        item["job"]["S"],
        item["model"]["S"],
        int(item["version"]["N"]),
        cast(State, item["state"]["S"]),
        seconds(item["created"]["S"]),
        float(item["updated"]["N"]),
    )


def outcome_attributes(outcome: JobOutcome) -> Item:
    """The attributes that a job's end adds to its item."""
    found: Item = {}
    if outcome.result is not None:
        found["result"] = _content_item(outcome.result)
    if outcome.problem is not None:
        found["problem"] = text(json.dumps(dict(outcome.problem), allow_nan=False))
    return found


def notice_id(notice: JobEvent) -> str:
    """The key of a notice's item; it encodes all fields of the message."""
    return f"{_NOTICE}{notice.kind}#{notice.job}"


def notice_item(notice: JobEvent) -> Item:
    """The item of a notice."""
    return {
        "job": text(notice_id(notice)),
        "outbox": text(shard("notice", notice.job)),
        "due": text(moment(notice.at)),
    }


def notice_of(item: Mapping[str, Any]) -> JobEvent:
    """The notice of an item."""
    event, _, job = item["job"]["S"].removeprefix(_NOTICE).partition("#")
    return JobEvent(job, event, seconds(item["due"]["S"]))


def _content_item(content: Content) -> Item:
    fields: Item = {
        "type": text(content.content_type),
        "size": {"N": str(content.size)},
        "headers": {"M": {name: text(value) for name, value in content.headers.items()}},
    }
    if content.body is not None:
        fields["body"] = {"B": base64.b64encode(content.body).decode()}
    if content.place is not None:
        fields["place"] = text(content.place)
    return {"M": fields}


def _content_of(fields: Mapping[str, Any]) -> Content:
    return Content(
        fields["type"]["S"],
        int(fields["size"]["N"]),
        base64.b64decode(fields["body"]["B"]) if "body" in fields else None,
        fields["place"]["S"] if "place" in fields else None,
        {name: value["S"] for name, value in fields["headers"]["M"].items()},
    )


def leasing(worker: str, now: float, seconds: float) -> Item:
    """The values of `LEASE`."""
    return {
        **STATES,
        **_taking(worker, now, seconds),
    }


def taking_over(job: Job, worker: str, now: float, seconds: float) -> Item:
    """The values of `TAKE_OVER`, for a job unchanged since it was read."""
    return {
        ":leased": STATES[":leased"],
        ":fence": {"N": str(job.attempts)},
        **_taking(worker, now, seconds),
    }


def _taking(worker: str, now: float, seconds: float) -> Item:
    return {
        ":worker": text(worker),
        ":until": number(now + seconds),
        ":now": number(now),
        ":one": {"N": "1"},
    }


def mine(lease: Lease, now: float) -> Item:
    """The values of the condition `MINE`."""
    return {
        ":leased": text("LEASED"),
        ":worker": text(lease.owner),
        ":fence": {"N": str(lease.fence)},
        ":now": number(now),
    }


def expiry(at: float) -> Item:
    """The time from which DynamoDB may delete an item."""
    return {"expires": {"N": str(int(at))}}
