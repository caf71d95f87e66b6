"""Whatever bytes come as a package or a manifest: they are read or refused, nothing else."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kits.packages import MODEL_YAML, contract, graph, package

from quintet.manifest import File, Manifest, digest_of, manifest_from_json
from quintet_publish.graph_checks import check_graph
from quintet_publish.model_yaml import read_contract
from quintet_publish.package import read_package
from quintet_publish.problems import PackageError
from quintet_publish.safety import read_graph

YAML = MODEL_YAML.format(name="small", version=1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["columns", "outputs", "a", "b", "y"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@st.composite
def spoilt(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes with some replaced, inserted or cut."""
    start = draw(st.integers(0, len(content)))
    stop = draw(st.integers(start, min(len(content), start + 20)))
    return content[:start] + draw(st.binary(max_size=20)) + content[stop:]


@given(spoilt(graph()))
@settings(max_examples=500)
def test_spoilt_graphs(content: bytes) -> None:
    with contextlib.suppress(PackageError):
        check_graph(contract(), read_graph(content))


@given(spoilt(YAML.encode()))
@settings(max_examples=300)
def test_spoilt_contracts(content: bytes) -> None:
    with contextlib.suppress(PackageError):
        read_contract(content)


VALUES = st.sampled_from(
    ["[", "]", "{a: 1}", "-1", "[-1, 2]", "null", "~", "1e400", "x", "'", "true", "[[1]]", "0x9"]
)


@given(
    old=st.sampled_from(["float32", "[-1, 2]", "[0, 100]", "1.0", "score", "[a, b]", "a", "1"]),
    new=VALUES,
)
@settings(max_examples=300)
def test_contracts_with_odd_values(old: str, new: str) -> None:
    with contextlib.suppress(PackageError):
        read_contract(YAML.replace(old, new, 1).encode())


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_odd_golden_vectors(data: Any) -> None:
    with TemporaryDirectory() as folder:
        made = package(Path(folder))
        (made / "golden.json").write_text(json.dumps(data), encoding="utf-8")
        with contextlib.suppress(PackageError):
            read_package(made)


def manifest() -> bytes:
    sources = {"model.onnx": "0" * 64}
    files = {"model.onnx": File("0" * 64, 1)}
    digest = digest_of(sources)
    return Manifest("m", 1, digest, "now", sources, files, {}, {}).to_json()


def test_a_manifest_survives_its_json() -> None:
    assert manifest_from_json(manifest()).to_json() == manifest()


@given(spoilt(manifest()) | JSON.map(lambda data: json.dumps(data).encode()))
@settings(max_examples=300)
def test_spoilt_manifests(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        manifest_from_json(content)
