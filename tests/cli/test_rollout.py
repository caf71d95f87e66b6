"""`quintet rollout` on moto: what is stored, printed and refused."""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.kits import models
from tests.kits.aws import moto_server, reached_by
from tests.kits.evidence import evidence, paired
from tests.kits.registries import RegistryServer, registry_on
from typer.testing import CliRunner

from quintet.aws.captures import CaptureBucket
from quintet.aws.client import AwsClient
from quintet.contract import Capture, Contract, Gates, RolloutRule
from quintet.rollouts import transitions
from quintet.rollouts.evidence import Evidence
from quintet.rollouts.evidence_store import EvidenceObjects
from quintet.rollouts.state import Rollout
from quintet.rollouts.store import Change, Stored, fields_of
from quintet_cli.app import app
from quintet_cli.rollouts import Promise, promise_of
from quintet_cli.stage import Stage

LIVE = replace(
    models.SHOP, name="shop", version=1, capture=Capture(), rollout=RolloutRule(minutes=0.01)
)


@dataclass
class Stand:
    """A stage of moto with versions 1 (live), 2 and 3 of `shop`, and the command on it."""

    server: RegistryServer
    machine: str
    state: Path

    def quintet(self, *words: object, code: int = 0) -> str:
        """The output of a `quintet rollout` command; the error if it exits with a code."""
        told = ["rollout", *map(str, words), "--state", str(self.state)]
        ran = CliRunner().invoke(app, told)
        if ran.exception and not isinstance(ran.exception, SystemExit):
            assert code == 1, ran.exception
            return str(ran.exception)
        assert ran.exit_code == code, ran.output
        return re.sub(r"\x1b\[[0-9;]*m", "", ran.stdout)

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.quintet("status", "shop", "--json"))
        return found

    def stored(self) -> Stored:
        return self.server.written.routes.read("shop")

    def rollout(self) -> Rollout:
        found = self.stored().rollout
        assert found is not None
        return found

    def route(self) -> dict[str, Any]:
        return fields_of(self.stored().route)

    def publish(self, contract: Contract) -> None:
        graph, rows = models.shop_graph(), models.ROWS["shop"]
        models.publish_graph(contract, graph, rows, self.server.written)

    def seen(self, found: Evidence) -> None:
        """Let the rollout have this evidence."""
        bucket = CaptureBucket(AwsClient("s3", environ=self.server.environ), "captures")
        rollout = self.rollout()
        EvidenceObjects(bucket, bucket).put("shop", rollout.id, rollout.step, "key", found)

    def item(self) -> dict[str, Any]:
        """The stored item of the route."""
        key = {"model": {"S": "shop"}, "item": {"S": "route"}}
        table = self.server.client("dynamodb")
        found: dict[str, Any] = table.get_item(TableName=self.server.table, Key=key)["Item"]
        return found

    def stop(self) -> None:
        """Stop all executions, as somebody does by hand."""
        states = self.server.client("stepfunctions")
        for one in states.list_executions(stateMachineArn=self.machine)["executions"]:
            states.stop_execution(executionArn=one["executionArn"])

    def executions(self) -> list[dict[str, Any]]:
        """The inputs of the state machine's executions."""
        states = self.server.client("stepfunctions")
        listed = states.list_executions(stateMachineArn=self.machine)["executions"]
        return [
            json.loads(states.describe_execution(executionArn=one["executionArn"])["input"])
            for one in listed
        ]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as found:
        yield found


@pytest.fixture(scope="module")
def machine(url: str) -> str:
    server = RegistryServer(url, "", "")
    server.client("s3").create_bucket(Bucket="captures")
    made = server.client("stepfunctions").create_state_machine(
        name="rollout",
        definition='{"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 1, "End": true}}}',
        roleArn="arn:aws:iam::123456789012:role/rollout",
    )
    return str(made["stateMachineArn"])


@pytest.fixture
def stand(url: str, machine: str, tmp_path: Path) -> Stand:
    server = registry_on(url)
    outputs = {
        "RegistryBucketName": server.bucket,
        "RegistryTableName": server.table,
        "CapturesBucketName": "captures",
        "RolloutStateMachineArn": machine,
        "AnswerTimeouts": "30,60",
    }
    told = {"api_url": url, "endpoint_url": url, "outputs": outputs}
    (tmp_path / "local.json").write_text(json.dumps(told))
    stand = Stand(server, machine, tmp_path)
    for version in (1, 2, 3):
        stand.publish(replace(LIVE, version=version))
    return stand


def good(count: int = 2_000, **columns: Any) -> Evidence:
    return paired(count, **columns)


# ---- start ---------------------------------------------------------------------------------------


def test_start_begins_in_shadow_with_its_judge(stand: Stand) -> None:
    told = stand.quintet("start", "shop", 2, "--reason", "new data")
    rollout = stand.rollout()
    assert re.fullmatch(r"v2-\d{8}t\d{6}-[0-9a-f]{4}", rollout.id)
    assert stand.route() == {
        "live": 1,
        "revision": 2,
        "shadow": 2,
        "rollout": rollout.id,
        "step": -1,
    }
    assert (rollout.phase, rollout.steps) == ("shadow", (0.01, 0.1, 0.5, 1.0))
    assert (rollout.by, rollout.reason, rollout.paired) == (getpass.getuser(), "new data", True)
    assert {"model": "shop", "rollout": rollout.id} in stand.executions()
    first, second, third = told.splitlines()
    assert first == f"✓ shop: version 2 in shadow; {rollout.id}"
    assert re.fullmatch(
        r"  rows \(of crashes, errors and latency: entities\) before a gate is ok: "
        r"failures [\d,]+, score [\d,]+, labels [\d,]+, "
        r"crashes [\d,]+, errors [\d,]+, latency [\d,]+",
        second,
    )
    assert third == "  `quintet rollout watch shop` follows it"


def test_start_takes_steps_and_overrides(stand: Stand) -> None:
    words = ("--steps", "5%, 0.5,100%", "--skip-shadow", "--override", "ann", "--override", "bob")
    stand.quintet("start", "shop", 3, *words)
    rollout = stand.rollout()
    assert rollout.steps == (0.05, 0.5, 1.0)
    assert stand.route() == {
        "live": 1,
        "revision": 2,
        "canary": 3,
        "canary_share": 0.05,
        "overrides": {"ann": 3, "bob": 3},
        "rollout": rollout.id,
        "step": 0,
    }


def test_a_rollout_that_begins_with_overrides_only_goes_on_when_it_is_resumed(stand: Stand) -> None:
    stand.quintet("start", "shop", 2, "--override", "ann", "--overrides-only", "--skip-shadow")
    held = stand.route()
    assert held == {
        "live": 1,
        "revision": 2,
        "overrides": {"ann": 2},
        "rollout": stand.rollout().id,
        "step": -1,
    }
    assert "version 2 with its overrides only;" in stand.quintet("status", "shop")
    stand.quintet("resume", "shop")
    assert stand.route() == {
        **held,
        "revision": 3,
        "canary": 2,
        "canary_share": 0.01,
        "step": 0,
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("other", 2),
            "model: expected one published on stage local, got 'other'",
        ),
        (("shop", 9), "version: expected a published version of shop (1, 2, 3), got 9"),
        (
            ("shop", 1),
            "rollout: expected a version that is not live, got 1, which answers every request "
            "already",
        ),
        (
            ("shop", 2, "--steps", "1%,much"),
            "--steps: expected shares such as 1%,10%,100% or 0.01,0.1,1, got 'much'",
        ),
        (
            ("shop", 2, "--steps", "200%"),
            "--steps: expected shares from 0.0001% to 100%, got '200%'",
        ),
        (
            ("shop", 2, "--steps", "1e-12,50%"),
            "--steps: expected shares from 0.0001% to 100%, got '1e-12'",
        ),
        (
            ("shop", 2, "--steps", "1"),
            "--steps: expected 1% or 100% at the first step, got '1', which may mean either",
        ),
        (
            ("shop", 2, "--steps", "50%,10%"),
            "steps: expected ascending shares from 0.000001 to 1, got 0.1 after 0.5",
        ),
        (
            ("shop", 2, "--reason", "x" * 501),
            "--reason: expected at most 500 characters, got 501",
        ),
        (
            ("shop", 2, "--overrides-only"),
            "overrides: expected at least one, as the rollout begins with them alone, got none",
        ),
    ],
)
def test_what_does_not_begin_names_the_reason_and_changes_nothing(
    stand: Stand, words: tuple[object, ...], message: str
) -> None:
    before, executions = stand.item(), stand.executions()
    assert stand.quintet("start", *words, code=1) == message
    assert (stand.item(), stand.executions()) == (before, executions)


def test_a_withdrawn_version_is_refused_with_its_date(stand: Stand) -> None:
    stand.server.publisher.withdraw("shop", 3, "yesterday")
    assert stand.quintet("start", "shop", 3, code=1) == (
        "version: expected a published version of shop (1, 2), got 3, which was withdrawn at "
        "yesterday"
    )


def test_contracts_that_differ_are_refused(stand: Stand) -> None:
    stand.publish(replace(LIVE, version=4, entity=None))
    assert stand.quintet("start", "shop", 4, code=1) == (
        "entity: expected 'customer' as in version 1, got None"
    )


def test_without_captures_no_rollout_begins(stand: Stand) -> None:
    stand.publish(replace(LIVE, version=4, capture=None))
    assert "got none of version 4; publish a version with" in stand.quintet(
        "start", "shop", 4, code=1
    )


def test_a_sensitive_feature_leaves_the_gates_of_entities(stand: Stand) -> None:
    features = tuple(replace(one, sensitive=one.name == "amount") for one in LIVE.features)
    for version in (4, 5):
        stand.publish(replace(LIVE, version=version, features=features))
    stand.server.publisher.promote("shop", 4)
    assert stand.quintet("start", "shop", 5, code=1) == (
        "shadow: expected captures that the candidate can score, got none: amount is sensitive, "
        "and not in captures of version 4; `--skip-shadow` begins with a canary, without the gates "
        "failures, score, labels; crashes, errors, latency are left"
    )
    told = stand.quintet("start", "shop", 5, "--skip-shadow")
    assert "! rows have no pairs, so without failures, score, labels" in told
    assert re.search(r"ok: crashes [\d,]+, errors [\d,]+, latency [\d,]+$", told, re.MULTILINE)
    assert stand.rollout().paired is False
    rows = stand.report()["verdict"]["rows"]
    assert [row["metric"] for row in rows] == ["crashes", "errors", "latency", "sample ratio"]


def test_start_says_that_no_gate_is_on(stand: Stand) -> None:
    off = Gates(**dict.fromkeys(Gates().modes, "off"))  # type: ignore[arg-type]
    stand.publish(replace(LIVE, version=4, rollout=RolloutRule(gates=off)))
    told = stand.quintet("start", "shop", 4)
    assert "! no gate is on: it pauses without evidence" in told.splitlines()


def test_without_its_execution_a_rollout_is_taken_back(stand: Stand) -> None:
    local = json.loads((stand.state / "local.json").read_text())
    local["outputs"]["RolloutStateMachineArn"] += "-gone"
    (stand.state / "local.json").write_text(json.dumps(local))
    before = stand.item()
    assert "StateMachineDoesNotExist" in stand.quintet("start", "shop", 2, code=1)
    assert stand.item() == {**before, "revision": {"N": "3"}}
    events = [change.event for change in stand.server.written.routes.history("shop")]
    assert events == ["published", "started", "rolled back"]


def test_a_stage_without_the_state_machine_is_named(stand: Stand) -> None:
    local = json.loads((stand.state / "local.json").read_text())
    del local["outputs"]["RolloutStateMachineArn"]
    (stand.state / "local.json").write_text(json.dumps(local))
    assert stand.quintet("start", "shop", 2, code=1) == (
        "stage local has no rollouts yet: deploy it again first"
    )
    assert stand.stored().rollout is None


def test_on_aws_the_author_is_the_arn_of_the_identity(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached_by(monkeypatch, url)
    arn = "arn:aws:sts::123456789012:user/moto"
    assert Stage("dev", "https://api", {}).caller() == arn


# ---- status, watch, history ----------------------------------------------------------------------


def test_the_state_without_a_rollout(stand: Stand) -> None:
    assert stand.quintet("status", "shop") == (
        "shop: version 1 is live; no rollout is in progress. "
        "`quintet rollout start shop VERSION` begins one\n"
    )
    assert stand.report() == {
        "route": {"live": 1, "revision": 1},
        "rollout": None,
        "verdict": None,
        "promise": None,
        "running": None,
    }
    assert stand.quintet("watch", "shop") == stand.quintet("status", "shop")


def test_the_state_of_a_canary_has_its_gates_and_its_promise(stand: Stand) -> None:
    stand.quintet("start", "shop", 2, "--steps", "10%,100%", "--skip-shadow")
    entity = np.arange(1_000) // 2
    stand.seen(evidence(1_000, candidate=entity % 10 == 0, entity=entity))
    found = stand.report()
    assert found["route"] == stand.route()
    assert found["rollout"]["id"] == stand.rollout().id
    assert found["rollout"]["phase"] == "canary"
    assert found["verdict"]["verdict"] == "no evidence"
    assert found["promise"] == {
        "share": 0.1,
        "entities": 500,
        "candidate_entities": 50,
        "rows": 1_000,
        "candidate_rows": 100,
        "kept": True,
    }
    told = stand.quintet("status", "shop")
    lines = told.splitlines()
    assert lines[0] == ("shop: version 2 as canary at 10 %, step 1 of 2; version 1 is live")
    assert (
        "  entities: 50 of 500 with the candidate (10.0 %; 10 % promised, kept within 3 sd)"
    ) in lines
    assert "  rows: 100 of 1,000 with the candidate (10.0 %; not promised)" in lines
    assert any(line.startswith("  verdict: no evidence: failures: ") for line in lines)
    assert [line.split()[0] for line in lines[-7:]] == [
        *("failures", "score", "labels", "crashes", "errors", "latency", "sample"),
    ]


def test_versions_shows_what_a_rollout_makes_of_each(stand: Stand) -> None:
    def states() -> list[str]:
        words = ("versions", "shop", "--state", str(stand.state))
        lines = CliRunner().invoke(app, words).output.splitlines()
        return [line.split("│")[2].strip() for line in lines if "│" in line]

    assert states() == ["live", "published", "published"]
    stand.quintet("start", "shop", 2, "--steps", "10%,100%", "--skip-shadow")
    assert states() == ["live", "as canary at 10 %", "published"]
    stand.quintet("promote", "shop", "--force", "--reason", "sure")
    assert states() == ["kept ready", "live", "published"]


def test_evidence_that_cannot_be_read_is_no_evidence(stand: Stand) -> None:
    stand.quintet("start", "shop", 2)
    local = json.loads((stand.state / "local.json").read_text())
    local["outputs"]["CapturesBucketName"] = "no-such-bucket"
    (stand.state / "local.json").write_text(json.dumps(local))
    found = stand.report()
    assert found["verdict"]["verdict"] == "no evidence"
    assert found["verdict"]["reason"].startswith("the evidence could not be judged: ")
    assert found["rollout"]["id"] == stand.rollout().id


def test_the_history_names_who_when_and_why(stand: Stand) -> None:
    stand.quintet("start", "shop", 2, "--reason", "new data")
    stand.quintet("pause", "shop", "--reason", "lunch")
    stand.quintet("rollback", "shop", "--reason", "enough [bold]")
    rows = stand.quintet("history", "shop").splitlines()
    me = getpass.getuser()
    ends = [re.sub(r"^\S+ \S+Z +", "", row).rstrip() for row in rows[1:]]
    assert [re.sub("  +", " | ", end) for end in ends] == [
        "published | version 1 live | test",
        f"started | version 2 in shadow | {me} | new data",
        f"paused | version 2 in shadow | {me} | lunch",
        f"rolled back | version 1 live | {me} | enough [bold]",
    ]
    found = json.loads(stand.quintet("history", "shop", "--json"))
    assert [(one["event"], one["cause"]["reason"]) for one in found] == [
        ("published", ""),
        ("started", "new data"),
        ("paused", "lunch"),
        ("rolled back", "enough [bold]"),
    ]
    assert (found[2]["rollout"]["paused"], found[3]["rollout"]) == ("lunch", None)


@pytest.mark.parametrize(("end", "code"), [("finished", 0), ("rolled back", 1)])
def test_watch_follows_a_rollout_to_its_end(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, end: str, code: int
) -> None:
    stand.quintet("start", "shop", 2, "--steps", "100%", "--skip-shadow")
    routes = stand.server.written.routes

    def promote(stored: Stored, cause: Any) -> Change:
        return transitions.promote(stored, cause, verdict="ok")

    steps: list[Callable[..., Change]] = [promote]
    steps += [transitions.finish if end == "finished" else transitions.roll_back]

    def next_step(seconds: float) -> None:
        cause = routes.history("shop")[-1].cause
        assert routes.write(steps.pop(0)(routes.read("shop"), replace(cause, by="gates")))

    monkeypatch.setattr("quintet_cli.commands.rollout.time.sleep", next_step)
    lines = stand.quintet("watch", "shop", code=code).splitlines()
    told = [re.sub("  +", " | ", line) for line in lines]
    me, live = getpass.getuser(), 2 if end == "finished" else 1
    assert [line.split("Z | ", 1)[-1] for line in told] == [
        f"started | version 2 as canary at 100 % | {me}",
        told[1],
        "promoted | version 2 promoted and watched | gates",
        f"{end} | version {live} live | gates",
    ]
    assert told[1].startswith("no evidence: failures: 0 of the ")


def test_watch_says_how_a_rollout_has_just_ended(stand: Stand) -> None:
    stand.quintet("start", "shop", 2)
    stand.quintet("rollback", "shop", "--reason", "too slow")
    *told, state = stand.quintet("watch", "shop", code=1).splitlines()
    assert [re.sub("  +", " | ", line).split("Z | ")[1] for line in told] == [
        f"started | version 2 in shadow | {getpass.getuser()}",
        f"rolled back | version 1 live | {getpass.getuser()} | too slow",
    ]
    assert state.startswith("shop: version 1 is live; no rollout is in progress.")
    routes = stand.server.written.routes
    stored = routes.read("shop")
    assert routes.write(transitions.make_live(stored, 3, routes.history("shop")[-1].cause))
    assert stand.quintet("watch", "shop") == stand.quintet("status", "shop")


# ---- pause, resume, promote, roll back -----------------------------------------------------------


def test_pause_and_resume(stand: Stand) -> None:
    stand.quintet("start", "shop", 2)
    assert re.fullmatch(
        r"✓ shop: .*Z  paused       version 2 in shadow  \S+\n",
        stand.quintet("pause", "shop"),
    )
    assert stand.quintet("pause", "shop", code=1) == (
        "rollout: expected a rollout that is not paused, got version 2 in shadow, paused (by "
        "hand); `quintet rollout resume shop` lets it go on"
    )
    assert stand.quintet("status", "shop").splitlines()[-1] == (
        "  `quintet rollout resume shop` lets it go on, `quintet rollout rollback shop` ends it"
    )
    stand.quintet("resume", "shop")
    assert stand.rollout().paused == ""
    assert stand.quintet("resume", "shop", code=1) == (
        "rollout: expected a paused rollout, got version 2 in shadow, which goes on by itself"
    )


def test_a_rollout_whose_execution_was_stopped_is_named_and_resume_starts_another(
    stand: Stand,
) -> None:
    stand.quintet("start", "shop", 2, "--steps", "100%")
    judged = {"model": "shop", "rollout": stand.rollout().id}
    hint = (
        "  no execution of the state machine is running, so that nothing goes on with it; "
        "`quintet rollout resume shop` starts one"
    )
    assert stand.report()["running"] is True
    assert hint not in stand.quintet("status", "shop").splitlines()
    stand.stop()
    assert stand.report()["running"] is False
    assert stand.quintet("status", "shop").splitlines()[-1] == hint
    before = stand.item()
    assert stand.quintet("resume", "shop") == (
        "✓ shop: no execution was running; one goes on with it now\n"
    )
    assert (stand.item(), stand.executions().count(judged)) == (before, 2)
    assert stand.report()["running"] is True  # by its input, as one that took over
    assert "got version 2 in shadow, which goes on by itself" in stand.quintet(
        "resume", "shop", code=1
    )
    stand.quintet("pause", "shop")
    stand.stop()
    first, second = stand.quintet("resume", "shop").splitlines()
    assert (" resumed " in first, second.startswith("✓ shop: no execution was")) == (True, True)
    stand.quintet("promote", "shop", "--force", "--reason", "sure")
    stand.stop()
    stand.quintet("resume", "shop")
    assert (stand.rollout().phase, stand.executions().count(judged)) == ("watching", 4)


def test_hints_of_a_deployed_stage_name_it(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    reached_by(monkeypatch, stand.server.url)
    outputs = json.loads((stand.state / "local.json").read_text())["outputs"]
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {n: {"Value": v} for n, v in {"ApiUrl": "https://api", **outputs}.items()},
    }
    stand.server.client("cloudformation").create_stack(
        StackName="quintet-hints", TemplateBody=json.dumps(template)
    )
    at = ("shop", "--stage", "hints")
    assert "`quintet rollout watch shop --stage hints` follows it" in stand.quintet(
        "start", "shop", 2, *at[1:]
    )
    stand.quintet("pause", *at)
    resume = "`quintet rollout resume shop --stage hints` lets it go on"
    assert resume in stand.quintet("status", *at).splitlines()[-1]
    assert stand.quintet("pause", *at, code=1).endswith(resume)
    stand.quintet("rollback", *at)
    assert "`quintet rollout start shop VERSION --stage hints` begins" in stand.quintet(
        "status", *at
    )


def test_watch_of_a_paused_rollout_says_what_to_do(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.quintet("start", "shop", 2)
    stand.quintet("pause", "shop", "--reason", "lunch")

    def end(seconds: float) -> None:
        stand.quintet("rollback", "shop")

    monkeypatch.setattr("quintet_cli.commands.rollout.time.sleep", end)
    lines = stand.quintet("watch", "shop", code=1).splitlines()
    assert lines[3] == (
        "  `quintet rollout resume shop` lets it go on, `quintet rollout rollback shop` ends it"
    )
    assert [len(lines), "rolled back" in lines[4]] == [5, True]


def test_promotion_needs_an_ok_or_force_with_a_reason(stand: Stand) -> None:
    stand.quintet("start", "shop", 2, "--steps", "100%")
    refused = stand.quintet("promote", "shop", code=1)
    assert refused.startswith("verdict: expected 'ok', or force with a reason, got 'no evidence'; ")
    assert "got 'no evidence' and no reason" in stand.quintet("promote", "shop", "--force", code=1)
    stand.seen(good())
    stand.quintet("promote", "shop")
    assert stand.route() == {
        "live": 2,
        "revision": 3,
        "rollout": stand.rollout().id,
        "step": 1,
    }
    last = stand.server.written.routes.history("shop")[-1]
    assert last.cause.evidence["verdict"] == "ok"
    assert [row["metric"] for row in last.cause.evidence["rows"]] == ["failures", "score", "labels"]


def test_force_promotes_what_the_gates_call_bad(stand: Stand) -> None:
    stand.quintet("start", "shop", 2)
    stand.seen(good(candidate_failed=np.ones(2_000, dtype=np.bool_), candidate_score=np.nan))
    assert "got 'bad'" in stand.quintet("promote", "shop", code=1)
    stand.quintet("promote", "shop", "--force", "--reason", "the old one is worse")
    last = stand.server.written.routes.history("shop")[-1]
    assert (last.event, last.cause.reason) == ("promoted", "the old one is worse")
    assert last.cause.evidence["verdict"] == "bad"


@pytest.mark.parametrize("promoted", [False, True])
def test_rollback_leaves_the_stored_item_as_it_was(stand: Stand, promoted: bool) -> None:
    before = stand.item()
    stand.quintet("start", "shop", 2, "--override", "ann")
    if promoted:
        stand.quintet("promote", "shop", "--force", "--reason", "sure")
    stand.quintet("rollback", "shop")
    assert stand.item() == {**before, "revision": {"N": "4" if promoted else "3"}}
    assert stand.quintet("rollback", "shop", code=1) == (
        "rollout: expected one of shop that can be rolled back, got none in progress; "
        "`quintet rollout start shop VERSION` begins one"
    )


def test_a_rollback_goes_through_whatever_changes_the_route_meanwhile(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.quintet("start", "shop", 2)
    routes = stand.server.written.routes
    roll_back, races = transitions.roll_back, [transitions.pause, transitions.resume]

    def raced(stored: Stored, cause: Any) -> Change:
        change = roll_back(stored, cause)
        if races:
            assert routes.write(races.pop(0)(stored, cause))
        return change

    monkeypatch.setattr(transitions, "roll_back", raced)
    stand.quintet("rollback", "shop")
    assert [change.event for change in routes.history("shop")][1:] == [
        "started",
        "paused",
        "resumed",
        "rolled back",
    ]
    assert stand.stored().rollout is None


def test_the_promise_is_kept_within_three_standard_deviations() -> None:
    assert [Promise(0.1, 900, count, 1, 1).kept for count in (62, 63, 90, 117, 118)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert Promise(1.0, 5, 5, 5, 5).kept
    rollout = Rollout(
        id="r",
        model="shop",
        live=1,
        candidate=2,
        phase="shadow",
        steps=(1.0,),
        step=-1,
        started=0.0,
        entered=0.0,
    )
    assert promise_of(rollout, evidence(3)) is None


def test_encrypted_features_have_a_shadow_where_the_stage_has_the_key(stand: Stand) -> None:
    features = tuple(replace(one, sensitive=one.name == "amount") for one in LIVE.features)
    capture = Capture(sensitive="encrypted")
    for version in (4, 5):
        stand.publish(replace(LIVE, version=version, features=features, capture=capture))
    stand.server.publisher.promote("shop", 4)
    assert (
        "amount is encrypted in captures of version 4: the stage captures none; deploy it with "
        "SealedCaptures=on" in stand.quintet("start", "shop", 5, code=1)
    )
    local = json.loads((stand.state / "local.json").read_text())
    local["outputs"]["SealedCaptures"] = "on"
    (stand.state / "local.json").write_text(json.dumps(local))
    stand.quintet("start", "shop", 5)
    assert (stand.rollout().phase, stand.rollout().paired) == ("shadow", True)
