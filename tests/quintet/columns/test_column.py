"""`column`: a feature under its own name in the contract, and under another one outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from arro3 import core
from tests.kits.batch import BUCKET, CONTRACT, Bench, csv_bytes, row, tiny_graph
from tests.kits.forms import CSV_FORMS, JSON_FORMS, contract_of, invoke, npy, oip, parquet
from tests.kits.packages import package
from tests.kits.streams import shard_batch

from quintet.batch.planning import MemoryCatalog, Pinned
from quintet.batch.plans import Plan, RefusedPlan
from quintet.columns import Batch, from_records
from quintet.contract import Aggregate, Contract, Feature, Stream
from quintet.errors import BadInput
from quintet.formats.vectors import positions
from quintet.onnx_model import OnnxModel
from quintet.protocols import oip_metadata
from quintet.scoring import score
from quintet.serving.golden import score_columns
from quintet.streaming.decoding import decode
from quintet.streaming.typed_decoder import decode_typed
from quintet_cli import feature_files, stream_files
from quintet_publish.release import prepare
from quintet_publish.training_data import read_training_data

INCOME, COUNT, KIND = "Annual Income ($)", "größe", "kind/of thing"
SCALARS = contract_of(
    Feature(name="income", column=INCOME, dtype="float32", range=(0, None)),
    Feature(name="count", column=COUNT, dtype="int64"),
    Feature(name="kind", column=KIND, dtype="string"),
    Feature(name="share", dtype="float32", default=0.5),
    entity="customer",
)
NUMBERS = contract_of(
    Feature(name="income", column=INCOME, dtype="float32"),
    Feature(name="v", column="v: 0", dtype="float32", shape=(2,)),
)
ROWS = [
    {"customer": '"c1"', INCOME: "1.5", COUNT: "7", KIND: '"x"', "share": "0.25"},
    {"customer": '"c2"', INCOME: "2", COUNT: "8", KIND: '"y"', "share": "0.75"},
]
WANTED = {"income": [1.5, 2.0], "count": [7, 8], "kind": ["x", "y"], "share": [0.25, 0.75]}


def values(batch: Batch, names: Sequence[str] = tuple(WANTED)) -> dict[str, list[Any]]:
    assert batch.refusals == []
    return {name: batch.columns[name].tolist() for name in names}


def typed(contract: Contract) -> Batch:
    return parquet(
        contract,
        **{
            "customer": core.Array(["c1", "c2"], core.DataType.string()),
            INCOME: core.Array([1.5, 2.0], core.DataType.float64()),
            COUNT: core.Array([7, 8], core.DataType.int32()),
            KIND: core.Array(["x", "y"], core.DataType.string()),
            "share": core.Array([0.25, 0.75], core.DataType.float32()),
        },
    )


def tensors(contract: Contract) -> Batch:
    given: dict[str, Any] = {
        "customer": ("BYTES", [2], ["c1", "c2"]),
        INCOME: ("FP32", [2], [1.5, 2.0]),
        COUNT: ("INT64", [2, 1], [7, 8]),
        KIND: ("BYTES", [2], ["x", "y"]),
        "share": ("FP64", [2], [0.25, 0.75]),
    }
    return oip(contract, **given)


def csv(read: Callable[..., Batch]) -> Callable[[Contract], Batch]:
    return lambda c: read(c, [{n: text.strip('"') for n, text in one.items()} for one in ROWS])


def written(read: Callable[..., Batch]) -> Callable[[Contract], Batch]:
    return lambda c: read(c, ROWS)


FORMS: dict[str, Callable[[Contract], Batch]] = {
    **{name: written(read) for name, read in JSON_FORMS.items()},
    **{name: csv(read) for name, read in CSV_FORMS.items()},
    "json in order": lambda c: invoke(
        c, b'[["c1",1.5,7,"x",0.25],["c2",2,8,"y",0.75]]', "application/json"
    ),
    "csv in order": lambda c: invoke(c, b"c1,1.5,7,x,0.25\nc2,2,8,y,0.75\n", "text/csv"),
    "parquet": typed,
    "oip": tensors,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_column(form: str) -> None:
    batch = FORMS[form](SCALARS)
    assert values(batch) == WANTED
    assert batch.entities == ["c1", "c2"]


def test_vectors_too() -> None:
    rows = [{INCOME: "1", "v: 0": "[2, 3]"}, {INCOME: "4", "v: 0": "[5, 6]"}]
    wanted = {"income": [1, 4], "v": [[2, 3], [5, 6]]}
    for read in JSON_FORMS.values():
        assert values(read(NUMBERS, rows), ("income", "v")) == wanted
    array = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    assert values(npy(NUMBERS, array), ("income", "v")) == wanted
    assert values(invoke(NUMBERS, b"1,2,3\n4,5,6\n", "text/csv"), ("income", "v")) == wanted
    cells = [{INCOME: "1", "v: 0[0]": "2", "v: 0[1]": "3"}]
    cells.append({INCOME: "4", "v: 0[0]": "5", "v: 0[1]": "6"})
    assert values(CSV_FORMS["batch csv"](NUMBERS, cells), ("income", "v")) == wanted
    assert positions(NUMBERS) == (INCOME, "v: 0[0]", "v: 0[1]")
    assert positions(NUMBERS, frozenset({"income"})) == ("v: 0[0]", "v: 0[1]")
    flat = core.Array.from_numpy(array[:, 1:].ravel())
    columns = {INCOME: array[:, 0].copy(), "v: 0": core.fixed_size_list_array(flat, 2)}
    assert values(parquet(NUMBERS, **columns), ("income", "v")) == wanted


def test_refusals_name_the_column_and_the_feature_is_not_its_name() -> None:
    good = {"customer": "c", INCOME: 1, COUNT: 2, KIND: "x"}
    own = {"customer": "c", "income": 1, COUNT: 2, KIND: "x"}
    batch = from_records(SCALARS, [{**good, COUNT: 1.5}, own, {**good, "kindof thing": 1}])
    assert sorted(map(str, batch.refusals)) == [
        f"row 0: {COUNT}: expected a number (int64), got 1.5",
        f"row 1: income: expected one of {INCOME}, customer, {COUNT}, {KIND}, share, got another "
        f"field; do you mean {INCOME}?",
        f"row 2: kindof thing: expected one of {INCOME}, customer, {COUNT}, {KIND}, share, got "
        f"another field; do you mean {KIND}?",
    ]
    below = from_records(SCALARS, [{**good, INCOME: -1}])
    below.columns["stored"] = np.zeros(1, np.float32)

    class Model:
        contract = SCALARS

        def run(self, outputs: Sequence[str], feeds: Any, /) -> list[Any]:
            """See `quintet.scoring.Model.run`."""
            return [np.zeros(len(feeds["income"]), np.float32)]

    (refusal,) = score(Model(), below).refusals
    assert str(refusal) == f"row 0: {INCOME}: expected a number of at least 0, got -1.0"


def test_a_file_with_the_features_name_is_told_of_the_column() -> None:
    share = Feature(name="share", column="Share (%)", dtype="float32")
    income, count, kind, _, stored = SCALARS.features
    renamed = replace(SCALARS, features=(income, count, kind, share, stored))
    with pytest.raises(BadInput) as caught:
        csv(CSV_FORMS["batch csv"])(renamed)
    assert str(caught.value) == (
        "Share (%): expected a column of that name, got no such column; is it 'share'?"
    )


def test_metadata_names_the_tensors() -> None:
    assert [tensor["name"] for tensor in oip_metadata.inputs(SCALARS)] == [
        INCOME,
        COUNT,
        KIND,
        "share",
        "customer",
    ]


# ---- runs ---------------------------------------------------------------------------------------

TINY = replace(
    CONTRACT,
    features=tuple(
        replace(f, column={"amount": INCOME, "rate": "Rate (%)"}.get(f.name))
        for f in CONTRACT.features
    ),
)
HEADERS = {"amount": INCOME, "rate": "Rate (%)"}


def bench() -> Bench:
    catalog = MemoryCatalog(Pinned(3, "d" * 64, "s" * 64, TINY))
    return Bench(catalog, OnnxModel(TINY, tiny_graph(), digest="d" * 64))


def rows(*left_out: str) -> list[dict[str, Any]]:
    found = [row(n) for n in range(4)]
    return [
        {HEADERS.get(n, n): value for n, value in one.items() if n not in left_out} for one in found
    ]


def scores_of(made: Bench, plan: Plan | RefusedPlan) -> list[float]:
    assert isinstance(plan, Plan), plan
    made.score(plan)
    return [one["score"] for one in made.scores(plan.folder)]


def test_runs_read_it_keep_it_and_take_it_from_folders() -> None:
    plain = Bench()
    wanted = scores_of(plain, plain.plan("tiny/a.csv", csv_bytes([row(n) for n in range(4)])))
    made = bench()
    made.inbox.put(BUCKET, "tiny/a.csv", csv_bytes(rows()))
    plan = made.plan_many(key="tiny/a.csv", keep=[INCOME])
    assert scores_of(made, plan) == wanted
    assert isinstance(plan, Plan)
    kept = [one[INCOME] for one in made.scores(plan.folder)]
    assert kept == [str(row(n)["amount"]) for n in range(4)]

    halves = [{**row(n), "rate": 0.5} for n in range(4)]
    wanted = scores_of(plain, plain.plan("tiny/b.csv", csv_bytes(halves)))
    made = bench()
    made.inbox.put(BUCKET, "data/Rate (%25)=0.5/a.csv", csv_bytes(rows("rate")))
    assert scores_of(made, made.plan_many(prefix="data/")) == wanted
    made = bench()
    made.inbox.put(BUCKET, "both/Rate (%25)=0.5/a.csv", csv_bytes(rows()))
    refused = made.plan_many(prefix="both/")
    assert isinstance(refused, RefusedPlan)
    assert "Rate (%): expected a column or a folder" in refused.refusals[0]


# ---- streams -------------------------------------------------------------------------------------

METER = replace(
    contract_of(
        Feature(name="income", column=INCOME, dtype="float32"),
        Feature(name="moment", column="When?", dtype="float64"),
        entity="meter",
    ),
    stream=Stream(
        aggregates=(
            Aggregate(name="total", how="sum", of="income"),
            Aggregate(name="costs", how="sum", of="cost"),
        ),
        time="moment",
        window=60.0,
    ),
)


class Loaded:
    contract = METER


def test_aggregates_and_times_of_a_stream_read_the_column() -> None:
    at = 1_800_000_000.0
    one = {"meter": "m", INCOME: 1.5, "When?": at - 5, "cost": 3.0}
    body = orjson.dumps(one)
    assert decode_typed(METER, [body], None) is not None
    # the second is read value by value, for its whole number written with a fraction
    for bodies in ([body, body], [body, orjson.dumps({**one, "meter": "17.0"})]):
        found = decode(shard_batch(*bodies), lambda _: Loaded(), "m")  # type: ignore[arg-type,return-value]
        ((_, model_rows),) = found.by_model
        assert model_rows.fields["income"].tolist() == [1.5, 1.5]
        assert model_rows.fields["cost"].tolist() == [3.0, 3.0]
        assert model_rows.times.tolist() == [at - 5, at - 5]
        assert values(model_rows.batch, ("income", "moment"))["income"] == [1.5, 1.5]
    late = orjson.dumps({**one, "When?": at + 9_000, INCOME: "x"})
    ((_, model_rows),) = decode(shard_batch(late), lambda _: Loaded(), "m").by_model  # type: ignore[arg-type,return-value]
    assert sorted(
        str(refusal).partition(": expected")[0] for refusal in model_rows.batch.refusals
    ) == [f"row 0: {INCOME}"]


# ---- packages and feature files ------------------------------------------------------------------


def test_golden_rows_have_the_name_and_training_data_the_column(tmp_path: Path) -> None:
    folder = package(tmp_path / "p", extra="training_data: rows.csv\n")
    text = (folder / "model.yaml").read_text()
    (folder / "model.yaml").write_text(text.replace("name: a,", f'name: a, column: "{INCOME}",'))
    (folder / "rows.csv").write_text(f"{INCOME},b\n1,2\n3,4\n")
    release = prepare(folder, lambda *_: None)
    baseline = orjson.loads(release.files["baseline.json"])
    assert baseline["features"]["a"]["mean"] == 2.0
    columns, *_ = read_training_data(release.contract, "rows.csv", f"{INCOME},b\n1,2\n".encode())
    assert columns == {"a": [1.0], "b": [2.0]}
    model = OnnxModel(release.contract, release.files["model.onnx"])
    scores = score_columns(model, {"a": [1.0], "b": [4.0]})
    assert scores.outputs["y"].tolist() == [[6.0]]


def test_files_of_stored_features_have_the_column(tmp_path: Path) -> None:
    stored = replace(SCALARS.features[-1], column="Stored (£)")
    contract = replace(SCALARS, features=(*SCALARS.features[:-1], stored))
    file = tmp_path / "features.csv"
    file.write_text("customer,Stored (£),at\nc1,5,10\n", encoding="utf-8")
    (found,) = feature_files.read(contract, file, 0.0).rows
    assert (found.entity, found.values) == ("c1", {"stored": 5.0})


def test_a_table_sent_to_the_stream_is_typed_by_its_columns(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(f"meter,{INCOME},When?,cost\n7,1.5,10,2.5\n", encoding="utf-8")
    (line,) = stream_files.read_records(file, METER, None, arrival=20.0)
    assert (line.key, line.content) == (
        "7",
        {"meter": "7", INCOME: 1.5, "When?": 10.0, "cost": 2.5},
    )
