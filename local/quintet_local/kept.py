"""The file in which a local AWS keeps objects, items and keys: one SQLite database.

SQLite commits a snapshot whole or not at all, also when the process is killed or the disk is full
(https://www.sqlite.org/atomiccommit.html), and writes the rows that changed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any

from quintet_local.failures import CannotStart

__all__ = ["DELETES", "EMPTY_ANEW", "Kept", "KeptError"]

#: of the tables below and of what their JSON holds; raised with every change of either
SCHEMA = 1
_PART = 16 << 20  # an object's bytes are split: SQLite has values of up to 1 GB
EMPTY_ANEW = "quintet up --detach --fresh"
DELETES = "--fresh deletes what is kept and starts empty"
_TABLES = (
    "CREATE TABLE items (name TEXT, key TEXT, item TEXT, PRIMARY KEY (name, key)) WITHOUT ROWID",
    # in the order of an object's versions
    "CREATE TABLE objects (id INTEGER PRIMARY KEY, bucket TEXT, key TEXT, version TEXT,"
    " facts TEXT, UNIQUE (bucket, key, version))",
    "CREATE TABLE parts (object INTEGER REFERENCES objects ON DELETE CASCADE, number INTEGER,"
    " bytes BLOB, PRIMARY KEY (object, number))",
    "CREATE TABLE keys (id TEXT PRIMARY KEY, material BLOB)",
)


class KeptError(CannotStart):
    """What was kept cannot be used."""


class Kept:
    """What is kept in a state folder. One thread at a time may use it."""

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        """Open the folder's database, or make one; `fresh` deletes what was kept.

        Raises:
            KeptError: the database is of another version, or damaged.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "kept.db"
        if fresh:
            for path in (self.path, folder / "kept.db-journal"):
                path.unlink(missing_ok=True)
        self.path.touch(mode=0o600)  # it has the keys' material
        self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        with self.explained():
            self._open()

    def _open(self) -> None:
        for pragma in ("foreign_keys = ON", "synchronous = FULL", "auto_vacuum = FULL"):
            self._db.execute(f"PRAGMA {pragma}")
        ((version,),) = self._db.execute("PRAGMA user_version")
        if version == 0:
            with self.written():
                for table in _TABLES:
                    self._db.execute(table)
                self._db.execute(f"PRAGMA user_version = {SCHEMA}")
        elif version != SCHEMA:
            raise KeptError(
                f"{self.path} is of version {version}, this local AWS reads version {SCHEMA}; "
                f"{DELETES}",
                command=EMPTY_ANEW,
            )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Raise SQLite's errors as KeptError."""
        try:
            yield
        except sqlite3.OperationalError as error:  # the disk, not the content
            raise KeptError(
                f"{self.path} cannot be used ({error}): free space, or take another folder "
                f"with --state",
                command=f"df -h {quote(str(self.path.parent))}",
            ) from error
        except sqlite3.DatabaseError as error:
            raise KeptError(
                f"{self.path} is damaged ({error}); {DELETES}", command=EMPTY_ANEW
            ) from error

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def written(self) -> Iterator[None]:
        """Write everything of the block, or nothing.

        Raises:
            sqlite3.Error: it could not be written, such as on a full disk.
        """
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite ends it itself after some errors
                self._db.execute("ROLLBACK")
            raise

    def items(self, table: str) -> Iterator[Any]:
        """Return a table's items."""
        for (item,) in self._db.execute("SELECT item FROM items WHERE name = ?", (table,)):
            yield json.loads(item)

    def put_items(self, rows: Iterable[tuple[str, str, str | None]]) -> None:
        """Write table, key and item in JSON; None deletes the item."""
        for table, key, item in rows:
            if item is None:
                self._db.execute("DELETE FROM items WHERE name = ? AND key = ?", (table, key))
            else:
                self._db.execute("REPLACE INTO items VALUES (?, ?, ?)", (table, key, item))

    def objects(self, bucket: str) -> Iterator[tuple[str, str, Any, bytes]]:
        """Return key, version, facts and bytes of a bucket's objects; a key's versions in order."""
        statement = "SELECT id, key, version, facts FROM objects WHERE bucket = ? ORDER BY id"
        for id, key, version, facts in self._db.execute(statement, (bucket,)).fetchall():
            parts = "SELECT bytes FROM parts WHERE object = ? ORDER BY number"
            content = b"".join(part for (part,) in self._db.execute(parts, (id,)))
            yield key, version, json.loads(facts), content

    def put_object(self, bucket: str, key: str, version: str, facts: Any, content: bytes) -> None:
        """Write an object in place of an earlier one of that key and version."""
        self.delete_object(bucket, key, version)
        row = (bucket, key, version, json.dumps(facts))
        insert = "INSERT INTO objects (bucket, key, version, facts) VALUES (?, ?, ?, ?)"
        id = self._db.execute(insert, row).lastrowid
        view = memoryview(content)
        parts = ((id, start, view[start : start + _PART]) for start in range(0, len(view), _PART))
        self._db.executemany("INSERT INTO parts VALUES (?, ?, ?)", parts)

    def put_facts(self, bucket: str, key: str, version: str, facts: Any) -> None:
        """Write what is known of an object whose bytes are unchanged."""
        update = "UPDATE objects SET facts = ? WHERE bucket = ? AND key = ? AND version = ?"
        self._db.execute(update, (json.dumps(facts), bucket, key, version))

    def delete_object(self, bucket: str, key: str, version: str) -> None:
        delete = "DELETE FROM objects WHERE bucket = ? AND key = ? AND version = ?"
        self._db.execute(delete, (bucket, key, version))

    def material(self, key: str, made: bytes) -> bytes:
        """Return the kept material of a KMS key; the first time keep `made`.

        What it has encrypted is kept, so it must be, too.
        """
        with self.explained():
            with self.written():
                self._db.execute("INSERT OR IGNORE INTO keys VALUES (?, ?)", (key, made))
            ((found,),) = self._db.execute("SELECT material FROM keys WHERE id = ?", (key,))
        return bytes(found)
