"""The stack: moto's part made by moto's CloudFormation, the rest read for the Lambda plane."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from quintet_local.functions import LATEST, Alias, AsyncConfig, Function
from quintet_local.identities import Identity, identities
from quintet_local.intrinsics import Scope, references, resolve
from quintet_local.names import ACCOUNT, PARTITION, REGION, STACK
from quintet_local.rest_api import Route
from quintet_local.template import Template, TemplateError, local_path

log = logging.getLogger(__name__)

__all__ = ["Api", "Mapping_", "Plan", "Stack", "StateMachine", "describe", "plan"]

#: What moto's CloudFormation makes of a template, and makes well enough to be used.
MOTO = frozenset(
    {
        "AWS::DynamoDB::Table",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Policy",
        "AWS::IAM::Role",
        "AWS::KMS::Key",
        "AWS::Kinesis::Stream",
        "AWS::Logs::LogGroup",
        "AWS::S3::Bucket",
        "AWS::SNS::Subscription",
        "AWS::SNS::Topic",
        "AWS::SQS::Queue",
        "AWS::SSM::Parameter",
    }
)


@dataclass(frozen=True)
class Plan:
    """A template with its parameters, conditions and our identities filled in.

    `resources` are those whose condition holds; references to moto's are still open.
    """

    template: Template
    scope: Scope
    resources: dict[str, Any]
    identities: dict[str, Identity]

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Properties of the resources of a type, by logical id."""
        return {
            name: resource.get("Properties") or {}
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def moto_template(self) -> dict[str, Any]:
        """The part that moto's CloudFormation makes."""
        mine = {n: dict(r) for n, r in self.resources.items() if r["Type"] in MOTO}
        for resource in mine.values():
            wanted = resource.pop("DependsOn", [])
            wanted = [wanted] if isinstance(wanted, str) else wanted
            if kept := [name for name in wanted if name in mine]:
                resource["DependsOn"] = kept
        return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": mine}


def plan(template: Template) -> Plan:
    """Fill in what is known before anything is made."""
    values = {
        **{
            name: _number(value, template.source["Parameters"][name])
            for name, value in template.parameters.items()
        },
        "AWS::AccountId": ACCOUNT,
        "AWS::Partition": PARTITION,
        "AWS::Region": REGION,
        "AWS::StackName": STACK,
        "AWS::StackId": f"arn:{PARTITION}:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}/local",
        "AWS::URLSuffix": "amazonaws.com",
        "AWS::NotificationARNs": [],
    }
    scope = Scope(values, template.conditions, template.mappings)
    wanted = {
        name: resource
        for name, resource in template.resources.items()
        if "Condition" not in resource or scope.condition(resource["Condition"])
    }
    ours = identities(wanted, lambda value: resolve(value, scope))

    def placeholder(name: str) -> Identity | None:
        """A resource that nobody makes still has a name, so that what refers to it works."""
        kind = wanted[name]["Type"] if name in wanted else None
        if kind is None or kind in MOTO:
            return None
        return ours.get(name) or Identity(f"{STACK}-{name}", {})

    def ref(name: str) -> str | None:
        identity = placeholder(name)
        return identity.ref if identity else None

    def attribute(name: str, key: str) -> str | None:
        identity = placeholder(name)
        return identity.attributes.get(key, f"{STACK}-{name}-{key}") if identity else None

    known = Scope(values, template.conditions, template.mappings, ref, attribute)
    resources = {}
    for name, resource in wanted.items():
        kept = {key: value for key, value in resource.items() if key != "Condition"}
        resources[name] = resolve(kept, known)
        for target in references(resources[name]):
            if target not in wanted:
                raise TemplateError(f"{name}: refers to {target}, which is not in the template")
    return Plan(template, known, resources, ours)


def _number(value: str, declared: Mapping[str, Any]) -> Any:
    if declared.get("Type") != "Number":
        return value.split(",") if declared.get("Type") == "CommaDelimitedList" else value
    try:
        return int(value)
    except ValueError:
        return float(value)


@dataclass(frozen=True)
class Mapping_:
    """An event source mapping: where events come from, whom they go to, and how."""

    logical_id: str
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
class Api:
    """A REST API's stage and routes."""

    api_id: str
    stage: str
    routes: tuple[Route, ...]


@dataclass(frozen=True)
class Stack:
    """Everything of the template that is the local AWS's own to run."""

    functions: dict[str, Function]
    api: Api | None
    mappings: tuple[Mapping_, ...]
    machines: tuple[StateMachine, ...]
    buckets: dict[str, dict[str, Any]]
    outputs: dict[str, str] = field(default_factory=dict)


def describe(
    plan_: Plan,
    ref: Callable[[str], Any],
    attribute: Callable[[str, str], Any],
    scratch: Path,
) -> Stack:
    """Read our part, now that moto's resources have names; `scratch` takes inline code."""

    def any_ref(name: str) -> Any:
        return plan_.scope.ref(name) or ref(name)

    def any_attribute(name: str, key: str) -> Any:
        return plan_.scope.attribute(name, key) or attribute(name, key)

    known = plan_.scope
    scope = Scope(known.values, known.conditions, known.mappings, any_ref, any_attribute)
    resources = {name: resolve(resource, scope) for name, resource in plan_.resources.items()}
    done = Plan(plan_.template, scope, resources, plan_.identities)
    outputs = {}
    for name, output in plan_.template.outputs.items():
        if "Condition" not in output or scope.condition(output["Condition"]):
            outputs[name] = str(resolve(output["Value"], scope))
    return Stack(
        functions=_functions(done, scratch),
        api=_api(done),
        mappings=_mappings(done),
        machines=_machines(done),
        buckets={
            str(any_ref(name)): properties
            for name, properties in done.of_type("AWS::S3::Bucket").items()
        },
        outputs=outputs,
    )


def _functions(plan_: Plan, scratch: Path) -> dict[str, Function]:
    layers = {
        plan_.identities[name].ref: _code(plan_, name, properties["Content"], scratch)
        for name, properties in plan_.of_type("AWS::Lambda::LayerVersion").items()
    }
    versions: dict[str, list[str]] = {}
    for name, properties in plan_.of_type("AWS::Lambda::Version").items():
        number = plan_.identities[name].attributes["Version"]
        versions.setdefault(properties["FunctionName"], []).append(number)
    aliases: dict[str, dict[str, Alias]] = {}
    for properties in plan_.of_type("AWS::Lambda::Alias").values():
        alias = _alias(properties)
        aliases.setdefault(properties["FunctionName"], {})[alias.name] = alias
    calls = {
        properties["FunctionName"]: properties
        for properties in plan_.of_type("AWS::Lambda::EventInvokeConfig").values()
    }
    functions = {}
    for logical_id, properties in plan_.of_type("AWS::Lambda::Function").items():
        identity = plan_.identities[logical_id]
        name = identity.ref
        variables = (properties.get("Environment") or {}).get("Variables") or {}
        functions[name] = Function(
            logical_id=logical_id,
            name=name,
            arn=identity.attributes["Arn"],
            handler=properties.get("Handler", "index.handler"),
            code=_code(plan_, logical_id, properties["Code"], scratch),
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


def _code(plan_: Plan, logical_id: str, code: Mapping[str, Any], scratch: Path) -> Path:
    if "ZipFile" in code:
        folder = scratch / "inline" / logical_id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.py").write_text(code["ZipFile"])
        return folder
    path = local_path(code.get("S3Bucket", ""), code.get("S3Key", ""))
    if path is None:
        raise TemplateError(f"{logical_id}: its code is not a local folder")
    return plan_.template.folder / path


def _api(plan_: Plan) -> Api | None:
    apis = plan_.of_type("AWS::ApiGateway::RestApi")
    if not apis:
        return None
    if len(apis) > 1:
        raise TemplateError(
            f"{', '.join(sorted(apis))}: the local AWS serves one API, these are more"
        )
    ((logical_id, properties),) = apis.items()
    stages = plan_.of_type("AWS::ApiGateway::Stage").values()
    stage = next((s["StageName"] for s in stages), "local")
    routes = []
    for resource, methods in (properties.get("Body") or {}).get("paths", {}).items():
        for method, operation in methods.items():
            integration = operation.get("x-amazon-apigateway-integration") or {}
            target = _INTEGRATION.search(integration.get("uri", ""))
            if target:
                name = "ANY" if method == "x-amazon-apigateway-any-method" else method.upper()
                routes.append(Route(name, resource, target[1]))
    return Api(plan_.identities[logical_id].ref, stage, tuple(routes))


_INTEGRATION = re.compile(r"/functions/(arn:[^/]+)/invocations")


def _mappings(plan_: Plan) -> tuple[Mapping_, ...]:
    return tuple(
        Mapping_(logical_id, properties["EventSourceArn"], properties["FunctionName"], properties)
        for logical_id, properties in plan_.of_type("AWS::Lambda::EventSourceMapping").items()
        if "EventSourceArn" in properties
    )


def _machines(plan_: Plan) -> tuple[StateMachine, ...]:
    return tuple(
        StateMachine(
            logical_id,
            plan_.identities[logical_id].attributes["Name"],
            plan_.identities[logical_id].ref,
            properties["RoleArn"],
            _definition(plan_, logical_id, properties),
            properties.get("StateMachineType", "STANDARD"),
        )
        for logical_id, properties in plan_.of_type("AWS::StepFunctions::StateMachine").items()
        if _has_definition(plan_, logical_id, properties)
    )


def _has_definition(plan_: Plan, logical_id: str, properties: Mapping[str, Any]) -> bool:
    place = properties.get("DefinitionS3Location")
    path = local_path(place["Bucket"], place["Key"]) if place else None
    if path is None or (plan_.template.folder / path).exists():
        return True
    log.warning("%s: %s is not there, the state machine is not made", logical_id, path)
    return False


def _definition(plan_: Plan, logical_id: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    if "DefinitionS3Location" in properties:
        place = properties["DefinitionS3Location"]
        path = local_path(place["Bucket"], place["Key"])
        if path is None:
            raise TemplateError(f"{logical_id}: its definition is not a local file")
        try:
            text = (plan_.template.folder / path).read_text()
        except OSError as error:
            raise TemplateError(f"{logical_id}: {path}: {error.strerror}") from error
    elif "DefinitionString" in properties:
        text = properties["DefinitionString"]
    else:
        text = json.dumps(properties["Definition"])
    for name, value in (properties.get("DefinitionSubstitutions") or {}).items():
        text = text.replace("${" + name + "}", _text(value))
    try:
        definition = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TemplateError(f"{logical_id}: its definition is not YAML: {error}") from error
    if not isinstance(definition, dict):
        raise TemplateError(f"{logical_id}: its definition is not an object")
    return definition


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
