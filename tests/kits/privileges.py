"""What the template's policies allow, what calls used of them, and how the two differ."""

from __future__ import annotations

import json
import os
import tomllib
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.kits.aws import ROOT

from quintet_local.permissions import KEY, Statement, Use, listed, policies
from quintet_local.plan import plan
from quintet_local.state import PERMISSIONS
from quintet_local.template import load

__all__ = [
    "FOLDER",
    "PARAMETERS",
    "RECORD",
    "differences",
    "exceptions",
    "left_over",
    "read",
    "refused",
    "statements",
    "used",
    "write",
]

#: names the folder in which each local AWS leaves what was called
FOLDER = "QUINTET_PRIVILEGES"
#: what was used when `python -m tests.privileges` was last run
RECORD = ROOT / "tests/template/privileges.json"
EXCEPTIONS = ROOT / "tests/template/privileges.toml"
#: what attaches policies that are not there by default; the bucket is that of kits/events.py
PARAMETERS = {
    "BatchInputBucketArn": "arn:aws:s3:::inbox",
    "SealedCaptures": "on",
    "ApiAuth": "keys",
}


def refused(endpoint_url: str) -> list[str]:
    """What functions of a local AWS called that their roles do not allow.

    What they used is left in the folder that `FOLDER` names. After a kill nothing is known.
    """
    try:
        with urllib.request.urlopen(endpoint_url + PERMISSIONS) as page:
            told = page.read()
    except urllib.error.HTTPError:  # an OSError, too: one that runs must tell
        raise
    except OSError:
        return []
    if folder := os.environ.get(FOLDER):
        (Path(folder) / f"{uuid.uuid4()}.json").write_bytes(told)
    found: list[str] = json.loads(told)["not_allowed"]
    return found


def read(folder: Path) -> set[Use]:
    """What was used, by all that was left in a folder."""
    pages = [json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
    return {(name, action, resource) for page in pages for name, action, resource in page["used"]}


def statements(
    template: Path = ROOT / "template.yaml", parameters: Mapping[str, str] = PARAMETERS
) -> dict[str, list[Statement]]:
    """The statements of each function's role, and of keys that name it."""
    found = policies(plan(load(template, parameters), "http://127.0.0.1:4566"))
    return {name.removeprefix(KEY): of for name, of in found.items()}


def exceptions() -> dict[str, str]:
    """The reason for which what no call uses is allowed, by a pattern of lines of `differences`."""
    found: dict[str, str] = tomllib.loads(EXCEPTIONS.read_text())["unused"]
    return found


def used() -> set[Use]:
    """What is written in the record."""
    record: dict[str, dict[str, list[str]]] = json.loads(RECORD.read_text())
    return {
        (name, action, resource)
        for name, actions in record.items()
        for action, resources in actions.items()
        for resource in resources
    }


def write(found: Iterable[Use]) -> None:
    """Write the record."""
    record: dict[str, dict[str, list[str]]] = {}
    for name, action, resource in sorted(found):
        record.setdefault(name, {}).setdefault(action, []).append(resource)
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


def differences(allowed: Mapping[str, list[Statement]], found: set[Use]) -> list[str]:
    """Actions and resources of statements that no call used, and uses that no statement has."""
    return sorted({*_unused(allowed, found), *_unknown(allowed, found)})


def left_over(lines: Iterable[str]) -> list[str]:
    """Lines of `differences` that no exception explains, and exceptions that explain none."""
    lines, patterns = list(lines), exceptions()
    explained = {line for line in lines if any(fnmatchcase(line, one) for one in patterns)}
    needless = [one for one in patterns if not any(fnmatchcase(line, one) for line in lines)]
    return [
        *(line for line in lines if line not in explained),
        *(f"privileges.toml: {one} is no difference any more" for one in needless),
    ]


def _unused(allowed: Mapping[str, list[Statement]], found: set[Use]) -> Iterator[str]:
    for name, of in allowed.items():
        for statement in of:
            actions, resources = listed(statement["Action"]), listed(statement["Resource"])
            for action in actions:
                if not any((name, action, resource) in found for resource in resources):
                    yield f"{name}: {action} on {_short(resources[0])} is not used"
            for resource in resources:
                if not any((name, action, resource) in found for action in actions):
                    yield f"{name}: {_short(resource)} is not used by {actions[0]}"


def _unknown(allowed: Mapping[str, list[Statement]], found: set[Use]) -> Iterator[str]:
    known = {
        (name, action, resource)
        for name, of in allowed.items()
        for statement in of
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }
    for name, action, resource in found - known:
        yield f"{name}: {action} on {_short(resource)} was used, and is in no statement"


def _short(resource: Any) -> str:
    return str(resource).split(":", 5)[-1].replace("quintet-local-", "")
