"""Train the sensors' watch from the committed tables: `python models/sensor/train.py`.

Nothing is drawn: two least squares. Writes model.onnx, golden.json and metrics.json (to `--out`,
or beside this file) and prints the metrics. Needs the `train` extra.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LinearRegression, Ridge

from quintet.contract import Contract
from quintet_publish.kit import Columns, clean, contract_of, predict, read_table, save

HERE = Path(__file__).parent
DATA = HERE / "data"
ALPHA = 1.0  # of the ridge
BEYOND = 0.001  # the share of training readings that may be beyond the alert's threshold
SECONDS = 600  # between two readings of a sensor
KINDS = ("spike", "stuck", "drift")  # as prepare.py numbers them, from 1

#: the mean size of a normal variable is this share of its standard deviation
MEAN_TO_DEVIATION = np.sqrt(2 / np.pi)


@dataclass(frozen=True)
class Trained:
    """What a reading is expected to be, and how far from it readings are.

    expected = last + (recent - last) @ weights, so that the level of a sensor is nothing to it.
    deviation = still + moving * the mean size of the steps between the recent readings.
    """

    weights: NDArray[np.float64]
    still: float
    moving: float


def shape_of(recent: NDArray[Any]) -> NDArray[np.float64]:
    """The recent readings less the last of them, (rows, 12)."""
    shape: NDArray[np.float64] = recent - recent[:, -1:]
    return shape


def fit(past: Columns) -> Trained:
    """The weights by ridge regression, then the deviation from how far it is off."""
    shape = shape_of(past["recent"])
    change = past["temperature"] - past["recent"][:, -1]
    ridge = Ridge(alpha=ALPHA, fit_intercept=False, solver="cholesky").fit(shape, change)
    steps = np.abs(np.diff(past["recent"], axis=1)).mean(axis=1)
    sizes = np.abs(change - shape @ ridge.coef_)
    line = LinearRegression().fit(steps[:, None], sizes)
    still, moving = line.intercept_ / MEAN_TO_DEVIATION, line.coef_[0] / MEAN_TO_DEVIATION
    return Trained(ridge.coef_, float(still), float(moving))


def to_graph(trained: Trained, contract: Contract) -> onnx.ModelProto:
    """The same as a graph."""
    held = {
        "weights": trained.weights,
        "still": np.array([trained.still]),
        "moving": np.array([trained.moving]),
    }
    tensors = [numpy_helper.from_array(np.asarray(v, np.float64), k) for k, v in held.items()]
    bounds = {"first": [0], "eleventh": [11], "second": [1], "end": [12], "columns": [1]}
    tensors += [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in bounds.items()]
    make = helper.make_node
    nodes = [
        make("Slice", ["recent", "eleventh", "end", "columns"], ["last"]),
        make("Sub", ["recent", "last"], ["shape"]),
        make("MatMul", ["shape", "weights"], ["change"]),
        make("Squeeze", ["last", "columns"], ["last_alone"]),
        make("Add", ["last_alone", "change"], ["expected"]),
        make("Sub", ["temperature", "expected"], ["residual"]),
        make("Slice", ["recent", "first", "eleventh", "columns"], ["earlier"]),
        make("Slice", ["recent", "second", "end", "columns"], ["later"]),
        make("Sub", ["later", "earlier"], ["steps"]),
        make("Abs", ["steps"], ["step_sizes"]),
        make("ReduceMean", ["step_sizes"], ["step"], axes=[1], keepdims=0),
        make("Mul", ["step", "moving"], ["moved"]),
        make("Add", ["moved", "still"], ["deviation"]),
        make("Abs", ["residual"], ["size"]),
        make("Div", ["size", "deviation"], ["anomaly"]),
    ]
    value = helper.make_tensor_value_info
    inputs = [
        value("temperature", TensorProto.DOUBLE, ["rows"]),
        value("recent", TensorProto.DOUBLE, ["rows", 12]),
    ]
    outputs = [value(output.name, TensorProto.DOUBLE, ["rows"]) for output in contract.outputs]
    graph = helper.make_graph(nodes, contract.name, inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    return clean(model, contract)


def threshold(model: onnx.ModelProto, contract: Contract, past: Columns) -> float:
    """The anomaly that BEYOND of the training readings, which nobody tampered with, exceed."""
    return float(np.quantile(predict(model, contract, past)["anomaly"], 1 - BEYOND))


def measure(contract: Contract, model: onnx.ModelProto) -> dict[str, float]:
    """Precision and recall on the held-out readings, by event and by reading."""
    assert contract.alert is not None and contract.alert.above is not None
    held_out = read_table(DATA / "held_out.parquet")
    flagged = predict(model, contract, held_out)["anomaly"] > contract.alert.above
    wrong = held_out["kind"] > 0
    events = [event for rows in sensors(held_out) for event in runs(held_out["kind"], rows)]
    echo = np.zeros(len(wrong), dtype=np.bool_)  # what an anomaly in `recent` may have done
    for event in events:
        echo[event.stop : event.stop + 12] = True
    echo &= ~wrong & (held_out["temperature"] == held_out["truth"])
    quiet = int(contract.alert.cooldown / SECONDS)
    alerts = [row for rows in sensors(held_out) for row in alerted(flagged, rows, quiet)]
    # found while it lasts, or at the latest by the return to the true temperature right after it
    during = np.array([any(e.start <= a < e.stop for a in alerts) for e in events])
    found = np.array([any(e.start <= a <= e.stop for a in alerts) for e in events])
    kinds = np.array([held_out["kind"][event.start] for event in events])
    false = [row for row in alerts if not (wrong[row] or echo[row])]
    days = len(wrong) * SECONDS / 86_400
    metrics = {
        "sensor_days": days,
        "injected_events": len(events),
        "injected_readings": int(wrong.sum()),
        "alerts": len(alerts),
        "precision_by_alert": 1 - len(false) / len(alerts),
        "recall_by_event": float(found.mean()),
        "precision_by_reading": float(wrong[flagged].mean()),
        "recall_by_reading": float(flagged[wrong].mean()),
        "false_alerts_per_sensor_day": len(false) / days,
    }
    for number, kind in enumerate(KINDS, 1):
        metrics[f"{kind}_events"] = int((kinds == number).sum())
        metrics[f"{kind}_found_during"] = float(during[kinds == number].mean())
        metrics[f"{kind}_found_by_return"] = float(found[kinds == number].mean())
    return metrics


def sensors(table: Columns) -> list[range]:
    """The rows of each sensor; a sensor's rows stand together, in the order of time."""
    names = table["sensor"]
    edges = np.flatnonzero(names[1:] != names[:-1]) + 1
    return [range(a, b) for a, b in itertools.pairwise([0, *edges.tolist(), len(names)])]


def runs(kinds: NDArray[Any], rows: range) -> list[range]:
    """The events of one sensor: rows next to each other of one kind."""
    mine = np.concatenate([[0], kinds[rows.start : rows.stop], [0]])
    edges = np.flatnonzero(mine[1:] != mine[:-1]) + rows.start
    found = [range(a, b) for a, b in itertools.pairwise(edges.tolist())]
    return [event for event in found if kinds[event.start]]


def alerted(flagged: NDArray[np.bool_], rows: range, quiet: int) -> list[int]:
    """The rows of one sensor that give an alert: not within the cool-down of the one before."""
    alerts: list[int] = []
    for row in rows:
        if flagged[row] and (not alerts or row >= alerts[-1] + quiet):
            alerts.append(row)
    return alerts


def golden_rows() -> tuple[Columns, Sequence[str]]:
    """Held-out readings, three of each kind of event among them, then the edges."""
    held_out = read_table(DATA / "held_out.parquet")
    plain = np.linspace(0, len(held_out["kind"]) - 1, 9).astype(int)
    odd = [np.flatnonzero(held_out["kind"] == kind)[[0, 40, -1]] for kind in (1, 2, 3)]
    picked = np.concatenate([plain, *odd])
    still, leap = np.full((3, 12), [[20.0], [-60.0], [125.0]]), [21.0, 125.0, -60.0]
    columns = {
        "temperature": np.append(held_out["temperature"][picked], leap),
        "recent": np.concatenate([held_out["recent"][picked], still]),
    }
    return columns, [*held_out["sensor"][picked], *["edge"] * 3]


def train(out: Path = HERE) -> dict[str, float]:
    """Train, write the package's made files to `out`, and give the metrics."""
    contract = contract_of(HERE)
    past = read_table(DATA / "training.parquet")
    model = to_graph(fit(past), contract)
    # the contract's threshold is this one, rounded
    metrics = {"threshold": threshold(model, contract, past)} | measure(contract, model)
    rows, entities = golden_rows()
    save(out, contract, model, golden=rows, metrics=metrics, entities=entities)
    return metrics


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE)
    train(parser.parse_args().out)
