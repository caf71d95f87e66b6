"""The parts of a plan that the local AWS runs itself: functions, API, sources, state machines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from quintet_local.api_errors import ErrorResponse
from quintet_local.authorizers import Authorizer
from quintet_local.events import EventRule, check_pattern
from quintet_local.filters import Filter, PatternError
from quintet_local.functions import LATEST, Alias, AsyncConfig, Function
from quintet_local.plan import Plan
from quintet_local.rest_api import Route
from quintet_local.template import YAML, TemplateError, local_path
from quintet_local.usage_plans import Throttle

__all__ = ["Api", "SourceMapping", "Stack", "StateMachine", "Timer", "describe"]


@dataclass(frozen=True)
class SourceMapping:
    """An event source mapping: the source, the function, and its settings."""

    logical_id: str
    id: str
    source_arn: str
    function: str
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class StateMachine:
    logical_id: str
    name: str
    arn: str
    role_arn: str
    definition: dict[str, Any]
    kind: str


@dataclass(frozen=True)
class Timer:
    """A schedule of EventBridge and its input; `body` None means the default event."""

    logical_id: str
    name: str
    expression: str
    zone: str
    target_arn: str
    body: str | None


@dataclass(frozen=True)
class Api:
    """A REST API's stage and routes.

    `responses` are the API's own answers, by their type (`DEFAULT_4XX`); `plans` the rates of the
    template's usage plans, by the values of their keys.
    """

    api_id: str
    stage: str
    routes: tuple[Route, ...]
    binary_types: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    responses: Mapping[str, ErrorResponse] = field(default_factory=dict)
    plans: Mapping[str, Throttle | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Stack:
    """Everything in the template that the local AWS runs itself."""

    functions: dict[str, Function]
    api: Api | None
    mappings: tuple[SourceMapping, ...]
    machines: tuple[StateMachine, ...]
    timers: tuple[Timer, ...]
    filters: tuple[Filter, ...] = ()
    rules: tuple[EventRule, ...] = ()


def describe(plan: Plan, scratch: Path) -> Stack:
    """Read these parts from the plan; `scratch` receives the code of inline functions.

    Raises:
        TemplateError: a function's code or a definition is missing.
    """
    return Stack(
        functions=_functions(plan, scratch),
        api=_api(plan),
        mappings=_mappings(plan),
        machines=_machines(plan),
        timers=(*_timed_rules(plan), *_schedules(plan)),
        filters=_filters(plan),
        rules=tuple(_event_rules(plan)),
    )


def _functions(plan: Plan, scratch: Path) -> dict[str, Function]:
    layers = {
        plan.identities[name].ref: _code(plan, name, properties["Content"], scratch)
        for name, properties in plan.of_type("AWS::Lambda::LayerVersion").items()
    }
    versions: dict[str, list[str]] = {}
    for name, properties in plan.of_type("AWS::Lambda::Version").items():
        number = plan.identities[name].attributes["Version"]
        versions.setdefault(properties["FunctionName"], []).append(number)
    aliases: dict[str, dict[str, Alias]] = {}
    for properties in plan.of_type("AWS::Lambda::Alias").values():
        alias = _alias(properties)
        aliases.setdefault(properties["FunctionName"], {})[alias.name] = alias
    calls = {
        properties["FunctionName"]: properties
        for properties in plan.of_type("AWS::Lambda::EventInvokeConfig").values()
    }
    functions = {}
    for logical_id, properties in plan.of_type("AWS::Lambda::Function").items():
        identity = plan.identities[logical_id]
        name = identity.ref
        variables = (properties.get("Environment") or {}).get("Variables") or {}
        functions[name] = Function(
            logical_id=logical_id,
            name=name,
            arn=identity.attributes["Arn"],
            handler=properties.get("Handler", "index.handler"),
            code=_code(plan, logical_id, properties["Code"], scratch),
            layers=tuple(layers[arn] for arn in properties.get("Layers", []) if arn in layers),
            timeout=float(properties.get("Timeout", 3)),
            memory_mb=int(properties.get("MemorySize", 128)),
            environment={key: _text(value) for key, value in variables.items()},
            log_group=(properties.get("LoggingConfig") or {}).get("LogGroup")
            or f"/aws/lambda/{name}",
            reserved=properties.get("ReservedConcurrentExecutions"),
            versions=(LATEST, *versions.get(name, [])),
            aliases=aliases.get(name, {}),
            asynchronous=_async(properties, calls.get(name, {})),
        )
    return functions


def _alias(properties: Mapping[str, Any]) -> Alias:
    routing = (properties.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or []
    config = properties.get("ProvisionedConcurrencyConfig") or {}
    return Alias(
        properties["Name"],
        properties["FunctionVersion"],
        {str(w["FunctionVersion"]): float(w["FunctionWeight"]) for w in routing},
        int(config.get("ProvisionedConcurrentExecutions", 0)),
    )


def _async(function: Mapping[str, Any], config: Mapping[str, Any]) -> AsyncConfig:
    destinations = config.get("DestinationConfig") or {}
    return AsyncConfig(
        retries=int(config.get("MaximumRetryAttempts", 2)),
        max_age=float(config.get("MaximumEventAgeInSeconds", 21_600)),
        on_failure=(destinations.get("OnFailure") or {}).get("Destination"),
        on_success=(destinations.get("OnSuccess") or {}).get("Destination"),
        dead_letters=(function.get("DeadLetterConfig") or {}).get("TargetArn"),
    )


def _code(plan: Plan, logical_id: str, code: Mapping[str, Any], scratch: Path) -> Path:
    if "ZipFile" in code:
        folder = scratch / "inline" / logical_id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.py").write_text(code["ZipFile"])
        return folder
    path = local_path(code.get("S3Bucket", ""), code.get("S3Key", ""))
    if path is None:
        raise TemplateError(f"{logical_id}: its code is not a local folder")
    return plan.template.folder / path


def _api(plan: Plan) -> Api | None:
    apis = plan.of_type("AWS::ApiGateway::RestApi")
    if not apis:
        return None
    if len(apis) > 1:
        raise TemplateError(
            f"{', '.join(sorted(apis))}: the local AWS serves one API, these are more"
        )
    ((logical_id, properties),) = apis.items()
    stages = plan.of_type("AWS::ApiGateway::Stage").values()
    stage: Mapping[str, Any] = next(iter(stages), {"StageName": "local"})
    routes = []
    body = properties.get("Body") or {}
    schemes = (body.get("components") or {}).get("securitySchemes") or {}
    if plan.template.parameters.get("ApiAuth") == "none":
        schemes = {}  # the template's own word for a stage that answers anyone
    for resource, methods in body.get("paths", {}).items():
        for method, operation in methods.items():
            integration = operation.get("x-amazon-apigateway-integration") or {}
            target = _INTEGRATION.search(integration.get("uri", ""))
            if target:
                name = "ANY" if method == "x-amazon-apigateway-any-method" else method.upper()
                authorizer = _authorizer(operation.get("security") or [], schemes)
                routes.append(Route(name, resource, target[1], authorizer))
    binary = body.get("x-amazon-apigateway-binary-media-types") or ()
    responses = body.get("x-amazon-apigateway-gateway-responses") or {}
    return Api(
        plan.identities[logical_id].ref,
        stage["StageName"],
        tuple(routes),
        tuple(binary),
        stage.get("Variables") or {},
        {kind: _error_response(response) for kind, response in responses.items()},
        _plans(plan),
    )


def _authorizer(
    security: Sequence[Mapping[str, Any]], schemes: Mapping[str, Any]
) -> Authorizer | None:
    """What an operation's security schemes ask for; None lets anyone pass."""
    asked = [schemes[name] for one in security for name in one if name in schemes]
    authentic = [one for one in asked if "x-amazon-apigateway-authtype" in one]
    if not authentic:
        return None
    function = authentic[0].get("x-amazon-apigateway-authorizer") or {}
    target = _INTEGRATION.search(function.get("authorizerUri", ""))
    return Authorizer(target[1] if target else "", plans=len(asked) > len(authentic))


def _plans(plan: Plan) -> dict[str, Throttle | None]:
    """The throttle of each key of the template's usage plans, by the key's value."""
    plans = {plan.identities[n].ref: p for n, p in plan.of_type(_USAGE_PLAN).items()}
    keys = {plan.identities[n].ref: p for n, p in plan.of_type(_API_KEY).items()}
    found = {}
    for member in plan.of_type(f"{_USAGE_PLAN}Key").values():
        throttle = plans[member["UsagePlanId"]].get("Throttle")
        found[keys[member["KeyId"]]["Value"]] = throttle and Throttle(
            float(throttle["RateLimit"]), float(throttle["BurstLimit"])
        )
    return found


def _error_response(response: Mapping[str, Any]) -> ErrorResponse:
    """A gateway response: its status, its fixed headers (in single quotes), its template."""
    headers = {
        name.removeprefix(_ERROR_HEADER): value[1:-1]
        for name, value in (response.get("responseParameters") or {}).items()
        if name.startswith(_ERROR_HEADER) and value.startswith("'")
    }
    status, templates = response.get("statusCode"), response.get("responseTemplates") or {}
    return ErrorResponse(
        int(status) if status else None, headers, templates.get("application/json")
    )


_USAGE_PLAN, _API_KEY = "AWS::ApiGateway::UsagePlan", "AWS::ApiGateway::ApiKey"
_ERROR_HEADER = "gatewayresponse.header."
_INTEGRATION = re.compile(r"/functions/(arn:[^/]+)/invocations")


def _mappings(plan: Plan) -> tuple[SourceMapping, ...]:
    return tuple(
        SourceMapping(
            logical_id,
            plan.identities[logical_id].ref,
            properties["EventSourceArn"],
            properties["FunctionName"],
            properties,
        )
        for logical_id, properties in plan.of_type("AWS::Lambda::EventSourceMapping").items()
        if "EventSourceArn" in properties and properties.get("Enabled", True)
    )


def _timed_rules(plan: Plan) -> Iterator[Timer]:
    for logical_id, properties in plan.of_type("AWS::Events::Rule").items():
        if "ScheduleExpression" not in properties or properties.get("State") == "DISABLED":
            continue
        identity = plan.identities[logical_id]
        for target in properties.get("Targets", []):
            yield Timer(
                logical_id,
                identity.attributes["Arn"],
                properties["ScheduleExpression"],
                "UTC",
                target["Arn"],
                target.get("Input"),
            )


def _event_rules(plan: Plan) -> Iterator[EventRule]:
    """The rules of the default bus whose pattern is read here; the others are reported."""
    for logical_id, properties in plan.of_type("AWS::Events::Rule").items():
        if "EventPattern" not in properties or properties.get("State") == "DISABLED":
            continue
        try:
            check_pattern(properties["EventPattern"])
        except PatternError:
            continue
        targets = [(t["Arn"], t.get("Input")) for t in properties.get("Targets", [])]
        yield EventRule(logical_id, properties["EventPattern"], tuple(targets))


def _schedules(plan: Plan) -> Iterator[Timer]:
    for logical_id, properties in plan.of_type("AWS::Scheduler::Schedule").items():
        if properties.get("State") == "DISABLED":
            continue
        target = properties["Target"]
        yield Timer(
            logical_id,
            plan.identities[logical_id].attributes["Arn"],
            properties["ScheduleExpression"],
            properties.get("ScheduleExpressionTimezone", "UTC"),
            target["Arn"],
            # EventBridge Scheduler sends an empty object if no input is given
            target.get("Input", "{}"),
        )


def _filters(plan: Plan) -> tuple[Filter, ...]:
    """The subscriptions of functions to log groups."""
    return tuple(
        Filter(
            plan.identities[logical_id].ref,
            properties["LogGroupName"],
            properties["DestinationArn"],
            properties["FilterPattern"],
        )
        for logical_id, properties in plan.of_type("AWS::Logs::SubscriptionFilter").items()
        if ":lambda:" in properties["DestinationArn"]
    )


def _machines(plan: Plan) -> tuple[StateMachine, ...]:
    return tuple(
        StateMachine(
            logical_id,
            plan.identities[logical_id].attributes["Name"],
            plan.identities[logical_id].ref,
            properties["RoleArn"],
            _definition(plan, logical_id, properties),
            properties.get("StateMachineType", "STANDARD"),
        )
        for logical_id, properties in plan.of_type("AWS::StepFunctions::StateMachine").items()
    )


def _definition(plan: Plan, logical_id: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    if "DefinitionS3Location" in properties:
        place = properties["DefinitionS3Location"]
        path = local_path(place["Bucket"], place["Key"])
        if path is None:
            raise TemplateError(f"{logical_id}: its definition is not a local file")
        try:
            text = (plan.template.folder / path).read_text()
        except OSError as error:
            raise TemplateError(f"{logical_id}: {path}: {error.strerror}") from error
    elif "DefinitionString" in properties:
        text = properties["DefinitionString"]
    else:
        text = json.dumps(properties["Definition"])
    for name, value in (properties.get("DefinitionSubstitutions") or {}).items():
        text = text.replace("${" + name + "}", _text(value))
    try:
        # CloudFormation's own reader treats an alias as text
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, YAML)):
            raise TemplateError(f"{logical_id}: its definition has a YAML alias, write it out")
        definition = yaml.load(text, YAML)  # nosec B506
    except yaml.YAMLError as error:
        raise TemplateError(f"{logical_id}: its definition is not YAML: {error}") from error
    if not isinstance(definition, dict):
        raise TemplateError(f"{logical_id}: its definition is not an object")
    return definition


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
