"""`quintet trace`: the spans that an id names, as a waterfall."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from quintet_cli.app import app
from quintet_cli.traces import Row, spans_of, waterfall
from quintet_local.spans import SpanDaemon, kept_spans

HEADER = b'{"format": "json", "version": 1}\n'


def span(name: str, identity: str, start: float, took: float, **about: Any) -> dict[str, Any]:
    return {
        "name": name,
        "id": identity,
        "trace_id": f"1-{identity}",
        "start_time": 100.0 + start,
        "end_time": 100.0 + start + took,
        "annotations": {"w3c_trace": "t1", "stage": "local", **about},
    }


PREDICT = span("predict", "a", 0.0, 0.5, request_id="r1", job="j1")
PREDICT["subsegments"] = [
    {"name": "decode", "id": "b", "start_time": 100.0, "end_time": 100.25},
]
WORK = span("work", "c", 1.0, 2.0, job="j1", w3c_parent="a")
NOTIFY = {**span("notify", "d", 3.5, 0.5, job="j1", w3c_parent="a"), "error": True}
OTHER = span("predict", "e", 9.0, 1.0, request_id="r2", w3c_trace="t2")
STREAM = span("score_stream", "f", 4.0, 1.0, w3c_trace="t3", shard="s/0", first="10", last="12")
ALL = [NOTIFY, OTHER, WORK, STREAM, PREDICT]


@pytest.mark.parametrize("identity", ["t1", "r1", "j1", "1-c"])
def test_any_id_names_the_whole_trace(identity: str) -> None:
    assert spans_of(ALL, identity) == [PREDICT, WORK, NOTIFY]


@pytest.mark.parametrize("identity", ["11", "s/0/10", "s/0/12/3"])
def test_a_record_is_in_the_batch_that_holds_it(identity: str) -> None:
    assert spans_of(ALL, identity) == [STREAM]


@pytest.mark.parametrize("identity", ["13", "other/0/11", "", "nobody"])
def test_an_unknown_id_names_nothing(identity: str) -> None:
    assert spans_of(ALL, identity) == []


def test_a_waterfall_puts_each_span_under_its_cause() -> None:
    rows = waterfall([NOTIFY, WORK, PREDICT])
    assert [(r.name, r.depth, r.start, r.took, r.failed, r.step) for r in rows] == [
        ("predict", 0, 0.0, 0.5, False, False),
        ("decode", 1, 0.0, 0.25, False, True),
        ("work", 1, 1.0, 2.0, False, False),
        ("notify", 1, 3.5, 0.5, True, False),
    ]
    assert rows[0].about == {"request_id": "r1", "job": "j1"}
    # a caller's span is not ours, and a damaged one may be its own cause
    odd = {**WORK, "annotations": {"w3c_parent": "c"}}
    assert waterfall([odd]) == [Row("work", 0, 0.0, 2.0, about={})]


def kept(folder: Path, *documents: dict[str, Any], most: int = 10**6) -> None:
    """Keep documents as the daemon does when they come."""
    (folder / "logs").mkdir()
    daemon = SpanDaemon(folder / "logs", most)
    for document in documents:
        daemon.datagram_received(HEADER + json.dumps(document).encode(), None)
    daemon.connection_lost(None)


def test_the_command_draws_a_job_of_the_local_aws(tmp_path: Path) -> None:
    kept(tmp_path, *ALL)
    found = CliRunner().invoke(app, ["trace", "j1", "--state", str(tmp_path)])
    assert found.exit_code == 0, found.output
    lines = [line.rstrip() for line in found.output.splitlines()]
    assert lines[0] == "trace t1: 3 spans in 4000.0 ms"
    assert lines[2:] == [
        f"predict      0.0 ms   500.0 ms {'━' * 5:<40} request_id=r1 job=j1",
        f"  decode     0.0 ms   250.0 ms {'━' * 2}",
        f"  work    1000.0 ms  2000.0 ms {' ' * 10 + '━' * 20:<40} job=j1",
        f"  notify  3500.0 ms   500.0 ms {' ' * 35 + '━' * 5} failed job=j1",
    ]


def test_the_command_says_what_it_does_not_know(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["trace", "j1", "--state", str(tmp_path)])
    assert found.exit_code == 1
    assert "ID: expected a trace, request, job" in str(found.exception)


def test_the_oldest_spans_are_dropped(tmp_path: Path) -> None:
    size = len(json.dumps(WORK)) + 1
    many = [{**WORK, "id": str(n)} for n in range(7)]
    kept(tmp_path, *many, most=3 * size)
    assert [found["id"] for found in kept_spans(tmp_path / "logs")] == ["3", "4", "5", "6"]
    (tmp_path / "logs/spans.jsonl").write_bytes(b"broken\n[1]\n{}\n")
    assert [found["id"] for found in kept_spans(tmp_path / "logs")] == ["3", "4", "5"]
