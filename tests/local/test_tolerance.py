"""A run of which more units fail than are tolerated is left early, counted, and can be redriven."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.kits.local_aws import start_local_aws
from typer.testing import CliRunner, Result

from quintet.batch.plans import RunPaths
from quintet_cli.app import app
from quintet_cli.run_reader import RunReader
from quintet_cli.stage import Stage
from quintet_local.map_runs import exceeds

ROOT = Path(__file__).parents[2]
CUSTOMERS = ROOT / "models/churn/data/customers.csv"


@pytest.mark.parametrize(
    ("failed", "count", "percentage", "expected"),
    [
        (0, 0, 0.0, False),
        (1, 0, 0.0, True),
        (2, 2, 0.0, False),
        (3, 2, 0.0, True),
        (5, 0, 10.0, False),
        (6, 0, 10.0, True),
        (50, 0, 100.0, False),
    ],
)
def test_a_threshold_is_exceeded_by_more(
    failed: int, count: int, percentage: float, expected: bool
) -> None:
    assert exceeds(failed, 50, count, percentage) is expected


def test_too_many_failed_units_end_a_run_early(tmp_path: Path) -> None:
    def quintet(*words: str) -> Result:
        return CliRunner().invoke(app, [*words, "--state", str(tmp_path)])

    parameters = {
        "UnitTargetBytes": "10000",
        "BatchMaxConcurrency": "1",
        "BatchToleratedFailurePercentage": "10",
    }
    local = start_local_aws(tmp_path, parameters=parameters)
    try:
        assert quintet("publish", str(ROOT / "models/churn")).exit_code == 0
        whole = quintet("drop", str(CUSTOMERS), "churn")
        assert whole.exit_code == 0, whole.output
        reader = RunReader(Stage.open("local", tmp_path))
        done = RunPaths("churn", whole.output.split()[1])
        # the same run planned under another name, with units that no function can take
        folder = RunPaths("churn", "churn-with-crashes")
        plan = json.loads(reader.store.get(done.plan) or b"{}")
        good = [
            {**unit, "run": folder.run}
            for unit in json.loads(
                reader.store.get(done.document("units", plan["documents"])) or b"[]"
            )
        ]
        bad = [{**unit, "surprise": True} if unit["unit"] in (0, 2, 4) else unit for unit in good]
        assert 20 <= len(bad) < 30
        units = folder.document("units", None)
        reader.store.put(units, json.dumps(bad).encode())
        plan |= {"run": folder.run, "documents": None}
        reader.store.put(folder.plan, json.dumps(plan).encode())
        asked = reader.executions.look(done.run)
        assert asked is not None
        reader.executions.start(folder.run, asked.request)

        failed = quintet("runs", "watch", "churn", folder.run)
        assert failed.exit_code == 1
        assert "Too many units failed, so the rest was left." in failed.output
        report = reader.report(folder)
        assert report is not None
        # two of some twenty may fail; the third ends it
        assert report["units"]["done"] == 2
        counts = report["counts"]
        assert counts["scored"] + counts["unaccounted"] == counts["rows"] == 4335

        reader.store.put(units, json.dumps(good).encode())
        assert quintet("runs", "redrive", "churn", folder.run).exit_code == 0
        redriven, first = reader.report(folder), reader.report(done)
        assert redriven is not None and first is not None
        assert redriven["counts"] == first["counts"]
        hashes = [[file["sha256"] for file in found["files"]] for found in (redriven, first)]
        assert hashes[0] == hashes[1]
    finally:
        local.stop()
