"""`quintet size`: its arithmetic by hand, its patch, its quotas, and a measured example."""

from __future__ import annotations

import math
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from quintet.batch.costs import prices
from quintet_cli.commands import size as command
from quintet_cli.sizing import measuring
from quintet_cli.sizing.curves import Curve, Measured, Point
from quintet_cli.sizing.months import months
from quintet_cli.sizing.patch import parameters_of, patch
from quintet_cli.sizing.plan import Load, Strategy, function_ms, size_of
from quintet_cli.sizing.quota import NoQuota, limited
from quintet_cli.stacks import StageError, configured

app = typer.Typer()
command.register(app)

ROOT = Path(__file__).parents[2]

#: 1 ms and 0.1 ms a row, half of it the model's; at half a vCPU twice that
FULL = Curve(
    vcpus=1.0,
    points=tuple(
        Point(rows=rows, ms=1 + rows / 10, model_ms=(1 + rows / 10) / 2, request_bytes=100 * rows)
        for rows in (1, 10, 100, 1000)
    ),
)


def measured(**changes: Any) -> Measured:
    known: dict[str, Any] = {
        "model": "linear",
        "version": 1,
        "slo_ms": 100.0,
        "most_rows": 1000,
        "stored_features": False,
        "curves": (FULL, FULL.slowed(0.5), FULL.slowed(0.25)),
        "no_quota": None,
        "processor_share": 1.0,
        "cold_ms": 500.0,
        "memory_mb": 100.0,
        "model_mb": 20.0,
    }
    return Measured(**known | changes)


@pytest.mark.parametrize("rows", [1, 5, 10, 55, 700, 1000, 4000])
def test_between_and_beyond_points_a_curve_is_straight(rows: int) -> None:
    assert FULL.ms(rows) == pytest.approx(1 + rows / 10)
    assert FULL.model_ms(rows) == pytest.approx((1 + rows / 10) / 2)
    assert FULL.slowed(0.25).ms(rows) == pytest.approx(4 * (1 + rows / 10))


def test_one_point_is_a_proportion() -> None:
    one = Curve(vcpus=1.0, points=FULL.points[:1])
    assert [one.ms(1), one.ms(3)] == pytest.approx([1.1, 3.3])


def test_a_request_is_the_sum_of_its_parts() -> None:
    load = Load(rate=20, rows=10, latency_ms=50, network_ms=7)
    budget = size_of(measured(stored_features=True), load, Strategy.speed).online.budget
    assert budget.model_dump() == pytest.approx(
        {
            "network": 7.0,
            "runtime": 0.32 + 0.25,
            "features": 4.0,  # one read
            "model": 1.0,
            "serialisation": 1.0,
            "total": 7 + 0.57 + 4 + 2,
            "objective": 50.0,
            "kept": True,
        }
    )
    many = function_ms(FULL, 250, stored=True)
    assert many == pytest.approx(0.57 + 3 * 4 + 26)  # three reads of 100 entities


@pytest.mark.parametrize(
    ("strategy", "memory", "provisioned", "most"),
    [
        # 400 a second of 2.57 ms are 1 at once; the account wants one for each 10 a second
        (Strategy.cost, 1769, 0, 0),
        (Strategy.speed, 1769, math.ceil(120 / 0.7), 0),
        (Strategy.balanced, 1769, math.ceil(40 / 0.7), math.ceil(120 / 0.7)),
    ],
)
def test_concurrency_is_littles_law_and_the_accounts(
    strategy: Strategy, memory: int, provisioned: int, most: int
) -> None:
    load = Load(rate=400, peak=3, rows=10, latency_ms=50)
    online = size_of(measured(curves=(FULL,)), load, strategy).online
    assert (online.memory_mb, online.provisioned, online.most_provisioned) == (
        memory,
        provisioned,
        most,
    )
    assert online.concurrency == pytest.approx(400 * 2.57 / 1000)
    assert online.peak_concurrency == 120
    slow = size_of(measured(curves=(FULL,)), Load(rate=400, rows=1000, latency_ms=500), strategy)
    assert slow.online.peak_concurrency == math.ceil(1200 * 101.57 / 1000)


def test_strategies_weigh_time_and_memory() -> None:
    """At less than a vCPU the runtime's own 0.32 ms are cheaper, all else costs the same."""
    load = Load(rows=100, latency_ms=1000)
    found = {s: size_of(measured(), load, s).online for s in Strategy}
    assert {s.value: one.memory_mb for s, one in found.items()} == {
        "cost": 443,
        "speed": 1769,
        "balanced": 1769,
    }
    tight = Load(rows=100, latency_ms=40)
    assert size_of(measured(), tight, Strategy.cost).online.memory_mb == 885
    missed = size_of(measured(), Load(rows=1000, latency_ms=30), Strategy.cost).online
    assert (missed.memory_mb, missed.budget.kept) == (1769, False)


def test_a_large_model_gets_the_memory_that_it_takes() -> None:
    large = measured(memory_mb=900.0, model_mb=600.0)
    online = size_of(large, Load(latency_ms=1000), Strategy.cost).online
    assert (online.memory_mb, online.models_mb) == (1769, 600)
    larger = measured(memory_mb=3000.0, model_mb=2500.0)
    assert size_of(larger, Load(latency_ms=1000), Strategy.cost).online.memory_mb == 3750
    small = size_of(measured(), Load(latency_ms=1000), Strategy.cost).online
    assert (small.memory_mb, small.models_mb) == (443, 443 - 160)


def test_work_takes_batches_by_the_strategy() -> None:
    load = Load(rate=1000, peak=2, latency_ms=50)
    found = {s.value: size_of(measured(), load, s).work for s in Strategy}
    # 0.57 + 4 * 4 + 1 and 1.7 a job; within 10 % of the cheapest for `balanced`
    assert {name: work.batch_size for name, work in found.items()} == {
        "cost": 1000,
        "speed": 10,
        "balanced": 100,
    }
    assert found["speed"].batch_ms == pytest.approx(34.57)
    assert found["speed"].concurrency == math.ceil(2000 * 3.457 / 1000 / 0.7)
    slow = Curve(vcpus=1.0, points=(Point(rows=1, ms=9000, model_ms=9000, request_bytes=1),))
    alone = size_of(measured(curves=(slow,)), load, Strategy.cost).work
    assert alone.batch_size == 1


@pytest.mark.parametrize(
    ("rate", "row_bytes", "slower", "shards", "because"),
    [
        (10, 100, 1, 1, "30 records a second"),
        (10_000, 100, 1, 30, "30,000 records a second"),
        (1000, 4000, 1, 12, "12.0 MB a second"),
        # 1,010 of the handler, 250 to put a thousand scores by 16 threads, 40 of calls
        (1000, 100, 10, math.ceil(3 * 1.3 / 0.7), "1,300 ms for 1,000 records"),
    ],
)
def test_shards_are_what_asks_for_the_most(
    rate: float, row_bytes: int, slower: float, shards: int, because: str
) -> None:
    points = tuple(
        point.model_copy(update={"request_bytes": row_bytes * point.rows, "ms": point.ms * slower})
        for point in FULL.points
    )
    of = measured(curves=(FULL.model_copy(update={"points": points}),))
    stream = size_of(of, Load(rate=rate, peak=3, latency_ms=50), Strategy.cost).stream
    assert (stream.shards, stream.because) == (shards, because)


def test_a_window_is_size_by_parallelism_with_room_for_retries() -> None:
    load = Load(latency_ms=50, batch_rows=100_000_000, batch_window_s=3600)
    seconds = 100_000_000 * 0.101 / 1000 * 1.3
    units = math.ceil(100_000_000 * 100 / 67_108_864)
    found = {s: size_of(measured(), load, s).batch for s in Strategy}
    assert {s.value: batch.parallelism for s, batch in found.items()} == {
        "cost": math.ceil(seconds / 3600),
        "speed": units,
        "balanced": 40,
    }
    for batch in found.values():
        assert batch.window_s == pytest.approx(seconds / batch.parallelism)
        assert (batch.units, batch.kept) == (units, True)
    short = load.model_copy(update={"batch_window_s": 10.0})
    late = size_of(measured(), short, Strategy.cost).batch
    assert (late.parallelism, late.kept) == (units, False)


def test_a_month_is_calls_by_their_prices() -> None:
    load = Load(rate=10, rows=10, latency_ms=50)
    size = size_of(measured(), load, Strategy.cost)
    table, found = prices(), {month.pattern: month for month in months(measured(), load, size)}
    call = (
        table["lambda"]["request"]
        + (size.online.function_ms / 1000) * (443 / 1024) * table["lambda"]["gb_second"]
    )
    logs = 1600 / 1e9 * table["cloudwatch"]["log_gb"]
    each = table["api_gateway"]["request"] + call + logs
    requests = 10 * 3600 * 730
    assert found["online"].likely == round(requests * each, 2)
    assert found["online"].low == round(requests * each / 2, 2)
    assert found["online"].high == round(requests * each * 2, 2)
    assert list(found) == ["online", "asynchronous", "streaming", "batch"]
    assert all(0 < month.low <= month.likely <= month.high for month in found.values())
    # pre-started environments are paid whether calls come or not
    warm = size_of(measured(), load, Strategy.speed)
    standing = warm.online.provisioned * 1769 / 1024 * 730 * 3600
    standing *= table["lambda"]["provisioned_gb_second"]
    online = months(measured(), load, warm)[0]
    assert 2 * online.low - online.likely == pytest.approx(standing, abs=0.02)


def test_the_patch_applies_and_keeps_other_parameters(tmp_path: Path) -> None:
    config = tmp_path / "samconfig.toml"
    config.write_text((ROOT / "samconfig.toml").read_text(encoding="utf-8"), encoding="utf-8")
    size = size_of(measured(), Load(rate=100, latency_ms=100), Strategy.balanced)
    text = patch(config, "prod", size)
    subprocess.run(
        ["patch", "-p0", str(config)], input=text, text=True, check=True, capture_output=True
    )
    stages = configured(config)
    assert stages["dev"]["parameter_overrides"] == ["Stage=dev"]
    changed = dict(entry.split("=") for entry in stages["prod"]["parameter_overrides"])
    assert changed == {"Stage": "prod", **parameters_of(size)}
    assert patch(config, "prod", size) == ""
    with pytest.raises(StageError, match="has no stage staging"):
        patch(config, "staging", size)


def test_a_machine_without_control_groups_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoQuota, match="has no control groups"), limited(0.5, root=tmp_path):
        pass
    (tmp_path / "cgroup.subtree_control").write_text("memory pids\n", encoding="ascii")
    with pytest.raises(NoQuota, match="do not control processors"), limited(0.5, root=tmp_path):
        pass


def test_a_group_of_version_2_gets_the_share_and_is_left_again(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory\n", encoding="ascii")
    group = tmp_path / f"quintet-size-{os.getpid()}"
    # files of a real group go with it
    with pytest.raises(OSError, match="not empty"), limited(0.25, root=tmp_path):
        assert (group / "cpu.max").read_text(encoding="ascii") == "5000 20000"
        assert (group / "cgroup.procs").read_text(encoding="ascii") == str(os.getpid())


def test_a_package_is_measured_by_its_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(measuring, "SECONDS", 6.0)
    found = CliRunner().invoke(app, ["models/churn", "--volume", "20/s", "--json"])
    assert found.exit_code == 0, found.output
    sized = command.Sized.model_validate_json(found.stdout)
    rows = [point.rows for point in sized.measured.curves[0].points]
    assert rows == [1, 10, 100, 1000]
    assert [curve.vcpus for curve in sized.measured.curves] == [1.0, 0.5, 0.25]
    assert all(0 < point.model_ms < point.ms for point in sized.measured.curves[0].points)
    assert sized.measured.memory_mb > 40
    assert sized.load.latency_ms == 200  # slo.p95_ms of the contract
    assert sized.patch.startswith("--- samconfig.toml\n")


def test_more_rows_than_a_request_may_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(command, "measure", lambda subject: measured(most_rows=100))
    found = CliRunner().invoke(app, ["models/churn", "--rows", "101"])
    assert str(found.exception) == (
        "--rows: expected at most 100, as one request may have, got 101"
    )
