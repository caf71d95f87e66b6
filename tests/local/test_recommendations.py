"""Recommendations on the local AWS: a night's candidates, a session, and a ranker that fails."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from tests.kits.aws import environ
from tests.kits.local_aws import LocalAws, eventually
from tests.kits.models import publish_graph
from tests.kits.recommending import RANKER, RULE, ranker_graph
from typer.testing import CliRunner

from quintet.aws.client import AwsClient
from quintet.aws.rollouts import Rollouts
from quintet.rollouts.store import Cause
from quintet.rollouts.transitions import start
from quintet_cli.app import app
from quintet_publish.kit import contract_of

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "models/candidates/golden.json").read_text(encoding="utf-8"))
USERS = GOLDEN["entities"]
IDS = dict(zip(USERS, GOLDEN["outputs"]["ids"], strict=True))
#: a customer with purchases; the session is of items at the end of the candidates
USER = next(user for user in USERS if user.isdigit())


def quintet(local: LocalAws, *words: str) -> str:
    """The output of a command."""
    ran = CliRunner().invoke(app, [*words, "--state", str(local.state)])
    assert ran.exit_code == 0, ran.output
    return ran.output


def ask(local: LocalAws, model: str, user: str, body: Any = None) -> dict[str, Any]:
    """An answer; every request is answered."""
    url = f"{local.api_url}/models/{model}/recommendations/{user}"
    raw = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, raw), timeout=30) as answer:
        assert answer.status == 200
        found: dict[str, Any] = json.loads(answer.read())
    assert found["items"]
    return found


def items(answer: dict[str, Any]) -> list[int]:
    return [one["item"] for one in answer["items"]]


@pytest.fixture(scope="module")
def night(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> LocalAws:
    """The shop's packages with the candidates of some customers; a ranker without a budget."""
    folder = tmp_path_factory.mktemp("shop")
    ranker = contract_of(ROOT / "models/ranker")
    assert ranker.recommend is not None
    rule = replace(ranker.recommend, budget_ms=10_000, explore=0.0)
    golden = json.loads((ROOT / "models/ranker/golden.json").read_text(encoding="utf-8"))
    graph = (ROOT / "models/ranker/model.onnx").read_bytes()
    patient = replace(ranker, name="patient", recommend=rule)
    publish_graph(patient, graph, golden["columns"], local_aws.registry)
    quintet(local_aws, "publish", str(ROOT / "models/candidates"))
    loaded = folder / "features.csv"
    names = "customer_id,orders_365d,average_lines_365d,days_since_order"
    loaded.write_text(f"{names}\n{USER},6,32.5,30\n", encoding="utf-8")
    quintet(local_aws, "features", "load", str(loaded), "--model", "patient")
    columns = GOLDEN["columns"]
    rows = [
        {"customer_id": user, "items": bought, "days": days}
        for user, bought, days in zip(USERS, columns["items"], columns["days"], strict=True)
    ]
    file = folder / "shop.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    quintet(local_aws, "drop", str(file), "candidates")
    return local_aws


def test_a_session_changes_what_a_customer_is_shown(night: LocalAws) -> None:
    def seen() -> dict[str, Any] | None:  # another test's run may be remembered for 10 s
        found = ask(night, "patient", USER)
        return found if found["step"] == "reranked" else None

    plain = eventually(seen, 30)
    assert (plain["model"], plain["version"], plain["stale"]) == ("patient", 1, False)
    assert len(plain["items"]) == 20
    assert set(items(plain)) <= set(IDS[USER])
    session = IDS[USER][-5:]
    asked = {"items": session, "device": "phone"}
    during = ask(night, "patient", USER, asked)
    assert during["step"] == "reranked"
    assert items(during) != items(plain)
    assert set(items(during)) <= set(IDS[USER]) - set(session)
    assert during["filtered"]["seen"] == 5

    def logged() -> dict[str, Any] | None:
        lines = night.logs("Predict").splitlines()
        told = [json.loads(line) for line in lines if '"message":"recommended"' in line]
        return next((one for one in told if (one.get("filtered") or {}).get("seen") == 5), None)

    line = eventually(logged)
    assert (line["step"], line["rows"], line["model"]) == ("reranked", 200, "patient")
    steps = ("load_ms", "read_ms", "decode_ms", "features_ms", "score_ms", "filter_ms", "total_ms")
    assert [name for name in line if name.endswith("_ms")] == [*steps]


def test_an_item_is_left_out_while_it_is_sold_out(night: LocalAws, tmp_path: Path) -> None:
    def told(*numbers: int) -> str:
        (tmp_path / "sold-out.txt").write_text("".join(f"{number}\n" for number in numbers))
        return quintet(night, "candidates", "stock", "candidates", str(tmp_path / "sold-out.txt"))

    first = items(ask(night, "patient", USER))[0]
    assert "1 of 2,663 items of candidates are sold out" in told(first)

    def seen() -> dict[str, Any] | None:  # the stock may be remembered for 10 s
        found = ask(night, "patient", USER)
        return found if first not in items(found) else None

    without = eventually(seen, 30)
    assert (without["step"], without["why"], without["filtered"]["stock"]) == ("reranked", "", 1)
    assert "0 of 2,663 items" in told()


def test_a_customer_whom_nobody_knows_is_shown_what_is_popular(night: LocalAws) -> None:
    found = ask(night, "patient", "nobody%2Fat%20all")
    assert (found["user"], found["step"]) == ("nobody/at all", "popular")
    assert "no_candidates" in found["why"]


def test_a_ranker_that_fails_is_taken_back_while_everybody_is_answered(night: LocalAws) -> None:
    known = (1.0, 2663.0)
    features = [
        replace(one, range=known) if one.name in ("item", "session") else one
        for one in RANKER.features
    ]
    features[-1] = replace(features[-1], default=1.0, when_stale="default")
    rule = replace(RULE, candidates="candidates")
    live = replace(
        RANKER, name="frail", entity="customer_id", features=tuple(features), recommend=rule
    )
    rows: dict[str, list[Any]] = {"customer_id": ["g"], "item": [1], "score": [-5.0]}
    rows |= {"session": [[2]], "taste": [1.0]}
    publish_graph(live, ranker_graph(), rows, night.registry)
    publish_graph(replace(live, version=2), ranker_graph(-4.0), rows, night.registry)
    store = Rollouts(
        AwsClient("dynamodb", environ=environ(night.endpoint_url)),
        night.outputs["RegistryTableName"],
    )
    assert ask(night, "frail", USER)["step"] == "reranked"
    cause = Cause(at=time.time(), by="test")
    assert store.write(
        start(store.read("frail"), 2, cause, id="frail1", steps=(1.0,), shadow=False)
    )
    steps = set()

    def taken_back() -> bool:
        found = ask(night, "frail", USER)
        steps.add((found["version"], found["route"], found["step"], found["why"]))
        return store.read("frail").rollout is None

    eventually(taken_back, 60)
    assert (2, "canary", "candidates", "model_failed") in steps
    assert steps <= {
        (1, "live", "reranked", ""),
        (2, "canary", "candidates", "model_failed"),
    }
    assert store.history("frail")[-1].event == "rolled back"
