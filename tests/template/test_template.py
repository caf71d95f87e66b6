"""The template against the code, and against the rules that this house holds it to."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.kits.aws import ROOT, load_app
from tests.kits.iam import actions, resources, statements

from quintet.batch.executions import MemoryExecutions
from quintet.batch.schedules import start_scheduled
from quintet.captures.places import FAILED, RAW, TABLE
from quintet.feedback.table import PREFIX as FEEDBACK
from quintet.jobs.submit import TTL_SECONDS
from quintet.labels.table import PREFIX as LABELS
from quintet.monitoring.burn import PAIRS
from quintet.rollouts.evidence_store import EVIDENCE
from quintet.settings import (
    AgesSettings,
    ApiSettings,
    AuthoriseSettings,
    CaptureSettings,
    CompareSettings,
    DropSettings,
    GetScoresSettings,
    LabelSettings,
    MonitorSettings,
    NotifySettings,
    PlanSettings,
    PredictSettings,
    ReportDaySettings,
    ReportSettings,
    RolloutSettings,
    RunsSettings,
    ScoreSettings,
    StreamSettings,
    SubmitSettings,
    SweepSettings,
    WorkSettings,
    read,
)
from quintet.streaming.commit_log import GIVEN_UP_SECONDS
from quintet.telemetry.metrics import METRICS
from quintet.webhooks.delivery import Attempt, Delivery, after
from quintet_local.plan import Plan, plan
from quintet_local.rest_api import Router
from quintet_local.stack import Stack, describe
from quintet_local.template import TemplateError, load
from quintet_publish.rules.contract import MAX_CAPTURE_DAYS

TEMPLATE = ROOT / "template.yaml"
DAY = 86_400
SETTINGS: dict[str, Any] = {
    "AddLabels": LabelSettings,
    "Authorise": AuthoriseSettings,
    "Capture": CaptureSettings,
    "Compact": CaptureSettings,
    "Compare": CompareSettings,
    "Drop": DropSettings,
    "GetScores": GetScoresSettings,
    "Monitor": MonitorSettings,
    "Notify": NotifySettings,
    "PlanRun": PlanSettings,
    "Predict": PredictSettings,
    "ReportDay": ReportDaySettings,
    "ReportRun": ReportSettings,
    "Rollout": RolloutSettings,
    "Runs": RunsSettings,
    "ScoreStream": StreamSettings,
    "ScoreUnit": ScoreSettings,
    "Submit": SubmitSettings,
    "Sweep": SweepSettings,
    "WatchAges": AgesSettings,
    "Work": WorkSettings,
}

SWITCHED_ON = {
    "ApiAuth": "jwt",
    "JwtIssuer": "https://issuer.example",
    "JwtAudience": "quintet",
    "PredictProvisionedConcurrency": "1",
    "BatchScheduleExpression": "cron(0 6 1 * ? *)",
    "BatchScheduleZone": "Europe/Berlin",
    "BatchScheduleModel": "churn",
    "BatchSchedulePrefix": "_data/churn/month={year}-{month}/",
    "BatchScheduleHoursBack": "24",
}
PLAN = plan(load(TEMPLATE, SWITCHED_ON), "http://127.0.0.1:4566")
FUNCTIONS = sorted(PLAN.of_type("AWS::Lambda::Function"))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    return describe(PLAN, tmp_path_factory.mktemp("scratch"))


def properties(kind: str) -> dict[str, dict[str, Any]]:
    return PLAN.of_type(kind)


def identity(logical_id: str, attribute: str = "Arn") -> str:
    return PLAN.identities[logical_id].attributes[attribute]


def by_logical_id(stack: Stack) -> dict[str, Any]:
    return {function.logical_id: function for function in stack.functions.values()}


# ---- functions ----------------------------------------------------------------------------


def test_every_folder_is_a_function_and_every_function_a_folder(stack: Stack) -> None:
    folders = {path.parent for path in (ROOT / "functions").glob("*/app.py")}
    assert {function.code for function in stack.functions.values()} == folders
    assert {function.handler for function in stack.functions.values()} == {"app.handler"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_functions_settings_are_in_its_environment(stack: Stack, name: str) -> None:
    environment = by_logical_id(stack)[name].environment
    read(SETTINGS[name], environment)
    assert environment["POWERTOOLS_SERVICE_NAME"] == by_logical_id(stack)[name].code.name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_no_variable_that_its_settings_lack(name: str) -> None:
    source = PLAN.template.source["Resources"][name]["Properties"]["Environment"]["Variables"]
    known = {f"QUINTET_{field.name.upper()}" for field in dataclasses.fields(SETTINGS[name])}
    assert {variable for variable in source if variable.startswith("QUINTET_")} <= known


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_a_log_group_and_a_role_of_its_own(stack: Stack, name: str) -> None:
    groups = {
        g["LogGroupName"]: g
        for g in properties("AWS::Logs::LogGroup").values()
        if g.get("LogGroupName")
    }
    captures = {f.log_group for f in stack.filters}
    group = by_logical_id(stack)[name].log_group
    assert groups[group]["RetentionInDays"] == (3 if group in captures else 30)
    roles = [f["Role"] for f in properties("AWS::Lambda::Function").values()]
    assert roles.count(properties("AWS::Lambda::Function")[name]["Role"]) == 1


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_names_its_time_out_and_memory(name: str) -> None:
    function = properties("AWS::Lambda::Function")[name]
    assert 1 <= function["Timeout"] <= 900
    assert 128 <= function["MemorySize"] <= 10_240
    assert function["Environment"]["Variables"]["ORT_DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_function_is_sent_elsewhere_than_aws(name: str) -> None:
    variables = properties("AWS::Lambda::Function")[name]["Environment"]["Variables"]
    assert "AWS_ENDPOINT_URL" not in variables


def answering() -> dict[str, str]:
    """The functions of the API, by their ARN there."""
    return {
        PLAN.identities["PredictAliaslive"].ref: "predict",
        identity("Runs"): "runs",
        identity("AddLabels"): "add_labels",
        identity("GetScores"): "get_scores",
        identity("Submit"): "submit",
    }


def test_every_route_of_a_function_reaches_it_and_finds_its_handler(stack: Stack) -> None:
    assert stack.api is not None
    router, functions = Router(stack.api.routes), answering()
    for function in functions.values():
        routes = load_app(function).ROUTES
        for method, route in routes.table:
            for asked in (method, "OPTIONS"):
                path = re.sub(r"\{\w+\+?\}", "a", route)
                match = router.match(asked, path)
                assert match is not None, path
                assert functions[match.route.function_arn] == function
                assert match.route.method == ("OPTIONS" if asked == "OPTIONS" else "ANY")
                found = routes.find(asked, match.route.resource, tuple(match.parameters.items()))
                assert (found.route, method in found.allowed) == (route, True)
    assert stack.api.binary_types == ("*/*",)


@pytest.mark.parametrize(
    "prefix",
    [
        "models",
        "v1",
        "v2",
        "endpoints",
        "endpoints/e",
        "jobs",
        "runs",
        "scores",
        "labels",
        "feedback",
    ],
)
def test_a_function_answers_every_path_below_its_prefixes(stack: Stack, prefix: str) -> None:
    assert stack.api is not None
    router, functions = Router(stack.api.routes), answering()
    for path in (f"/{prefix}", f"/{prefix}/a/b/c/d/e", f"/{prefix}//", f"/{prefix}/%zz%ff"):
        for method in ("GET", "HEAD", "PUT"):
            match = router.match(method, path)
            assert match is not None, path
            routes = load_app(functions[match.route.function_arn]).ROUTES
            routes.find(method, match.route.resource, tuple(match.parameters.items()))


def planned(**given: str) -> Plan:
    """The template with these parameters."""
    return plan(load(TEMPLATE, given), "http://127.0.0.1:4566")


TOKENS = {"ApiAuth": "jwt", "JwtIssuer": "https://issuer.example", "JwtAudience": "quintet"}
SIGNED = {
    "type": "apiKey",
    "in": "header",
    "name": "Authorization",
    "x-amazon-apigateway-authtype": "awsSigv4",
}


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"Stage": "dev"}, [{"Caller": []}]),
        ({"ApiAuth": "iam"}, [{"Caller": []}]),
        ({"ApiAuth": "keys"}, [{"Caller": []}, {"Plan": []}]),
        (TOKENS, [{"Caller": []}, {"Plan": []}]),
        ({}, [{"Caller": []}]),  # the local stage: what it asks for lets anyone pass there alone
    ],
    ids=str,
)
def test_every_method_but_options_asks_for_a_caller(given: dict[str, str], asked: Any) -> None:
    (api,) = planned(**given).of_type("AWS::ApiGateway::RestApi").values()
    found = {
        (name, json.dumps(operation.get("security")))
        for methods in api["Body"]["paths"].values()
        for name, operation in methods.items()
    }
    assert found == {("x-amazon-apigateway-any-method", json.dumps(asked)), ("options", "null")}
    scheme = api["Body"]["components"]["securitySchemes"]["Caller"]
    assert (scheme == SIGNED) == (len(asked) == 1)


@pytest.mark.parametrize("given", [{"ApiAuth": "keys"}, TOKENS], ids=str)
def test_the_authoriser_is_asked_for_each_request_whatever_its_headers(given: Any) -> None:
    made = planned(**given)
    (api,) = made.of_type("AWS::ApiGateway::RestApi").values()
    scheme = api["Body"]["components"]["securitySchemes"]["Caller"]
    assert scheme["x-amazon-apigateway-authtype"] == "custom"
    authorizer = scheme["x-amazon-apigateway-authorizer"]
    arn = made.identities["Authorise"].attributes["Arn"]
    assert authorizer.pop("authorizerUri").endswith(f"/functions/{arn}/invocations")
    # without identity sources, either header may come; a result that is kept wants one
    assert authorizer == {"type": "request", "authorizerResultTtlInSeconds": 0}
    assert api["ApiKeySourceType"] == "AUTHORIZER"
    permission = made.of_type("AWS::Lambda::Permission")["AuthoriseFromApi"]
    assert permission["FunctionName"] == made.identities["Authorise"].ref
    assert permission["SourceArn"].endswith("/authorizers/*")
    variables = made.of_type("AWS::Lambda::Function")["Authorise"]["Environment"]["Variables"]
    key = made.of_type("AWS::ApiGateway::ApiKey")["SharedPlanKey"]["Value"]
    assert variables["QUINTET_SHARED_PLAN_KEY"] == key


def test_a_change_of_how_callers_are_authenticated_is_deployed() -> None:
    # SAM names a deployment by the body's text, in which ApiAuth has no value yet
    source = PLAN.template.source["Resources"]["Api"]["Properties"]
    assert source["AlwaysDeploy"] is True


def test_every_function_of_the_api_may_be_invoked_by_it_and_no_other_stage() -> None:
    found = {
        p["FunctionName"]: p["SourceArn"]
        for name, p in properties("AWS::Lambda::Permission").items()
        if name.endswith("FromApi") and name != "AuthoriseFromApi"
    }
    stage = f"arn:aws:execute-api:us-east-1:123456789012:{PLAN.identities['Api'].ref}/local/*"
    functions = ["Runs", "AddLabels", "GetScores", "Submit"]
    names = {PLAN.identities[name].ref for name in ("PredictAliaslive", *functions)}
    assert found == dict.fromkeys(names, stage)


def test_the_authoriser_reads_keys_alone_and_no_table_where_it_verifies_tokens() -> None:
    def allowed(**given: str) -> list[Any]:
        role = planned(**given).of_type("AWS::IAM::Role")["AuthoriseRole"]
        return [s for p in role["Policies"] for s in p["PolicyDocument"]["Statement"]]

    arn = PLAN.identities["KeysTable"].attributes["Arn"]
    assert allowed(ApiAuth="keys") == [
        {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": arn}
    ]
    assert allowed(**TOKENS) == []
    layers = {
        auth: [layer.rpartition(":layer:")[2] for layer in function.get("Layers", [])]
        for auth, given in (("keys", {"ApiAuth": "keys"}), ("jwt", TOKENS))
        for function in [planned(**given).of_type("AWS::Lambda::Function")["Authorise"]]
    }
    assert len(layers["jwt"]) == len(layers["keys"]) + 1
    assert "CallersLayer" not in planned(ApiAuth="keys").resources
    readers = {
        name.removesuffix("Role")
        for name, role in planned(ApiAuth="keys").of_type("AWS::IAM::Role").items()
        if arn in json.dumps(role)
    }
    assert readers == {"Authorise"}


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({"ApiAuth": "none", "Stage": "dev"}, "ApiAuth of none would answer anyone"),
        ({"ApiAuth": "open"}, "ApiAuth: expected one of iam, keys, jwt, none"),
        ({"ApiAuth": "jwt"}, "set JwtIssuer and JwtAudience"),
        ({"ApiAuth": "jwt", "JwtIssuer": "https://a.example"}, "set JwtIssuer and JwtAudience"),
        ({"JwtIssuer": "http://issuer.example"}, "JwtIssuer: expected a match"),
        ({"JwtKeysUrl": "file:///etc/passwd"}, "JwtKeysUrl: expected a match"),
    ],
)
def test_an_api_that_would_let_anyone_in_is_refused(given: dict[str, str], refusal: str) -> None:
    with pytest.raises(TemplateError, match=re.escape(refusal)):
        load(TEMPLATE, given)


def test_no_page_may_call_the_api_unless_the_parameter_names_its_origin() -> None:
    def found(**given: str) -> tuple[Any, Any]:
        made = plan(load(TEMPLATE, given), "http://127.0.0.1:4566")
        (stage,) = made.of_type("AWS::ApiGateway::Stage").values()
        (api,) = made.of_type("AWS::ApiGateway::RestApi").values()
        errors = api["Body"]["x-amazon-apigateway-gateway-responses"]
        assert errors["DEFAULT_4XX"] == errors["DEFAULT_5XX"]
        return stage.get("Variables"), errors["DEFAULT_4XX"]["responseParameters"]

    assert found() == (None, {})
    origins = "https://shop.example,http://localhost:3000"
    assert found(CorsOrigins=origins) == (
        {"CorsOrigins": origins},
        {"gatewayresponse.header.Access-Control-Allow-Origin": "'*'"},
    )
    for wrong in (
        "*",
        "shop.example",
        "https://shop.example/",
        "https://a.example, https://b.example",
    ):
        with pytest.raises(TemplateError, match="CorsOrigins"):
            load(TEMPLATE, {"CorsOrigins": wrong})


def test_an_identity_is_expected_in_every_stage_but_the_local_one() -> None:
    answers = {f for f, known in SETTINGS.items() if issubclass(known, ApiSettings)}
    assert answers == {"AddLabels", "GetScores", "Predict", "Runs", "Submit"}
    for given, auth in (
        ({"Stage": "local"}, "none"),
        ({"Stage": "local", "ApiAuth": "iam"}, "iam"),
        ({"Stage": "dev"}, "iam"),
        ({"Stage": "localstack"}, "iam"),
        ({"Stage": "loc", "ApiAuth": "keys"}, "keys"),
    ):
        functions = planned(**given).of_type("AWS::Lambda::Function")
        found = {
            name: function["Environment"]["Variables"].get("QUINTET_AUTH")
            for name, function in functions.items()
            if name != "Authorise"
        }
        assert found == {name: auth if name in answers else None for name in found}


def test_only_notify_reads_the_urls_and_secrets_of_endpoints() -> None:
    arn = PLAN.identities["EndpointSecretsTable"].attributes["Arn"]
    readers = {
        name.removesuffix("Role")
        for name, role in properties("AWS::IAM::Role").items()
        if arn in json.dumps(role)
    }
    assert readers == {"Notify"}


def test_reservations_and_the_access_log_are_off_unless_a_parameter_asks_for_them() -> None:
    def found(**given: str) -> tuple[Any, Any, Any, int]:
        made = plan(load(TEMPLATE, given), "http://127.0.0.1:4566")
        functions = made.of_type("AWS::Lambda::Function")
        (stage,) = made.of_type("AWS::ApiGateway::Stage").values()
        predict, work = (
            functions[n].get("ReservedConcurrentExecutions") for n in ("Predict", "Work")
        )
        groups = [n for n in made.of_type("AWS::Logs::LogGroup") if n == "ApiAccess"]
        return predict, work, stage.get("AccessLogSetting"), len(groups)

    assert found() == (None, None, None, 0)
    predict, work, log, groups = found(
        ApiAccessLog="on", PredictReservedConcurrency="20", WorkReservedConcurrency="5"
    )
    assert (int(predict), int(work), groups) == (20, 5, 1)
    line = json.loads(log["Format"])
    assert line["caller"] == "$context.identity.userArn"
    assert line["subject"] == "$context.authorizer.claims.sub"
    for name in ("Predict", "Work"):
        with pytest.raises(TemplateError, match=f"{name}ReservedConcurrency of 0"):
            load(TEMPLATE, {f"{name}ReservedConcurrency": "0"})


def test_provisioned_concurrency_is_on_the_alias_by_parameter(stack: Stack) -> None:
    assert by_logical_id(stack)["Predict"].aliases["live"].provisioned == 1
    none = plan(load(TEMPLATE), "http://127.0.0.1:4566").of_type("AWS::Lambda::Alias")
    assert "ProvisionedConcurrencyConfig" not in none["PredictAliaslive"]


def test_a_schedule_is_there_when_it_is_asked_for_and_in_its_zone() -> None:
    (schedule,) = properties("AWS::Scheduler::Schedule").values()
    assert schedule["ScheduleExpression"] == "cron(0 6 1 * ? *)"
    assert schedule["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert schedule["Target"]["Arn"] == identity("Runs")
    given = json.loads(schedule["Target"]["Input"])
    runs = MemoryExecutions()
    started = start_scheduled({**given, "scheduled": "2026-11-01T05:00:00Z"}, runs)
    assert list(runs.held) == [started.folder.run]
    assert runs.held[started.folder.run].request == {
        "bucket": given["request"]["bucket"],
        "model": "churn",
        "prefix": "_data/churn/month=2026-10/",
    }
    without = plan(load(TEMPLATE), "http://127.0.0.1:4566")
    assert not without.of_type("AWS::Scheduler::Schedule")


# ---- the architecture -----------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_functions_and_wheels_are_of_one_architecture(architecture: str) -> None:
    made = plan(load(TEMPLATE, {"Architecture": architecture}), "http://127.0.0.1:4566")
    functions = made.of_type("AWS::Lambda::Function").values()
    assert {tuple(f["Architectures"]) for f in functions} == {(architecture,)}
    layers = made.of_type("AWS::Lambda::LayerVersion").items()
    told = {n: tuple(p.get("CompatibleArchitectures", ())) for n, p in layers}
    assert sorted(told.values()) == [(), (architecture,), (architecture,)]  # quintet's is of any
    for name in ("RuntimeLayer", "ColumnarLayer"):
        metadata = PLAN.template.source["Resources"][name]["Metadata"]
        # what SAM resolves when it builds
        folder = metadata["ContextPath"]["Fn::Sub"].replace("${Architecture}", architecture)
        assert (ROOT / folder / "Makefile").exists()
        assert metadata["BuildArchitecture"] == {"Ref": "Architecture"}


def test_a_stage_is_built_for_the_architecture_that_it_is_deployed_for() -> None:
    stages = tomllib.loads((ROOT / "samconfig.toml").read_text())
    for name, stage in stages.items():
        if name == "version":
            continue
        built, deployed = (
            [text for text in given if text.startswith("Architecture=")]
            for given in (
                stage.get(command, {}).get("parameters", {}).get("parameter_overrides", [])
                for command in ("build", "deploy")
            )
        )
        assert built == deployed, name


# ---- what the alias moves on with -----------------------------------------------------------


def published(tmp_path: Path, old: str = "", new: str = "") -> str:
    """The logical id of predict's version, as CloudFormation is given it after a change."""
    text = TEMPLATE.read_text()
    assert old in text
    path = tmp_path / "template.yaml"
    path.write_text(text.replace(old, new, 1) if old else text)
    versions = [n for n, r in load(path).resources.items() if r["Type"] == "AWS::Lambda::Version"]
    (found,) = (name for name in versions if name.startswith("Predict"))
    return found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ContentUri: layers/quintet", "ContentUri: layers/other"),
        ("ContentUri: layers/wheels", "ContentUri: layers/other"),  # the runtime's
        ("CodeUri: functions/predict", "CodeUri: functions/other"),
        ('OPENBLAS_NUM_THREADS: "1"', 'OPENBLAS_NUM_THREADS: "2"'),
    ],
)
def test_a_change_of_code_layers_or_settings_publishes_a_version(
    tmp_path: Path, old: str, new: str
) -> None:
    before = published(tmp_path)
    assert published(tmp_path) == before
    assert published(tmp_path, old, new) != before


def test_a_change_of_a_parameter_publishes_a_version() -> None:
    resources = load(TEMPLATE).resources
    (version,) = (r for n, r in resources.items() if n.startswith("PredictVersion"))
    named = set(re.findall(r"\$\{(\w+)\}", version["Properties"]["Description"]["Fn::Sub"]))
    source = PLAN.template.source
    decided = [source["Conditions"][name] for name in conditions(resources["Predict"])]
    assert named == refs([resources["Predict"], *decided]) & set(source["Parameters"])


def refs(node: Any) -> set[str]:
    """What is referred to anywhere below."""
    if isinstance(node, dict):
        own = {node["Ref"]} if isinstance(node.get("Ref"), str) else set()
        return own.union(*(refs(value) for value in node.values()))
    return set[str]().union(*(refs(value) for value in node)) if isinstance(node, list) else set()


def conditions(node: Any) -> set[str]:
    """The conditions that decide anywhere below."""
    if isinstance(node, dict):
        own = {node["Fn::If"][0]} if "Fn::If" in node else set()
        return own.union(*(conditions(value) for value in node.values()))
    some = node if isinstance(node, list) else ()
    return set[str]().union(*(conditions(value) for value in some))


def code_rollout(**given: str) -> dict[str, dict[str, Any]]:
    """What the template has for rollouts of code, by logical id."""
    planned = plan(load(TEMPLATE, given), "http://127.0.0.1:4566").resources
    of = ("CodeDeploy", "ServerlessDeployment", "PredictDeployment", "CodeErrors", "CodeAnswers")
    return {name: one for name, one in planned.items() if name.startswith(of)}


def test_code_moves_at_once_unless_a_parameter_asks_for_a_rollout() -> None:
    assert code_rollout() == {}
    assert "UpdatePolicy" not in load(TEMPLATE).resources["PredictAliaslive"]


def test_a_rollout_of_code_is_watched_by_alarms_of_the_new_version() -> None:
    kind = {"CodeRollout": "Canary10Percent5Minutes"}
    found = code_rollout(**kind)
    assert sorted(found) == [
        "CodeAnswersAlarm",
        "CodeDeployServiceRole",
        "CodeErrorsAlarm",
        "PredictDeploymentGroup",
        "ServerlessDeploymentApplication",
    ]
    group = found["PredictDeploymentGroup"]["Properties"]
    assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent5Minutes"
    first, second = (one["Name"] for one in group["AlarmConfiguration"]["Alarms"])
    assert "CodeErrorsAlarm" in first
    assert "CodeAnswersAlarm" in second
    resources = load(TEMPLATE, kind).resources
    assert "CodeDeployLambdaAliasUpdate" in resources["PredictAliaslive"]["UpdatePolicy"]
    dimensions = resources["CodeErrorsAlarm"]["Properties"]["Dimensions"]
    (version,) = (name for name in resources if name.startswith("PredictVersion"))
    assert dimensions[2] == {
        "Name": "ExecutedVersion",
        "Value": {"Fn::GetAtt": [version, "Version"]},
    }


def test_an_alarm_that_rings_does_not_stop_the_fix_if_a_parameter_says_so() -> None:
    found = code_rollout(CodeRollout="Linear10PercentEvery1Minute", CodeRolloutAlarms="off")
    assert found["PredictDeploymentGroup"]["Properties"]["AlarmConfiguration"] == {}


def test_each_kind_of_code_rollout_is_in_the_mapping_that_switches_it_on() -> None:
    source = PLAN.template.source
    kinds = source["Mappings"]["CodeRollouts"]
    assert list(kinds) == source["Parameters"]["CodeRollout"]["AllowedValues"]
    assert [one for one, of in kinds.items() if of["Shifts"] == "false"] == ["AllAtOnce"]


def test_the_description_of_a_version_fits_whatever_the_parameters_are() -> None:
    declared = PLAN.template.source["Parameters"]
    values = {
        name: max(map(str, one.get("AllowedValues", ["9" * 7])), key=len)
        for name, one in declared.items()
    } | {
        "Stage": "s" * 16,
        "PreloadModels": "m" * declared["PreloadModels"]["MaxLength"],
    }
    written = PLAN.template.source["Resources"]["Predict"]["Properties"]["VersionDescription"]
    text = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], written["Fn::Sub"])
    assert len(text) <= 256


# ---- queues ---------------------------------------------------------------------------------


def queues() -> dict[str, dict[str, Any]]:
    """The queues that are worked on, without those of dead letters."""
    return {n: q for n, q in properties("AWS::SQS::Queue").items() if "DeadLetters" not in n}


def dead_letters() -> dict[str, dict[str, Any]]:
    return {identity(n): q for n, q in properties("AWS::SQS::Queue").items() if "DeadLetters" in n}


@pytest.mark.parametrize("name", sorted(queues()))
def test_a_queue_has_its_dead_letters_which_are_kept_longest(name: str) -> None:
    policy = queues()[name]["RedrivePolicy"]
    # SQS counts every receive, of an outage as well: what is handled has bounds of its own
    assert policy["maxReceiveCount"] == 1000
    assert dead_letters()[policy["deadLetterTargetArn"]]["MessageRetentionPeriod"] == 14 * DAY
    # a message keeps the time it was first sent at when it is moved
    assert queues()[name]["MessageRetentionPeriod"] <= 4 * DAY


QUEUE_SOURCES = sorted(
    name
    for name, mapping in properties("AWS::Lambda::EventSourceMapping").items()
    if ":sqs:" in mapping["EventSourceArn"]
)


@pytest.mark.parametrize("name", QUEUE_SOURCES)
def test_a_message_stays_invisible_for_six_time_outs_and_failures_are_partial(
    stack: Stack, name: str
) -> None:
    mapping = properties("AWS::Lambda::EventSourceMapping")[name]
    (queue,) = (q for n, q in queues().items() if identity(n) == mapping["EventSourceArn"])
    timeout = stack.functions[mapping["FunctionName"]].timeout
    assert queue["VisibilityTimeout"] >= 6 * timeout
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_judges_know_the_time_outs_of_the_functions_that_answer(stack: Stack) -> None:
    functions = by_logical_id(stack)
    answering = ("Predict", "ScoreStream", "Work")
    timeouts = ",".join(f"{functions[name].timeout:g}" for name in answering)
    told = {
        functions[name].environment["QUINTET_ANSWER_TIMEOUTS"] for name in ("Rollout", "Compare")
    }
    assert {*told, PLAN.outputs["AnswerTimeouts"]} == {timeouts}


@pytest.mark.parametrize(
    "name", sorted(n for n in properties("AWS::SQS::Queue") if n not in queues())
)
def test_dead_letters_are_alarmed_of(name: str) -> None:
    watched = {
        dimension["Value"]
        for alarm in properties("AWS::CloudWatch::Alarm").values()
        for dimension in alarm.get("Dimensions", ())
    }
    assert identity(name, "QueueName") in watched


def test_the_age_of_jobs_that_no_worker_received_is_alarmed_of() -> None:
    watched = {
        dimension["Value"]
        for alarm in properties("AWS::CloudWatch::Alarm").values()
        if alarm.get("MetricName") == "ApproximateAgeOfOldestMessage"
        for dimension in alarm.get("Dimensions", ())
    }
    assert watched == {identity("WorkQueue", "QueueName")}


def test_jobs_are_kept_longer_than_their_messages_and_dead_letters(stack: Stack) -> None:
    days = int(by_logical_id(stack)["Submit"].environment["QUINTET_JOB_RETENTION_DAYS"])
    least = PLAN.template.source["Parameters"]["JobRetentionDays"]["MinValue"]
    longest = max(q["MessageRetentionPeriod"] for q in properties("AWS::SQS::Queue").values())
    # what is replayed at the last moment has its job's time anew, and its payload still
    assert days >= least >= (longest + TTL_SECONDS) / DAY
    (rule,) = properties("AWS::S3::Bucket")["PayloadsBucket"]["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], int(rule["ExpirationInDays"])) == ("Enabled", days)
    expiry = {"AttributeName": "expires", "Enabled": True}
    assert properties("AWS::DynamoDB::Table")["JobsTable"]["TimeToLiveSpecification"] == expiry


def test_callbacks_go_to_public_addresses_unless_told_otherwise() -> None:
    assert PLAN.template.source["Parameters"]["CallbackHosts"]["Default"] == "public"


# ---- the stream -----------------------------------------------------------------------------


def test_a_poison_record_of_the_stream_ends_whole_in_s3_and_holds_its_shard_for_an_hour_at_most(
    stack: Stack,
) -> None:
    mapping = properties("AWS::Lambda::EventSourceMapping")["ScoreStreamArrived"]
    function = mapping.pop("FunctionName")
    assert stack.functions[function].logical_id == "ScoreStream"
    assert mapping == {
        "EventSourceArn": identity("EventsStream"),
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 1000,
        "MaximumBatchingWindowInSeconds": 1,
        "TumblingWindowInSeconds": 30,
        "ParallelizationFactor": 1,
        "BisectBatchOnFunctionError": True,
        "MaximumRetryAttempts": 10_000,
        "MaximumRecordAgeInSeconds": 3600,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "MetricsConfig": {"Metrics": ["EventCount"]},
        "DestinationConfig": {"OnFailure": {"Destination": identity("StreamBucket")}},
    }
    window = PLAN.template.source["Parameters"]["StreamWindowSeconds"]["MaxValue"]
    assert GIVEN_UP_SECONDS + window < mapping["MaximumRecordAgeInSeconds"] - 300, "clocks differ"


def test_how_jobs_are_gathered_is_for_parameters_to_say() -> None:
    given = {"WorkBatchSize": "7", "WorkBatchSeconds": "3", "WorkMaxConcurrency": "5"}
    found = plan(load(TEMPLATE, given), "http://127.0.0.1:4566")
    mapping = found.of_type("AWS::Lambda::EventSourceMapping")["WorkAccepted"]
    assert mapping["EventSourceArn"] == found.identities["WorkQueue"].attributes["Arn"]
    assert (int(mapping["BatchSize"]), int(mapping["MaximumBatchingWindowInSeconds"])) == (7, 3)
    assert {name: int(most) for name, most in mapping["ScalingConfig"].items()} == {
        "MaximumConcurrency": 5
    }
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_the_windows_of_the_stream_last_5_to_60_seconds() -> None:
    parameter = PLAN.template.source["Parameters"]["StreamWindowSeconds"]
    assert (parameter["MinValue"], parameter["MaxValue"]) == (5, 60)


def test_the_stream_has_shards_or_is_on_demand() -> None:
    none = plan(load(TEMPLATE, {"StreamShards": "0"}), "http://127.0.0.1:4566")
    on_demand = none.of_type("AWS::Kinesis::Stream")["EventsStream"]
    assert on_demand["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
    assert "ShardCount" not in on_demand
    assert properties("AWS::Kinesis::Stream")["EventsStream"]["ShardCount"] == 1


def test_the_age_of_the_stream_and_what_was_given_up_are_alarmed_of() -> None:
    alarms = properties("AWS::CloudWatch::Alarm")
    age, given_up = alarms["StreamAgeAlarm"], alarms["StreamFailuresAlarm"]
    assert (age["MetricName"], age["Threshold"]) == ("IteratorAge", 60_000)
    assert given_up["Dimensions"] == [
        {"Name": "EventSourceMappingUUID", "Value": PLAN.identities["ScoreStreamArrived"].ref}
    ]


# ---- data -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(properties("AWS::S3::Bucket")))
def test_a_bucket_is_private_encrypted_and_reached_by_tls_alone(name: str) -> None:
    bucket = properties("AWS::S3::Bucket")[name]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    policies = {p["Bucket"]: p for p in properties("AWS::S3::BucketPolicy").values()}
    (statement,) = policies[PLAN.identities[name].ref]["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize("name", ["InboxBucket", "RegistryBucket"])
def test_what_is_read_by_version_is_versioned(name: str) -> None:
    assert properties("AWS::S3::Bucket")[name]["VersioningConfiguration"] == {"Status": "Enabled"}


@pytest.mark.parametrize("name", sorted(properties("AWS::DynamoDB::Table")))
def test_a_table_is_encrypted_and_paid_by_request(name: str) -> None:
    table = properties("AWS::DynamoDB::Table")[name]
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_data_outlives_its_stack() -> None:
    kept = {
        name
        for name, resource in PLAN.resources.items()
        if resource.get("DeletionPolicy") == "RetainExceptOnCreate"
        and resource.get("UpdateReplacePolicy") == "Retain"
    }
    data = {*properties("AWS::S3::Bucket"), *properties("AWS::DynamoDB::Table")}
    assert data - kept == set()


def test_each_stages_packages_lie_where_destroy_looks_for_them() -> None:
    stages = tomllib.loads((ROOT / "samconfig.toml").read_text())
    deployed = {
        name: stage["deploy"]["parameters"]
        for name, stage in stages.items()
        if isinstance(stage, dict) and "resolve_s3" in stage.get("deploy", {}).get("parameters", {})
    }
    assert {"dev", "prod"} <= set(deployed)
    for name, parameters in deployed.items():
        assert parameters["stack_name"] == parameters["s3_prefix"] == f"quintet-{name}"


def test_what_is_written_is_not_where_notifications_come_from() -> None:
    notifying = {
        n for n, b in properties("AWS::S3::Bucket").items() if "NotificationConfiguration" in b
    }
    written = {
        resource
        for statement in statements(PLAN)
        if "s3:PutObject" in actions(statement.body)
        for resource in resources(statement.body)
    }
    for name in notifying:
        assert not [r for r in written if identity(name) in r]


# ---- the state machine ------------------------------------------------------------------------


def test_the_definitions_substitutions_are_all_given_and_all_used() -> None:
    for name, resource in PLAN.template.source["Resources"].items():
        if resource["Type"] != "AWS::Serverless::StateMachine":
            continue
        text = (ROOT / resource["Properties"]["DefinitionUri"]).read_text()
        given = set(resource["Properties"]["DefinitionSubstitutions"])
        assert set(re.findall(r"\$\{(\w+)\}", text)) == given, name


def tasks(states: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, state in states.items():
        if state["Type"] in ("Task", "Map"):
            found.append((name, state))
        if state["Type"] == "Map":
            found += tasks(state["ItemProcessor"]["States"])
    return found


def test_a_task_names_what_it_retries(stack: Stack) -> None:
    for machine in stack.machines:
        for name, state in tasks(machine.definition["States"]):
            if state["Type"] == "Task":
                assert state["Retry"], name
            else:  # a retry of the map would run every unit anew
                assert "Retry" not in state, name


@pytest.mark.parametrize("kind", ["AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::SNS::Topic"])
def test_outputs_name_every_bucket_queue_and_topic(kind: str) -> None:
    found = load(TEMPLATE, {})
    named = {json.dumps(value) for value in found.outputs.values()}
    there = {name for name, resource in found.resources.items() if resource["Type"] == kind}
    assert {name for name in there if not any(f'"{name}"' in value for value in named)} == set()


def test_a_callback_that_is_retried_for_hours_rings() -> None:
    alarm = properties("AWS::CloudWatch::Alarm")["CallbackAgeAlarm"]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("Quintet", "callback_waiting_seconds")
    assert alarm["MetricName"] in METRICS
    # it is written with these dimensions alone: see tests/functions/test_notify.py
    assert {dimension["Name"] for dimension in alarm.get("Dimensions", ())} == {"service", "stage"}
    # some attempt comes that late before the last one, after a day
    delivery, now, late = Delivery(), 0.0, []
    while (delivery := after(delivery, Attempt("waiting", "500"), now, 0.0)).state == "waiting":
        late.append(now)
        now = delivery.next
    assert max(late) >= alarm["Threshold"]


@pytest.mark.parametrize("name", sorted(properties("AWS::CloudWatch::Alarm")))
def test_no_alarm_waits_for_messages_that_its_metric_leaves_out(name: str) -> None:
    alarm = properties("AWS::CloudWatch::Alarm")[name]
    if alarm.get("MetricName") == "ApproximateAgeOfOldestMessage":
        # an age that a message reaches while it was received less than three times
        assert (name, alarm["Threshold"]) == ("WorkQueueAgeAlarm", 300)


# ---- captures -----------------------------------------------------------------------------------


def test_captures_take_one_subscription_of_each_log_group(stack: Stack) -> None:
    assert {f.log_group.rpartition("-")[2]: (f.function, f.pattern) for f in stack.filters} == {
        name: (identity("Capture"), "{ $.capture = 1 }") for name in ("Predict", "Submit", "Work")
    }
    assert len(stack.filters) == 3


def test_deliveries_of_captures_that_fail_are_alarmed_of(stack: Stack) -> None:
    alarm = properties("AWS::CloudWatch::Alarm")["CaptureDeliveryAlarm"]
    watched = set()
    for metric in alarm["Metrics"][1:]:
        found = metric["MetricStat"]["Metric"]
        dimensions = {d["Name"]: d["Value"] for d in found["Dimensions"]}
        assert dimensions.pop("DestinationType") == "Lambda"
        watched.add((found["MetricName"], *dimensions.values()))
    kinds = ("DeliveryErrors", "DeliveryThrottling")
    assert watched == {(kind, f.log_group, f.name) for kind in kinds for f in stack.filters}


def test_a_capture_lives_no_longer_than_a_contract_may_say() -> None:
    rules = properties("AWS::S3::Bucket")["CapturesBucket"]["LifecycleConfiguration"]["Rules"]
    days = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "Prefix" in rule}
    kept = (RAW, TABLE, FAILED, LABELS, FEEDBACK, EVIDENCE, "daily/")
    assert days == dict.fromkeys(kept, MAX_CAPTURE_DAYS)
    assert [rule["Id"] for rule in rules if "Prefix" not in rule] == ["uploads"]


def test_what_capture_fails_for_is_kept_and_delivered_again() -> None:
    config = properties("AWS::Lambda::EventInvokeConfig")["CaptureCalled"]
    bucket = identity("CapturesBucket")
    assert config["DestinationConfig"] == {"OnFailure": {"Destination": bucket}}
    found = {
        (statement.place[0], action)
        for statement in statements(PLAN)
        if f"{bucket}/{FAILED}*" in resources(statement.body)
        for action in actions(statement.body)
    }
    assert found == {
        ("CaptureRole", "s3:PutObject"),
        ("CompactRole", "s3:GetObject"),
        ("CompactRole", "s3:DeleteObject"),
    }


# ---- error budgets ------------------------------------------------------------------------------


def test_budgets_are_alarmed_of_by_the_pairs_that_monitor_writes() -> None:
    alarms = properties("AWS::CloudWatch::Alarm")
    for pair in PAIRS:
        alarm = alarms[f"Budget{pair.name.capitalize()}Alarm"]
        assert (alarm["Namespace"], alarm["MetricName"]) == ("Quintet", "burning_models_count")
        # its dimensions: see tests/functions/test_monitor.py
        dimensions = {d["Name"]: d["Value"] for d in alarm["Dimensions"]}
        assert dimensions == {"service": "monitor", "stage": "local", "pair": pair.name}
        said = alarm["AlarmDescription"].replace(" ", "")
        for fact in (f"{pair.rate:g}times", f"over{pair.long}and{pair.short}"):
            assert fact.replace("5m", "5min").replace("30m", "30min") in said
        assert "AlarmActions" not in alarm


def test_one_composite_alarm_a_severity_acts() -> None:
    composites = properties("AWS::CloudWatch::CompositeAlarm")
    for severity in ("page", "ticket"):
        names = [f"Budget{p.name.capitalize()}Alarm" for p in PAIRS if p.severity == severity]
        rule = " OR ".join(f'ALARM("{PLAN.identities[name].ref}")' for name in names)
        assert composites[f"Budget{severity.capitalize()}Alarm"]["AlarmRule"] == rule
    with_topic = plan(load(TEMPLATE, {"AlarmTopicArn": "arn:aws:sns:us-east-1:1:t"}), "http://x")
    for composite in with_topic.of_type("AWS::CloudWatch::CompositeAlarm").values():
        assert composite["AlarmActions"] == ["arn:aws:sns:us-east-1:1:t"]


def test_every_alarm_has_a_runbook_and_every_runbook_an_alarm() -> None:
    page = (ROOT / "docs/runbooks.md").read_text()
    sections = dict(zip(*[iter(re.split(r"^## (.*)$", page, flags=re.M)[1:])] * 2, strict=True))
    resources = PLAN.template.resources  # those of conditions that do not hold here, too
    kinds = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    assert set(sections) == {name for name, one in resources.items() if one["Type"] in kinds}
    for name, text in sections.items():  # what it means, and what to do
        assert len(text.strip().split("\n\n")) >= 2, name


def test_the_dashboard_shows_what_there_is() -> None:
    board = json.loads(properties("AWS::CloudWatch::Dashboard")["Dashboard"]["DashboardBody"])
    alarms, *graphs = board["widgets"]
    parts = {f"Budget{pair.name.capitalize()}Alarm" for pair in PAIRS}
    kinds = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    there = {name for kind in kinds for name in properties(kind)} - parts
    assert set(alarms["properties"]["alarms"]) == {identity(name) for name in there}
    for graph in graphs:
        for metric in graph["properties"]["metrics"]:
            if isinstance(metric[0], dict):
                (name,) = re.findall(r'MetricName="(\w+)"', metric[0]["expression"])
                assert name in METRICS
    places = {(w["x"], w["y"]) for w in board["widgets"]}
    assert len(places) == len(board["widgets"])
