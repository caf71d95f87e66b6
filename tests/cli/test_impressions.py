"""`quintet impressions` on moto: the file of an export, an evaluation, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli.impressions.test_export import CLOSED, Sent, feedback_of
from tests.kits.aws import moto_server
from tests.kits.impressions import RANKER, SCORES, SECOND, ImpressionWorld, explored, ranker_graph
from tests.kits.models import NOW, publish_graph
from tests.kits.recommending import ROWS
from tests.kits.registries import RegistryServer, registry_on
from tests.kits.schemas import valid
from typer.testing import CliRunner

from quintet.aws.captures import CaptureBucket
from quintet.aws.client import AwsClient
from quintet.captures.tables import read_parquet
from quintet.feedback.table import put
from quintet_cli.app import app


class Stand:
    """A stage of moto with two versions of a ranker, and what the first one showed."""

    def __init__(self, server: RegistryServer, folder: Path) -> None:
        self.server = server
        self.state = server.state(folder)
        told = json.loads((self.state / "local.json").read_text())
        told["outputs"]["CapturesBucketName"] = server.bucket
        (self.state / "local.json").write_text(json.dumps(told))
        self.bucket = CaptureBucket(AwsClient("s3", environ=server.environ), server.bucket)
        publish_graph(RANKER, ranker_graph(), ROWS, server.written)
        publish_graph(SECOND, ranker_graph(-1.0), ROWS, server.written)

    def log(self, world: ImpressionWorld, *sent: Sent) -> None:
        """Put captures, and feedback."""
        for key, body in world.captures.objects.items():
            self.bucket.put(key, body)
        put(self.bucket, "ranker", feedback_of(sent))

    def run(self, command: str, *words: str, code: int = 0) -> str:
        """The output of the command; its error if it exits with a code."""
        told = ["impressions", command, "ranker", "--since", f"{NOW - 60:.0f}", *words]
        ran = CliRunner().invoke(app, [*told, "--state", str(self.state)], env={"COLUMNS": "200"})
        assert ran.exit_code == code, ran.output
        return str(ran.exception) if code else ran.output


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as found:
        yield found


@pytest.fixture
def stand(url: str, tmp_path: Path) -> Stand:
    return Stand(registry_on(url), tmp_path / "state")


def test_impressions_are_exported_and_a_version_is_evaluated_on_them(
    stand: Stand, tmp_path: Path
) -> None:
    world = ImpressionWorld()
    shown = explored(world)
    clicks: list[Sent] = [(event, 5, "click", NOW + 1) for event, order in shown if order[0] == 5]
    plants: list[Sent] = [(shown[0][0], 28, "click", CLOSED), ("no", 28, "click", NOW)]
    stand.log(world, *clicks, *plants)
    file = tmp_path / "shown.parquet"
    told = stand.run("export", "-o", str(file)).splitlines()
    assert told == [
        "36 shown items of 12 impressions",
        "feedback: 2 rows count; 1 of unknown impressions; 1 after the window",
        f"written to {file}",
    ]
    rows = read_parquet(file.read_bytes())
    assert rows.num_rows == 36
    clicked = [
        (event, item)
        for event, item, is_so in zip(
            *(rows[name].to_pylist() for name in ("impression", "item", "clicked")), strict=True
        )
        if is_so
    ]
    assert sorted(clicked) == sorted((event, item) for event, item, *_ in clicks)

    lines = stand.run("evaluate", "--version", "2").splitlines()
    assert lines[0] == "ranker: version 2 on 12 impressions of 6 users, with 2 clicks"
    (ips,) = (line for line in lines if line.startswith("│ IPS"))
    assert "1.0000" in ips and "+1.0000" in ips
    assert any("the same item as ranked then at 33.3% of the places" in line for line in lines)
    found = valid("quintet impressions evaluate", stand.run("evaluate", "--version", "2", "--json"))
    assert (found["model"], found["version"], found["reward"]) == ("ranker", 2, "click")
    assert (found["since"], found["impressions"]) == ("2023-11-14T22:12", 12)
    assert found["snips"]["value"] == pytest.approx(1)
    assert (found["damaged"], found["deleted"]) == ([], [])


def test_damaged_feedback_is_named_and_the_other_counts(stand: Stand, tmp_path: Path) -> None:
    world = ImpressionWorld()
    event = world.show("u1", SCORES)
    stand.log(world, (event, 5, "view", NOW + 1))
    key = "feedback/model=ranker/date=2023-11-15/damaged.parquet"
    stand.bucket.put(key, b"PAR1 not")
    told = stand.run("export", "-o", str(tmp_path / "shown.csv"))
    assert "feedback: 1 rows count" in told
    assert f"{key} cannot be read, and is left out; restore it, or delete it" in told


def test_what_cannot_be_exported_or_evaluated_is_refused_with_what_to_do(stand: Stand) -> None:
    assert stand.run("export", code=1) == (
        "no impressions of ranker in that time whose window for feedback is closed; 0 have an open "
        "one (--open); --since takes an earlier time"
    )
    assert stand.run("export", "-o", "shown.txt", code=1) == (
        "FILE: expected a file that ends in .parquet, .csv or .jsonl, got shown.txt"
    )
    assert stand.run("evaluate", "--version", "9", code=1) == (
        "version: expected a published version of ranker (1, 2), got 9"
    )
    world = ImpressionWorld()
    world.show("u1", SCORES)
    stand.log(world)
    assert "publish a version with `explore: 0.05` under `recommend`" in stand.run(
        "evaluate", "--version", "2", code=1
    )
    plain = replace(SECOND, version=3, recommend=None)
    publish_graph(plain, ranker_graph(), ROWS, stand.server.written)
    assert stand.run("evaluate", "--version", "3", code=1) == (
        "version: expected a version with `recommend` in its model.yaml, got 3, which ranks no "
        "candidates"
    )
