"""What `quintet init` writes: the files of a package, personal data, arrays, limits."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from benchmarks.init_models import by_hand
from benchmarks.init_models.case import Case
from onnx import TensorProto, helper

from quintet.contract import Contract, Feature, Input, Output
from quintet.errors import Conflict
from quintet.serving.golden import Golden
from quintet_publish.init.draft import Draft
from quintet_publish.init.measured import memory_guesses
from quintet_publish.init.names import is_key, model_name, sensitive, usable, without_repeats
from quintet_publish.init.proposal import propose
from quintet_publish.init.table import read_sample
from quintet_publish.init.writing import write_golden, write_package
from quintet_publish.package import read_package
from quintet_publish.problems import PackageError

ROWS = 40


def contacts(folder: Path) -> Draft:
    """A graph of two texts, of which one is an address, whose label is a class's name."""
    encoder = helper.make_node(
        "LabelEncoder",
        ["city"],
        ["label"],
        domain="ai.onnx.ml",
        keys_strings=["Bonn", "Oslo"],
        values_int64s=[3, 4],
        default_int64=3,
    )
    made = helper.make_graph(
        [encoder, helper.make_node("Identity", ["contact"], ["same"])],
        "g",
        [
            helper.make_tensor_value_info(name, TensorProto.STRING, ["N", 1])
            for name in ("city", "contact")
        ],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N", 1]),
            helper.make_tensor_value_info("same", TensorProto.STRING, ["N", 1]),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString()
    records = [
        {"city": ["Bonn", "Oslo"][at % 2], "contact": f"user{at}@shop.example"}
        for at in range(ROWS)
    ]
    path, sample = Case("contacts", "", graph, records, []).write(folder)
    assert sample is not None
    ticks = itertools.count()
    table = read_sample(sample)
    return propose(path, table, sample=sample, clock=lambda: next(ticks) / 1000)


def test_a_written_package_gives_reasons_and_holds_no_personal_data(tmp_path: Path) -> None:
    draft = contacts(tmp_path)
    folder = tmp_path / "package"
    write_package(draft, folder)
    text = (folder / "model.yaml").read_text(encoding="utf-8")
    assert "  # categories: 2 different texts in 40 rows; others are refused\n" in text
    written = yaml.safe_load(text)
    assert written == draft.contract
    assert written["features"] == [
        {"name": "city", "dtype": "string", "categories": ["Bonn", "Oslo"]},
        {"name": "contact", "dtype": "string", "sensitive": True},
    ]
    assert [output["meaning"] for output in written["outputs"]] == ["label", "label"]
    package = read_package(folder)
    assert package.golden.rows == 20
    assert package.golden.columns["contact"][0].startswith("contact ")
    for name in ("golden.json", "request.json", "model.yaml", "README.md"):
        assert "shop.example" not in (folder / name).read_text(encoding="utf-8")
    compile((folder / "train.py").read_text(encoding="utf-8"), "train.py", "exec")
    with pytest.raises(Conflict, match="empty or does not exist"):
        write_package(draft, folder)


def test_a_package_that_is_interrupted_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("quintet_publish.init.writing.prepare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_package(contacts(tmp_path), tmp_path / "package")
    assert not (tmp_path / "package").exists()


def test_a_refused_package_is_kept(tmp_path: Path) -> None:
    draft = contacts(tmp_path)
    # a class's name that the graph does not have: publishing finds it
    draft.contract["outputs"][0]["classes"] = {"3": "Bonn", "5": "Paris"}
    draft.contract["outputs"].pop()
    folder = tmp_path / "package"
    with pytest.raises(PackageError, match="classes"):
        write_package(draft, folder)
    assert (folder / "model.yaml").exists()


def test_many_values_are_arrays(tmp_path: Path) -> None:
    contract = Contract(
        name="images",
        version=1,
        task="any",
        features=(Feature(name="image", dtype="float32", shape=(40, 40)),),
        inputs=(Input(name="image", dtype="float32", shape=(-1, 40, 40)),),
        outputs=(Output(name="score", dtype="float32", shape=(-1,), meaning="score"),),
    )
    images = np.arange(20 * 1600, dtype=np.float32).reshape(20, 40, 40)
    columns: dict[str, Any] = {"image": images.tolist()}
    write_golden(tmp_path, contract, Golden(columns, {"score": [None, *range(19)]}, 1e-5))
    with np.load(tmp_path / "golden.npz") as found:
        assert {name: found[name].dtype.name for name in found} == {
            "tolerance": "float64",
            "image": "float32",
            "score": "float32",
        }
        np.testing.assert_array_equal(found["image"], images)
        np.testing.assert_array_equal(found["score"], [np.nan, *range(19)])
    write_golden(tmp_path, contract, Golden({"image": columns["image"][:2]}, {"score": [1, 2]}))
    assert json.loads((tmp_path / "golden.json").read_text())["outputs"] == {"score": [1, 2]}


def test_golden_rows_have_the_extremes_and_every_category(tmp_path: Path) -> None:
    case = by_hand.opset13()
    graph, sample = case.write(tmp_path)
    assert sample is not None
    ticks = itertools.count()
    draft = propose(graph, read_sample(sample), clock=lambda: next(ticks) / 1000)
    golden, _ = draft.golden()
    for name in case.records[0]:
        values = [record[name] for record in case.records]
        assert {min(values), max(values)} <= set(golden.columns[name])


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("serving_default_x:0", "x"),
        ("onnx::Gemm_0", "onnx_Gemm_0"),
        ("model/input", "model_input"),
        ("Annual Income ($)", "Annual_Income"),
        ("input.1", "input_1"),
        ("1st", "x_1st"),
        ("é", "x"),
    ],
)
def test_a_name_that_callers_can_write(name: str, plain: str) -> None:
    assert usable(name) == plain


def test_a_large_graph_needs_a_parameter_of_the_stage() -> None:
    assert memory_guesses(150_000_000) == []
    (found,) = memory_guesses(196_000_000)
    assert found.value == "about 590 MB"
    assert "quintet up --detach --parameter ModelMemoryMb=590" in found.reason


def test_names() -> None:
    assert without_repeats(["x", "x", "y", "x"]) == ["x", "x_2", "y", "x_3"]
    assert [model_name(text) for text in ("My Model.v2", "7up", "__")] == [
        "my-model-v2",
        "model-7up",
        "model",
    ]
    keys = ["id", "ID", "customer_id", "CustomerId", "orderID", "session_key"]
    assert [name for name in keys if not is_key(name)] == []
    assert [name for name in ("paid", "grid", "monkey", "Humid") if is_key(name)] == []


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("userEmail", [], "its name is that of an e-mail address"),
        ("contact", ["a@b.example", "c@d.example"], "2 of 2 values look like e-mail addresses"),
        ("reach", ["+47 555 010 99", "unknown"], ""),
        ("reach", ["+47 555 010 99", "0049-30-5550100"], "2 of 2 values look like phone numbers"),
        ("first_name", [], "its name is that of a person's name"),
        ("product", ["blue dress"], ""),
        ("amount", [12345678.0], ""),
    ],
)
def test_personal_data_is_known_by_name_and_values(name: str, values: list[Any], why: str) -> None:
    assert sensitive(name, values) == why


def test_the_request_has_names_as_the_sample_writes_them(tmp_path: Path) -> None:
    case = by_hand.opset13()
    names = ["Größe", "温度", "c", "d", "e", "f"]
    records = [dict(zip(names, record.values(), strict=True)) for record in case.records]
    graph, sample = replace(case, records=records).write(tmp_path)
    assert sample is not None
    ticks = itertools.count()
    draft = propose(graph, read_sample(sample), sample=sample, clock=lambda: next(ticks) / 1000)
    write_package(draft, tmp_path / "package")
    assert '{"records": [{"Größe": ' in (tmp_path / "package/request.json").read_text("utf-8")
