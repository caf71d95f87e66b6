"""Rows scored with an id, in the stream table: the key "ids#<stream>/<shard>", a part a batch."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import Table, attributes, number
from quintet.streaming.record_ids import RETENTION_SECONDS, IdentifiedRows, joined

__all__ = ["ScoredIdTable"]

#: a record may be delivered again for an hour after its arrival, and is compared with rows that
#: arrived a retention earlier
KEPT_SECONDS = 2 * RETENTION_SECONDS + 3600
#: rows of one item, of 24 bytes each; an item may have 400 KB
MAX_ROWS = 10_000
#: so many seconds more than needed are read: arrivals are not quite in order
SLACK_SECONDS = 600.0
#: it follows every part that begins with a sequence number
END = "/"


@dataclass(slots=True)
class _Known:
    """The rows of a shard that this environment has read: of parts up to `done`, from `since`."""

    done: str
    since: float
    rows: IdentifiedRows


@dataclass
class ScoredIdTable:
    """See `quintet.streaming.record_ids.ScoredIds`.

    What was read stays in memory, so that a warm environment reads only what is new.
    """

    client: AwsClient
    table: str
    clock: Callable[[], float]
    _known: dict[str, _Known] = field(default_factory=dict)

    def read(self, shard: str, done: str, since: float) -> IdentifiedRows:
        """See `ScoredIds.read`."""
        known, from_ = self._known.get(shard), since - SLACK_SECONDS
        if known is None or known.since > since or known.done > done:
            known = _Known(done, from_, joined(self._parts(shard, "", done, from_)))
        elif known.done < done:
            rows = joined([known.rows, *self._parts(shard, known.done, done, from_)])
            known = _Known(done, max(known.since, from_), rows.at(rows.arrived >= from_))
        self._known[shard] = known
        return known.rows

    def add(self, shard: str, last: str, rows: IdentifiedRows) -> None:
        """See `ScoredIds.add`."""
        table = Table(self.client, self.table)
        expires = int(self.clock() + KEPT_SECONDS)
        for part, start in enumerate(range(0, len(rows), MAX_ROWS)):
            some = rows.at(np.arange(start, min(start + MAX_ROWS, len(rows))))
            content = {**_key(shard), "part": f"{last}.{part}", "expires": expires}
            body = b"".join(
                column.astype(kind).tobytes()
                for column, kind in ((some.ids, "<u8"), (some.places, "<u8"), (some.arrived, "<f8"))
            )
            item = {
                **attributes(content),
                "arrived": number(float(some.arrived.max())),
                "rows": {"B": base64.b64encode(body).decode()},
            }
            # every write of the part has the same rows of records after the checkpoint
            table.call("PutItem", Item=item)

    def _parts(self, shard: str, after: str, done: str, since: float) -> list[IdentifiedRows]:
        """The rows of parts after one and up to another, newest first."""
        items = Table(self.client, self.table).pages(
            "Query",
            KeyConditionExpression="#key = :key AND #part BETWEEN :after AND :done",
            ExpressionAttributeNames={"#key": "key", "#part": "part"},
            ExpressionAttributeValues=attributes(
                {":key": _key(shard)["key"], ":after": f"{after}{END}", ":done": f"{done}{END}"}
            ),
            ConsistentRead=True,
            ScanIndexForward=False,
        )
        found = []
        for item in items:
            if float(item["arrived"]["N"]) < since:
                break
            columns = np.frombuffer(base64.b64decode(item["rows"]["B"]), "<u8").reshape(3, -1)
            ids, places, arrived = columns.astype(np.uint64)
            found.append(IdentifiedRows(ids, places, arrived.view(np.float64)))
        return found


def _key(shard: str) -> dict[str, Any]:
    return {"key": f"ids#{shard}"}
