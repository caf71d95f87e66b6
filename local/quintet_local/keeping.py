"""Keep moto's buckets and tables: note what changes, write it behind the answers, put it back.

A snapshot is taken between two calls to DynamoDB: an item of it never names an object that was
written before the item and is not in the snapshot.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from quintet_local import streams, usage_plans
from quintet_local.kept import DELETES, EMPTY_ANEW, Kept, KeptError
from quintet_local.names import ACCOUNT, REGION
from quintet_local.tables import ONE_CALL, put_back
from quintet_local.wsgi import WsgiApplication

__all__ = ["BucketChanges", "Keeper", "Place", "noting_deletes", "noting_puts", "noting_updates"]

#: table, hash key and range key (or None) of an item that changed, in moto's types
Place = tuple[str, Any, Any]
Note = Callable[[Place], None]
SECONDS = 1.0  # between two snapshots
ATTEMPTS = 10
log = logging.getLogger(__name__)


def noting_puts(put: Callable[..., Any], note: Note) -> Callable[..., Any]:
    """Wrap a method of moto's table that puts an item and returns it."""

    def noting(table: Any, *args: Any, **named: Any) -> Any:
        item = put(table, *args, **named)
        note((table.name, item.hash_key, item.range_key))
        return item

    return noting


def noting_updates(update: Callable[..., Any], note: Note) -> Callable[..., Any]:
    """Wrap a method of moto's backend that updates an item of the table named first."""

    def noting(backend: Any, table_name: str, *args: Any, **named: Any) -> Any:
        item = update(backend, table_name, *args, **named)
        note((table_name, item.hash_key, item.range_key))
        return item

    return noting


def noting_deletes(delete: Callable[..., Any], note: Note) -> Callable[..., Any]:
    """Wrap a method of moto's table that deletes the item under a key."""

    def noting(table: Any, hash_key: Any, range_key: Any) -> Any:
        item = delete(table, hash_key, range_key)
        note((table.name, hash_key, range_key))
        return item

    return noting


class BucketChanges:
    """A WSGI application before the services: notes the buckets that calls may have changed."""

    def __init__(self, services: WsgiApplication) -> None:
        self._services = services
        self.names: deque[str] = deque()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            return self._services(environ, start_response)
        finally:
            # calls of most other services have this header
            if environ["REQUEST_METHOD"] in _CHANGING and "HTTP_X_AMZ_TARGET" not in environ:
                # the bucket is in the path or in the host's name
                self.names.append(environ["PATH_INFO"].lstrip("/").partition("/")[0])
                self.names.append(environ.get("HTTP_HOST", "").partition(".")[0])


_CHANGING = ("PUT", "POST", "DELETE")


class Keeper:
    """Keeps these buckets and tables of moto. `restore` comes before `start`."""

    def __init__(
        self,
        kept: Kept,
        buckets: Sequence[str],
        tables: Sequence[str],
        changed_buckets: deque[str],
        seconds: float = SECONDS,
    ) -> None:
        self._kept = kept
        self._buckets = buckets
        self._tables = tables
        self._changed_buckets = changed_buckets
        self._changed_items: deque[Place] = deque()
        self._seconds = seconds
        #: not in the file yet
        self._due_buckets: set[str] = set()
        self._due_items: dict[Place, None] = {}
        #: what the file has, by bucket, key and version
        self._facts: dict[str, dict[tuple[str, str], dict[str, Any]]] = {b: {} for b in buckets}
        #: the usage plans and their keys that the file has
        self._plans: dict[str, Any] | None = None
        #: the sequence number that it has: checkpoints of streams are kept, so records may not get
        #: lower ones than they name
        self._number: int | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._failing = False

    def note(self, place: Place) -> None:
        """Note that an item has changed; called under the lock of DynamoDB's calls."""
        self._changed_items.append(place)

    def restore(self) -> dict[str, int]:
        """Put what was kept into moto, without events; returns the numbers of objects and items.

        Raises:
            KeptError: an item does not have its table's key, or the file is damaged.
        """
        with self._kept.explained():
            for plans in self._kept.items(_PLANS):
                usage_plans.put_back(plans)
                self._plans = plans
            for number in self._kept.items(_NUMBER):
                streams.numbers.go_on(number)
                self._number = number
            return {
                "objects": sum(map(self._restore_bucket, self._buckets)),
                "items": sum(map(self._restore_table, self._tables)),
            }

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what is not yet in the file, and close it."""
        self._stopping.set()
        self._thread.join()
        self.write()
        self._kept.close()

    def write(self) -> None:
        """Write what has changed; what cannot be written stays due, and is logged once."""
        try:
            # an object that is deleted before its bytes are read makes another snapshot
            if not any(self._written() for _ in range(ATTEMPTS)):
                return
        except Exception as error:  # else the thread would end, and nothing more be kept
            if not self._failing:
                message = "%s cannot be written (%s): changes are kept again once it can be"
                known = isinstance(error, (OSError, sqlite3.Error))
                log.error(message, self._kept.path, error, exc_info=not known)
            self._failing = True
            return
        if self._failing:
            log.warning("%s is written again", self._kept.path)
        self._failing = False

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            self.write()

    def _written(self) -> bool:
        """Write a snapshot; false if an object of it was deleted meanwhile."""
        with ONE_CALL:
            _drain(self._changed_items, self._due_items.__setitem__)
            _drain(self._changed_buckets, lambda name, _: self._due_buckets.add(name))
            tables = _tables()
            rows = [_row(tables.get(of[0]), *of) for of in self._due_items if of[0] in self._tables]
            buckets = {name: _listed(name) for name in self._buckets if name in self._due_buckets}
        plans = usage_plans.snapshot()
        if plans != self._plans:
            rows.append((_PLANS, "all", json.dumps(plans)))
        number = streams.numbers.latest
        if number != self._number:
            rows.append((_NUMBER, "latest", json.dumps(number)))
        if not rows and not buckets:
            self._due_items.clear()
            self._due_buckets.clear()
            return True
        try:
            facts = {name: _facts_of(listed) for name, listed in buckets.items()}
            with self._kept.written():
                for name, listed in buckets.items():
                    self._put_bucket(name, listed, facts[name])
                self._kept.put_items(rows)
        except (_Deleted, RuntimeError):  # or its metadata grew while they were read
            return False
        self._facts.update(facts)
        self._plans, self._number = plans, number
        self._due_items.clear()
        self._due_buckets.clear()
        return True

    def _put_bucket(self, bucket: str, listed: _Listed, facts: _Facts) -> None:
        before = self._facts[bucket]
        for place in before.keys() - facts.keys():
            self._kept.delete_object(bucket, *place)
        for place, now in facts.items():
            was = before.get(place)
            if was == now:
                continue
            if was and all(was[name] == now[name] for name in ("etag", "last_modified")):
                self._kept.put_facts(bucket, *place, now)
            else:
                self._kept.put_object(bucket, *place, now, _content(listed[place]))

    def _restore_table(self, name: str) -> int:
        from moto.dynamodb.models.dynamo_type import DynamoType, Item

        table, count = _tables()[name], 0
        for stored in self._kept.items(name):
            attributes = _from_json(stored)
            if missing := [key for key in table.table_key_attrs if key not in attributes]:
                raise KeptError(
                    f"{self._kept.path} has items of table {name} without its key "
                    f"{', '.join(missing)}, which the template names now; {DELETES}",
                    command=EMPTY_ANEW,
                )
            hash_key, *rest = (DynamoType(attributes[key]) for key in table.table_key_attrs)
            put_back(table, Item(hash_key, rest[0] if rest else None, attributes))
            count += 1
        return count

    def _restore_bucket(self, name: str) -> int:
        count = 0
        for key, version, facts, content in self._kept.objects(name):
            _restore_object(_buckets()[name], key, version, facts, content)
            self._facts[name][key, version] = facts
            count += 1
        return count


#: the name under which usage plans are kept, which is none of a table
_PLANS = "usage plans"
#: and that of the latest sequence number
_NUMBER = "sequence number"


class _Deleted(Exception):
    """An object was deleted after it was listed."""


_Listed = dict[tuple[str, str], Any]
_Facts = dict[tuple[str, str], dict[str, Any]]


def _drain(changes: deque[Any], put: Callable[[Any, None], object]) -> None:
    while changes:
        put(changes.popleft(), None)


def _tables() -> Mapping[str, Any]:
    from moto.dynamodb.models import dynamodb_backends

    return dynamodb_backends[ACCOUNT][REGION].tables


def _row(table: Any, name: str, hash_key: Any, range_key: Any) -> tuple[str, str, str | None]:
    """Return the row of an item as it is now; `table` is None once it is deleted."""
    keys = [key.to_json() for key in (hash_key, range_key) if key is not None]
    item = None if table is None else table.get_item(hash_key, range_key)
    stored = None if item is None else _to_json(item.to_json()["Attributes"])
    return name, _to_json(keys), stored


def _to_json(value: Any) -> str:
    return json.dumps(value, default=lambda raw: {_BYTES: base64.b64encode(raw).decode()})


def _from_json(value: Any) -> Any:
    """Return attributes with the bytes that `_to_json` has replaced."""
    if isinstance(value, list):
        return [_from_json(one) for one in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_BYTES} and isinstance(value[_BYTES], str):
        return base64.b64decode(value[_BYTES])
    return {name: _from_json(one) for name, one in value.items()}


#: an attribute's value is text, a list or a map of types: never an object with this name and a text
_BYTES = "base64"


def _buckets() -> Mapping[str, Any]:
    from moto.s3.models import s3_backends

    return s3_backends[ACCOUNT]["aws"].buckets


def _tagger() -> Any:
    from moto.s3.models import s3_backends

    return s3_backends[ACCOUNT]["aws"].tagger


def _listed(name: str) -> _Listed:
    """Return the objects of a bucket by key and version; the versions of a key in order."""
    bucket = _buckets().get(name)
    if bucket is None:  # it was deleted
        return {}
    keys = dict.items(bucket.keys)  # moto's own `items` has the latest versions only
    return {(key, str(one.version_id)): one for key, all_ in list(keys) for one in list(all_)}


#: arguments of moto's object, and their attributes
_GIVEN = {
    "storage": "_storage_class",
    "etag": "_etag",
    "encryption": "encryption",
    "kms_key_id": "kms_key_id",
    "bucket_key_enabled": "bucket_key_enabled",
    "lock_mode": "lock_mode",
    "lock_legal_status": "lock_legal_status",
    "lock_until": "lock_until",
    "checksum_value": "checksum_value",
    "checksum_type": "checksum_type",
    "checksum_parts": "checksum_parts",
}
#: attributes alone
_SET = ("checksum_algorithm", "website_redirect_location")


def _facts_of(listed: _Listed) -> _Facts:
    return {place: _facts(found) for place, found in listed.items()}


def _facts(found: Any) -> dict[str, Any]:
    """Return what is to be known of an object or delete marker beside its bytes."""
    modified = found.last_modified.isoformat()
    if not hasattr(found, "metadata"):
        return {"marker": True, "etag": None, "last_modified": modified}
    return {
        **{name: getattr(found, attribute) for name, attribute in _GIVEN.items()},
        **{name: getattr(found, name) for name in _SET},
        "last_modified": modified,
        "metadata": dict(found.metadata),
        "tags": _tagger().get_tag_dict_for_resource(found.arn),
    }


def _content(found: Any) -> bytes:
    if not hasattr(found, "metadata"):
        return b""
    try:
        content: bytes = found.value
    except ValueError:  # its file is closed
        raise _Deleted from None
    return content


def _restore_object(bucket: Any, key: str, version: str, facts: Any, content: bytes) -> None:
    from moto.s3.models import FakeDeleteMarker, FakeKey

    made: Any
    if facts.get("marker"):
        made = FakeDeleteMarker(SimpleNamespace(name=key))  # type: ignore[arg-type]
        made._version_id = version
    else:
        made = FakeKey(
            key,
            content,
            account_id=ACCOUNT,
            region_name=bucket.region_name,
            bucket_name=bucket.name,
            is_versioned=bucket.is_versioned,
            version_id=version,
            **{name: facts[name] for name in _GIVEN},
        )
        made._etag = facts["etag"] or hashlib.md5(content, usedforsecurity=False).hexdigest()
        made.metadata.clear()
        made.metadata.update(facts["metadata"])
        for name in _SET:
            setattr(made, name, facts[name])
        tagger = _tagger()
        tagger.tag_resource(made.arn, tagger.convert_dict_to_tags_input(facts["tags"]))
    made.last_modified = datetime.fromisoformat(facts["last_modified"])
    bucket.keys[key] = made
