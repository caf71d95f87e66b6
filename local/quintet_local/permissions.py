"""Permission checks: whether a function's role allows the calls it makes, by its own policies and
those of keys.

Nothing is refused, because templates of all kinds run here; calls that AWS would refuse are
reported, and so is what the calls used of the policies. Only calls by functions, and by links that
they signed, are checked: they sign with access keys of their own. Roles with managed policies that
are not known here, and calls of unknown services, count as allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from quintet_local.needs import Need, needs
from quintet_local.plan import Plan
from quintet_local.wsgi import WsgiApplication

__all__ = ["KEY", "Permissions", "Statement", "Use", "access_key", "allows", "listed", "policies"]

#: the prefix of the functions' access keys
KEY = "function"
#: the number of distinct calls to remember
MOST = 1000

_SIGNED = re.compile(rf"Credential=({KEY}\w+)/\d+/[^/]*/([^/]+)/aws4_request")
#: managed policies that grant nothing which functions call here
_BESIDE = re.compile(r".*/(AWSXrayWriteOnlyAccess|AWSXRayDaemonWriteAccess|AWSLambda\w+Role)")

Statement = Mapping[str, Any]
#: a function's logical id, an action and a resource, these two as a statement of its role has them
Use = tuple[str, str, str]


def access_key(logical_id: str) -> str:
    """Return the access key that a function signs with."""
    return KEY + logical_id


def policies(plan: Plan) -> dict[str, list[Statement]]:
    """Return each function's statements by its access key, if all its role's policies are known."""
    elsewhere = {
        role
        for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
        for policy in plan.of_type(kind).values()
        for role in policy.get("Roles") or []
    }
    roles = {
        plan.identities[name].attributes["Arn"]: role
        for name, role in plan.of_type("AWS::IAM::Role").items()
        if all(map(_BESIDE.fullmatch, role.get("ManagedPolicyArns") or []))
        and plan.identities[name].ref not in elsewhere
    }
    return {
        access_key(name): [
            *(
                statement
                for policy in roles[function["Role"]].get("Policies") or []
                for statement in listed(policy["PolicyDocument"]["Statement"])
            ),
            *_of_keys(plan, function["Role"]),
        ]
        for name, function in plan.of_type("AWS::Lambda::Function").items()
        if function["Role"] in roles
    }


def _of_keys(plan: Plan, role: str) -> Iterator[Statement]:
    """The statements of keys' policies that name a role, each on its key."""
    for name, key in plan.of_type("AWS::KMS::Key").items():
        for statement in listed(key["KeyPolicy"]["Statement"]):
            if role in listed(statement["Principal"].get("AWS", [])):
                yield {**statement, "Resource": plan.identities[name].attributes["Arn"]}


class Permissions:
    """A WSGI application before the services: reports calls that AWS would refuse."""

    def __init__(self, services: WsgiApplication, allowed: Mapping[str, list[Statement]]) -> None:
        self._services = services
        self._allowed = allowed
        self._allows = lru_cache(maxsize=8192)(self._decide)
        self._refused: dict[str, None] = {}
        self._used: dict[Use, None] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        signed = _SIGNED.search(
            environ.get("HTTP_AUTHORIZATION") or unquote(environ["QUERY_STRING"])
        )
        if signed is not None and signed[1] in self._allowed:
            for need in needs(signed[2], environ) or []:
                if not self._allows(signed[1], need) and len(self._refused) < MOST:
                    name = signed[1].removeprefix(KEY)
                    self._refused[f"{name}: {need.action} on {need.resource}"] = None
        return self._services(environ, start_response)

    def refused(self) -> list[str]:
        """Return the calls by functions that their roles do not allow, each once, up to `MOST`."""
        return sorted(self._refused)

    def used(self) -> list[Use]:
        """Return what calls by functions used of their policies, each once."""
        return sorted(self._used)

    def _decide(self, who: str, need: Need) -> bool:
        """Called once for each distinct call."""
        name, statements = who.removeprefix(KEY), self._allowed[who]
        for statement in statements:
            for action, resource in _parts_of(statement, need):
                self._used[name, action, resource] = None
        return allows(statements, need)


def allows(statements: Iterable[Statement], need: Need) -> bool:
    """Whether some statement allows the need and none denies it."""
    effects = {statement["Effect"] for statement in statements if any(_parts_of(statement, need))}
    return effects == {"Allow"}


def _parts_of(statement: Statement, need: Need) -> Iterator[tuple[str, str]]:
    """The actions and resources of a statement that a need falls under, if it does."""
    conditions = statement.get("Condition") or {}
    if all(_holds(operator, keys, need) for operator, keys in conditions.items()):
        for action in listed(statement["Action"]):
            if _matches(action.lower(), need.action.lower()):
                for resource in listed(statement["Resource"]):
                    if _matches(resource, need.resource):
                        yield action, resource


def _holds(operator: str, keys: Mapping[str, Any], need: Need) -> bool:
    """Whether a condition holds; a kind or key that is not known here counts as holding."""
    known = dict(need.context)
    return operator not in ("StringLike", "StringEquals") or all(
        key not in known or any(_matches(pattern, known[key]) for pattern in listed(values))
        for key, values in keys.items()
    )


def _matches(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(c) or re.escape(c) for c in pattern), re.DOTALL)


def listed(value: Any) -> list[Any]:
    """Return the items of what a policy has alone or in a list."""
    return value if isinstance(value, list) else [value]
