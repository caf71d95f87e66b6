"""What is wrong with the IAM of a template: read where SAM has expanded it, explained where it is
written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from quintet_local.plan import Plan, plan
from quintet_local.template import YAML, load

__all__ = ["Statement", "actions", "listed", "problems", "resources", "statements"]

#: as narrow as AWS has them, by the property for which SAM attaches each: it stands in the
#: template with the policy's name in a comment above it
MANAGED = {
    "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
    "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess",
}
#: objects of one bucket, executions of one state machine: what is inside of a named resource
INSIDE = re.compile(
    r"arn:aws:s3:::[a-z0-9.-]+/[^*?]*\*"
    r"|arn:aws:states:[a-z0-9-]+:\d+:execution:[A-Za-z0-9_-]+[:/]\*"
)
#: what uses a key, or lets others use it
USES = {
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
}


@dataclass(frozen=True)
class Statement:
    """One statement of a policy; `place` is role, policy and number, as in the template."""

    place: tuple[str, int, int]
    body: dict[str, Any]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def actions(statement: Mapping[str, Any]) -> list[str]:
    return listed(statement.get("Action", []))


def resources(statement: Mapping[str, Any]) -> list[str]:
    return listed(statement.get("Resource", []))


def statements(of: Plan) -> Iterator[Statement]:
    """The statements of all roles."""
    for name, role in of.of_type("AWS::IAM::Role").items():
        for number, policy in enumerate(role.get("Policies", [])):
            for index, body in enumerate(policy["PolicyDocument"]["Statement"]):
                yield Statement((name, number, index), body)


def problems(path: Path, overrides: Mapping[str, str]) -> list[str]:
    """What the template at `path` allows beyond this house's rules, a line each."""
    planned = plan(load(path, overrides), "http://127.0.0.1:4566")
    source = _Source(path)
    return [
        *(line for one in statements(planned) for line in _statement(one, source)),
        *_roles(planned, source),
        *_principals(planned),
        *_keys(planned),
    ]


def _statement(statement: Statement, source: _Source) -> Iterator[str]:
    body, where = statement.body, "{} policy {} statement {}".format(*statement.place)
    for word in ("NotAction", "NotResource"):
        if word in body:
            yield f"{where}: {word} allows what nobody has named"
    for action in actions(body):
        if action.split(":")[0] in ("*", "iam"):
            yield f"{where}: {action} is no function's affair"
    wild = [a for a in actions(body) if "*" in a or "?" in a]
    wild += [r for r in resources(body) if re.search(r"[*?]", r) and not INSIDE.fullmatch(r)]
    if wild and not source.reason(statement.place):
        yield f"{where}: {', '.join(wild)} has no reason in a comment beside it"


def _roles(planned: Plan, source: _Source) -> Iterator[str]:
    for name, role in planned.of_type("AWS::IAM::Role").items():
        for policy in role.get("ManagedPolicyArns") or []:
            if policy not in MANAGED:
                yield f"{name}: {policy} is broader than what its statements could name"
            elif policy.rpartition("/")[2] not in source.comments:
                yield f"{name}: {policy} has no reason in a comment"
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            if not _one_service(statement["Principal"]):
                yield f"{name}: may be assumed by {statement['Principal']}"


def _principals(planned: Plan) -> Iterator[str]:
    """Of what else has a policy: all that is allowed is allowed to one service, from one source."""
    for name, resource in planned.resources.items():
        properties = resource.get("Properties") or {}
        for statement in (properties.get("PolicyDocument") or {}).get("Statement", []):
            if statement["Effect"] == "Deny":
                continue
            if not _one_service(statement["Principal"]):
                yield f"{name}: allows {statement['Principal']}"
            if not statement.get("Condition"):
                yield f"{name}: allows a service without saying whose"
        if resource["Type"] == "AWS::Lambda::Permission":
            if not str(properties["Principal"]).endswith(".amazonaws.com"):
                yield f"{name}: lets {properties['Principal']} call"
            if "SourceArn" not in properties:
                yield f"{name}: does not say from where it may be called"


def _keys(planned: Plan) -> Iterator[str]:
    """Of keys: the account manages them, and roles of the template alone use them."""
    roles = {planned.identities[n].attributes["Arn"] for n in planned.of_type("AWS::IAM::Role")}
    for name, key in planned.of_type("AWS::KMS::Key").items():
        for statement in key["KeyPolicy"]["Statement"]:
            principals = set(listed(statement["Principal"].get("AWS", "*")))
            uses = [a for a in actions(statement) if "*" in a or a in USES]
            if uses and not principals <= roles:
                others = ", ".join(sorted(principals - roles))
                yield f"{name}: allows {', '.join(uses)} to {others}"


def _one_service(principal: Any) -> bool:
    return (
        isinstance(principal, dict)
        and set(principal) == {"Service"}
        and all(re.fullmatch(r"[a-z0-9]+\.amazonaws\.com", n) for n in listed(principal["Service"]))
    )


class _Source:
    """The template as written: where a role's statements stand, and what is said beside them."""

    def __init__(self, path: Path) -> None:
        text = path.read_text()
        self._lines = text.splitlines()
        root = yaml.compose(text, Loader=YAML)
        self._resources = _child(root, "Resources")
        self.comments = "\n".join(line.strip() for line in self._lines if _commented(line))

    def reason(self, place: tuple[str, int, int]) -> bool:
        """Whether a comment stands right above a statement, or at the end of one of its lines."""
        node = self._find(*place)
        above = self._lines[node.start_mark.line - 1]
        return _commented(above) or any(
            re.search(r"\s# \w", self._lines[number]) for number in _span(node)
        )

    def _find(self, role: str, policy: int, statement: int) -> yaml.Node:
        """SAM names the role of Fn `FnRole`, and keeps its policies' order."""
        known = {key.value for key, _ in self._resources.value}
        owner = role if role in known else role.removesuffix("Role")
        found = _child(_child(_child(self._resources, owner), "Properties"), "Policies").value[
            policy
        ]
        if role in known:
            found = _child(found, "PolicyDocument")
        result: yaml.Node = _child(found, "Statement").value[statement]
        return result


def _child(node: Any, key: str) -> yaml.Node:
    (found,) = (value for name, value in node.value if name.value == key)
    result: yaml.Node = found
    return result


def _span(node: yaml.Node) -> set[int]:
    """The numbers of the lines that a node is written on, aliases followed."""
    if isinstance(node, yaml.ScalarNode):
        return set(range(node.start_mark.line, node.end_mark.line + 1))
    flat = [n for part in node.value for n in (part if isinstance(part, tuple) else (part,))]
    return {number for part in flat for number in _span(part)}


def _commented(line: str) -> bool:
    return line.lstrip().startswith("# ")
