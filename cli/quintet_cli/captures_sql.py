"""SQL over captures, by DuckDB: the objects of a time are read into a view `captures`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from quintet.captures.places import Place
from quintet.captures.store import CaptureObjects
from quintet.captures.tables import table_of, write_parquet
from quintet_cli.stage import StageError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["SUMMARY", "SqlError", "captures_view"]

#: what is asked if no SQL is given
SUMMARY = """
    SELECT model, version, route, path, outcome, count(*) AS "rows",
           count(DISTINCT event) AS events, min(event_time) AS first, max(event_time) AS last,
           round(quantile_cont(total_ms, 0.95), 1) AS p95_ms
    FROM captures GROUP BY ALL ORDER BY ALL
"""
#: objects read at once
THREADS = 8
_VIEW = """
    CREATE VIEW captures AS
    SELECT * FROM read_parquet(?, union_by_name = true)
    QUALIFY row_number() OVER (
        PARTITION BY event, "row", route = 'shadow', outcome = 'recommended' ORDER BY served_at DESC
    ) = 1
"""


class SqlError(StageError):
    """DuckDB refused the SQL; the text is DuckDB's."""


@contextmanager
def captures_view(objects: CaptureObjects, places: Sequence[Place]) -> Iterator[DuckDBPyConnection]:
    """A connection to a database in memory, with the rows of the objects as the view `captures`.

    Raises:
        StageError: DuckDB is not installed.
        SqlError: a statement failed, also within the context.
        Transient: an object could not be read.
    """
    try:
        import duckdb
    except ImportError:
        raise StageError(
            "SQL over captures needs DuckDB", command=f"{sys.executable} -m pip install duckdb"
        ) from None
    with tempfile.TemporaryDirectory(prefix="quintet-captures-") as name:
        folder = Path(name)
        # the columns of every capture, so that SQL is the same if there are none yet
        (folder / "none.parquet").write_bytes(write_parquet(table_of(0, {}, {})))

        def fetch(numbered: tuple[int, Place]) -> None:
            number, place = numbered
            stored = objects.get(place.key)
            if stored is not None:  # else it was merged since it was listed
                (folder / f"{number:06d}.parquet").write_bytes(stored.body)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(fetch, enumerate(places)))
        with duckdb.connect() as connection:
            try:
                files = ", ".join(f"'{path}'" for path in sorted(folder.glob("*.parquet")))
                connection.execute(_VIEW.replace("?", f"[{files}]"))
                yield connection
            except duckdb.Error as error:
                raise SqlError(str(error), command="quintet captures query --help") from error
