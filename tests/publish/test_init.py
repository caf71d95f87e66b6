"""`quintet init`'s core: graphs as exporters leave them become contracts that answer as they do."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from benchmarks.init_models import by_hand
from benchmarks.init_models.case import Case, flat
from onnx import TensorProto, helper

from quintet.errors import BadInput
from quintet.onnx_model import OnnxModel
from quintet.serving.golden import score_columns
from quintet_publish.init import table
from quintet_publish.init.draft import Draft
from quintet_publish.init.guess import Guess
from quintet_publish.init.proposal import propose
from quintet_publish.init.table import comma_hint, copy_sample, read_sample
from quintet_publish.problems import Ambiguous, PackageError

ROWS = 3
SERVED = [make for make in by_hand.BY_HAND if make is not by_hand.own_operator]


def proposed(case: Case, folder: Path, **options: Any) -> Draft:
    """The proposal for a case, by a clock that adds a millisecond at each look."""
    graph, sample = case.write(folder)
    table = None if sample is None else read_sample(sample)
    ticks = itertools.count()
    return propose(
        graph, table, sample=sample, clock=lambda: next(ticks) / 1000, label=case.label, **options
    )


@pytest.mark.parametrize("make", SERVED, ids=lambda make: make.__name__)
def test_a_package_answers_as_the_graph_that_was_exported(
    make: Callable[[], Case], tmp_path: Path
) -> None:
    case = make()
    draft = proposed(case, tmp_path)
    contract = draft.validated()
    golden, _ = draft.golden()
    assert 1 <= golden.rows <= 20
    columns = {
        f.name: [
            row[f.key] if f.key in row else np.reshape([*row.values()], f.shape).tolist()
            for row in case.records[:ROWS]
        ]
        for f in contract.features
    }
    if not case.records:  # made up: the golden rows
        return
    scores = score_columns(OnnxModel(contract, draft.model.SerializeToString()), columns)
    assert scores.index.tolist() == [0, 1, 2]
    for row, wanted in enumerate(case.expected(tmp_path, ROWS)):
        for output in contract.outputs:
            got = flat(scores.outputs[output.name][row])
            # a graph for eight rows was fed with eight copies
            np.testing.assert_allclose(got, wanted[output.name][: got.size], atol=1e-3, rtol=1e-4)


def contract_of(make: Callable[[], Case], folder: Path) -> dict[str, Any]:
    """A proposed contract without what all have."""
    contract = proposed(make(), folder).contract
    assert contract.pop("version") == 1
    assert contract.pop("name") == make().name
    return contract


def test_notes_that_name_files_of_the_exporter_are_removed(tmp_path: Path) -> None:
    case = by_hand.opset22()
    model = onnx.load_model_from_string(case.graph)
    model.graph.node[0].doc_string = "File /home/me/net.py, line 3"
    noted = Case("noted", "", model.SerializeToString(), case.records, case.feeds)
    draft = proposed(noted, tmp_path)
    assert b"/home/me" not in draft.model.SerializeToString()
    assert [g.value for g in draft.guesses if g.what == "graph"] == ["the exporter's notes removed"]


def test_names_that_callers_cannot_write_get_plain_ones(tmp_path: Path) -> None:
    found = contract_of(by_hand.colons, tmp_path)
    assert found["inputs"] == [
        {
            "name": "serving_default_x:0",
            "dtype": "float32",
            "shape": [-1, 4],
            "features": ["c0", "c1", "c2", "c3"],
        }
    ]
    assert found["outputs"] == [
        {
            "name": "StatefulPartitionedCall:0",
            "dtype": "float32",
            "shape": [-1, 3],
            "meaning": "value",
        }
    ]


def test_a_whole_contract(tmp_path: Path) -> None:
    """Sequences of different lengths: free axes, their bounds, and no training data."""
    case = by_hand.sequences()
    draft = proposed(case, tmp_path)
    values = np.concatenate([np.ravel(record["series"]) for record in case.records])
    feature = draft.contract["features"][0]
    low, high = feature.pop("range")
    assert low < values.min() < values.max() < high
    assert draft.contract == {
        "name": "sequences",
        "version": 1,
        "task": "regression",
        "features": [{"name": "series", "dtype": "float32", "shape": [-1, 3], "max": 16}],
        "inputs": [
            {
                "name": "series",
                "dtype": "float32",
                "shape": [-1, -1, 3],
                "features": ["series"],
            }
        ],
        "outputs": [{"name": "forecast", "dtype": "float32", "shape": [-1, 2], "meaning": "value"}],
        "slo": {"p95_ms": 50.0},
    }
    assert draft.missing == [
        "training data: a CSV or Parquet file with a column for each feature, without which no "
        "drift is found"
    ]


@pytest.mark.parametrize(
    ("make", "rows", "why"),
    [
        (by_hand.cnn_fixed, None, "made to take any number of rows"),
        (by_hand.fixed_eight, None, "made to take any number of rows"),
        (by_hand.not_batchable, "one", "depends on the rows beside it"),
        (by_hand.int8_dynamic, "one", "depends on the rows beside it"),
        (by_hand.bare_image, "one", "rows do not run together"),
        (by_hand.external, None, "its weights were in weights.bin"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_was_done_to_a_graph_is_said(
    make: Callable[[], Case], rows: str | None, why: str, tmp_path: Path
) -> None:
    draft = proposed(make(), tmp_path)
    assert draft.contract.get("rows") == rows
    assert why in " ".join(f"{guess.value} {guess.reason}" for guess in draft.guesses)


def test_the_rows_may_be_another_dimension(tmp_path: Path) -> None:
    found = contract_of(by_hand.time_first, tmp_path)
    assert found["inputs"][0]["shape"] == [5, -1, 3]
    assert found["inputs"][0]["batch_axis"] == 1
    assert found["features"][0]["shape"] == [5, 3]


def test_an_input_that_is_the_same_in_all_rows_is_a_constant(tmp_path: Path) -> None:
    found = contract_of(by_hand.constant, tmp_path)
    assert found["constants"] == {"sr": 160}
    assert [feature["name"] for feature in found["features"]] == ["wave"]


def test_an_output_whose_size_follows_the_values_is_free(tmp_path: Path) -> None:
    draft = proposed(by_hand.detections(), tmp_path)
    (output,) = draft.contract["outputs"]
    most = output.pop("max")
    assert draft.contract["rows"] == "one"
    assert output == {"name": "kept", "dtype": "float32", "shape": [-1, -1], "meaning": "value"}
    assert most >= 6


def test_elements_of_a_vector_may_be_missing(tmp_path: Path) -> None:
    (feature,) = contract_of(by_hand.gaps_in_vectors, tmp_path)["features"]
    assert feature.pop("range")[0] < 0
    assert feature == {"name": "x", "dtype": "float32", "shape": [4], "missing": "nan"}


def test_without_a_sample_it_says_what_is_missing(tmp_path: Path) -> None:
    draft = proposed(by_hand.without_sample(), tmp_path)
    assert draft.contract["features"] == [{"name": "x", "dtype": "float32", "shape": [6]}]
    assert draft.missing == [
        "real rows: those of golden.json are random; replace them",
        "names of the features, what may be missing, personal data, the entity",
        "training data, without which no drift is found",
        "ranges and categories: they take a sample of at least 20 rows",
    ]


def shop(columns: dict[str, list[Any]]) -> Case:
    """The two-layer graph of six numbers, with other columns in its sample."""
    case = by_hand.opset13()
    records = [
        {**row, **{name: values[at] for name, values in columns.items()}}
        for at, row in enumerate(case.records)
    ]
    return Case("shop", case.exporter, case.graph, records, case.feeds)


def by_what(draft: Draft) -> dict[str, Guess]:
    return {guess.what: guess for guess in draft.guesses}


def test_columns_that_feed_nothing_are_keys_answers_or_left_out(tmp_path: Path) -> None:
    rows = by_hand.ROWS
    case = shop(
        {
            "customer_id": [f"c{at % 5}" for at in range(rows)],
            "order_id": list(range(rows)),
            "note": ["text"] * rows,
            "label": [at % 3 for at in range(rows)],
        }
    )
    draft = proposed(case, tmp_path)
    found = {key: draft.contract[key] for key in ("entity", "id", "training_target")}
    assert found == {"entity": "customer_id", "id": "order_id", "training_target": "label"}
    guesses = by_what(draft)
    assert guesses["column note"] == Guess("column note", "left out", "feeds no input")
    assert guesses["entity"].reason == (
        "a key by its name, feeds no input; 5 different values in 24 rows"
    )
    assert guesses["input x"].value == "fed by c0, c1, c2, c3, c4, c5"
    assert draft.training == tmp_path / "sample.csv"


def test_columns_that_cannot_be_guessed_are_asked_for(tmp_path: Path) -> None:
    case = shop({"age": list(range(by_hand.ROWS)), "income": [1.5] * by_hand.ROWS})
    with pytest.raises(Ambiguous, match="6 columns in their order") as refused:
        proposed(case, tmp_path)
    assert refused.value.columns == ("c0", "c1", "c2", "c3", "c4", "c5", "age", "income")
    names = ["age", "c1", "c2", "c3", "c4", "income"]
    draft = proposed(case, tmp_path, given={"x": names})
    assert draft.contract["inputs"][0]["features"] == names
    assert by_what(draft)["input x"].reason == "you said so"
    with pytest.raises(BadInput, match="height"):
        proposed(case, tmp_path, given={"x": ["height"]})


def test_the_row_numbers_of_pandas_feed_no_input(tmp_path: Path) -> None:
    rows = by_hand.ROWS
    case = shop({"": [*range(rows)], "Customer ID": ["c1"] * rows})
    draft = proposed(case, tmp_path)
    guesses = by_what(draft)
    assert guesses["input x"].value == "fed by c0, c1, c2, c3, c4, c5"
    assert guesses["column (no name)"].reason == (
        "the row numbers that pandas writes; feeds no input"
    )
    assert guesses["column Customer ID"].reason == (
        "a key by its name; rename it to letters, digits and _ to have it as the entity"
    )


def test_a_column_without_latin_letters_is_not_named_as_the_input_x(tmp_path: Path) -> None:
    names = ["温度", "Größe", "вес", "?", "p(bar)", "2"]
    case = shop({})
    records = [dict(zip(names, record.values(), strict=True)) for record in case.records]
    draft = proposed(replace(case, records=records), tmp_path)
    assert by_what(draft)["input x"].value == f"fed by {', '.join(names)}"


def test_a_column_too_many_may_be_the_label(tmp_path: Path) -> None:
    case = shop({"sold": [1] * by_hand.ROWS})
    with pytest.raises(Ambiguous) as refused:
        proposed(case, tmp_path)
    assert refused.value.label == "sold"


def test_texts_for_numbers_are_refused_with_their_column(tmp_path: Path) -> None:
    with pytest.raises(Ambiguous) as refused:
        proposed(shop({"c3": ["yes"] * by_hand.ROWS}), tmp_path)
    assert str(refused.value) == (
        "x: expected float32 in its columns, coded as the model was trained, got 'yes' in the "
        "column c3"
    )


def test_a_range_has_slack_and_a_gap_a_value(tmp_path: Path) -> None:
    case = by_hand.opset13()
    records = [
        {**row, "c0": at * 10.0, "c1": None if at == 3 else 1.0}
        for at, row in enumerate(case.records)
    ]
    draft = proposed(Case("gaps", "", case.graph, records, case.feeds), tmp_path)
    first, second = draft.contract["features"][:2]
    assert first == {"name": "c0", "dtype": "float32", "range": [0, 350]}
    # this graph gives NaN for NaN
    assert second == {"name": "c1", "dtype": "float32", "range": [0, 1], "default": 1.0}
    assert by_what(draft)["features.c1.default"].reason == (
        "missing in 1 of 24 rows, and the graph gives NaN for NaN: the sample's median"
    )
    golden, guess = draft.golden()
    assert {0.0, 230.0} < set(golden.columns["c0"])
    assert None in golden.columns["c1"]
    assert guess.what == "golden rows"


def test_a_guess_may_be_changed_if_the_rules_allow_it(tmp_path: Path) -> None:
    draft = proposed(by_hand.opset13(), tmp_path)
    number = next(at for at, guess in enumerate(draft.guesses) if guess.what == "features.c0.range")
    draft.change(number, "[-9, 9]")
    assert draft.contract["features"][0]["range"] == [-9, 9]
    assert draft.guesses[number].reason == "you said so"
    before = json.dumps(draft.contract)
    with pytest.raises(PackageError, match="expected the lowest value first"):
        draft.change(number, "[9, -9]")
    assert json.dumps(draft.contract) == before
    draft.change(number, "")
    assert "range" not in draft.contract["features"][0]


def test_a_graph_with_an_operator_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="expected only standard operators"):
        proposed(by_hand.own_operator(), tmp_path)


def test_weights_that_are_not_beside_the_graph_are_named(tmp_path: Path) -> None:
    case = by_hand.external()
    alone = Case(case.name, "", case.graph, case.records, case.feeds)
    with pytest.raises(PackageError, match=r"its weights are in weights\.bin"):
        proposed(alone, tmp_path)


def test_a_sample_of_another_dtype_is_refused_with_its_cell(tmp_path: Path) -> None:
    case = by_hand.tokens()
    records = [{**case.records[0], "tokens": [1, 2.5, 3]}]
    with pytest.raises(PackageError, match="row 0: tokens: expected int64 for tokens"):
        proposed(Case("odd", "", case.graph, records, [], suffix=".jsonl"), tmp_path)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_cells_may_be_separated_by_other_characters(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "sample.csv"
    path.write_text(f"a{separator}b\n1.5{separator}x\n2{separator}y\n", encoding="utf-8")
    assert read_sample(path) == {"a": ["1.5", "2"], "b": ["x", "y"]}
    copy_sample(path, tmp_path / "training.csv")
    copied = (tmp_path / "training.csv").read_text(encoding="utf-8").splitlines()
    assert copied == ["a,b", "1.5,x", "2,y"]


def test_of_a_large_sample_the_first_rows_become_training_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, copy = tmp_path / "sample.csv", tmp_path / "training.csv"
    path.write_text('a,b\n1,"x\ny"\n2,z\n3,w\n', encoding="utf-8")
    copy_sample(path, copy)
    assert copy.read_bytes() == path.read_bytes()
    monkeypatch.setattr(table, "COPIED_BYTES", 10)
    copy_sample(path, copy)
    assert read_sample(copy) == {"a": ["1"], "b": ["x\ny"]}


def test_a_row_of_another_length_is_refused_with_the_separator(tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    path.write_text("a;b\n1;2\n1,5;2;3\n", encoding="utf-8")
    with pytest.raises(PackageError) as refused:
        read_sample(path)
    assert "row 3: expected 2 cells, as the header has between ';', got 3" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("t.parquet", b"no parquet at all", "t.parquet: is damaged, or no parquet file ("),
        ("t.csv", b"", "t.csv: expected a header and rows, got none"),
        ("t.xlsx", b"a", "t.xlsx: expected a file ending in .csv, .parquet or .jsonl"),
        ("d.csv", b"a,b,a\n1,2,3\n", "two columns are called 'a'; rename one of them"),
    ],
)
def test_a_sample_that_cannot_be_read_is_told(
    name: str, content: bytes, text: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PackageError) as refused:
        read_sample(path)
    assert text in str(refused.value)


@pytest.mark.parametrize(
    ("name", "target", "content"),
    [("my t.tsv", "my t.csv", "a\tb\n1\t2\n"), ("t.CSV", "t.csv", "a,b\n1,2\n")],
)
def test_a_sample_of_another_suffix_becomes_one_as_the_message_says(
    name: str, target: str, content: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(PackageError) as refused:
        read_sample(path)
    subprocess.run(str(refused.value).split("`")[1], shell=True, check=True)
    assert read_sample(tmp_path / target) == {"a": ["1"], "b": ["2"]}


def test_decimal_commas_are_refused_with_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(Ambiguous, match="got '1,5' in the column c3; write decimal points"):
        proposed(shop({"c3": ["1,5"] * by_hand.ROWS}), tmp_path)
    assert [comma_hint(cell) for cell in ("a,5", "1.5", 1.5, "Oslo, 5")] == [""] * 4


def test_booleans_for_texts_are_served_and_no_training_data(tmp_path: Path) -> None:
    info = [helper.make_tensor_value_info(n, TensorProto.STRING, ["N", 1]) for n in "ab"]
    node = helper.make_node("Identity", ["a"], ["b"])
    made = helper.make_graph([node], "g", info[:1], info[1:])
    graph = tmp_path / "g.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=8), graph)
    table: dict[str, list[Any]] = {"a": [True, False] * 20}
    ticks = itertools.count()
    draft = propose(graph, table, sample=tmp_path / "s.parquet", clock=lambda: next(ticks) / 1000)
    assert draft.training is None and draft.contract.get("training_data") is None
    assert draft.missing == [
        "training data: texts in the column a, which has True, without which no drift is found"
    ]
    assert draft.contract["features"][0]["categories"] == ["False", "True"]
