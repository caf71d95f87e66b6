"""Every event of events/ at the functions as they are built, in AWS's emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.built.artefacts import built
from tests.built.emulator import ARCHITECTURE, Emulator, emulated
from tests.kits.event_table import ALL
from tests.kits.event_world import world
from tests.kits.events import INBOX, Case, event, plain
from tests.kits.local_aws import LocalAws, start_local_aws

from quintet_cli.receiver import Receiver

pytestmark = pytest.mark.built


@dataclass
class House:
    """The built functions over the services of a local AWS, each started when it is first asked."""

    local: LocalAws
    receiver: Receiver
    scratch: Path
    stack: ExitStack
    running: dict[str, Emulator] = field(default_factory=dict)

    def variables(self, function: str) -> dict[str, str]:
        """A function's environment as the local AWS fills the template in."""
        told = json.loads((self.local.state / "sam-env.json").read_text())[function]
        return {
            name: value.replace("host.docker.internal", "127.0.0.1") for name, value in told.items()
        }

    def path(self, function: str) -> list[Path]:
        """Its task root, and the folders of its layers."""
        found = built(ARCHITECTURE).functions[function]
        return [found.code, *(layer / "python" for layer in found.layers)]

    def emulator(self, function: str) -> Emulator:
        """The function, running."""
        if function not in self.running:
            handler = built(ARCHITECTURE).functions[function].handler
            variables, scratch = self.variables(function), self.scratch / function
            started = emulated(handler, self.path(function), variables, scratch)
            self.running[function] = self.stack.enter_context(started)
        return self.running[function]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    parameters = {"BatchInputBucketArn": f"arn:aws:s3:::{INBOX}"}
    local = start_local_aws(tmp_path_factory.mktemp("local-aws"), parameters=parameters)
    with world(local) as receiver, ExitStack() as stack:
        yield House(local, receiver, tmp_path_factory.mktemp("emulators"), stack)
    local.stop()


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.event)
def test_a_built_function_answers_as_it_should(house: House, case: Case) -> None:
    emulator = house.emulator(case.function)
    answer = emulator.invoke(event(case.event))
    assert plain(answer) == plain(case.answer), emulator.log.read_text()
    assert plain(case.look(house.local)) == plain(case.left)


def test_what_was_called_out_came_signed(house: House) -> None:
    for name in ("notify_completed", "notify_alert"):
        house.emulator("Notify").invoke(event(name))
    came = sorted((r.id.partition("_")[0], r.verified) for r in house.receiver.received)
    assert came == [("alert", True), ("job", True)]


def test_predict_reads_and_writes_by_orjson(house: House) -> None:
    emulator = house.emulator("Predict")
    payload = json.dumps(event("predict_oip_ready")).encode()
    answer = emulator.post(payload)
    assert b'"statusCode":200' in answer, "the runtime's own writes a space after each colon"
    assert json.loads(answer) == emulator.invoke(event("predict_oip_ready"))


def test_what_orjson_refuses_is_read_by_the_runtime(house: House) -> None:
    emulator = house.emulator("Predict")
    halved = {**event("predict_oip_ready"), "other": "\ud800"}
    assert emulator.invoke(halved)["statusCode"] == 200
    broken = json.loads(emulator.post(b'{"httpMethod": '))
    assert broken["errorType"] == "Runtime.UnmarshalError"


# ---- what must not pass ------------------------------------------------------------------------


def test_a_dependency_that_no_layer_has_is_named(house: House, tmp_path: Path) -> None:
    code, runtime, *others = house.path("Predict")
    without = tmp_path / "python"
    without.mkdir()
    for package in runtime.iterdir():
        if not package.name.startswith("orjson"):
            (without / package.name).symlink_to(package)
    path = [code, without, *others]
    with emulated("app.handler", path, house.variables("Predict"), tmp_path) as emulator:
        answer = emulator.invoke(event("predict_oip_ready"))
    assert answer["errorType"] == "Runtime.ImportModuleError"
    assert answer["errorMessage"] == "Unable to import module 'app': No module named 'orjson'"


def test_a_handler_that_is_not_there_is_named(house: House, tmp_path: Path) -> None:
    path, variables = house.path("Predict"), house.variables("Predict")
    with emulated("app.handle", path, variables, tmp_path) as emulator:
        answer = emulator.invoke(event("predict_oip_ready"))
    assert answer["errorType"] == "Runtime.HandlerNotFound"
    assert "Handler 'handle' missing on module 'app'" in answer["errorMessage"]


def test_a_variable_that_the_template_leaves_out_is_named(house: House, tmp_path: Path) -> None:
    variables = house.variables("Predict")
    del variables["QUINTET_REGISTRY_TABLE"]
    with emulated("app.handler", house.path("Predict"), variables, tmp_path) as emulator:
        answer = emulator.invoke(event("predict_infer"))
        log = emulator.log.read_text()
    assert "QUINTET_REGISTRY_TABLE" in json.dumps(answer) + log
    assert answer.get("statusCode") != 200
