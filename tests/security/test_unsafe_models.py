"""Graphs that must not be loaded, and bombs that must kill a child and nothing else."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from arro3.core import Array, Table
from arro3.io import write_parquet
from onnx import TensorProto, helper, numpy_helper
from tests.kits.packages import contract, graph, model_of, package, parsed, vectors

from quintet.serving.golden import Golden
from quintet_publish.child import run_child
from quintet_publish.load_check import Limits, load_check
from quintet_publish.package import read_package
from quintet_publish.problems import PackageError
from quintet_publish.read_check import read_check
from quintet_publish.safety import Caps, read_graph
from quintet_publish.wire import count_parts

INSIDE = (
    "save the graph with its weights inside (torch: `torch.onnx.export(..., external_data=False)`; "
    "onnx: `onnx.save(onnx.load(path), path)`)"
)


def refusals(content: bytes, **caps: int) -> list[str]:
    """Why a graph is refused, without the file's name."""
    with pytest.raises(PackageError) as caught:
        read_graph(content, Caps(**caps))
    return [str(problem).removeprefix("model.onnx: ") for problem in caught.value.problems]


def changed(change: Any) -> bytes:
    """The small graph after a change to its protobuf."""
    model = parsed(graph())
    change(model)
    content: bytes = model.SerializeToString()
    return content


def external(tensor: onnx.TensorProto, location: str = "../../etc/passwd") -> None:
    """Move a tensor's data to another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


def test_a_plain_graph_is_read() -> None:
    assert read_graph(graph()) == parsed(graph())


# ---- what only the protobuf shows --------------------------------------------------------------


def constant(tensor: onnx.TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["c"], value=tensor)


def sparse() -> onnx.SparseTensorProto:
    values = numpy_helper.from_array(np.ones(1, np.float32), "values")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "indices")
    return helper.make_sparse_tensor(values, indices, [2])


def hidden_in_a_subgraph(model: onnx.ModelProto) -> None:
    weights = numpy_helper.from_array(np.ones(2, np.float32), "deep")
    external(weights)
    branch = helper.make_graph([constant(weights)], "branch", [], [])
    outer = helper.make_graph(
        [helper.make_node("If", ["w"], ["z"], then_branch=branch, else_branch=branch)],
        "outer",
        [],
        [],
    )
    node = helper.make_node("If", ["w"], ["z"], then_branch=outer, else_branch=outer)
    model.graph.node.append(node)


def hidden_in_a_sparse_tensor(model: onnx.ModelProto) -> None:
    made = sparse()
    external(made.values)
    model.graph.sparse_initializer.append(made)


def hidden_in_an_attribute_list(model: onnx.ModelProto) -> None:
    weights = numpy_helper.from_array(np.ones(2, np.float32), "listed")
    external(weights)
    node = helper.make_node("Constant", [], ["c"])
    node.attribute.append(helper.make_attribute("values", [weights]))
    model.graph.node.append(node)


def hidden_in_a_function(model: onnx.ModelProto) -> None:
    weights = numpy_helper.from_array(np.ones(2, np.float32), "inner")
    external(weights)
    opsets = [helper.make_opsetid("", 20)]
    function = helper.make_function("local", "f", ["a"], ["c"], [constant(weights)], opsets)
    model.functions.append(function)


def in_the_open(model: onnx.ModelProto) -> None:
    external(model.graph.initializer[0])


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (in_the_open, "w"),
        (hidden_in_a_subgraph, "deep"),
        (hidden_in_a_sparse_tensor, "values"),
        (hidden_in_an_attribute_list, "listed"),
        (hidden_in_a_function, "inner"),
    ],
)
def test_external_data_is_refused_wherever_it_hides(change: Any, name: str) -> None:
    assert refusals(changed(change)) == [f"the tensor '{name}' is in another file; {INSIDE}"]


@pytest.mark.parametrize(
    ("attributes", "needs"),
    [
        ({"case_change_action": "LOWER"}, "en_US"),
        ({"case_change_action": "UPPER", "locale": "de_DE"}, "de_DE"),
        ({"is_case_sensitive": 0, "stopwords": ["a"], "locale": "C.UTF-8"}, "C.UTF-8"),
        ({"case_change_action": "LOWER", "locale": "C"}, None),
        ({"case_change_action": "LOWER", "locale": "POSIX"}, None),
        ({"is_case_sensitive": 1, "stopwords": ["a"]}, None),
        ({"locale": "en_US"}, None),
    ],
)
def test_a_locale_that_lambda_lacks_is_refused(
    attributes: dict[str, Any], needs: str | None
) -> None:
    node = helper.make_node("StringNormalizer", ["t"], ["u"], **attributes)
    content = changed(lambda model: model.graph.node.append(node))
    if needs is None:
        assert read_graph(content).graph.node[-1] == node
        return
    assert refusals(content) == [
        f"StringNormalizer needs the locale {needs}, which Lambda's image does not have; set its "
        "attribute `locale` to C or POSIX, which change the case of ASCII letters alone "
        "(`quintet_publish.kit.clean` sets C)"
    ]


def test_external_data_without_its_flag_is_refused() -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].external_data.add(key="location", value="weights.bin")

    assert "is in another file" in refusals(changed(change))[0]


def test_operators_of_other_domains_are_refused() -> None:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import.add(domain="evil.ops", version=1)
        model.graph.node[0].domain = "evil.ops"

    assert refusals(changed(change)) == [
        "expected only standard operators, got the domain 'evil.ops'; remove it from the graph's "
        "opset_import if no operator uses it",
        "expected only standard operators, got evil.ops.MatMul",
    ]


@pytest.mark.parametrize("domain", ["ai.onnx.ml", "com.microsoft"])
def test_the_standard_domains_are_read(domain: str) -> None:
    read_graph(changed(lambda model: model.opset_import.add(domain=domain, version=1)))


@pytest.mark.parametrize("operator", ["EPContext", "PyOp", "Snpe"])
def test_operators_that_read_files_are_refused(operator: str) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node(operator, ["x"], ["q"], domain="com.microsoft"))

    assert refusals(changed(change)) == [f"the operator {operator} reads files, and is refused"]


def test_a_function_cannot_bring_odd_operators_or_replace_standard_ones() -> None:
    node = helper.make_node("Odd", ["a"], ["c"], domain="evil.ops")
    opsets = [helper.make_opsetid("evil.ops", 1)]

    def change(model: onnx.ModelProto) -> None:
        made = helper.make_function("com.microsoft", "Gelu", ["a"], ["c"], [node], opsets)
        model.functions.append(made)

    assert refusals(changed(change)) == [
        "the function 'Gelu' takes the place of one of com.microsoft",
        "expected only standard operators, got the domain 'evil.ops'",
        "expected only standard operators, got evil.ops.Odd",
    ]


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
def test_a_function_cannot_replace_a_standard_operator_of_the_default_domain(domain: str) -> None:
    node = helper.make_node("Add", ["a", "a"], ["c"])
    made = helper.make_function(
        domain, "MatMul", ["a"], ["c"], [node], [helper.make_opsetid("", 20)]
    )
    assert refusals(changed(lambda model: model.functions.append(made))) == [
        "the function 'MatMul' takes the place of one of ai.onnx"
    ]


def test_the_default_attributes_of_a_function_are_looked_at() -> None:
    weights = numpy_helper.from_array(np.ones(2, np.float32), "default")
    external(weights)
    made = helper.make_function(
        "local",
        "f",
        ["a"],
        ["c"],
        [helper.make_node("Identity", ["a"], ["c"])],
        [helper.make_opsetid("", 20)],
        attribute_protos=[helper.make_attribute("weights", weights)],
    )
    assert refusals(changed(lambda model: model.functions.append(made))) == [
        f"the tensor 'default' is in another file; {INSIDE}"
    ]


def renamed(old: bytes, new: bytes) -> bytes:
    """The small graph with a name replaced by one of as many bytes."""
    content = graph()
    assert old in content and len(old) == len(new)
    return content.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x0a\x01x\x0a\x01w", b"\x0a\x01\xff\x0a\x01w"),  # an input of a node
        (b"\x12\x01y\x22", b"\x12\x01\xff\x22"),  # an output of a node
        (b"MatMul", b"Mat\xfful"),  # an operator
        (b"\x42\x01w", b"\x42\x01\xff"),  # a tensor
        (b"\x0a\x01x\x12\x12", b"\x0a\x01\xff\x12\x12"),  # an input of the graph
    ],
)
def test_names_that_are_not_utf8_are_refused(old: bytes, new: bytes) -> None:
    (problem,) = refusals(renamed(old, new))
    assert problem.startswith("expected UTF-8, got the name b'")


def test_functions_whose_names_are_not_utf8_are_refused() -> None:
    made = helper.make_function(
        "local", "name", ["a"], ["c"], [helper.make_node("Identity", ["a"], ["c"])], []
    )
    content = changed(lambda model: model.functions.extend([made, made]))
    assert refusals(content.replace(b"name", b"n\xffme", 1)) == [
        "expected UTF-8, got the name b'n\\xffme'"
    ]


def test_graphs_nested_too_deep_are_refused() -> None:
    inner = helper.make_graph([helper.make_node("Identity", ["w"], ["z"])], "leaf", [], [])
    for _ in range(20):
        node = helper.make_node("If", ["w"], ["z"], then_branch=inner)
        inner = helper.make_graph([node], "level", [], [])
    content = changed(lambda model: model.graph.node.extend(inner.node))
    assert refusals(content) == ["expected graphs nested at most 16 deep"]


def test_nesting_that_would_break_the_parser_is_refused() -> None:
    content = b""
    for _ in range(5000):  # a graph in a node's attribute, in a graph...
        attribute = b"\x32" + _varint(len(content)) + content
        node = b"\x2a" + _varint(len(attribute)) + attribute
        content = b"\x0a" + _varint(len(node)) + node
    model = b"\x3a" + _varint(len(content)) + content
    assert refusals(model) == ["is not an ONNX graph"]


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def test_caps_on_bytes_nodes_tensors_and_elements() -> None:
    assert refusals(graph(), bytes=10) == [f"expected at most 10 bytes, got {len(graph())}"]
    assert refusals(graph(), nodes=0) == ["expected at most 0 nodes, got 1"]
    assert refusals(graph(), tensors=0) == ["expected at most 0 tensors, got 1"]
    assert refusals(graph(), elements=1) == [
        "expected at most 1 elements a tensor, 'w' has 2",
        "expected at most 1 elements a tensor, 'x' has 2",
    ]


def test_parts_are_counted_before_the_graph_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = b"\x0a\x00" * 3_000_000  # 6 MB, and 0.5 GB once parsed
    monkeypatch.setattr("onnx.load_model_from_string", lambda content: pytest.fail("parsed"))
    assert refusals(b"\x3a" + _varint(len(nodes)) + nodes, parts=2_000_000) == [
        "expected at most 2,000,000 parts, got more"
    ]


def test_a_part_is_a_message_a_text_or_a_byte_string() -> None:
    def parts(message: Any) -> int:
        count = 0
        for field, value in message.ListFields():
            values = value if field.is_repeated else [value]
            if field.type in (field.TYPE_MESSAGE, field.TYPE_STRING, field.TYPE_BYTES):
                count += len(values)
            if field.type == field.TYPE_MESSAGE:
                count += sum(map(parts, values))
        return count

    content = changed(hidden_in_a_subgraph)
    counted = count_parts(content, onnx.ModelProto.DESCRIPTOR, 10_000)
    assert counted == parts(parsed(content))


def test_parts_behind_a_group_of_an_unknown_field_are_counted() -> None:
    content = b"\xa3\x1f\x08\x01\xa4\x1f" + b"\x42\x00" * 9  # field 500, then opsets
    assert count_parts(content, onnx.ModelProto.DESCRIPTOR, 100) == 9


def test_a_million_dimensions_are_not_multiplied() -> None:
    def wide(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].dims[:] = [3] * 1_000_000
        del model.graph.input[0].type.tensor_type.shape.dim[:]
        for _ in range(1000):
            model.graph.input[0].type.tensor_type.shape.dim.add(dim_value=2**40)

    content = changed(wide)
    start = time.process_time()
    assert refusals(content) == [
        "expected at most 64 dimensions a tensor, 'w' has 1,000,000",
        "expected at most 64 dimensions a tensor, 'x' has 1,000",
    ]
    assert time.process_time() - start < 5


def test_problems_are_cut_at_twenty() -> None:
    def change(model: onnx.ModelProto) -> None:
        for number in range(30):
            model.graph.node.append(helper.make_node(f"O{number}", [], [], domain="evil"))

    found = refusals(changed(change))
    assert len(found) == 21
    assert found[19:] == ["expected only standard operators, got evil.O19", "and more"]


def test_shapes_that_lie_are_refused() -> None:
    def huge(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].dims[:] = [2**40, 2**40]

    def negative(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].dims[:] = [-2, -1]

    assert f"'w' has {2**80:,}" in refusals(changed(huge))[0]
    assert "the tensor 'w' has a negative dimension" in refusals(changed(negative))
    assert refusals(changed(lambda model: model.graph.initializer[0].dims.append(3))) == [
        "the tensor 'w' has 8 bytes, its shape says 24"
    ]


@pytest.mark.parametrize("content", [b"", b"\x80\x04\x95pickle", b"PK\x03\x04", graph()[:70]])
def test_what_is_no_graph_is_refused(content: bytes) -> None:
    assert refusals(content)[0].startswith("is not an ONNX graph")


def test_training_information_is_refused() -> None:
    content = changed(lambda model: model.training_info.add())
    assert refusals(content) == ["holds training information; export the graph for inference"]


# ---- what only running shows -------------------------------------------------------------------


def encoded(golden: Golden) -> bytes:
    """Golden vectors as golden.json."""
    return json.dumps(golden.to_dict()).encode()


FAST = Limits(memory=1_000_000_000, cpu_seconds=2, seconds=30)


def growing(shape: list[int]) -> bytes:
    """x expanded to a shape and summed up again."""
    return model_of(
        [
            helper.make_node("Expand", ["x", "shape"], ["big"]),
            helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0),
            helper.make_node("ReduceSum", ["x", "axis"], ["row"], keepdims=1),
            helper.make_node("Add", ["row", "sum"], ["y"]),
        ],
        [
            helper.make_tensor("shape", TensorProto.INT64, [3], shape),
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        ],
    )


def endless() -> bytes:
    """A loop of 2 ** 62 rounds."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Identity", ["v"], ["v_out"]),
        ],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("v", TensorProto.FLOAT, ["n", 2]),
        ],
        [value("go_on", TensorProto.BOOL, []), value("v_out", TensorProto.FLOAT, ["n", 2])],
    )
    return model_of(
        [
            helper.make_node("Loop", ["rounds", "true", "x"], ["looped"], body=body),
            helper.make_node("ReduceSum", ["looped", "axis"], ["y"], keepdims=1),
        ],
        [
            helper.make_tensor("rounds", TensorProto.INT64, [], [2**62]),
            helper.make_tensor("true", TensorProto.BOOL, [], [True]),
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        ],
    )


def test_a_good_graph_passes_with_its_figures() -> None:
    checked = load_check(graph(), contract(), encoded(vectors()))
    assert checked.load_ms > 0
    assert checked.full_rows == contract().limits.rows


@pytest.mark.parametrize("rows", [60_000_000, 10**9, 2**40])
def test_memory_bombs_die_in_the_child(rows: int) -> None:
    with pytest.raises(PackageError) as caught:
        load_check(growing([rows, 3, 2]), contract(), encoded(vectors()), FAST)
    assert str(caught.value) == "model.onnx: loading or running it took over 1 GB of memory"


def test_large_within_the_limit_is_no_bomb() -> None:
    with pytest.raises(PackageError, match=r"golden\.json: row 0: y\[0\]: expected 1\.0"):
        load_check(growing([100_000, 3, 2]), contract(), encoded(vectors()), FAST)


def test_an_endless_loop_runs_into_the_cpu_limit() -> None:
    with pytest.raises(PackageError) as caught:
        load_check(endless(), contract(), encoded(vectors()), Limits(cpu_seconds=1))
    assert str(caught.value) == "model.onnx: loading or running it took over 1 s of CPU time"


def test_an_endless_loop_runs_into_the_time_limit() -> None:
    with pytest.raises(PackageError) as caught:
        load_check(endless(), contract(), encoded(vectors()), Limits(seconds=1))
    assert str(caught.value) == "model.onnx: loading or running it took over 1 s"


def test_the_child_has_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []
    real = __import__("subprocess").Popen

    def spy(*args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs["env"])
        return real(*args, **kwargs)

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setattr("subprocess.Popen", spy)
    load_check(graph(), contract(), encoded(vectors()))
    assert "canary" not in json.dumps(seen)
    assert "PATH" in seen[0]


def test_an_operator_that_does_not_exist_is_named() -> None:
    unknown = graph(nodes=[helper.make_node("Nonsense", ["x", "w"], ["y"])])
    with pytest.raises(PackageError, match=r"does not load .*Nonsense"):
        load_check(unknown, contract(), encoded(vectors()))


def test_golden_differences_are_named_by_row() -> None:
    wrong = Golden(vectors().columns, {"y": [[1.0], [0.0], [9.5]]})
    with pytest.raises(PackageError) as caught:
        load_check(graph(), contract(), encoded(wrong))
    assert str(caught.value) == (
        "3 problems:\n"
        "  golden.json: row 1: y[0]: expected 0.0, got 4.0; they differ by 4, the tolerance 1e-06 "
        "allows 1e-06\n"
        "  golden.json: 2 of 3 rows differ, row 1 the most, y[0] by 4\n"
        "  golden.json: no float noise, which is 0 for this graph: the expected outputs are "
        "another graph's, or are rounded; `quintet golden` computes them from model.onnx"
    )


def test_rows_that_depend_on_their_batch_are_found() -> None:
    centred = model_of(  # subtracts the batch's mean
        [
            helper.make_node("ReduceMean", ["x", "both"], ["mean"], keepdims=1),
            helper.make_node("Sub", ["x", "mean"], ["centred"]),
            helper.make_node("ReduceSum", ["centred", "axis"], ["y"], keepdims=1),
        ],
        [
            helper.make_tensor("both", TensorProto.INT64, [2], [0, 1]),
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        ],
    )
    golden = Golden({"a": [0.0, 1.0], "b": [0.0, 1.0]}, {"y": [[-1.0], [1.0]]})
    with pytest.raises(PackageError, match=r"alone, row 0: y\[0\]: expected -1.0, got 0.0"):
        load_check(centred, contract(), encoded(golden))


def test_a_bomb_that_only_a_full_request_sets_off_is_found() -> None:
    # 100,000 numbers for every pair of rows: nothing for three rows, terabytes for a thousand
    squared = model_of(
        [
            helper.make_node("ReduceSum", ["x", "axis"], ["sums"], keepdims=1),
            helper.make_node("Transpose", ["sums"], ["across"]),
            helper.make_node("Add", ["sums", "across"], ["pairs"]),
            helper.make_node("Unsqueeze", ["pairs", "last"], ["deep"]),
            helper.make_node("Expand", ["deep", "many"], ["big"]),
            helper.make_node("ReduceMin", ["big"], ["least"], keepdims=0),
            helper.make_node("Mul", ["least", "zero"], ["nothing"]),
            helper.make_node("MatMul", ["x", "w"], ["plain"]),
            helper.make_node("Add", ["plain", "nothing"], ["y"]),
        ],
        [
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
            helper.make_tensor("last", TensorProto.INT64, [1], [2]),
            helper.make_tensor("many", TensorProto.INT64, [3], [1, 1, 100_000]),
            helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
            parsed(graph()).graph.initializer[0],
        ],
    )
    with pytest.raises(PackageError) as caught:
        load_check(squared, contract(), encoded(vectors()), replace(FAST, cpu_seconds=20))
    assert str(caught.value).startswith("model.yaml: limits.rows: ")
    assert "rows took over 1 GB of memory; " in str(caught.value)


# ---- what reading shows --------------------------------------------------------------------------


def read_problem(folder: Path, limits: Limits) -> str:
    with pytest.raises(PackageError) as caught:
        read_check(folder, limits)
    return str(caught.value)


def repeated_parquet(rows: int) -> bytes:
    """Columns a and b of one value each: a file of some bytes, whatever the rows."""
    column = Array.from_numpy(np.zeros(rows, np.float32))
    sink = io.BytesIO()
    write_parquet(Table.from_arrays([column, column], names=["a", "b"]), sink)
    return sink.getvalue()


def test_a_package_is_read_in_a_child(tmp_path: Path) -> None:
    folder = package(tmp_path / "p", extra="training_data: data.csv\n")
    (folder / "data.csv").write_text("a,b\n1,2\n3,4\n")
    found = read_check(folder)
    read = read_package(folder)
    assert (found.contract, found.sources, found.digest) == (
        read.contract,
        read.sources,
        read.digest,
    )
    assert (found.golden, found.golden_rows) == (read.golden.to_dict(), 3)
    assert found.baseline["rows"] == 2


def test_rows_of_training_data_are_bounded_before_they_are_read(tmp_path: Path) -> None:
    folder = package(tmp_path / "p", extra="training_data: data.parquet\n")
    (folder / "data.parquet").write_bytes(repeated_parquet(30_000_000))
    assert (folder / "data.parquet").stat().st_size < 1_000_000
    assert read_problem(folder, Limits()) == (
        "data.parquet: expected at most 50,000,000 values, got 30,000,000 rows; a sample will do"
    )


def test_training_data_that_grow_end_in_the_child(tmp_path: Path) -> None:
    folder = package(tmp_path / "p", extra="training_data: data.csv\n")
    (folder / "data.csv").write_text("a,b\n" + "1.5,2.5\n" * 3_000_000)
    small = Limits(memory=200_000_000)
    assert read_problem(folder, small) == "data.csv: reading it took over 0.2 GB of memory"


@pytest.mark.parametrize("name", ["data.csv", "data.parquet"])
def test_training_data_without_rows_are_refused(tmp_path: Path, name: str) -> None:
    folder = package(tmp_path / "p", extra=f"training_data: {name}\n")
    (folder / name).write_bytes(b"a,b\n" if name == "data.csv" else repeated_parquet(0))
    assert read_problem(folder, Limits()) == f"{name}: expected rows, got none"


def test_reading_without_end_runs_into_the_limits(tmp_path: Path) -> None:
    folder = package(tmp_path / "p", extra="training_data: data.csv\n")
    (folder / "data.csv").write_text("a,b\n" + "1,2\n" * 3_000_000)
    assert read_problem(folder, Limits(cpu_seconds=1)) == (
        "data.csv: reading it took over 1 s of CPU time"
    )
    assert read_problem(folder, Limits(seconds=1)).endswith("reading it took over 1 s")


def test_whatever_fails_in_the_child_is_one_line(tmp_path: Path) -> None:
    folder = package(tmp_path / "p")
    limits = Limits(memory=-1)  # which the child cannot set
    assert read_problem(folder, limits).count("\n") == 0


CHILD = """
import json, socket, resource
from quintet_publish.child_limits import limit_process
def main():
    limit_process(100_000_000, 10)
    try:
        with open("made", "w") as file:
            file.write("x")
        wrote = True
    except OSError:
        wrote = False
    limits = [resource.getrlimit(name)[0] for name in (resource.RLIMIT_NPROC, resource.RLIMIT_CORE)]
    names = [name for _, name in socket.if_nameindex()]
    print(json.dumps({"wrote": wrote, "limits": limits, "names": names}))
"""


def test_a_child_writes_nothing_and_has_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_child.py").write_text(CHILD)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    ended = run_child("a_child", [], Limits())
    assert ended.last["limits"] == [0, 0]
    assert ended.last["wrote"] is False
    if _machine_allows_namespaces():
        assert set(ended.last["names"]) <= {"lo"}


def _machine_allows_namespaces() -> bool:
    flag = "-n" if os.geteuid() == 0 else "-rn"
    program = shutil.which("unshare")
    return (
        program is not None and subprocess.run([program, flag, "true"], check=False).returncode == 0
    )


# ---- the folder ----------------------------------------------------------------------------------


def folder_refusals(folder: Path) -> list[str]:
    with pytest.raises(PackageError) as caught:
        read_package(folder)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("name", ["model.pkl", "data/model.JOBLIB", "weights.pt", "a.pickle"])
def test_pickles_are_refused(tmp_path: Path, name: str) -> None:
    target = package(tmp_path / "p") / name
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(b"\x80\x04.")
    assert folder_refusals(tmp_path / "p") == [
        f"{name}: is a pickle, which can run code; Quintet reads ONNX only"
    ]


@pytest.mark.parametrize("name", ["model.onnx", "golden.json", "notes.txt", "data"])
def test_symbolic_links_are_refused(tmp_path: Path, name: str) -> None:
    folder = package(tmp_path / "p")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("secret")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(elsewhere)
    assert folder_refusals(folder) == [f"{name}: is a symbolic link; expected the file itself"]


@pytest.mark.parametrize("path", ["../outside.csv", "/etc/passwd.csv", "data/../../outside.csv"])
def test_training_data_outside_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "outside.csv").write_text("a,b\n1,2\n")
    folder = package(tmp_path / "p", extra=f"training_data: {path}\n")
    (folder / "data").mkdir()
    (problem,) = folder_refusals(folder)
    assert problem in (
        f"{path}: expected a regular file within the package's folder",
        f"{path}: is missing from the package's folder",
    )


def test_a_pipe_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    folder = package(tmp_path / "p")
    (folder / "golden.json").unlink()
    os.mkfifo(folder / "golden.json")
    assert folder_refusals(folder) == [
        "golden.json: expected a regular file within the package's folder"
    ]
