"""The versions that the demo rolls out: bad ones and a good one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx

from quintet.columns import ragged
from quintet_cli.demo.versions import backwards, in_pence, rounded
from quintet_publish.kit import Columns, contract_of, predict, read_table

FRAUD, RANKER = Path("models/fraud"), Path("models/ranker")


def answers(package: Path, orders: Columns) -> Columns:
    return predict(onnx.load(package / "model.onnx"), contract_of(FRAUD), orders)


def test_the_bad_version_takes_pounds_for_pence(tmp_path: Path) -> None:
    bad = in_pence(FRAUD, tmp_path, 2)
    contract, live = contract_of(bad), contract_of(FRAUD)
    assert (contract.version, contract.features, contract.outputs) == (
        2,
        live.features,
        live.outputs,
    )
    orders = read_table(FRAUD / "data/held_out.parquet")
    hundredfold = {name: orders[name] * np.float32(100) for name in ("amount", "dearest")}
    expected = answers(FRAUD, {**orders, **hundredfold})
    found = answers(bad, orders)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, name)
    shift = found["probabilities"][:, 1] - answers(FRAUD, orders)["probabilities"][:, 1]
    assert shift.mean() > 0.1


def test_the_good_version_answers_nearly_the_same_and_another_digest(tmp_path: Path) -> None:
    good = rounded(FRAUD, tmp_path, 3)
    assert contract_of(good).version == 3
    orders = read_table(FRAUD / "data/held_out.parquet")
    found, live = answers(good, orders), answers(FRAUD, orders)
    np.testing.assert_array_equal(found["label"], live["label"])
    np.testing.assert_allclose(found["probabilities"], live["probabilities"], atol=1e-3)
    assert (found["probabilities"] != live["probabilities"]).any()


def test_the_bad_ranker_ranks_backwards(tmp_path: Path) -> None:
    contract, live = contract_of(backwards(RANKER, tmp_path, 2)), contract_of(RANKER)
    assert (contract.version, contract.features, contract.recommend) == (
        2,
        live.features,
        live.recommend,
    )
    golden = json.loads((RANKER / "golden.json").read_bytes())["columns"]
    rows = {
        name: ragged([np.array(row, np.int64) for row in values])
        if name == "session"
        else np.array(values)
        for name, values in golden.items()
    }
    found, expected = (
        predict(onnx.load(package / "model.onnx"), live, rows) for package in (tmp_path, RANKER)
    )
    np.testing.assert_array_equal(found["rank"], -expected["rank"])
    np.testing.assert_array_equal(found["category"], expected["category"])
