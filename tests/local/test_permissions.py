"""What the functions of the template call is what their roles allow: nothing else, nothing less."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator

import pytest
from tests.kits.event_table import ALL
from tests.kits.event_world import world
from tests.kits.events import INBOX, event
from tests.kits.local_aws import LocalAws, start_local_aws


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    parameters = {"BatchInputBucketArn": f"arn:aws:s3:::{INBOX}"}
    found = start_local_aws(tmp_path_factory.mktemp("permissions"), parameters=parameters)
    with world(found):
        yield found
    found.stop()


def test_no_event_makes_a_function_call_what_its_role_does_not_allow(local: LocalAws) -> None:
    invoke = local.client("lambda").invoke
    for case in ALL:
        name = f"quintet-local-{case.function}"
        answer = invoke(FunctionName=name, Payload=json.dumps(event(case.event)))
        assert answer["StatusCode"] == 200
    with urllib.request.urlopen(f"{local.endpoint_url}/_quintet/health") as page:
        assert json.load(page)["not_allowed"] == []
