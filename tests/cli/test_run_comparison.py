"""Two runs over one input: agreement, the score's shift, labels that change, rows of one alone."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from arro3 import core
from arro3 import io as arrow_io
from tests.kits.batch import CONTRACT, Bench, csv_bytes, row

from quintet.batch.plans import Plan, dump
from quintet_cli.run_comparison import comparable_plans, compare_runs
from quintet_cli.stage import StageError
from quintet_cli.views import runs as view

ROWS = 40


def columns_of(body: bytes) -> dict[str, list[Any]]:
    table = arrow_io.read_parquet(io.BytesIO(body)).read_all()
    return {name: list(table[name].to_pylist()) for name in table.column_names}


def body_of(columns: dict[str, list[Any]], like: bytes) -> bytes:
    table = arrow_io.read_parquet(io.BytesIO(like)).read_all()
    kinds = {name: table[name].type for name in table.column_names}
    out = io.BytesIO()
    made: dict[str, Any] = {name: core.Array(v, kinds[name]) for name, v in columns.items()}
    arrow_io.write_parquet(core.Table.from_pydict(made), out)
    return out.getvalue()


Runs = tuple[Bench, str, str]


@pytest.fixture
def runs() -> Runs:
    """The first run, of 40 rows of which one is refused; and the second, of version 4.

    Its scores are 0.1 higher, the labels of three rows are changed, and two rows refused.
    """
    made = Bench()
    body = csv_bytes([row(number, country="xx" if number == 7 else "de") for number in range(ROWS)])
    plan = made.plan(f"{CONTRACT.name}/a.csv", body)
    made.score(plan)
    assert isinstance(plan, Plan)
    other = replace(plan, run="second", version=4)
    for one in (plan, other):
        made.store.put(one.folder.plan, dump(one))
        made.store.put(one.folder.manifest, b"{}")
    for key in made.store.keys(f"{plan.folder.root}scores/"):
        stored = made.store.objects[key]
        columns = columns_of(stored)
        kept = [at for at, number in enumerate(columns["row"]) if number not in (3, 5)]
        changed: dict[str, Callable[[int], Any]] = {
            "score": lambda at: columns["score"][at] + 0.1,  # noqa: B023
            "country_seen": lambda at: "fr" if columns["row"][at] < 3 else "de",  # noqa: B023
        }
        second = {
            name: [changed[name](at) if name in changed else values[at] for at in kept]
            for name, values in columns.items()
        }
        # in parts of another size
        for part in (0, 1):
            some = {name: values[part::2] for name, values in second.items()}
            made.store.put(other.folder.scores(part, "parquet"), body_of(some, stored))
    return made, plan.run, other.run


def compared(runs: Runs) -> dict[str, Any]:
    bench, *names = runs
    plans = comparable_plans(bench.store, CONTRACT.name, *names)
    return compare_runs(bench.store, *plans, CONTRACT)


def test_two_runs_are_compared_row_by_row(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    found = compared(runs)
    assert found["versions"] == [3, 4]
    assert found["rows"] == {"both": 37, "only_first": 2, "only_second": 0}
    assert found["labels"] == {
        "compared": 37,
        "changed": 3,
        "agreement": pytest.approx(34 / 37),
        "changes": [{"from": "de", "to": "fr", "rows": 3}],
    }
    score = found["score"]
    assert (score["compared"], score["shift"], score["largest"]) == (
        37,
        pytest.approx(0.1, abs=1e-6),
        pytest.approx(0.1, abs=1e-6),
    )
    numbers = [n for n in range(ROWS) if n not in (3, 5, 7)]
    sums = [n * 0.25 * (0.5 if n % 2 else 0.75) + n % 7 for n in numbers]
    expected = 1 / (1 + np.exp(-np.array(sums)))
    assert score["mean"][0] == pytest.approx(expected.mean(), rel=1e-5)
    assert score["shift_sd"] == pytest.approx(0.1 / expected.std(), rel=1e-4)
    assert json.loads(json.dumps(found)) == found
    view.print_comparison(found)
    shown = capsys.readouterr().out
    assert "scored by version 3 alone: 2 rows" in shown
    assert "labels changed: 3 of 37 (8.11%)" in shown


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "other"}, "expected runs over one input"),
        ({"output": "csv"}, "expected parquet"),
        (None, "has not succeeded"),
    ],
    ids=["another input", "csv", "not ended"],
)
def test_runs_that_cannot_be_compared_are_refused(
    runs: Runs, changes: dict[str, Any] | None, message: str
) -> None:
    bench, *names = runs
    _, second = comparable_plans(bench.store, CONTRACT.name, *names)
    if changes is None:
        del bench.store.objects[second.folder.manifest]
    elif "input" in changes:
        other = replace(second, input=replace(second.input, version_id="2"))
        bench.store.put(second.folder.plan, dump(other))
    else:
        bench.store.put(second.folder.plan, dump(replace(second, **changes)))
    with pytest.raises(StageError, match=message):
        compared(runs)


def test_versions_with_other_outputs_are_refused(runs: Runs) -> None:
    bench, *names = runs
    plans = comparable_plans(bench.store, CONTRACT.name, *names)
    other = replace(CONTRACT, outputs=(replace(CONTRACT.outputs[0], name="risk"),))
    with pytest.raises(StageError, match="no column risk"):
        compare_runs(bench.store, *plans, other)
