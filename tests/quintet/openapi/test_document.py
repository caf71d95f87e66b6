"""The document: valid OpenAPI, complete, and without anyone's data."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from tests.kits.aws import load_app
from tests.kits.models import CONTRACTS, ROWS, SHOP, online, renamed

from quintet.api.openapi import OpenApi
from quintet.errors import ModelFailure, Transient
from quintet.openapi.document import Described, document
from quintet.protocols.http import Request
from quintet.protocols.registry import RECORDS
from quintet.serving import RequestContext
from quintet.serving.golden import Golden
from quintet.serving.routes import UnknownModel
from quintet_cli.openapi import page

ROOT = Path(__file__).parents[3]
FUNCTIONS = ("predict", "submit", "runs", "get_scores", "add_labels")


def described(name: str, **outputs: list[Any]) -> Described:
    return Described(CONTRACTS[name], Golden(ROWS[name], outputs))


def made(*models: Described, **options: Any) -> dict[str, Any]:
    """A document as a client reads it."""
    found: dict[str, Any] = orjson.loads(orjson.dumps(document(models, **options)))
    return found


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_document_of_any_contract_is_valid(name: str) -> None:
    validate(made(described(name), whole=False))


@pytest.mark.parametrize("path", sorted(ROOT.glob("docs/openapi/*.json")), ids=lambda p: p.stem)
def test_the_committed_documents_are_valid(path: Path) -> None:
    found = json.loads(path.read_text())
    validate(found)
    assert found["openapi"] == "3.1.0"


def test_operations_have_names_of_their_own_and_every_reference_leads_somewhere() -> None:
    found = made(*(described(name) for name in CONTRACTS))
    ids = [one["operationId"] for path in found["paths"].values() for one in path.values()]
    assert len(ids) == len(set(ids)) > 100
    references = set(re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(found)))
    for reference in references:
        part: Any = found
        for name in reference.split("/"):
            part = part[name]
        assert part
    assert {f"components/headers/{name}" for name in found["components"]["headers"]} <= references


def test_every_route_of_the_functions_is_described() -> None:
    paths: dict[str, Any] = {}
    for name in ("api", "ranker"):
        paths |= json.loads((ROOT / f"docs/openapi/{name}.json").read_text())["paths"]
    described_routes = set()
    for path, methods in paths.items():
        general = re.sub(r"/ranker(?=[/:]|$)", "/{model}", path)
        general = re.sub(r"^/v2/.+", "/v2/{proxy+}", general)
        general = re.sub(r"^/endpoints/{model}", "/endpoints/{endpoint}", general)
        described_routes |= {(method.upper(), general) for method in methods}
    served = {route for name in FUNCTIONS for route in load_app(name).ROUTES.table}
    assert served == described_routes


def test_examples_are_golden_rows_in_each_form() -> None:
    found = made(described("log", logs=[[0.5, 1.5]]), whole=False)
    paths = found["paths"]

    def bodies(path: str, kind: str = "application/json") -> tuple[Any, Any]:
        post = paths[path]["post"]
        asked = post["requestBody"]["content"][kind]["example"]
        return asked, post["responses"]["200"]["content"][kind].get("example")

    row = {"x": 2.0, "y": 1.0}
    name = CONTRACTS["log"].outputs[0].name
    asked, answered = bodies("/models/log/predict")
    assert asked == {"records": [row]}
    assert answered is None or answered["predictions"][0].keys() == {name}
    assert bodies("/v1/models/log:predict")[0] == {"instances": [row]}
    assert bodies("/endpoints/log/invocations", "text/csv")[0] == "x,y\n2.0,1.0\n"
    tensors = bodies("/v2/models/log/infer")[0]["inputs"]
    assert tensors == [
        {"name": "x", "shape": [1], "datatype": "FP32", "data": [2.0]},
        {"name": "y", "shape": [1], "datatype": "FP32", "data": [1.0]},
    ]


def test_a_sensitive_feature_is_in_no_example() -> None:
    golden = Golden({"text": ["the customer's own words"]}, {"department": [1]})
    found = made(Described(CONTRACTS["text"], golden), whole=False)
    assert "own words" not in json.dumps(found)
    answers = found["paths"]["/models/text/predict"]["post"]["responses"]["200"]["content"]
    assert "example" not in answers["application/json"]


@pytest.mark.parametrize(
    ("auth", "schemes"),
    [("none", set()), ("iam", {"iam"}), ("keys", {"bearer", "key"}), ("jwt", {"jwt"})],
)
def test_the_security_is_the_stages(auth: str, schemes: set[str]) -> None:
    found = made(described("log"), auth=auth)
    validate(found)
    assert found["components"]["securitySchemes"].keys() == schemes
    assert {name for one in found["security"] for name in one} == schemes


def test_each_error_is_as_its_form_writes_it() -> None:
    found = made()
    for name, response in found["components"]["responses"].items():
        for media in response["content"].values():
            schema = {**media["schema"], "components": found["components"]}
            if "example" in media:
                Draft202012Validator(schema).validate(media["example"])
            else:
                assert name == "Accepted"
    problem = found["components"]["responses"]["Problem413"]["content"]["application/problem+json"]
    assert problem["example"]["detail"] == "body: expected at most 1000000 bytes, got more"


def test_a_model_that_cannot_be_read_is_left_out_of_the_whole() -> None:
    def read(name: str) -> Described:
        if name == "text":
            raise UnknownModel(name, 1, "2026-01-01")
        if name == "echo":
            raise ModelFailure("its manifest was changed")
        return described(name)

    api = OpenApi(lambda: sorted(CONTRACTS), read, "iam")
    request = Request("GET", "/openapi.json", path="/prod/openapi.json", segments=1)
    found = orjson.loads(api.answer(request).body)
    assert found["servers"] == [{"url": "/prod"}]
    assert "/models/log/predict" in found["paths"]
    assert not {"/models/text/predict", "/models/echo/predict"} & found["paths"].keys()
    one = replace(request, parameters={"model": "text"}, segments=3)
    with pytest.raises(UnknownModel):
        api.answer(one)


def test_a_registry_that_does_not_answer_is_transient() -> None:
    def read(name: str) -> Described:
        raise Transient("S3 does not answer")

    api = OpenApi(lambda: ["log"], read, "iam")
    with pytest.raises(Transient, match="S3 does not answer"):
        api.answer(Request("GET", "/openapi.json"))


def test_the_page_shows_every_operation_and_escapes_what_contracts_say() -> None:
    marked = renamed(SHOP, description="<script>alert(1)</script>")
    found = made(Described(marked, Golden(ROWS["shop"], {})), whole=False)
    text = page(found)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "https://" not in text.replace("https://127", "")
    for path in found["paths"]:
        assert f"<code>{path}</code>" in text
    anchors = set(re.findall(r'id="([^"]+)"', text))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= anchors


def test_the_kits_models_answer_as_their_schemas_say() -> None:
    service = online()
    for name in ("log", "text", "pixels"):
        row = {key: values[0] for key, values in ROWS[name].items()}
        found = made(described(name), whole=False)
        asked = orjson.dumps({"records": [row]})
        request = Request("POST", "/models/{model}/predict", {"model": name}, {}, asked)
        body = orjson.loads(RECORDS.answer(service, request, RequestContext("r")).body)
        schema = found["components"]["schemas"][f"{name}.RecordsAnswer"]
        Draft202012Validator({**schema, "components": found["components"]}).validate(body)
