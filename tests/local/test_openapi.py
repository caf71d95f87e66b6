"""The OpenAPI documents on the local AWS: every example gets the documented answer."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import urllib3
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from tests.kits.local_aws import ROOT, LocalAws, eventually, start_local_aws
from typer.testing import CliRunner

from quintet_cli.app import app

MODELS = sorted(path.parent.name for path in ROOT.glob("models/*/model.yaml"))
JSON = "application/json"


@dataclass(frozen=True)
class Api:
    """The API of a local AWS with every example model, and its documents."""

    local: LocalAws

    def send(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> urllib3.BaseHTTPResponse:
        """An answer; names of headers have _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.local.api_url}{path}"
        return urllib3.request(method, url, body=body, headers=named, retries=False, timeout=30)

    def document(self, path: str) -> dict[str, Any]:
        """A document that the API serves."""
        answer = self.send("GET", path)
        assert answer.status == 200, answer.data
        return cast("dict[str, Any]", answer.json())


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    local = start_local_aws(tmp_path_factory.mktemp("openapi"))
    try:
        for name in MODELS:
            quintet(local, "publish", str(ROOT / "models" / name))
            if rows := stored(name):
                path = tmp_path_factory.mktemp(name) / "features.csv"
                with path.open("w", newline="") as file:
                    writer = csv.DictWriter(file, rows)
                    writer.writeheader()
                    writer.writerow(rows)
                quintet(local, "features", "load", str(path), "--model", name)
        yield Api(local)
    finally:
        local.stop()


def quintet(local: LocalAws, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--state", str(local.state)])
    assert done.exit_code == 0, done.output
    return done.output


def stored(name: str) -> dict[str, Any]:
    """The stored features of a model's first golden row, as a row of a file; empty without any."""
    package = ROOT / "models" / name
    golden = json.loads((package / "golden.json").read_text())
    document = committed(name)
    sent = document["components"]["schemas"][f"{name}.Record"]["properties"]
    row = {key: values[0] for key, values in golden["columns"].items() if key not in sent}
    return {"customer_id": f"{name}-example", **row} if row else {}


def committed(name: str) -> dict[str, Any]:
    text = (ROOT / "docs/openapi" / f"{name}.json").read_text()
    return cast("dict[str, Any]", json.loads(text))


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": document["components"]})


def examples(name: str) -> list[Any]:
    """Path, content type, example and the documented answers of each operation with an example."""
    found = []
    for path, methods in committed(name)["paths"].items():
        for one in methods.values():
            for kind, media in one.get("requestBody", {}).get("content", {}).items():
                if "example" in media:
                    case = f"{one['operationId']} {kind}"
                    found.append(pytest.param(path, kind, media, one["responses"], id=case))
    return found


@pytest.mark.parametrize("name", MODELS)
def test_the_served_document_is_the_committed_one(api: Api, name: str) -> None:
    served = api.document(f"/models/{name}/openapi.json")
    validate(served)
    known = committed(name)
    assert {**served, "servers": []} == {**known, "servers": []}


def test_the_whole_document_has_the_paths_of_every_model(api: Api) -> None:
    whole = api.document("/openapi.json")
    validate(whole)
    shared = json.loads((ROOT / "docs/openapi/api.json").read_text())["paths"]
    own = [committed(name)["paths"] for name in MODELS]
    assert whole["paths"].keys() == shared.keys() | {path for paths in own for path in paths}


@pytest.mark.parametrize(
    ("path", "kind", "media", "answers"),
    [example for name in MODELS for example in examples(name)],
)
def test_an_example_gives_the_documented_answer(
    api: Api, path: str, kind: str, media: dict[str, Any], answers: dict[str, Any]
) -> None:
    name = next(name for name in MODELS if name in path.replace(":", "/").split("/"))
    document = committed(name)
    example = media["example"]
    validator(document, media["schema"]).validate(example)
    body = example if isinstance(example, str) else json.dumps(example)
    path = path.replace("{version}", "1").replace("{user}", "u1")

    def asked() -> urllib3.BaseHTTPResponse | None:
        accept = kind if kind == "text/csv" else "*/*"
        answer = api.send("POST", path, body.encode(), Content_Type=kind, Accept=accept)
        # stored features are cached for some seconds, also those that were not there yet
        return None if b'"fallback":true' in answer.data else answer

    answer = eventually(asked, 60)
    documented = answers[str(answer.status)]
    if "$ref" in documented:
        documented = document["components"]["responses"][documented["$ref"].rpartition("/")[2]]
    content = documented["content"]
    media_type = answer.headers["Content-Type"].partition(";")[0]
    assert media_type in content, answer.data
    if "recommendations" in path:  # no run has made candidates
        assert answer.status in (404, 503), answer.data
        return
    assert answer.status == 202 if path.endswith("async-invocations") else 200
    if media_type == JSON:
        validator(document, content[media_type]["schema"]).validate(answer.json())
    if path.endswith("invocations-response-stream"):
        assert media_type == "application/vnd.amazon.eventstream"
    elif "example" in content[media_type]:
        want = content[media_type]["example"]
        got = answer.data.decode() if isinstance(want, str) else answer.json()
        assert differences(want, got) == []


def differences(want: Any, got: Any, place: str = "answer") -> list[str]:
    """Where two answers differ, beyond the tolerance of golden rows and ages in seconds."""
    if place.endswith("features_age_s"):
        return [] if want.keys() == got.keys() else [place]
    if isinstance(want, dict) and isinstance(got, dict) and want.keys() == got.keys():
        return [line for key in want for line in differences(want[key], got[key], f"{place}.{key}")]
    if isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        pairs = enumerate(zip(want, got, strict=True))
        return [line for at, (a, b) in pairs for line in differences(a, b, f"{place}[{at}]")]
    if isinstance(want, str) and isinstance(got, str) and place == "answer":  # CSV
        cells = zip(want.strip().split(","), got.strip().split(","), strict=True)
        return [f"{a} {b}" for a, b in cells if a != b and not _near(float(a), float(b))]
    if isinstance(want, float) and isinstance(got, int | float) and _near(want, got):
        return []
    return [] if want == got else [f"{place}: documented {want!r}, got {got!r}"]


def _near(want: float, got: float) -> bool:
    return math.isclose(want, got, rel_tol=1e-5, abs_tol=1e-5)


@pytest.mark.parametrize(
    ("status", "path", "body", "headers"),
    [
        (400, "/models/churn/predict", b"{}", {}),
        (400, "/v2/models/churn/infer", b'{"inputs": []}', {}),
        (400, "/endpoints/churn/invocations", b"[]", {}),
        (400, "/v1/models/churn:predict", b"{}", {}),
        (413, "/models/tickets/predict", b" " * 1_000_001, {}),
        (413, "/v2/models/tickets/infer", b" " * 1_000_001, {}),
        (413, "/endpoints/tickets/invocations", b" " * 1_000_001, {}),
        (415, "/models/churn/predict", b"{}", {"Content_Type": "text/xml"}),
        (415, "/v2/models/churn/infer", b"{}", {"Content_Type": "text/xml"}),
        (415, "/endpoints/churn/invocations", b"{}", {"Content_Type": "text/xml"}),
    ],
)
def test_a_refusal_has_the_documented_body(
    api: Api, status: int, path: str, body: bytes, headers: dict[str, str]
) -> None:
    answer = api.send("POST", path, body, **headers)
    assert answer.status == status, answer.data
    name = path.replace(":", "/").split("/")[3 if path.startswith("/v") else 2]
    document = committed(name)
    (operation,) = document["paths"][path].values()
    reference = operation["responses"][str(status)]["$ref"].rpartition("/")[2]
    documented = document["components"]["responses"][reference]
    content = documented["content"][answer.headers["Content-Type"]]
    validator(document, content["schema"]).validate(answer.json())
    assert answer.json().keys() == content["example"].keys()
    assert documented.get("headers", {}).keys() <= answer.headers.keys() | {"x-amzn-errortype"}


def test_a_job_of_each_form_is_as_documented(api: Api) -> None:
    document = committed("tickets")
    media = document["paths"]["/models/tickets/predict"]["post"]["requestBody"]["content"][JSON]
    body = json.dumps(media["example"]).encode()
    answer = api.send("POST", "/models/tickets/predict", body, Prefer="respond-async")
    assert answer.status == 202
    schemas = document["components"]["schemas"]
    validator(document, schemas["JobAccepted"]).validate(answer.json())
    path = f"/jobs/{answer.json()['id']}"

    def ended() -> dict[str, Any] | None:
        found = api.send("GET", path).json()
        validator(document, schemas["Job"]).validate(found)
        return cast("dict[str, Any]", found) if found["state"] == "DONE" else None

    job = eventually(ended, 60)
    validator(document, schemas["tickets.RecordsAnswer"]).validate(job["result"]["body"])
    listed = api.send("GET", "/jobs?model=tickets&limit=1")
    validator(document, schemas["Jobs"]).validate(listed.json())
    ended_job = api.send("DELETE", path)
    assert ended_job.status == 409
    validator(document, schemas["Problem"]).validate(ended_job.json())


def test_the_command_prints_a_document_and_writes_a_page(api: Api, tmp_path: Path) -> None:
    whole = json.loads(quintet(api.local, "openapi"))
    assert whole["servers"] == [{"url": api.local.api_url}]
    page = tmp_path / "page.html"
    quintet(api.local, "openapi", "churn", "--html", str(page))
    text = page.read_text()
    assert "<h1>churn" in text
    assert "/v2/models/churn/infer" in text
    done = CliRunner().invoke(app, ["openapi", "chorn", "--state", str(api.local.state)])
    assert "is it 'churn'?" in str(done.exception)
