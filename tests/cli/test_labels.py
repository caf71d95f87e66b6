"""Files of labels, and quality as the terminal shows it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arro3 import core
from arro3 import io as arrow_io
from rich.console import Console
from tests.kits.labels import BINARY, DAY, START, capture, event_id, label

from quintet.captures.store import MemoryCaptures
from quintet.captures.tables import moments
from quintet.errors import BadInput
from quintet.labels.intake import checked
from quintet.labels.targets import Target
from quintet.labels.window import quality
from quintet_cli.label_files import read_labels
from quintet_cli.views.quality import quality_view

ROWS = [(b"e1.0", b"kept", START), (b"77", b"1", START - 0.5)]


def taken(path: Path) -> list[tuple[Any, ...]]:
    found, refusals = checked(Target(BINARY), *read_labels(path), START)
    assert refusals == []
    return list(zip(found.ids.tolist(), found.values.tolist(), found.times.tolist(), strict=True))


def test_labels_are_read_from_csv_jsonl_and_parquet(tmp_path: Path) -> None:
    at = datetime.fromtimestamp(START, UTC).isoformat()
    csv = tmp_path / "a.csv"
    csv.write_text(f'\ufefftime,id,label\n{at},"e1.0",kept\n\n{START - 0.5},77,1\n')
    assert taken(csv) == ROWS
    jsonl = tmp_path / "a.jsonl"
    jsonl.write_text(
        f'{{"id": "e1.0", "label": "kept", "time": {START}}}\n\n'
        f'{{"label": true, "id": 77, "time": {START - 0.5}}}\n'
    )
    assert taken(jsonl) == ROWS
    parquet = tmp_path / "a.parquet"
    text = core.DataType.string()
    columns: dict[str, Any] = {
        "id": core.Array(["e1.0", "77"], text),
        "label": core.Array(["kept", "1"], text),
        "time": core.Array.from_numpy(moments(np.array([START, START - 0.5]))),
    }
    arrow_io.write_parquet(core.Table.from_pydict(columns), str(parquet))
    assert taken(parquet) == ROWS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "expected a file named .csv, .jsonl, .parquet, got '?.txt"),
        ("a.csv", "id,label\n", "expected the columns id, label, time, got id, label"),
        ("a.csv", "", "expected the columns id, label, time, got none"),
        ("a.csv", "id,label,time\na,b\n", "expected 3 cells in each row, got 2 in line 2"),
        ("a.jsonl", '{"id": 1}\n', "expected the columns id, label, time, got id"),
        ("a.jsonl", "[]\n", "expected an object in each line, got another in line 1"),
        ("a.jsonl", "{\n", "expected JSON in each line, got line 1: body"),
        ("a.parquet", "PAR1", "expected Parquet, got data that cannot be decoded"),
    ],
)
def test_a_file_that_is_none_of_labels_is_refused(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(BadInput, match=message):
        read_labels(path)


def test_a_file_without_rows_has_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,label,time\n")
    assert taken(path) == []


def shown(found: dict[str, Any]) -> list[str]:
    console = Console(width=100, force_terminal=False)
    with console.capture() as said:
        for part in quality_view(found):
            console.print(part)
    return [line.rstrip() for line in said.get().splitlines()]


def test_realised_and_estimated_quality_are_beside_each_other() -> None:
    objects = MemoryCaptures()
    for day, p in enumerate((np.array([0.2, 0.9]), np.array([0.5, 0.5]))):
        at = START + day * DAY
        values = {
            "output_label": (p > 0.5).astype(np.int64),
            "output_p_kept": 1 - p,
            "output_p_cancelled": p,
            "feature_abroad": np.array([0.0, 1.0]),
        }
        capture(objects, [event_id(at, 1), event_id(at, 2)], [at, at], values)
    capture(objects, [event_id(START, 7)], [START], {}, version=9)
    rows = [(event_id(START, 1), "kept", START), (event_id(START, 2), "cancelled", START)]
    label(objects, [*rows, rows[0], ("other", "kept", START)], "risk")
    found = quality(
        objects,
        "risk",
        START,
        START + 2 * DAY,
        lambda version: Target(BINARY) if version == 1 else None,
        by="feature_abroad",
    )
    lines = shown(found)
    assert lines[0] == "risk, 2023-11-15 to 2023-11-16"
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert cells == [
        ["2023-11-15", "2", "2", "1 (0.85)", "1 (0.973)", "0.1643 (0.4127)", "0.15"],
        ["2023-11-16", "2", "0", "- (0.5)", "- (0.5)", "- (0.6931)", "-"],
        ["all", "4", "2", "1 (0.675)", "1 (0.8241)", "0.1643 (0.5529)", "0.15"],
        ["0", "2", "1", "1 (0.65)", "- (0.8)", "0.2231 (0.5968)", "0.2"],
        ["1", "2", "1", "1 (0.7)", "- (0.9)", "0.1054 (0.5091)", "0.1"],
    ]
    assert lines[-2:] == [
        "version 9 was deleted or withdrawn: 1 predictions of it are left out",
        "labels: 4 read, 2 used; 1 twice; 1 of unknown predictions",
    ]


def test_nothing_to_compare_is_said() -> None:
    found = quality(MemoryCaptures(), "risk", START, START + DAY, lambda version: None)
    assert shown(found) == [
        "risk, 2023-11-15 to 2023-11-15",
        "no captured predictions that labels can be compared with",
        "labels: 0 read, 0 used",
    ]
