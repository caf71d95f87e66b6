"""`quintet keys`, on a table and API Gateway of a moto server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kits.aws import client, create_table, environ, moto_server
from tests.kits.schemas import valid
from typer.testing import CliRunner

from quintet.aws.caller_keys import KeyTable
from quintet.aws.client import AwsClient
from quintet.callers.caller import Caller
from quintet.callers.keys import caller_of
from quintet_cli.app import app
from quintet_cli.usage_plans import UsagePlans

TABLE = "keys-of-the-command"  # the servers of a process share their tables


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as address:
        create_table(address, TABLE, "key")
        yield address


@pytest.fixture
def state(url: str, tmp_path: Path) -> Path:
    """A state folder that makes the moto server the stage `local`."""
    outputs = {"KeysTableName": TABLE, "ApiId": "api", "ApiAuth": "none"}
    local = {"api_url": url, "endpoint_url": url, "outputs": outputs}
    (tmp_path / "local.json").write_text(json.dumps(local))
    return tmp_path


def run(state: Path, *arguments: str) -> str:
    """The output of a command; what it raises is raised."""
    result = CliRunner().invoke(app, ["keys", *arguments, "--state", str(state)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def plans(url: str) -> list[Any]:
    found = client("apigateway", url).get_usage_plans()["items"]
    return [plan for plan in found if plan["name"].startswith("quintet-local-")]


def test_a_key_is_made_listed_and_revoked(url: str, state: Path) -> None:
    made = valid(
        "quintet keys create", run(state, "create", "shop", "--models", "fraud,churn", "--json")
    )
    assert {name: made[name] for name in ("name", "models", "rate", "expires", "state")} == {
        "name": "shop",
        "models": ["churn", "fraud"],
        "rate": None,
        "expires": None,
        "state": "valid",
    }
    keys = KeyTable(AwsClient("dynamodb", environ=environ(url)), TABLE)
    assert caller_of(made["key"], keys, 1e9) == Caller("shop", ("churn", "fraud"))
    listed = run(state, "ls")
    assert made["id"] in listed
    assert made["key"] not in listed
    assert made["key"] not in run(state, "ls", "--json")
    assert f"the key {made['id']} of shop is revoked" in run(state, "revoke", made["id"])
    (found,) = [
        k for k in valid("quintet keys ls", run(state, "ls", "--json")) if k["id"] == made["id"]
    ]
    assert (found["state"], found["revoked"] is None) == ("revoked", False)


def test_it_is_shown_once_with_what_is_still_to_do(state: Path) -> None:
    told = run(state, "create", "shop", "--expires", "90d")
    assert "shown only once:\n  qk_" in told
    assert "takes no keys yet (ApiAuth is none): quintet up --auth keys" in told


def test_a_plan_is_shared_by_the_keys_of_a_rate_and_outlives_them(url: str, state: Path) -> None:
    ids = [
        json.loads(run(state, "create", name, "--rate", rate, "--json"))["id"]
        for name, rate in (("ann", "5"), ("bob", "5"), ("cid", "7"))
    ]
    assert {plan["name"]: plan["throttle"] for plan in plans(url)} == {
        "quintet-local-5-a-second": {"rateLimit": 5.0, "burstLimit": 5},
        "quintet-local-7-a-second": {"rateLimit": 7.0, "burstLimit": 7},
    }
    gateway = client("apigateway", url)
    names = {key["name"] for key in gateway.get_api_keys()["items"]}
    assert f"quintet-local/ann/{ids[0]}" in names
    run(state, "revoke", ids[0])
    left = {key["name"] for key in gateway.get_api_keys()["items"]}
    assert names - left == {f"quintet-local/ann/{ids[0]}"}
    other = gateway.create_usage_plan(name="someone-elses")["id"]
    assert UsagePlans(gateway, "local").remove_all() == 2
    assert plans(url) == []
    assert gateway.get_usage_plan(usagePlanId=other)["name"] == "someone-elses"


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (["create", "A b"], "name: expected a letter"),
        (["create", "shop", "--rate", "0"], "rate: expected 1 to 10000"),
        (["create", "shop", "--expires", "soon"], "--expires: expected 30m, 12h, 7d"),
        (["create", "shop", "--expires", "2020-01-01"], "expires: expected a time to come"),
        (["revoke", "nothing"], "key: expected the id of a key: quintet keys ls"),
    ],
)
def test_what_cannot_be_is_refused(state: Path, arguments: list[str], refusal: str) -> None:
    before = run(state, "ls", "--json")
    with pytest.raises(Exception, match=refusal):
        run(state, *arguments)
    assert run(state, "ls", "--json") == before
