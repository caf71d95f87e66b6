"""Train the candidates from the committed tables: `python -m models.candidates.train`.

Seeded and on one thread. Writes model.onnx, golden.json and metrics.json (to `--out`, or
beside this file) and prints the metrics. Needs the `train` extra.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from models.recommendations import (
    AGAIN,
    CUT,
    DATA,
    FADES,
    LISTED,
    MEASURES,
    POPULAR,
    Factors,
    Session,
    candidates_of,
    fit_factors,
    found_in,
    measures,
    read_purchases,
    sessions_of,
)
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from quintet.columns import ragged
from quintet.contract import Contract
from quintet_publish.kit import Columns, clean, contract_of, predict, read_table, save

HERE = Path(__file__).parent
#: less than any score: keeps "no item" out of the list
NEVER = -1e9


def to_graph(factors: Factors, contract: Contract) -> onnx.ModelProto:
    """The candidates of customers as a graph: purchases and their ages in, items and scores out.

    It computes in float64: in float32 the order of nearly equal scores would depend on the number
    of rows that run together.
    """
    prior = POPULAR * factors.popularity.astype(np.float64)
    prior[0] = NEVER
    constants = {
        "left": factors.left,
        "right": factors.right,
        "prior": prior,
        "fades": np.float64(-1 / FADES),
        "again": np.float64(AGAIN),
        "none": np.zeros(1),
        "columns": np.array([len(prior)]),
        "listed": np.array([LISTED]),
    }
    double = TensorProto.DOUBLE
    nodes = [
        helper.make_node("Cast", ["left"], ["wide_left"], to=double),
        helper.make_node("Cast", ["right"], ["wide_right"], to=double),
        helper.make_node("Cast", ["days"], ["wide_days"], to=double),
        helper.make_node("Mul", ["wide_days", "fades"], ["exponents"]),
        helper.make_node("Exp", ["exponents"], ["weights"]),
        helper.make_node("Shape", ["items"], ["rows"], end=1),
        helper.make_node("Concat", ["rows", "columns"], ["shape"], axis=0),
        helper.make_node("Expand", ["none", "shape"], ["nothing"]),
        helper.make_node(
            "ScatterElements", ["nothing", "items", "weights"], ["had"], axis=1, reduction="add"
        ),
        helper.make_node("MatMul", ["had", "wide_left"], ["taste"]),
        helper.make_node("MatMul", ["taste", "wide_right"], ["alike"]),
        helper.make_node("Mul", ["had", "again"], ["repeated"]),
        helper.make_node("Add", ["alike", "repeated"], ["personal"]),
        helper.make_node("Add", ["personal", "prior"], ["all"]),
        helper.make_node("TopK", ["all", "listed"], ["wide_scores", "wide_ids"]),
        helper.make_node("Cast", ["wide_ids"], ["ids"], to=TensorProto.INT32),
        helper.make_node("Cast", ["wide_scores"], ["scores"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        contract.name,
        [
            helper.make_tensor_value_info("items", TensorProto.INT64, ["rows", "purchases"]),
            helper.make_tensor_value_info("days", TensorProto.FLOAT, ["rows", "purchases"]),
        ],
        [
            helper.make_tensor_value_info("ids", TensorProto.INT32, ["rows", LISTED]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", LISTED]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return clean(model, contract)


def columns_of(sessions: list[Session]) -> dict[str, NDArray[Any]]:
    """What the graph takes of sessions: the customers' purchases before that day."""
    return {
        "items": ragged([session.items.astype(np.int64) for session in sessions]),
        "days": ragged([session.days for session in sessions]),
    }


def measure(contract: Contract, model: onnx.ModelProto, factors: Factors) -> dict[str, float]:
    """Metrics on the held-out sessions, of the graph as it will be served."""
    sessions = sessions_of(read_purchases(), CUT, CUT + 365)
    items = len(factors.popularity) - 1
    outputs = predict(model, contract, columns_of(sessions))
    ids, scores = candidates_of(factors, sessions)
    popular = np.argsort(-factors.popularity, kind="stable")[:LISTED]
    found = {
        "held_out_sessions": len(sessions),
        "new_customers": float(np.mean([len(session.items) == 0 for session in sessions])),
        "items": items,
    }
    rests = [session.rest for session in sessions]
    lists = {"popularity": np.tile(popular, (len(sessions), 1)), "candidates": outputs["ids"]}
    for ranking, ranked in lists.items():
        names = (f"{ranking}_{name}" for name in MEASURES)
        found |= dict(zip(names, measures(ranked, sessions, items).tolist(), strict=True))
        held = found_in(rests, ranked).sum(axis=1) / [len(rest) for rest in rests]
        found[f"{ranking}_recall_200"] = float(held.mean())
    found["same_lists_as_trainer"] = float((outputs["ids"] == ids).all(axis=1).mean())
    found["largest_gap_to_trainer"] = float(np.abs(outputs["scores"] - scores).max())
    return found


def golden_rows() -> tuple[Columns, list[str]]:
    """Twenty customers by their number of purchases, one without any and one with the limits."""
    customers = read_table(DATA / "customers.parquet")
    sizes = [len(items) for items in customers["items"]]
    chosen = np.argsort(sizes, kind="stable")[np.linspace(0, len(sizes) - 1, 20).astype(int)]
    ends: dict[str, list[NDArray[Any]]] = {
        "items": [np.array([], np.int64), np.array([1, 2663], np.int64)],
        "days": [np.array([], np.float32), np.array([0, 3650], np.float32)],
    }
    rows = {name: ragged([*customers[name][chosen], *more]) for name, more in ends.items()}
    return rows, [*customers["customer_id"][chosen].tolist(), "new", "golden-limits"]


def train(out: Path = HERE) -> dict[str, float]:
    """Train, write the package's made files to `out`, and give the metrics."""
    contract = contract_of(HERE)
    _, items = contract.by_name["items"].range or (0, 0)
    factors = fit_factors(read_purchases(), CUT, int(items or 0))
    model = to_graph(factors, contract)
    metrics = measure(contract, model, factors)
    rows, entities = golden_rows()
    save(out, contract, model, golden=rows, metrics=metrics, entities=entities)
    return metrics


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE)
    train(parser.parse_args().out)
