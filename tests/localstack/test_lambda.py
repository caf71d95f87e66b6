"""Lambda as LocalStack has it with the plugin's executor, by a function that tells its calls."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.kits.local_aws import eventually
from tests.localstack.conftest import SECONDS, Probe

pytestmark = pytest.mark.localstack

#: of the calls of an alias; a weight of 1 is refused here
NEARLY_ALL = 0.9999999


def second_version(probe: Probe) -> tuple[str, str]:
    """Two published versions of the function."""
    client = probe.at.client("lambda")
    first = client.publish_version(FunctionName=probe.name)["Version"]
    client.update_function_configuration(FunctionName=probe.name, Description="another")
    client.get_waiter("function_updated_v2").wait(FunctionName=probe.name)
    return first, client.publish_version(FunctionName=probe.name)["Version"]


def call(probe: Probe, qualifier: str, event: Any) -> tuple[str | None, Any]:
    """Invoke the function: Lambda's name for the error if there is one, and the answer."""
    answer = probe.at.client("lambda").invoke(
        FunctionName=probe.name, Qualifier=qualifier, Payload=json.dumps(event)
    )
    return answer.get("FunctionError"), json.load(answer["Payload"])


def test_the_weights_of_an_alias_are_honoured(probe: Probe) -> None:
    first, second = second_version(probe)
    probe.at.client("lambda").create_alias(
        FunctionName=probe.name,
        Name="live",
        FunctionVersion=first,
        RoutingConfig={"AdditionalVersionWeights": {second: NEARLY_ALL}},
    )
    assert call(probe, "live", {})[1]["version"] == second


def test_provisioned_environments_are_started_before_a_call(probe: Probe) -> None:
    client = probe.at.client("lambda")
    version, _ = second_version(probe)
    place = {"FunctionName": probe.name, "Qualifier": version}
    client.put_provisioned_concurrency_config(ProvisionedConcurrentExecutions=1, **place)

    def ready() -> bool:
        found = client.get_provisioned_concurrency_config(**place)
        return bool(found["Status"] == "READY")

    eventually(ready, SECONDS)
    assert call(probe, version, {})[1]["start"] == "provisioned-concurrency"


def test_an_error_of_a_function_has_its_type(probe: Probe) -> None:
    """What a Retry of a state machine matches; the next call finds the function well."""
    poison = {"Records": [{"kinesis": {"partitionKey": "poison"}}]}
    error, answer = call(probe, "$LATEST", poison)
    assert (error, answer["errorType"], answer["errorMessage"]) == (
        "Unhandled",
        "ValueError",
        "poison",
    )
    assert call(probe, "$LATEST", {})[0] is None
