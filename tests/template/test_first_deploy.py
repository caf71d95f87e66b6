"""What AWS alone would refuse or do otherwise: docs/aws.md names the source of each fact."""

from __future__ import annotations

import ast
import heapq
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.kits.aws import ROOT

from quintet_local.plan import Plan, plan
from quintet_local.stack import describe
from quintet_local.template import TemplateError, load

TEMPLATE = ROOT / "template.yaml"
MACHINE = ROOT / "statemachines/batch_scoring.asl.yaml"
ENDPOINT = "http://127.0.0.1:4566"


@pytest.fixture(scope="module")
def made() -> Plan:
    return plan(load(TEMPLATE), ENDPOINT)


def beyond_json(text: str) -> Iterator[str]:
    """What of a YAML text another reader could take for something else than PyYAML does."""
    event: Any
    for event in yaml.parse(text):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            yield f"alias or anchor {event.anchor}"
        if getattr(event, "tag", None):
            yield f"tag {event.tag}"
        if isinstance(event, yaml.DocumentStartEvent) and event.explicit:
            yield "a document marker"
        # YAML 1.1 and 1.2 differ: on, yes, 010, 1:30, 2026-11-30, ~
        if isinstance(event, yaml.ScalarEvent) and event.style is None and event.implicit[0]:
            value = yaml.safe_load(event.value)
            plain = re.fullmatch(r"true|false|null|-?(0|[1-9]\d*)(\.\d+)?", event.value)
            if not isinstance(value, str) and not plain:
                yield f"plain scalar {event.value}"


def test_a_definition_is_uploaded_with_nothing_that_cloudformations_reader_lacks() -> None:
    for path in sorted((ROOT / "statemachines").iterdir()):
        text = re.sub(r"\$\{\w+\}", "substituted", path.read_text())
        assert list(beyond_json(text)) == [], path.name


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: &b 1\nc: *b", ["alias or anchor b", "alias or anchor b"]),
        ("a: !!str 1", ["tag tag:yaml.org,2002:str"]),
        ("a: on", ["plain scalar on"]),
        ("a: 010", ["plain scalar 010"]),
        ("a: 2026-11-30", ["plain scalar 2026-11-30"]),
        ("---\na: 1", ["a document marker"]),
        ('a: [1, -0.5, true, null, "on", text]', []),
    ],
)
def test_what_is_beyond_json_is_found(text: str, found: list[str]) -> None:
    assert list(beyond_json(text)) == found


def test_the_local_aws_refuses_a_definition_with_an_alias(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(TEMPLATE.read_text())
    for name in ("functions", "layers"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "statemachines").mkdir()
    text = MACHINE.read_text().replace("    Retry:\n", "    Retry: &it\n", 1)
    text = text.replace("    Next: AnyUnits\n", "    Next: AnyUnits\n    Again: *it\n", 1)
    (tmp_path / "statemachines" / MACHINE.name).write_text(text)
    with pytest.raises(TemplateError, match="BatchScoring: its definition has a YAML alias"):
        describe(plan(load(tmp_path / "template.yaml"), ENDPOINT), tmp_path / "scratch")


def test_no_partition_is_written_out() -> None:
    files = subprocess.run(
        ["git", "ls-files", "template.yaml", "statemachines", "functions", "layers/quintet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    found = [
        f"{name}: {text.strip()}"
        for name in files
        for text in _texts(ROOT / name)
        if "arn:aws:" in text and not re.search(r"[Dd]escription|\(arn:aws:s3:::name\)", text)
    ]
    assert found == []


def _texts(path: Path) -> Iterator[str]:
    """The lines of a file; of a module the texts that it uses, which its docstrings are not."""
    if path.suffix != ".py":
        yield from path.read_text().splitlines()
        return
    tree = ast.parse(path.read_text())
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            yield str(node.value)


# ---- throttled units ------------------------------------------------------------------------


def score_unit_retriers() -> list[dict[str, Any]]:
    states = yaml.safe_load(re.sub(r"\$\{\w+\}", "1", MACHINE.read_text()))["States"]
    retriers: list[dict[str, Any]] = states["ScoreUnits"]["ItemProcessor"]["States"]["ScoreUnit"][
        "Retry"
    ]
    return retriers


def failed_units(
    retriers: list[dict[str, Any]], units: int, environments: int, seconds: float, seed: int
) -> int:
    """How many units give up, where so many environments are free and a unit takes so long.

    A call that finds none free is refused with Lambda.TooManyRequestsException; the state waits as
    its retrier says: the interval doubles up to its maximum, with full jitter.
    """
    (retrier,) = (r for r in retriers if "Lambda.TooManyRequestsException" in r["ErrorEquals"])
    randomness = random.Random(seed)
    calls = [(0.0, unit, 0) for unit in range(units)]
    busy: list[float] = []
    failed = 0
    while calls:
        now, unit, refused = heapq.heappop(calls)
        while busy and busy[0] <= now:
            heapq.heappop(busy)
        if len(busy) < environments:
            heapq.heappush(busy, now + seconds)
        elif refused >= retrier["MaxAttempts"]:
            failed += 1
        else:
            ceiling = min(
                retrier["IntervalSeconds"] * retrier["BackoffRate"] ** min(refused, 20),
                retrier["MaxDelaySeconds"],
            )
            heapq.heappush(calls, (now + randomness.uniform(0, ceiling), unit, refused + 1))
    return failed


@pytest.mark.parametrize("units", [40, 400])
@pytest.mark.parametrize("seed", range(5))
def test_units_wait_for_an_environment_however_few_are_free(units: int, seed: int) -> None:
    assert failed_units(score_unit_retriers(), units, environments=9, seconds=60, seed=seed) == 0


def test_six_attempts_as_for_a_fault_would_give_units_up() -> None:
    shared = {
        "ErrorEquals": ["Transient", "Lambda.TooManyRequestsException"],
        "IntervalSeconds": 2,
        "BackoffRate": 2,
        "MaxAttempts": 6,
        "MaxDelaySeconds": 60,
    }
    assert failed_units([shared], units=40, environments=9, seconds=60, seed=1) > 10


def test_a_throttled_unit_stays_far_under_the_history_of_its_execution() -> None:
    (retrier,) = (
        r for r in score_unit_retriers() if "Lambda.TooManyRequestsException" in r["ErrorEquals"]
    )
    # scheduled, started, failed: three events for each attempt, of 25,000
    assert 3 * retrier["MaxAttempts"] < 20_000


# ---- what a stack may be called, what it leaves behind ------------------------------------------


def test_two_stacks_of_one_stage_share_no_name() -> None:
    """Every name that the template itself gives has the stack's in it, or a resource's."""
    named = {
        (logical_id, key): value
        for logical_id, resource in load(TEMPLATE).resources.items()
        for key, value in _names(resource.get("Properties") or {})
    }
    own = {place for place, value in named.items() if not _is_of_the_stack(value)}
    # of the function, of its scaling; layers are numbered by version, each stack deletes its own
    assert {(re.sub("[0-9a-f]{10}$", "", place), key) for place, key in own} == {
        ("CallersLayer", "LayerName"),
        ("ColumnarLayer", "LayerName"),
        ("PredictAliaslive", "Name"),
        ("PredictScaling", "PolicyName"),
        ("QuintetLayer", "LayerName"),
        ("RuntimeLayer", "LayerName"),
        ("SealingLayer", "LayerName"),
    }
    assert ("ScoresDatabase", "Name") in named


def _names(properties: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in properties.items():
        if re.fullmatch(r"\w*Name", key) and key not in {"FunctionName", "MetricName"}:
            yield key, value
    if isinstance(properties.get("DatabaseInput"), dict):
        yield "Name", properties["DatabaseInput"]["Name"]


def _is_of_the_stack(value: Any) -> bool:
    text = str(value)
    return "AWS::StackName" in text or "${" in text.replace("${Stage}", "") or "Ref" in text


@pytest.mark.parametrize("stack", ["quintet-dev", "a" * 67])
def test_the_names_of_a_stack_fit(stack: str) -> None:
    # Step Functions' 80 characters, Glue's 255, CloudWatch Logs' 512
    assert len(f"{stack}-BatchScoring") <= 80
    assert re.fullmatch(r"[a-z0-9_]{1,255}", "_".join(stack.split("-")))


def test_a_failed_first_deploy_leaves_nothing(made: Plan) -> None:
    kinds = {"AWS::S3::Bucket", "AWS::DynamoDB::Table"}
    for logical_id, resource in made.resources.items():
        if resource["Type"] in kinds and "DeletionPolicy" in resource:
            assert resource["DeletionPolicy"] == "RetainExceptOnCreate", logical_id


def test_an_old_version_of_predict_outlives_a_change_of_a_parameter(made: Plan) -> None:
    (version,) = (r for r in made.resources.values() if r["Type"] == "AWS::Lambda::Version")
    assert (version["DeletionPolicy"], version["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_vended_logs_lie_where_the_resource_policy_does_not_grow(made: Plan) -> None:
    groups = made.of_type("AWS::Logs::LogGroup").values()
    names = [g["LogGroupName"] for g in groups]
    others = [name for name in names if not name.startswith("/aws/lambda/")]
    assert len(others) == len(made.of_type("AWS::StepFunctions::StateMachine"))
    assert all(name.startswith("/aws/vendedlogs/") for name in others)


# ---- who takes the account's executions ---------------------------------------------------------


def test_every_queue_is_read_with_a_bound(made: Plan) -> None:
    mappings = made.of_type("AWS::Lambda::EventSourceMapping")
    bounds = {
        name: int(m.get("ScalingConfig", {}).get("MaximumConcurrency", 0))
        for name, m in mappings.items()
        if ":sqs:" in m["EventSourceArn"]
    }
    assert bounds == {
        "WorkAccepted": 10,
        "NotifySettled": 10,
        "DropDropped": 5,
        "CompareAnnounced": 5,
        "RolloutStopped": 2,
    }


# ---- parameters that only AWS would refuse -------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({"LogRetentionDays": "31"}, "parameter LogRetentionDays: expected one of 1, 3, 5, 7, 14"),
        ({"WorkTimeoutSeconds": "61"}, "parameter WorkTimeoutSeconds: expected one of 1, 2, 3"),
        ({"JobRetentionDays": "1"}, "parameter JobRetentionDays: expected at least 15, got '1'"),
        ({"StreamWindowSeconds": "61"}, "expected at most 60, got '61'"),
        ({"StreamBatchSize": "many"}, "parameter StreamBatchSize: expected a number, got 'many'"),
        ({"Stage": "Prod"}, "parameter Stage: expected a match of"),
        ({"PreloadModels": "m" * 151}, "expected at most 150 characters"),
        (
            {"PredictMaxProvisionedConcurrency": "5"},
            "rule ScalingWantsProvisionedConcurrency: .*PredictProvisionedConcurrency to 1",
        ),
        (
            {"BatchScheduleExpression": "rate(1 day)", "BatchScheduleModel": "churn"},
            "rule AScheduleWantsAModelAndAPrefix: ",
        ),
        ({"Nothing": "1"}, "parameter Nothing: not in the template"),
    ],
)
def test_a_parameter_out_of_its_bounds_is_refused(given: dict[str, str], refusal: str) -> None:
    with pytest.raises(TemplateError, match=refusal):
        load(TEMPLATE, given)


def test_a_queue_is_invisible_for_six_time_outs_whatever_the_parameter() -> None:
    source = load(TEMPLATE).source
    allowed = source["Parameters"]["WorkTimeoutSeconds"]["AllowedValues"]
    visibility = source["Mappings"]["WorkVisibility"]
    assert [int(key) for key in visibility] == allowed
    for timeout in allowed:
        made = plan(load(TEMPLATE, {"WorkTimeoutSeconds": str(timeout)}), ENDPOINT)
        seconds = int(made.of_type("AWS::SQS::Queue")["WorkQueue"]["VisibilityTimeout"])
        assert seconds == 6 * timeout <= 43_200


def test_parameters_at_their_bounds_are_taken() -> None:
    given = {
        "LogRetentionDays": "3653",
        "WorkTimeoutSeconds": "900",
        "StreamWindowSeconds": "60",
        "PredictProvisionedConcurrency": "1",
        "PredictMaxProvisionedConcurrency": "5",
    }
    found = load(TEMPLATE, given).parameters
    assert {name: found[name] for name in given} == given
