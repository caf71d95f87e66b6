"""The versions that the demo rolls out: a bad one and a good one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from quintet_cli.demo.fraud_versions import in_pence, rounded
from quintet_publish.kit import Columns, contract_of, predict, read_table

FRAUD = Path("models/fraud")


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
