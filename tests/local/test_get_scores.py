"""The latest score of an entity on the local AWS: dropped, loaded, asked for over HTTP."""

from __future__ import annotations

import csv
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from tests.kits.local_aws import ROOT, LocalAws, start_local_aws
from typer.testing import CliRunner, Result

from quintet_cli.app import app

CUSTOMERS = ROOT / "models/churn/data/customers.csv"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS with a scored file of customers."""
    found = start_local_aws(tmp_path_factory.mktemp("get-scores"))
    try:
        for words in (["publish", str(ROOT / "models/churn")], ["drop", str(CUSTOMERS), "churn"]):
            done = quintet(found, *words)
            assert done.exit_code == 0, done.output
        yield found
    finally:
        found.stop()


def quintet(local: LocalAws, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--state", str(local.state)])


def asked(local: LocalAws, path: str) -> tuple[int, dict[str, Any]]:
    """What the API answers."""
    try:
        with urllib.request.urlopen(f"{local.api_url}{path}") as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_customer_of_a_dropped_file_is_looked_up(local: LocalAws) -> None:
    with CUSTOMERS.open(newline="") as file:
        customer = next(csv.DictReader(file))
    entity = customer["customer_id"]
    assert asked(local, f"/scores/churn/{entity}")[0] == 404
    loaded = quintet(local, "scores", "load", "churn")
    assert loaded.exit_code == 0, loaded.output
    assert "4,335 of 4,335 entities" in loaded.output
    status, found = asked(local, f"/scores/churn/{entity}")
    assert (status, found["customer_id"], found["source"]) == (200, entity, "batch")
    # the online path gives the same record the same score
    body = {"records": [_typed(customer)]}
    request = urllib.request.Request(
        f"{local.api_url}/models/churn/predict",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        (online,) = json.load(answer)["predictions"]
    assert found["outputs"].keys() <= online.keys()
    for name, value in found["outputs"].items():
        assert value == pytest.approx(online[name], abs=1e-6), name


def _typed(row: dict[str, str]) -> dict[str, Any]:
    """A record as JSON has it."""
    found: dict[str, Any] = {}
    for name, text in row.items():
        try:
            found[name] = text if name == "customer_id" else float(text)
        except ValueError:
            found[name] = text
    return {name: value for name, value in found.items() if value != ""}


def test_an_entity_is_whatever_its_percent_encoding_says(local: LocalAws) -> None:
    status, problem = asked(local, "/scores/churn/a%20b%2Fc")
    assert status == 404
    assert problem["detail"] == "customer_id: expected one that churn has scored, got 'a b/c'"
