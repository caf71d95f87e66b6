"""Events of events/ at the functions of the local AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.eventkit import CASES, Case, event, plain, prepare
from tests.local_aws import LocalAws, start_local_aws


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS of its own: who else uses the common one has runs there too."""
    local = start_local_aws(tmp_path_factory.mktemp("events"))
    prepare(local)
    yield local
    local.stop()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.event)
def test_an_event_is_answered_and_leaves_what_it_should(prepared: LocalAws, case: Case) -> None:
    answer = prepared.client("lambda").invoke(
        FunctionName=f"quintet-local-{case.function}", Payload=json.dumps(event(case.event))
    )
    assert plain(json.loads(answer["Payload"].read())) == plain(case.answer)
    assert plain(case.look(prepared)) == plain(case.left)
