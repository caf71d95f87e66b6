"""How fast a run is, as people see it."""

from __future__ import annotations

import pytest

from quintet_cli.results import Failed
from quintet_cli.shapes import Started
from quintet_cli.views.runs import finish, pace


@pytest.mark.parametrize(
    ("rows", "left", "seconds", "expected"),
    [
        (0, 100, 5.0, ""),
        (10, 100, 0.0, ""),
        (12_000, 36_000, 4.0, "3,000 rows/s, 0:00:12 left"),
        (1, 100_000, 10.0, "0 rows/s, 11 days, 13:46:40 left"),
        (500, 0, 2.0, "250 rows/s, 0:00:00 left"),
    ],
)
def test_the_pace_tells_what_is_left(rows: int, left: int, seconds: float, expected: str) -> None:
    assert pace(rows, left, seconds) == expected


def test_a_refused_run_ends_the_command_with_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"rows": 9, "scored": 0, "quarantined": 9, "fallback": 0, "unaccounted": 0}
    report = {
        "run": "r",
        "model": "tiny",
        "version": 3,
        "status": "refused",
        "cause": "9 of 9 rows were refused.",
        "counts": counts,
        "input": {},
    }
    started: Started = {"model": "tiny", "run": "r", "new": True, "report": None}
    with pytest.raises(Failed) as ended:
        finish(report, started)
    assert (ended.value.status, ended.value.result["report"]) == (1, report)
    text = capsys.readouterr().out
    assert "9 of 9 rows were refused." in text
    assert "9 rows = 0 scored + 9 quarantined" in text
    assert "readers keep the scores that they have" in text and "redrive" not in text
