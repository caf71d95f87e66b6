"""`sam local invoke`: built functions in containers, against a running local AWS."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest
from tests.kits.events import CASES, Case, plain
from tests.kits.local_aws import LocalAws
from tests.sam_local.conftest import Sam, block

pytestmark = pytest.mark.sam_local


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    """What the function answered."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_commands_of_the_docs_give_the_answer_of_the_docs(sam: Sam) -> None:
    build, start, publish, invoke = block("Invoke a function").splitlines()
    assert (build, start) == ("sam build", "quintet up --detach")  # done, on free ports
    published = sam.run(publish)
    assert published.returncode == 0, published.stderr
    found, shown = answer(sam.run(invoke)), json.loads(block("Invoke a function", "json"))
    for one in (found, shown):  # each event has an id of its own
        assert re.fullmatch("[0-9a-f]{32}", one["headers"].pop("X-Quintet-Event"))
    assert plain(found) == plain(shown)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.event)
def test_an_event_is_answered_and_leaves_what_it_should(
    sam: Sam, local: LocalAws, case: Case
) -> None:
    event = f"-e events/{case.event}.json"
    done = sam.run(f"sam local invoke {case.function} {event} --env-vars .quintet/sam-env.json")
    assert plain(answer(done)) == plain(case.answer)
    assert plain(case.look(local)) == plain(case.left)


def test_a_local_aws_that_is_not_there_is_named(sam: Sam) -> None:
    environments = json.loads((sam.folder / ".quintet/sam-env.json").read_text())
    environments["Predict"]["AWS_ENDPOINT_URL"] = "http://host.docker.internal:9"
    (sam.folder / "gone.json").write_text(json.dumps(environments))
    done = sam.run("sam local invoke Predict -e events/predict_infer.json --env-vars gone.json")
    found = plain(answer(done))
    assert (found["statusCode"], found["body"]) == (
        503,
        {"error": "dynamodb did not answer (ConnectionRefusedError)"},
    )
