"""`quintet rollout rehearse` on moto: figures, the page, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.kits.aws import moto_server
from tests.kits.comparing import CANDIDATE, LIVE, fragile_graph, lines_of
from tests.kits.models import NOW, ROWS, publish_graph, shop_graph
from tests.kits.registries import RegistryServer, registry_on
from tests.kits.schemas import valid
from typer.testing import CliRunner

from quintet.aws.captures import CaptureBucket
from quintet.aws.client import AwsClient
from quintet.captures.delivery import put_rows
from quintet.captures.reading import read_lines
from quintet.contract import Capture, Contract
from quintet_cli.app import app


class Stand:
    """A stage of moto with version 3 of shop live, and version 4."""

    def __init__(self, server: RegistryServer, folder: Path) -> None:
        self.server = server
        self.state = server.state(folder)
        told = json.loads((self.state / "local.json").read_text())
        told["outputs"]["CapturesBucketName"] = server.bucket
        (self.state / "local.json").write_text(json.dumps(told))

    def publish(self, contract: Contract, graph: bytes) -> None:
        rows = ROWS["shop"] | {"visits": [0.0]}
        publish_graph(contract, graph, rows, self.server.written)

    def capture(self, event: str, *amounts: float) -> None:
        """Capture what the live version answers."""
        bucket = CaptureBucket(AwsClient("s3", environ=self.server.environ), self.server.bucket)
        rows = [{"customer": "c1", "amount": amount} for amount in amounts]
        for hour, read in read_lines(lines_of(LIVE, shop_graph(), event, rows))[0].items():
            put_rows(bucket, hour, read.rows, read.first, read.last)

    def rehearse(self, version: int, *words: str, code: int = 0) -> str:
        """The output of the command; its error if it exits with a code."""
        told = ["rollout", "rehearse", "shop", str(version), "--since", f"{NOW - 60:.0f}", *words]
        ran = CliRunner().invoke(app, [*told, "--state", str(self.state)], env={"COLUMNS": "200"})
        assert ran.exit_code == code, ran.output
        return str(ran.exception) if code else ran.output


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as found:
        yield found


@pytest.fixture
def stand(url: str, tmp_path: Path) -> Stand:
    made = Stand(registry_on(url), tmp_path / "state")
    made.publish(LIVE, shop_graph())
    made.publish(CANDIDATE, fragile_graph())
    return made


def test_a_version_is_rehearsed_with_a_page(stand: Stand, tmp_path: Path) -> None:
    stand.capture("e1", 5, 0, 647)
    stand.capture("e2", 2)
    page = tmp_path / "page.html"
    shown = stand.rehearse(4, "--page", str(page))
    assert "shop: version 4 on 4 answers of version 3, of 4 captured rows" in shown
    lines = shown.splitlines()
    (failures,) = (line for line in lines if "failures" in line)
    assert "25.000%" in failures
    worst = [line for line in lines if line.startswith("│ e")]
    assert "e1" in worst[0] and "failed" in worst[0]
    assert f"the page: {page}" in shown
    html = page.read_text()
    assert "beyond its margins" in html and "shop version 4" in html
    assert "<script" not in html
    found = valid("quintet rollout rehearse", stand.rehearse(4, "--json"))
    assert (found["pairs"], found["failures"]["rows"]) == (4, 1)
    assert found["since"] == "2023-11-14T22:12"


def test_what_cannot_be_rehearsed_is_refused_with_what_to_do(stand: Stand) -> None:
    assert "--since takes an earlier one" in stand.rehearse(4, code=1)
    assert stand.rehearse(9, code=1) == (
        "version: expected a published version of shop (3, 4), got 9"
    )
    assert stand.rehearse(4, "--page", "/nowhere/page.html", code=1) == (
        "--page: expected a file in a folder that exists, got '/nowhere/page.html'"
    )
    assert stand.rehearse(4, "--until", "soon", code=1) == (
        "--until: expected 30m, 12h, 7d or a time such as 2026-01-31T12:00, got 'soon'"
    )
    assert "expected one that is not live, got 3" in stand.rehearse(3, code=1)
    renamed = replace(CANDIDATE, version=5, entity="person")
    stand.publish(renamed, shop_graph())
    assert "entity: expected 'customer' as in version 3, got 'person'" in stand.rehearse(5, code=1)


def test_a_live_version_without_captures_is_refused(url: str, tmp_path: Path) -> None:
    stand = Stand(registry_on(url), tmp_path / "state")
    stand.publish(replace(LIVE, capture=None), shop_graph())
    stand.publish(CANDIDATE, fragile_graph())
    assert "publish one with `capture: {}` in model.yaml" in stand.rehearse(4, code=1)


def test_a_model_whose_features_are_not_captured_is_refused(url: str, tmp_path: Path) -> None:
    stand = Stand(registry_on(url), tmp_path / "state")
    for contract, graph in ((LIVE, shop_graph()), (CANDIDATE, fragile_graph())):
        secret = [replace(one, sensitive=one.name == "items") for one in contract.features]
        stand.publish(replace(contract, features=tuple(secret)), graph)
    assert "items is sensitive, and not in captures of version 3" in stand.rehearse(4, code=1)


def test_encrypted_features_are_left_to_a_rollout_in_shadow(url: str, tmp_path: Path) -> None:
    stand = Stand(registry_on(url), tmp_path / "state")
    for contract, graph in ((LIVE, shop_graph()), (CANDIDATE, fragile_graph())):
        secret = [replace(one, sensitive=one.name == "items") for one in contract.features]
        capture = Capture(sensitive="encrypted")
        stand.publish(replace(contract, features=tuple(secret), capture=capture), graph)
    assert (
        "items is encrypted in captures of version 3: a rehearsal opens none; a rollout in shadow "
        "compares them"
    ) in stand.rehearse(4, code=1)
