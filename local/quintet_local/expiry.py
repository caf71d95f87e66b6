"""Deletes the items of tables whose time to live has passed; moto keeps them.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/howitworks-ttl.html
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

from quintet_local.names import ACCOUNT, REGION
from quintet_local.tables import ONE_CALL

__all__ = ["expire", "start"]

log = logging.getLogger(__name__)
#: seconds between two times; AWS takes up to some days
SECONDS = 3600.0
#: what expired earlier is taken for a mistake, and stays
OLDEST = 5 * 365 * 86_400


def start() -> None:
    """Delete what has expired, now and every hour, in a thread of its own."""
    threading.Thread(target=_run, name="expiry", daemon=True).start()


def expire(now: float) -> int:
    """Delete what had expired at `now`, in seconds of the epoch; returns the number of items."""
    from moto.dynamodb.models import dynamodb_backends

    count = 0
    for table in list(dynamodb_backends[ACCOUNT][REGION].tables.values()):
        with ONE_CALL:
            for item in list(_expired(table, now)):
                table.delete_item(item.hash_key, item.range_key)
                count += 1
    return count


def _run() -> None:
    while True:
        try:
            expire(time.time())
        except Exception:
            log.exception("expired items could not be deleted")
        time.sleep(SECONDS)


def _expired(table: Any, now: float) -> Iterator[Any]:
    if table.ttl.get("TimeToLiveStatus") != "ENABLED":
        return
    name = table.ttl["AttributeName"]
    for found in table.items.values():
        for item in found.values() if table.range_key_attr else (found,):
            until = item.attrs.get(name)
            known = until is not None and until.type == "N"  # else it is ignored
            if known and now - OLDEST < float(until.value) <= now:
                yield item
