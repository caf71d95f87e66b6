"""Events of events/ at the functions of the local AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.kits.aws import ROOT
from tests.kits.event_table import ALL
from tests.kits.event_world import world
from tests.kits.events import INBOX, Case, event, plain
from tests.kits.local_aws import LocalAws, start_local_aws

from quintet_cli.receiver import Receiver


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalAws, Receiver]]:
    """A local AWS of its own: who else uses the common one has runs there too."""
    parameters = {"BatchInputBucketArn": f"arn:aws:s3:::{INBOX}"}
    local = start_local_aws(tmp_path_factory.mktemp("events"), parameters=parameters)
    with world(local) as receiver:
        yield local, receiver
    local.stop()


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.event)
def test_an_event_is_answered_and_leaves_what_it_should(
    prepared: tuple[LocalAws, Receiver], case: Case
) -> None:
    local, _ = prepared
    answer = local.client("lambda").invoke(
        FunctionName=f"quintet-local-{case.function}", Payload=json.dumps(event(case.event))
    )
    assert plain(json.loads(answer["Payload"].read())) == plain(case.answer)
    assert plain(case.look(local)) == plain(case.left)


def test_what_was_called_out_is_posted_signed(prepared: tuple[LocalAws, Receiver]) -> None:
    local, receiver = prepared
    for name in ("notify_completed", "notify_alert"):  # again: nothing is posted twice
        payload = json.dumps(event(name))
        local.client("lambda").invoke(FunctionName="quintet-local-Notify", Payload=payload)
    ids = sorted(
        (received.id.partition("_")[0], received.verified) for received in receiver.received
    )
    assert ids == [("alert", True), ("job", True)]


def test_every_event_has_its_answer() -> None:
    found = {path.stem for path in ROOT.glob("events/*.json")}
    # a stage without keys has no Authorise: tests/local/test_callers.py asks one that has it
    assert sorted({case.event for case in ALL} | {"authorise_key"}) == sorted(found)
