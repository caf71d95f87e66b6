"""A model whose runs end their environment: it is refused after a while, and others go on."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from onnx import TensorProto, helper
from tests.kits.local_aws import LocalAws
from tests.kits.models import publish_graph
from tests.kits.packages import contract, graph, model_of

from quintet.contract import Contract, from_dict, to_dict

#: more floats than predict has memory for
TOO_MANY = 600_000_000


def hungry() -> bytes:
    """y = sum of the rows of x, after that many rounds with a tensor of that many floats."""
    made, info = helper.make_node, helper.make_tensor_value_info
    body = helper.make_graph(
        [
            made("ConstantOfShape", ["count"], ["zeros"]),
            made("ReduceMax", ["zeros"], ["zero"], keepdims=0),
            made("Add", ["before", "zero"], ["after"]),
            made("Identity", ["on"], ["still_on"]),
        ],
        "round",
        [
            info("number", TensorProto.INT64, []),
            info("on", TensorProto.BOOL, []),
            info("before", TensorProto.FLOAT, ["rows", 1]),
        ],
        [info("still_on", TensorProto.BOOL, []), info("after", TensorProto.FLOAT, ["rows", 1])],
    )
    return model_of(
        [
            made("ReduceSum", ["x", "columns"], ["sums"], keepdims=1),
            made("ReduceMax", ["x"], ["most"], keepdims=0),
            made("Cast", ["most"], ["rounds"], to=TensorProto.INT64),
            made("Reshape", ["rounds", "one"], ["count"]),
            made("Loop", ["rounds", "", "sums"], ["y"], body=body),
        ],
        [
            helper.make_tensor("columns", TensorProto.INT64, [1], [1]),
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        ],
    )


def named(name: str) -> Contract:
    """The contract of the kit's package, under a name and without ranges."""
    made = to_dict(contract())
    made["name"] = name
    for feature in made["features"]:
        feature.pop("range", None)
    return from_dict(made)


def publish(local: LocalAws, name: str, content: bytes) -> None:
    """Publish a graph without the checks that a user's package passes."""
    publish_graph(named(name), content, {"a": [1.0], "b": [1.0]}, local.registry)


def predict(local: LocalAws, name: str, a: float) -> tuple[int, dict[str, str], Any]:
    """The status, headers and body of an answer."""
    request = urllib.request.Request(
        f"{local.api_url}/models/{name}/predict",
        json.dumps({"records": [{"a": a, "b": 1.0}]}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), json.load(error)


def test_a_version_that_ends_its_environment_again_and_again_is_refused_and_others_answer(
    local_aws: LocalAws,
) -> None:
    publish(local_aws, "hungry", hungry())
    publish(local_aws, "modest", graph())
    assert predict(local_aws, "hungry", 1.0)[2]["predictions"][0]["y"] == 2.0
    statuses: list[int] = []
    while (answer := predict(local_aws, "hungry", TOO_MANY))[0] == 502 and len(statuses) < 20:
        statuses.append(answer[0])
        assert predict(local_aws, "modest", 1.0)[2]["predictions"][0]["y"] == 3.0
    # three in one environment; earlier tests may have left a few that were idle
    assert 3 <= len(statuses) < 20
    status, headers, body = answer
    assert (status, body["title"]) == (503, "Service Unavailable")
    assert body["detail"].startswith(
        "model hungry version 1 ended the process of this execution environment 3 times"
    )
    assert 590 <= int(headers["Retry-After"]) <= 600
    assert predict(local_aws, "hungry", 1.0)[0] == 503
    assert predict(local_aws, "modest", 1.0)[0] == 200
    told = [line for line in local_aws.logs("Predict").splitlines() if '"model crashed"' in line]
    assert [json.loads(line)["crashes"] for line in told][-3:] == [1, 2, 3]
