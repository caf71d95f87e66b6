"""The API against its own OpenAPI document: python -m tests.fuzz.api --cases 20000

schemathesis draws requests from the document that the API serves, valid and invalid ones, and holds
each answer to it: no 5xx, a documented status, content type, headers and body; and no secret, path,
ARN or trace in it or in the log. Prints the cases by operation and each failure with the request
that caused it; the last line is JSON. Exits with 1 if a case failed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.fuzz.leaks import leaks
from tests.fuzz.world import World, world
from tests.kits.models import CONTRACTS

__all__ = ["Answers", "main", "run"]

_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SHOWN = 30


@dataclass
class Answers:
    """The statuses of all answers, by operation, and what was wrong, once for each cause."""

    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def cases(self) -> int:
        """How many requests were sent."""
        return sum(count.total() for count in self.statuses.values())


def run(found: World, path: str, cases: int, seed: int) -> Answers:
    """Send some requests of each operation of the document at a path, half of them invalid."""
    document = json.loads(found.send("GET", path).body)
    schema = schemathesis.openapi.from_dict(document)
    schema.app = found.application
    found_operations: Any = schema.get_all_operations()
    operations = [one.ok() for one in found_operations]
    campaign = _Campaign(found, -(-cases // (2 * len(operations))), seed)
    answers = Answers()
    for operation in operations:
        answers.statuses[operation.label] = Counter()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            _send(campaign, operation, mode, answers)
    return answers


@dataclass(frozen=True)
class _Campaign:
    """Where requests go, how many of an operation and mode there are, and what draws them."""

    found: World
    cases: int
    seed: int


def _send(campaign: _Campaign, operation: Any, mode: GenerationMode, answers: Answers) -> None:
    name = re.search(r"/models/(\w+)/versions/", operation.path)
    is_valid = mode is GenerationMode.POSITIVE
    version = CONTRACTS[name[1]].version if name and is_valid else None

    @hypothesis.seed(campaign.seed)
    @hypothesis.settings(
        max_examples=campaign.cases,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        if version is not None:  # nearly every drawn one is of no version
            case.path_parameters["version"] = version
        answer = case.call()
        answers.statuses[operation.label][answer.status_code] += 1
        for cause in _wrong(campaign.found, case, answer):
            answers.failures.setdefault(f"{operation.label}: {cause}", case.as_curl_command())

    # there are operations that no request is invalid for
    with contextlib.suppress(hypothesis.errors.Unsatisfiable):
        send()


def _wrong(found: World, case: Any, answer: Any) -> list[str]:
    """What is wrong with an answer."""
    causes = []
    try:
        case.validate_response(answer, checks=_CHECKS)
    except FailureGroup as group:
        causes += [f"{one.title}: {one.message[:300]}" for one in group.exceptions]
    except Failure as one:
        causes.append(f"{one.title}: {one.message[:300]}")
    told = f"{answer.headers}\n{found.logged()}"
    if answer.status_code >= 400:
        told += answer.text
    causes += [f"it tells {one}" for one in leaks(told) if one not in case.as_curl_command()]
    return causes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.api", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="requests of all operations")
    parser.add_argument("--seed", type=int, default=1, help="what draws the requests")
    parser.add_argument("--model", choices=CONTRACTS, help="the document of this model alone")
    asked = parser.parse_args(arguments)
    began = time.monotonic()
    warnings.simplefilter("ignore")
    with world() as found:
        path = "/openapi.json" if asked.model is None else f"/models/{asked.model}/openapi.json"
        answers = run(found, path, asked.cases, asked.seed)
    for label, statuses in answers.statuses.items():
        parts = ", ".join(f"{status} {count:,}" for status, count in sorted(statuses.items()))
        print(f"{label:60} {statuses.total():>6,}  {parts}")
    for cause, request in list(answers.failures.items())[:SHOWN]:
        print(f"{cause}\n    {request[:500]}")
    summary = {
        "name": "schemathesis",
        "version": schemathesis.__version__,
        "cases": answers.cases,
        "failures": len(answers.failures),
        "seed": asked.seed,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(summary))
    return 1 if answers.failures else 0


if __name__ == "__main__":
    sys.exit(main())
