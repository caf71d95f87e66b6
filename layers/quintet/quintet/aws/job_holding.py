"""The conditions of the jobs table: what is open, what is free, and what a worker's lease holds."""

from __future__ import annotations

from quintet.aws.job_items import Item, number, text
from quintet.jobs.job import Lease

__all__ = ["FREE", "LEASE", "MINE", "OPEN", "STATES", "leasing", "mine"]

OPEN = "(#state = :accepted OR #state = :leased)"
FREE = "(#state = :accepted OR (#state = :leased AND lease_until <= :now))"
MINE = "#state = :leased AND lease_owner = :worker AND attempts = :fence AND lease_until > :now"
STATES = {":accepted": text("ACCEPTED"), ":leased": text("LEASED")}

#: how a job is leased, and on which condition; `leasing` has the values
LEASE = (
    "SET #state = :leased, lease_owner = :worker, lease_until = :until, updated = :now "
    "ADD attempts :one",
    f"{FREE} AND deadline > :now",
)


def leasing(worker: str, now: float, seconds: float) -> Item:
    """The values of `LEASE`."""
    return {
        **STATES,
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
