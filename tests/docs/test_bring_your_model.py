"""docs/bring-your-model.md names every field of the contract; its examples work, and those of
docs/golden-rows.md and docs/exporters.md."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any, get_args

import numpy
import pytest
from benchmarks.foreign.snippets import LIGHT, Snippet, snippets
from onnx import TensorProto, helper, numpy_helper
from tests.kits.packages import model_of

from quintet import contract
from quintet.serving.golden import golden_from_dict
from quintet_publish import kit
from quintet_publish.model_yaml import read_contract

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "bring-your-model.md").read_text(encoding="utf-8")
VALUES = (DOCS / "values.md").read_text(encoding="utf-8")
GOLDEN = (DOCS / "golden-rows.md").read_text(encoding="utf-8")
EXPORTERS = (DOCS / "exporters.md").read_text(encoding="utf-8")
#: the contract that docs/first-package.md writes; tests/local/test_pages.py publishes it
(SMALLEST,) = re.findall(
    r"cat > smallest/model.yaml <<'END'\n(.*?)END\n",
    (DOCS / "first-package.md").read_text(encoding="utf-8"),
    re.DOTALL,
)
SECTIONS = {
    contract.Contract: ("The contract", ""),
    contract.Feature: ("A feature", ""),
    contract.Input: ("An input", ""),
    contract.Output: ("An output", ""),
    contract.Slo: ("Service level and limits", "slo."),
    contract.Limits: ("Service level and limits", "limits."),
    contract.RolloutRule: ("Rollout", "rollout."),
    contract.Margins: ("Rollout", "margins."),
    contract.Gates: ("Rollout", "gates."),
    contract.Fallback: ("Fallback", "fallback."),
    contract.FallbackRule: ("Fallback", ""),
    contract.AlertRule: ("Alert", "alert."),
    contract.Stream: ("Stream", "stream."),
    contract.Aggregate: ("An aggregate", ""),
}


def _blocks(language: str, text: str = TEXT) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("block", [*_blocks("yaml"), *_blocks("yaml", VALUES)])
def test_an_excerpt_of_a_contract_is_valid(block: str) -> None:
    head = "name: excerpt\nversion: 1\ntask: any\n"
    assert read_contract(f"{head}{block}".encode()).name == "excerpt"


def test_stream_example_is_one() -> None:
    (example,) = _blocks("yml")
    text = f"{SMALLEST}entity: customer_id\n{example}"
    stream = read_contract(text.encode()).stream
    assert stream is not None
    assert [a.name for a in stream.aggregates] == ["orders_this_hour", "pounds_this_hour"]


def test_golden_example_is_of_the_smallest_contract() -> None:
    (example,) = _blocks("json", GOLDEN)
    smallest, golden = read_contract(SMALLEST.encode()), json.loads(example)
    assert list(golden["columns"]) == [f.name for f in smallest.features]
    assert list(golden["outputs"]) == [o.name for o in smallest.outputs]
    assert golden_from_dict(golden).rows == 2


def test_golden_arrays_are_written_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = re.findall(r"`(numpy\.savez_compressed\([^`]*\))`", GOLDEN)
    monkeypatch.chdir(tmp_path)
    exec(line, {"numpy": numpy, "images": numpy.zeros((2, 8, 8)), "scores": numpy.zeros(2)})
    assert sorted(numpy.load("golden.npz")) == ["image", "score", "tolerance"]


@pytest.mark.parametrize("kind", SECTIONS, ids=lambda kind: kind.__name__)
def test_every_field_has_its_row(kind: Any) -> None:
    title, prefix = SECTIONS[kind]
    section = TEXT.split(f"### {title}\n")[1].split("\n#")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    named = set(re.findall(r"`([\w.]+)`", " ".join(cells)))
    fields = {prefix + field.name for field in dataclasses.fields(kind)}
    assert fields - named == set()


@pytest.mark.parametrize(
    "choice", [contract.Source, contract.WhenStale, contract.Meaning, contract.How]
)
def test_every_choice_is_told(choice: Any) -> None:
    assert [value for value in get_args(choice) if f"`{value}`" not in TEXT] == []


def test_every_function_of_the_kit_is_told() -> None:
    section = EXPORTERS.split("## Make the files\n")[1].split("\n## ")[0]
    named = set(re.findall(r"`(\w+)[`(]", section))
    assert {"read_table", "write_table", "clean", "predict", "save"} <= named
    assert {name for name in named if hasattr(kit, name)} <= set(kit.__all__)


@pytest.mark.parametrize(
    "snippet",
    [snippet for snippet in snippets() if snippet.title in LIGHT],
    ids=lambda snippet: snippet.title,
)
def test_a_section_on_an_exporter_publishes(snippet: Snippet, tmp_path: Path) -> None:
    """Those of large packages are run by `make foreign-models`."""
    if snippet.title == "TensorFlow":  # the section reads what tf2onnx wrote
        weights = numpy_helper.from_array(numpy.ones((4, 3), numpy.float32), "w")
        names = "serving_default_x:0", "StatefulPartitionedCall:0"
        x, y = (
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["unk__1", size])
            for name, size in zip(names, (4, 3), strict=True)
        )
        node = helper.make_node("MatMul", [names[0], "w"], [names[1]])
        (tmp_path / "model.onnx").write_bytes(model_of([node], [weights], x=x, y=y))
    printed = snippet.run(sys.executable, tmp_path)
    assert snippet.publish(tmp_path).golden["columns"]
    if snippet.title == "TensorFlow":
        assert printed.splitlines() == [
            "serving_default_x:0 FLOAT ['unk__1', 4]",
            "StatefulPartitionedCall:0 FLOAT ['unk__1', 3]",
        ]
