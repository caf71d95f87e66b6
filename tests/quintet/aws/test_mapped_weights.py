"""A large model's weights are mapped from a file of their own, and packed by a later run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tests.kits.aws import moto_server
from tests.kits.packages import COLUMNS, contract, model_of, package
from tests.kits.registries import RegistryServer, registry_on, release_of

from quintet.aws.artifacts import Artifacts
from quintet.aws.client import AwsClient
from quintet.errors import ModelFailure
from quintet.manifest import manifest_from_json, sha256
from quintet.onnx_model import PACKED_AT, OnnxModel
from quintet.scoring import Model
from quintet_publish.weights import LARGE, MOVED, PAGE, split

PREFIX = "models/small/1/"
WIDTH = 1_048_576  # 2 x WIDTH float32: 8 MB, and 4 MB that take them back to one output


@cache
def large(bias: float = 0.0) -> bytes:
    """y = (x @ W) @ v + bias, of 12 MB; W and v are exact, so that y = a + 2 b + bias is."""
    w = np.zeros((2, WIDTH), np.float32)
    w[:, 0] = 1.0, 2.0
    v = np.zeros((WIDTH, 1), np.float32)
    v[0] = 1.0
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["wide"]),
        helper.make_node("MatMul", ["wide", "v"], ["one"]),
        helper.make_node("Add", ["one", "bias"], ["y"]),
    ]
    tensors = {"w": w, "v": v, "bias": np.array([bias], np.float32)}
    return model_of(nodes, [numpy_helper.from_array(t, name) for name, t in tensors.items()])


def large_package(folder: Path) -> Path:
    made = package(folder, extra="limits: {rows: 3}\n")
    (made / "model.onnx").write_bytes(large())
    y = [[a + 2 * b] for a, b in zip(COLUMNS["a"], COLUMNS["b"], strict=True)]
    content = {"columns": COLUMNS, "outputs": {"y": y}}
    (made / "golden.json").write_text(json.dumps(content), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def server() -> Iterator[RegistryServer]:
    with moto_server() as url:
        yield registry_on(url)


@pytest.fixture(scope="module")
def published(server: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The stored files of a large model, by name."""
    folder = large_package(tmp_path_factory.mktemp("packages") / "large")
    server.publisher.publish(release_of(folder), "now")
    return {key.removeprefix(PREFIX): body for key, body in server.objects().items()}


@pytest.fixture
def stored(server: RegistryServer, published: dict[str, bytes]) -> Iterator[dict[str, bytes]]:
    """The same; what a test replaces is put back."""
    yield published
    for path in ("model.onnx", "graph.onnx", "weights.bin"):
        put(server, path, published[path])


def put(server: RegistryServer, path: str, content: bytes) -> None:
    server.client("s3").put_object(Bucket=server.bucket, Key=PREFIX + path, Body=content)


def drop(server: RegistryServer, path: str) -> None:
    server.client("s3").delete_object(Bucket=server.bucket, Key=PREFIX + path)


def run(model: Model) -> Any:
    (y,) = model.run(["y"], {"x": np.array([[1, 2], [3, 4]], np.float32)})
    return y.tolist()


def kept(cache: Path) -> dict[str, bytes]:
    files = [path for path in cache.rglob("*") if path.is_file()]
    return {str(path.relative_to(cache)): path.read_bytes() for path in files}


def test_a_small_graph_stays_whole() -> None:
    bias = numpy_helper.from_array(np.zeros(LARGE // 4 - 100, np.float32), "w")
    almost = model_of([helper.make_node("Identity", ["x"], ["y"])], [bias])
    assert split(almost) == {}
    many = [
        numpy_helper.from_array(np.zeros(MOVED // 4 - 1, np.float32), f"w{n}") for n in range(140)
    ]
    of_small = model_of([helper.make_node("Identity", ["x"], ["y"])], many)
    assert len(of_small) > LARGE
    assert split(of_small) == {}


def test_large_initialisers_move_to_pages_of_the_file_of_weights() -> None:
    found = split(large())
    assert found == split(large())
    moved = onnx.load_model_from_string(found["graph.onnx"]).graph.initializer
    before = onnx.load_model_from_string(large()).graph.initializer
    places = [{entry.key: entry.value for entry in tensor.external_data} for tensor in moved]
    assert places == [
        {"location": "weights.bin", "offset": "0", "length": str(8 * WIDTH)},
        {"location": "weights.bin", "offset": str(8 * WIDTH), "length": str(4 * WIDTH)},
        {},
    ]
    assert all(int(place.get("offset", 0)) % PAGE == 0 for place in places)
    assert found["weights.bin"] == before[0].raw_data + before[1].raw_data
    assert moved[2] == before[2]
    assert len(found["graph.onnx"]) < 1000


def test_publishing_stores_the_parts_beside_the_graph_as_authored(
    server: RegistryServer, stored: dict[str, bytes]
) -> None:
    assert stored["model.onnx"] == large()
    assert {path: stored[path] for path in ("graph.onnx", "weights.bin")} == split(large())
    manifest = manifest_from_json(stored["manifest.json"])
    assert {path: file.sha256 for path, file in manifest.files.items()} == {
        path: sha256(content) for path, content in stored.items() if path != "manifest.json"
    }
    assert "weights.bin" not in manifest.sources
    assert server.registry.route("small").versions[1].size == len(large())


def test_a_large_model_runs_from_its_mapped_weights(
    server: RegistryServer, stored: dict[str, bytes], tmp_path: Path
) -> None:
    drop(server, "model.onnx")
    model = server.artifacts(tmp_path).load("small", 1)
    assert run(model) == [[5.0], [11.0]]
    parts = {path: stored[path] for path in ("graph.onnx", "weights.bin")}
    assert kept(tmp_path) == {
        f"{sha256(parts['graph.onnx'])}.onnx": parts["graph.onnx"],
        f"{sha256(parts['weights.bin'])}/weights.bin": parts["weights.bin"],
    }
    for path in parts:
        drop(server, path)
    again = server.artifacts(tmp_path).load("small", 1)
    assert run(again) == [[5.0], [11.0]]
    assert (again.size, again.digest) == (sum(map(len, parts.values())), model.digest)


def test_one_run_packs_the_weights(
    server: RegistryServer, stored: dict[str, bytes], tmp_path: Path
) -> None:
    model = server.artifacts(tmp_path).load("small", 1)
    mapped = model._session
    answers = [run(model) for _ in range(PACKED_AT - 1)]
    assert model._session is mapped
    answers.append(run(model))
    packed = model._session
    assert packed is not mapped
    answers += [run(model) for _ in range(PACKED_AT)]
    assert model._session is packed
    assert answers == [[[5.0], [11.0]]] * (2 * PACKED_AT)


def test_packed_weights_must_give_the_golden_outputs_too(
    server: RegistryServer, stored: dict[str, bytes], tmp_path: Path
) -> None:
    told: list[tuple[str, int, str]] = []
    artifacts = Artifacts(
        AwsClient("s3", environ=server.environ),
        server.bucket,
        cache=tmp_path,
        threads=1,
        not_packed=lambda of, error: told.append((of.name, of.version, str(error))),
    )
    model = artifacts.load("small", 1)
    mapped = model._session
    (weights,) = tmp_path.glob("*/weights.bin")
    other = weights.with_name("other")
    other.write_bytes(bytes(len(stored["weights.bin"])))
    other.replace(weights)  # the session's own mapping stays
    assert [run(model) for _ in range(2 * PACKED_AT)] == [[[5.0], [11.0]]] * (2 * PACKED_AT)
    assert model._session is mapped
    ((name, version, reason),) = told
    assert (name, version) == ("small", 1)
    assert reason.startswith("model small version 1 does not give its golden outputs here: ")


def test_a_replacement_that_fails_leaves_the_session() -> None:
    model, made = OnnxModel(contract(), large()), []

    def make() -> OnnxModel:
        made.append(1)
        raise ModelFailure("no golden outputs")

    first = model.run
    model.replace_later(make)
    assert [run(model) for _ in range(2 * PACKED_AT)] == [[[5.0], [11.0]]] * (2 * PACKED_AT)
    assert made == [1]
    assert model.run == first


@pytest.mark.parametrize(
    ("path", "named"),
    [("weights.bin", "weights are not the ones"), ("graph.onnx", "graph is not the one")],
)
def test_changed_parts_are_refused(
    server: RegistryServer, stored: dict[str, bytes], tmp_path: Path, path: str, named: str
) -> None:
    changed = bytearray(stored[path])
    changed[0] ^= 1
    put(server, path, bytes(changed))
    with pytest.raises(
        ModelFailure, match=rf"^model small version 1: its {named} that (was|were) "
    ):
        server.artifacts(tmp_path).load("small", 1)


def test_spoilt_weights_in_the_cache_are_read_again(
    server: RegistryServer, stored: dict[str, bytes], tmp_path: Path
) -> None:
    server.artifacts(tmp_path).load("small", 1)
    (weights,) = tmp_path.glob("*/weights.bin")
    weights.write_bytes(stored["weights.bin"][:-1])
    assert run(server.artifacts(tmp_path).load("small", 1)) == [[5.0], [11.0]]
    assert weights.read_bytes() == stored["weights.bin"]


def test_without_room_for_the_weights_the_graph_as_authored_is_loaded(
    server: RegistryServer, stored: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    for loader in (server.artifacts(tmp_path / "file/cache"), server.artifacts()):
        model = loader.load("small", 1)
        assert run(model) == [[5.0], [11.0]]
        assert model.size == len(large())


def test_a_version_published_whole_still_loads(
    server: RegistryServer, stored: dict[str, bytes], tmp_path: Path
) -> None:
    manifest = json.loads(stored["manifest.json"])
    for path in ("graph.onnx", "weights.bin"):
        del manifest["files"][path]
        drop(server, path)
    put(server, "manifest.json", json.dumps(manifest).encode())
    model = server.artifacts(tmp_path).load("small", 1)
    put(server, "manifest.json", stored["manifest.json"])
    assert run(model) == [[5.0], [11.0]]
    assert kept(tmp_path) == {f"{sha256(large())}.onnx": large()}


def test_a_graph_names_no_file_beside_its_weights(tmp_path: Path) -> None:
    """onnxruntime itself refuses a place outside the folder of the weights."""
    (tmp_path / "secret.bin").write_bytes(bytes(4 * WIDTH * 2))
    inside = tmp_path / "model"
    inside.mkdir()
    (inside / "weights.bin").write_bytes(split(large())["weights.bin"])
    graph = onnx.load_model_from_string(split(large())["graph.onnx"])
    graph.graph.initializer[0].external_data[0].value = "../secret.bin"
    with pytest.raises(ModelFailure, match=r"^model small version 1 does not load \("):
        OnnxModel(contract(), graph.SerializeToString(), weights=inside / "weights.bin")
