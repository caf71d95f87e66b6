"""What `quintet captures` prints and writes, over captures in memory."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from arro3 import core
from rich.console import Console
from tests.kits.captures import (
    CAPTURED,
    delivery,
    impression,
    impression_line_of,
    lines_of,
    records,
    table,
)
from tests.kits.comparing import lines_of as answered_by
from tests.kits.models import NOW, Clock, shop_graph
from typer.testing import CliRunner

from quintet.captures.compaction import compact
from quintet.captures.delivery import deliver
from quintet.captures.erasure import Erased, erase
from quintet.captures.queries import event_rows, find
from quintet.captures.sealing import MemoryKeys, Sealer
from quintet.captures.store import MemoryCaptures
from quintet.captures.tables import read_parquet
from quintet.contract import Capture
from quintet.errors import BadInput
from quintet.feedback.erasure import Erased as ErasedFeedback
from quintet_cli.app import app
from quintet_cli.captures_files import check_form, joined, write_rows
from quintet_cli.captures_sql import SUMMARY, SqlError, captures_view
from quintet_cli.captures_tail import CapturesTail
from quintet_cli.commands.captures import ARRIVAL_SECONDS, arrival_of
from quintet_cli.stage import StageError
from quintet_cli.views.captures import erased_lines, event_view, row_line, rows_table

SHOW = "quintet_cli.commands.captures"
ROWS: list[dict[str, Any]] = [
    {"customer": "c1", "amount": 100},
    {"customer": "=1+1", "amount": 5},
]


def filled() -> MemoryCaptures:
    store = MemoryCaptures()
    deliver(delivery(lines_of("e1", ROWS)), store)
    return store


def as_dicts(rows: core.Table) -> list[dict[str, Any]]:
    return [
        dict(zip(rows.column_names, values, strict=True))
        for values in records(rows, *rows.column_names)
    ]


def printed(parts: Any) -> str:
    console = Console(width=120, force_terminal=False)
    with console.capture() as found:
        for part in parts:
            console.print(part)
    return found.get()


def test_a_row_is_a_line() -> None:
    first, second = map(row_line, as_dicts(table(filled())))
    assert first == ("22:13:20 shop v3 online c1  label=1 probability=0.689974  e1 row 0")
    assert second == (
        "22:13:20 shop v3 online =1+1  label=0 probability=0.25 "
        "fallback (orders_90d is missing)  e1 row 1"
    )
    refused = as_dicts(table(filled()))[0] | {
        "outcome": "refused",
        "refusals": "amount: expected a number",
        "row": None,
        "entity": None,
    }
    assert row_line(refused) == "22:13:20 shop v3 online  refused: amount: expected a number  e1"


def test_an_event_is_shown_with_its_rows() -> None:
    lines = [line.strip() for line in printed(event_view(as_dicts(table(filled())))).splitlines()]
    assert lines[:2] == ["event e1", "model       shop"]
    assert lines.count("features") == 2
    assert "orders_90d  4  (600 s old)" in lines
    assert "orders_90d  0  (no stored value)" in lines
    assert "fallback_reason  orders_90d is missing" in lines


@pytest.mark.parametrize(
    ("event", "arrives"),
    [
        (f"{1_699_999_990_000:012x}{'0' * 20}", 1_699_999_990 + ARRIVAL_SECONDS),
        ("f" * 32, NOW + ARRIVAL_SECONDS),
        ("order-7", ARRIVAL_SECONDS),
    ],
    ids=["of a request", "of a time to come", "of a job"],
)
def test_the_capture_of_an_event_is_awaited_for_a_minute(event: str, arrives: float) -> None:
    assert arrival_of(event, NOW) == arrives


def test_an_event_is_shown_with_when_the_store_took_a_value() -> None:
    row = as_dicts(table(filled()))[0] | {"known_orders_90d": datetime(2026, 1, 2, 3, 4, 5)}
    assert "orders_90d  4  (600 s old, in the store since 2026-01-02 03:04:05)" in printed(
        event_view([row])
    )


def test_the_capture_of_a_request_that_just_came_is_awaited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, online = MemoryCaptures(), f"{int(NOW * 1000):012x}{7:020x}"
    monkeypatch.setattr(f"{SHOW}._bucket", lambda *_: store)
    monkeypatch.setattr(f"{SHOW}.time.time", lambda: NOW + 60)
    awaited = []

    def arrive(seconds: float) -> None:
        awaited.append(seconds)
        deliver(delivery(lines_of(online, ROWS)), store)

    monkeypatch.setattr(f"{SHOW}.time.sleep", arrive)
    result = CliRunner().invoke(app, ["captures", "show", online])
    assert (result.exit_code, awaited) == (0, [1.0])
    assert f"event {online}" in result.output
    monkeypatch.setattr(f"{SHOW}.time.time", lambda: NOW + 61)
    for late in (online.replace("7", "8"), "churn-customers-132712eca71d2fbfce262b31"):
        ended = CliRunner().invoke(app, ["captures", "show", late]).exception
        assert str(ended).startswith(f"no capture of {late}: its model's contract may not ask")
    assert awaited == [1.0]


def test_captures_are_followed_each_row_once() -> None:
    store = filled()
    tail = CapturesTail(store, "shop", NOW)
    assert list(tail.look(NOW)) == []
    deliver(delivery(lines_of("e2", ROWS[:1])), store)
    deliver(delivery([*lines_of("e2", ROWS[:1]), *lines_of("e3", ROWS[:1])]), store)
    assert [(row["event"], row["row"]) for row in tail.look(NOW)] == [("e2", 0), ("e3", 0)]
    compact(store, store, NOW + 7200)
    assert list(tail.look(NOW)) == []


def test_what_a_candidate_answers_in_shadow_stands_beside_the_live_versions_answer() -> None:
    store = filled()
    tail = CapturesTail(store, "shop", NOW)
    shadow = json.loads(lines_of("e1", ROWS[:1])[0]) | {"route": "shadow"}
    shadow["about"]["version"] = 4
    live = lines_of("e1", ROWS[:1])  # delivered again
    deliver(delivery([*live, json.dumps(shadow)]), store)
    (first, second) = (row_line(row) for row in tail.look(NOW))
    assert (first[:28], second[:35]) == (
        "22:13:20 shop v3 online c1  ",
        "22:13:20 shop v4 online shadow c1  ",
    )
    with captures_view(store, find(store)) as connection:
        counted = connection.execute(SUMMARY).fetchall()
    assert [row[1:6] for row in counted] == [
        (3, "live", "online", "scored", 2),
        (4, "shadow", "online", "scored", 1),
    ]
    rows = [row for rows in event_rows(store, "e1") for row in as_dicts(rows)]
    shown = [line.strip() for line in printed(event_view(rows)).splitlines()]
    assert "row 0, version 4 (shadow)" in shown and "row 0, version 3 (live)" in shown


def test_an_impression_is_a_row_of_its_own() -> None:
    store = filled()
    tail = CapturesTail(store, "shop", NOW)
    line = impression_line_of("e1", impression("c1", range(1, 13)))
    deliver(delivery([line, *lines_of("e2", ROWS[:1])]), store)
    deliver(delivery([line, impression_line_of("e2", impression("c2"))]), store)
    assert [row_line(row) for row in tail.look(NOW)] == [
        "22:13:20 shop v3 online c1  reranked: 1 2 3 4 5 6 7 8 9 10 ...  e1",
        "22:13:20 shop v3 online c1  label=1 probability=0.689974  e2 row 0",
        "22:13:20 shop v3 online c2  reranked: 5 17  e2",
    ]
    rows = [row for rows in event_rows(store, "e1") for row in as_dicts(rows)]
    shown = [" ".join(line.split()) for line in printed(event_view(rows)).splitlines()]
    assert (shown.count("impression"), shown.count("features")) == (1, 2)
    assert "candidates {'model': 'candidates', 'version': 1, 'run': 'r1', 'age_s': 3600.0}" in shown
    steps = "SELECT impression->>'step' AS step, count(*) FROM captures WHERE outcome = "
    with captures_view(store, find(store)) as connection:
        counted = connection.execute(SUMMARY).fetchall()
        by_step = connection.execute(f"{steps} 'recommended' GROUP BY ALL").fetchall()
    assert [row[4:7] for row in counted] == [("recommended", 2, 2), ("scored", 3, 2)]
    assert by_step == [("reranked", 2)]


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.jsonl"])
def test_captures_are_exported(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    rows = table(filled())
    check_form(file)
    write_rows(file, joined([rows]))
    if name == "a.parquet":
        assert str(as_dicts(read_parquet(file.read_bytes()))) == str(as_dicts(rows))
    elif name == "a.jsonl":
        first, second = map(json.loads, file.read_text().splitlines())
        assert (first["event"], first["feature_amount"], second["entity"]) == ("e1", 100.0, "=1+1")
    else:
        head, first, second = file.read_text().splitlines()
        assert head.startswith("event,row,event_time,")
        assert ",c1," in first
        assert ",'=1+1," in second  # no formula for a spreadsheet


def test_an_export_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"ends in .parquet, .csv or .jsonl, got a.txt"):
        check_form(tmp_path / "a.txt")
    with pytest.raises(StageError, match="no captures in that time"):
        joined([])
    rows = table(filled())
    other = rows.set_column(
        rows.column_names.index("feature_amount"),
        "feature_amount",
        core.ChunkedArray([core.Array(["a", "b"], core.DataType.string())]),
    )
    with pytest.raises(
        StageError, match=r"feature_amount is Float32 in one version and Utf8 in another"
    ):
        joined([rows, other])


def test_sql_sees_each_row_once() -> None:
    store = filled()
    deliver(delivery(lines_of("e1", ROWS[:1])), store)  # delivered twice, cut otherwise
    with captures_view(store, find(store)) as connection:
        assert connection.execute(SUMMARY).fetchall()[0][:7] == (
            "shop",
            3,
            "live",
            "online",
            "scored",
            2,
            1,
        )
    with captures_view(store, []) as connection:
        assert connection.execute("SELECT count(*) FROM captures").fetchall() == [(0,)]
    with pytest.raises(SqlError, match="nothing"), captures_view(store, []) as connection:
        connection.execute("SELECT nothing FROM captures")


def test_an_erasure_says_what_it_did() -> None:
    lines = list(
        erased_lines(
            Erased(Counter(shop=3, log=1), 2, 5, unreadable=["raw/x"]),
            ErasedFeedback(2, ["feedback/y"]),
            "c1",
            date(2026, 2, 3),
        )
    )
    assert lines == [
        "erased: 4 rows (1 of log, 3 of shop) in 2 objects",
        "erased: 2 rows of feedback",
        "proved: 5 objects read again, and none has a row of c1",
        "not read: 2 objects in the bucket of captures, damaged; they may hold rows of c1: restore "
        "them and erase again, or delete them",
        "  raw/x",
        "  feedback/y",
        "logs: the logs of predict, submit and work may hold lines of c1 until 2026-02-03, and "
        "lines that CloudWatch Logs has not delivered yet become captures; erase again after it",
    ]
    lines = list(erased_lines(Erased(), ErasedFeedback(), "c1", date(2026, 2, 3)))
    assert lines[:2] == [
        "no capture of c1 was found",
        "proved: 0 objects read again, and none has a row of c1",
    ]


def test_no_value_of_a_query_is_cut() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678)
    shown = printed([rows_table(["event", "at", "x"], [("a" * 40, at, 0.1 + 0.2), (None, at, 3)])])
    assert [line.split() for line in shown.splitlines()] == [
        ["event", "at", "x"],
        ["a" * 40, "2026-01-02", "03:04:05", "0.3"],
        ["2026-01-02", "03:04:05", "3"],
    ]


def test_sealed_features_are_shown_exported_and_queried_as_they_are(tmp_path: Path) -> None:
    store, keys = MemoryCaptures(), MemoryKeys()
    features = tuple(replace(one, sensitive=one.name == "amount") for one in CAPTURED.features)
    capture = Capture(days=7, sensitive="encrypted")
    contract = replace(CAPTURED, features=features, capture=capture)
    seal = Sealer(keys, Clock(), print).seal
    row = {"customer": "c1", "amount": 7_777, "items": 2}
    deliver(
        delivery(answered_by(contract, shop_graph(), "e1", [row], rollout="r1#0", seal=seal)), store
    )
    rows = table(store)
    (sealed,) = rows["sealed"].to_pylist()
    shown = printed(event_view(as_dicts(rows)))
    assert "sensitive features: sealed" in shown and sealed not in shown
    for name in ("a.parquet", "a.csv", "a.jsonl"):
        write_rows(tmp_path / name, joined([rows]))
        assert b"7777" not in (tmp_path / name).read_bytes()
    assert sealed in (tmp_path / "a.jsonl").read_text()
    with captures_view(store, find(store)) as connection:
        assert connection.execute("SELECT sealed FROM captures").fetchall() == [(sealed,)]
    done = erase(store, store, "c1")
    assert (done.rows.total(), records(table(store), "row")) == (1, [])
