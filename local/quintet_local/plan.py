"""A template with everything resolved: parameters, conditions, references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quintet_local.identities import Identity, identities
from quintet_local.intrinsics import IntrinsicError, Scope, references, resolve
from quintet_local.names import ACCOUNT, PARTITION, REGION, STACK
from quintet_local.template import Template, TemplateError

__all__ = ["Plan", "plan"]


@dataclass(frozen=True)
class Plan:
    """The resources whose condition holds, resolved, with their identities."""

    template: Template
    resources: dict[str, dict[str, Any]]
    identities: dict[str, Identity]
    outputs: dict[str, str]

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of all resources of a type, by logical id."""
        return {
            name: resource.get("Properties") or {}
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }


def plan(template: Template, endpoint_url: str) -> Plan:
    """Resolve the template for a local AWS at `endpoint_url`.

    Raises:
        TemplateError: a reference, attribute or condition does not exist.
    """
    values = _values(template)
    # the translator changes the order; versions are numbered in the template's order
    order = {name: index for index, name in enumerate(template.source["Resources"])}
    ordered = sorted(template.resources.items(), key=lambda r: order.get(r[0], len(order)))
    first = Scope(values, template.conditions, template.mappings)
    try:
        wanted = {
            name: resource
            for name, resource in ordered
            if "Condition" not in resource or first.condition(resource["Condition"])
        }
        known = identities(wanted, first, endpoint_url)

        def ref(name: str) -> str | None:
            return known[name].ref if name in known else None

        def attribute(name: str, key: str) -> str | None:
            return known[name].attributes.get(key) if name in known else None

        scope = Scope(values, template.conditions, template.mappings, ref, attribute)
        resources = {name: _resolved(name, resource, scope) for name, resource in wanted.items()}
        outputs = {
            name: str(_resolved(f"output {name}", output["Value"], scope))
            for name, output in template.outputs.items()
            if "Condition" not in output or scope.condition(output["Condition"])
        }
    except IntrinsicError as error:
        raise TemplateError(f"{template.path.name}: {error}") from error
    return Plan(template, resources, known, outputs)


def _resolved(name: str, node: Any, scope: Scope) -> Any:
    result = resolve(node, scope)
    for target in references(result):
        raise TemplateError(f"{name}: refers to {target}, which the local AWS does not know")
    return result


def _values(template: Template) -> dict[str, Any]:
    declared: Mapping[str, Any] = template.source.get("Parameters") or {}
    return {
        **{name: _typed(value, declared[name]) for name, value in template.parameters.items()},
        "AWS::AccountId": ACCOUNT,
        "AWS::Partition": PARTITION,
        "AWS::Region": REGION,
        "AWS::StackName": STACK,
        "AWS::StackId": f"arn:{PARTITION}:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}/local",
        "AWS::URLSuffix": "amazonaws.com",
        "AWS::NotificationARNs": [],
    }


def _typed(value: str, declared: Mapping[str, Any]) -> Any:
    kind = declared.get("Type", "String")
    if kind == "CommaDelimitedList" or kind.startswith("List<"):
        return value.split(",")
    if kind != "Number":
        return value
    try:
        return int(value)
    except ValueError:
        return float(value)
