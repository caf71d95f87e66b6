"""Published versions are loaded as they were published, or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace as replace_fields
from pathlib import Path

import numpy as np
import pytest
from tests.kits.aws import moto_server
from tests.kits.packages import contract, golden, graph, package
from tests.kits.registries import RegistryServer, registry_on, release_of

from quintet.aws.artifacts import Artifacts
from quintet.aws.client import AwsClient
from quintet.contract import to_dict
from quintet.errors import ModelFailure, Transient
from quintet.manifest import sha256
from quintet.serving.model_cache import ModelCache
from quintet.serving.routes import MemoryRoutes, Route
from quintet.wiring import common

PREFIX = "models/small/1/"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as found:
        yield found


@pytest.fixture
def server(url: str, tmp_path: Path) -> RegistryServer:
    """A registry with one version of one model."""
    made = registry_on(url)
    made.publisher.publish(release_of(package(tmp_path / "package")), "now")
    return made


def seal(server: RegistryServer) -> str:
    return server.registry.route("small").versions[1].seal


def replace(server: RegistryServer, path: str, content: bytes) -> None:
    server.client("s3").put_object(Bucket=server.bucket, Key=PREFIX + path, Body=content)


def change_manifest(server: RegistryServer, **changes: object) -> None:
    """Change the manifest behind the table's back."""
    manifest = json.loads(server.objects()[PREFIX + "manifest.json"])
    replace(server, "manifest.json", json.dumps({**manifest, **changes}).encode())


def test_loads_what_was_published(server: RegistryServer) -> None:
    model = server.artifacts().load("small", 1, seal(server))
    (y,) = model.run(["y"], {"x": np.array([[1, 2]], np.float32)})
    assert y.tolist() == [[4.0]]
    assert model.contract == contract()
    assert model.digest == server.registry.route("small").versions[1].digest
    assert server.artifacts().contract("small", 1) == contract()


def test_a_changed_graph_is_refused(server: RegistryServer) -> None:
    replace(server, "model.onnx", graph(5.0))
    with pytest.raises(ModelFailure, match=r"its graph is not the one that was published$"):
        server.artifacts().load("small", 1)


def test_a_changed_graph_with_a_changed_manifest_is_refused_by_the_seal(
    server: RegistryServer,
) -> None:
    kept = seal(server)
    replace(server, "model.onnx", graph(5.0))
    files = {"model.onnx": {"sha256": sha256(graph(5.0)), "size": len(graph(5.0))}}
    outputs = {**golden(5.0), "tolerance": 1e-6}
    change_manifest(server, files=files, golden=outputs)
    assert server.artifacts().load("small", 1) is not None  # without the seal nothing shows
    with pytest.raises(ModelFailure, match=r"^model small version 1: its manifest was changed$"):
        server.artifacts().load("small", 1, kept)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"digest": "0" * 64}, "the digest is not that of the sources"),
        ({"version": 2}, "its manifest is of another"),
        ({"files": 1}, "not a manifest"),
        ({"surplus": 1}, "not a manifest"),
    ],
)
def test_an_odd_manifest_is_refused(
    server: RegistryServer, changes: dict[str, object], text: str
) -> None:
    change_manifest(server, **changes)
    with pytest.raises(ModelFailure, match=text):
        server.artifacts().load("small", 1)


def test_a_truncated_manifest_is_refused(server: RegistryServer) -> None:
    replace(server, "manifest.json", b'{"name": "small"')
    with pytest.raises(ModelFailure, match=r"^model small version 1: "):
        server.artifacts().load("small", 1)


def test_golden_outputs_are_checked_at_load(server: RegistryServer) -> None:
    change_manifest(server, golden={**golden(5.0), "tolerance": 1e-6})
    with pytest.raises(ModelFailure) as caught:
        server.artifacts().load("small", 1)
    assert str(caught.value) == (
        "model small version 1 does not give its golden outputs here: "
        "row 2: y[0]: expected 16.5, got 9.0; they differ by 7.5, the tolerance 1e-06 allows "
        "1.6e-05"
    )


def test_some_golden_rows_are_due_before_the_second_answer(server: RegistryServer) -> None:
    client = AwsClient("s3", environ=server.environ)
    loader = Artifacts(client, server.bucket, early=2)
    model = loader.load("small", 1)
    for due in (False, True):
        assert (model.due is not None) == due
        (y,) = model.run(["y"], {"x": np.array([[1, 2]], np.float32)})
        assert y.tolist() == [[4.0]]
    assert model.due is not None
    model.due()
    assert model.due is None


def test_a_late_golden_row_that_differs_takes_the_version_out(server: RegistryServer) -> None:
    outputs = golden()["outputs"]["y"]
    late = {**golden(), "outputs": {"y": [*outputs[:2], [16.5]]}, "tolerance": 1e-6}
    change_manifest(server, golden=late)
    text = r"^model small version 1 does not give its golden outputs here: row 2: y\[0\]: expected"
    client = AwsClient("s3", environ=server.environ)
    changed = sha256(server.objects()[PREFIX + "manifest.json"])
    version = replace_fields(server.registry.route("small").versions[1], seal=changed)
    models = ModelCache(
        MemoryRoutes([Route("small", 1, 1, {1: version})]),
        Artifacts(client, server.bucket, early=2),
        memory=10**9,
        clock=lambda: 0.0,
    )
    assert models.get("small") is models.get("small")  # loaded in init: nobody has an answer yet
    (y,) = models.get("small").run(["y"], {"x": np.array([[1, 2]], np.float32)})
    assert y.tolist() == [[4.0]]
    for _ in range(2):  # the second time it is loaded anew, with all rows
        with pytest.raises(ModelFailure, match=text):
            models.get("small")
        assert models.in_memory() == []


#: golden outputs that differ by 1e-6 of their size, and what the load says of the largest
NEAR = {**golden(), "outputs": {"y": [[1.0], [4.0], [9.0000402]]}, "tolerance": 1e-6}
LARGEST = (
    "row 2: y[0]: expected 9.0000402, got 9.0; they differ by 4e-05, the tolerance 1e-06 allows "
    "9e-06"
)


def test_a_load_that_nearly_gives_its_golden_outputs_is_refused_by_default(
    server: RegistryServer,
) -> None:
    change_manifest(server, golden=NEAR)
    with pytest.raises(ModelFailure) as caught:
        server.artifacts().load("small", 1)
    assert str(caught.value) == (
        f"model small version 1 does not give its golden outputs here: {LARGEST}. A version with "
        "`when_golden_differs: warn` serves up to 10 times its tolerance"
    )


def test_it_serves_with_a_warning_where_the_contract_allows_it(server: RegistryServer) -> None:
    allowing = to_dict(replace_fields(contract(), when_golden_differs="warn"))
    change_manifest(server, golden=NEAR, contract=allowing)
    warnings: list[tuple[str, str]] = []
    client = AwsClient("s3", environ=server.environ)
    loader = Artifacts(
        client, server.bucket, warn=lambda c, worst: warnings.append((c.name, str(worst)))
    )
    (y,) = loader.load("small", 1).run(["y"], {"x": np.array([[1, 2]], np.float32)})
    assert y.tolist() == [[4.0]]
    assert warnings == [("small", LARGEST)]
    far = {**NEAR, "outputs": {"y": [[1.0], [4.0], [9.0009001]]}}
    change_manifest(server, golden=far, contract=allowing)
    with pytest.raises(ModelFailure, match=r"allows 9e-06$"):
        loader.load("small", 1)


def test_the_warning_is_a_log_line_and_a_metric(
    server: RegistryServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    allowing = to_dict(replace_fields(contract(), when_golden_differs="warn"))
    change_manifest(server, golden=NEAR, contract=allowing)
    for name, value in {**server.environ, "POWERTOOLS_METRICS_NAMESPACE": "Quintet"}.items():
        monkeypatch.setenv(name, value)
    common.client.cache_clear()
    common.request_telemetry.cache_clear()
    common.artifacts(server.bucket).load("small", 1)
    common.client.cache_clear()
    common.request_telemetry.cache_clear()
    line, metric = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["level"], line["message"]) == ("WARNING", "golden outputs differ")
    assert (line["model"], line["version"], line["largest"]) == ("small", "1", LARGEST)
    assert metric["golden_warnings_count"] == [1.0]
    assert metric["model"] == "small"
    assert "version" not in metric


def test_a_load_warns_once_of_early_and_of_late_rows(server: RegistryServer) -> None:
    near = {**NEAR, "outputs": {"y": [[1.0000036], [4.0], [9.0000402]]}}
    allowing = to_dict(replace_fields(contract(), when_golden_differs="warn"))
    change_manifest(server, golden=near, contract=allowing)
    warnings: list[int] = []
    loader = Artifacts(
        AwsClient("s3", environ=server.environ),
        server.bucket,
        early=2,
        warn=lambda _, worst: warnings.append(worst.row),
    )
    model = loader.load("small", 1)
    assert warnings == [0]
    model.run(["y"], {"x": np.array([[1, 2]], np.float32)})
    assert model.due is not None
    model.due()
    assert warnings == [0]
    loader.load("small", 1)  # another load counts again
    assert warnings == [0, 0]


def test_a_version_that_is_not_there_is_a_model_failure(server: RegistryServer) -> None:
    with pytest.raises(
        ModelFailure, match=r"^model small version 9: manifest.json cannot be read$"
    ):
        server.artifacts().load("small", 9)


def test_a_registry_that_does_not_answer_is_transient(tmp_path: Path) -> None:
    away = RegistryServer("http://127.0.0.1:9", "bucket", "table")
    with pytest.raises(Transient, match=r"^s3 did not answer"):
        away.artifacts().load("small", 1)


def test_the_cache_serves_after_the_object_is_gone(server: RegistryServer, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    server.artifacts(cache).load("small", 1)
    assert [path.read_bytes() for path in cache.iterdir()] == [graph()]
    server.client("s3").delete_object(Bucket=server.bucket, Key=PREFIX + "model.onnx")
    assert server.artifacts(cache).load("small", 1).size == len(graph())


def test_a_spoilt_cache_is_not_trusted(server: RegistryServer, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    server.artifacts(cache).load("small", 1)
    (kept,) = cache.iterdir()
    kept.write_bytes(graph(5.0))
    assert server.artifacts(cache).load("small", 1) is not None
    assert kept.read_bytes() == graph()


def test_a_cache_without_room_is_done_without(server: RegistryServer, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert server.artifacts(blocked / "cache").load("small", 1) is not None
