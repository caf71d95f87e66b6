"""Train the ranker from the committed tables: `python -m models.ranker.train`.

Seeded and on one thread. Writes model.onnx, golden.json and metrics.json (to `--out`, or
beside this file) and prints the metrics. Needs the `train` extra.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
from models.ranker.features import FEATURES, Graph, features_graph
from models.recommendations import (
    CUT,
    DATA,
    LISTED,
    MEASURES,
    SEED,
    Factors,
    Purchases,
    Session,
    candidates_of,
    fit_factors,
    intervals,
    measures,
    read_purchases,
    sessions_of,
    svd_lists,
)
from numpy.typing import NDArray
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from quintet.columns import ragged
from quintet.contract import Contract
from quintet_publish.kit import clean, contract_of, read_table, save

HERE = Path(__file__).parent

START = 334  # 1 August 2011: the ranker learns from the sessions from here to CUT ...
END = CUT + 365  # ... and is measured on those from CUT on, to the end of the data
LONGEST = 8  # lines of an order that are its session in training: from 0 to this
KEPT = 0.2  # the share of the candidates that were not bought which training takes
RECENT = 90  # days over which the sales of an item are counted
ROWS = 2_000  # rows of a run of the graph in training


def items_table(purchases: Purchases, cut: int, factors: Factors) -> NDArray[np.float32]:
    """What is known of each item before a day, (items + 1, 4): see `features_graph`."""
    catalogue = pd.read_csv(DATA / "items.csv", dtype={"article": str})
    table = np.zeros((len(catalogue) + 1, 4), dtype=np.float32)
    table[:, 0] = factors.popularity
    recent = (purchases.day < cut) & (purchases.day >= cut - RECENT)
    table[:, 1] = np.log1p(np.bincount(purchases.item[recent], minlength=len(table)))
    table[1:, 2] = catalogue.price
    table[1:, 3] = catalogue.article.str[:5].astype(int)
    table[0, 3] = -1e6  # near no article
    return table


Rows = dict[str, NDArray[Any]]


def rows_of(
    contract: Contract,
    sessions: list[Session],
    ids: list[NDArray[np.int64]],
    scores: list[NDArray[np.float32]],
) -> Rows:
    """The rows of sessions as the graph's features, session by session."""
    sizes = [len(one) for one in ids]
    known = read_table(HERE / "data" / "sessions.parquet")
    place = {key: row for row, key in enumerate(zip(known["customer"], known["day"], strict=True))}
    found = np.repeat([place[one.customer, one.day] for one in sessions], sizes)
    shown = ragged([one.shown.astype(np.int64) for one in sessions])
    rows: Rows = {
        "item": np.concatenate(ids),
        # as the table of candidates holds them
        "score": np.concatenate(scores).astype(np.float16).astype(np.float32),
        "session": np.repeat(shown, sizes),
    }
    for feature in contract.stored:
        values = known[feature.name][found]
        rows[feature.name] = np.where(values < 0, np.float32(feature.default or 0), values)
    return rows


def run(
    model: onnx.ModelProto, contract: Contract, rows: Rows, *outputs: str
) -> list[NDArray[np.float32]]:
    """Some outputs of a graph for rows, some at a time."""
    graph = Graph(model, contract)
    parts = [
        graph.run({name: values[at : at + ROWS] for name, values in rows.items()}, [*outputs])
        for at in range(0, len(rows["item"]), ROWS)
    ]
    return [np.concatenate(values) for values in zip(*parts, strict=True)]


def training_rows(
    contract: Contract, purchases: Purchases, factors: Factors
) -> tuple[Rows, NDArray[np.bool_], list[int]]:
    """The rows to learn from, whether each item was bought, and the rows of each session.

    Sessions are of various lengths, since those that are served are.
    """
    rng = np.random.default_rng(SEED)
    sessions, ids, scores, bought = [], [], [], []
    whole = sessions_of(purchases, START, CUT)
    for session, items, values in zip(whole, *candidates_of(factors, whole), strict=True):
        lines, length = np.append(session.shown, session.rest), rng.integers(0, LONGEST + 1)
        cut = replace(session, shown=lines[:length], rest=lines[length:])
        right = np.isin(items, cut.rest)
        kept = ~np.isin(items, cut.shown) & (right | (rng.random(len(items)) < KEPT))
        if right.any():
            sessions.append(cut)
            ids.append(items[kept])
            scores.append(values[kept])
            bought.append(right[kept])
    rows = rows_of(contract, sessions, ids, scores)
    return rows, np.concatenate(bought), [len(one) for one in ids]


def fit(
    features: NDArray[np.float32], bought: NDArray[np.bool_], groups: list[int]
) -> lightgbm.LGBMRanker:
    """The trees, the same at every run."""
    ranker = lightgbm.LGBMRanker(
        n_estimators=100,
        num_leaves=31,
        learning_rate=0.05,
        min_child_samples=100,
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.8,
        lambdarank_truncation_level=60,
        random_state=SEED,
        deterministic=True,
        force_row_wise=True,
        n_jobs=1,
        verbose=-1,
    )
    return ranker.fit(features, bought.astype(int), group=groups)


def to_graph(
    ranker: lightgbm.LGBMRanker, features: onnx.ModelProto, contract: Contract
) -> onnx.ModelProto:
    """The features and the trees as one graph; and each item's category, the article's series."""
    kinds = [("features", FloatTensorType([None, len(FEATURES)]))]
    trees = convert_lightgbm(ranker.booster_, initial_types=kinds, target_opset=15)
    (output,) = trees.graph.output
    model = onnx.ModelProto()
    model.CopyFrom(features)
    model.graph.node.extend(trees.graph.node)
    model.graph.initializer.extend(trees.graph.initializer)
    model.graph.node.append(onnx.helper.make_node("Identity", [output.name], ["rank"]))
    whole = onnx.helper.make_node("Cast", ["code"], ["article"], to=onnx.TensorProto.INT32)
    series = onnx.helper.make_node("Div", ["article", "ten"], ["category"])
    model.graph.node.extend([whole, series])
    ten = onnx.numpy_helper.from_array(np.array(10, dtype=np.int32), "ten")
    model.graph.initializer.append(ten)
    for name, kind in (("rank", onnx.TensorProto.FLOAT), ("category", onnx.TensorProto.INT32)):
        made = onnx.helper.make_tensor_value_info(name, kind, ["rows", 1])
        model.graph.output.append(made)
    model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 3))
    return clean(model, contract)


def measure(
    contract: Contract,
    model: onnx.ModelProto,
    purchases: Purchases,
    factors: Factors,
) -> dict[str, float]:
    """Metrics on the held-out sessions, of the graph as it will be served."""
    sessions, items = sessions_of(purchases, CUT, END), len(factors.popularity) - 1
    ids, scores = candidates_of(factors, sessions)
    rows = rows_of(contract, sessions, list(ids), list(scores))
    ranks = run(model, contract, rows, "rank")[0].reshape(ids.shape)
    order = np.argsort(-ranks, axis=1, kind="stable")
    popular = np.argsort(-factors.popularity, kind="stable")[:LISTED]
    lists = {
        "popularity": np.tile(popular, (len(sessions), 1)),
        "svd": svd_lists(purchases, sessions, items),
        "candidates": ids,
        "reranked": np.take_along_axis(ids, order, axis=1),
    }
    found: dict[str, float] = {"held_out_sessions": len(sessions)}
    means = {name: measures(ranked, sessions, items) for name, ranked in lists.items()}
    for name, values in means.items():
        found |= {f"{name}_{m}": float(v) for m, v in zip(MEASURES, values, strict=True)}
    draws = intervals(lists, sessions, items)
    for better, worse in (("candidates", "popularity"), ("reranked", "candidates")):
        low, high = np.quantile(draws[better] - draws[worse], (0.025, 0.975), axis=0)
        for place, m in enumerate(MEASURES):
            gap = f"{better}_over_{worse}_{m}"
            found |= {f"{gap}_low": float(low[place]), f"{gap}_high": float(high[place])}
    ratios = draws["reranked"] / draws["svd"]
    for place, m in enumerate(MEASURES[:3]):
        found[f"reranked_to_svd_{m}"] = float(means["reranked"][place] / means["svd"][place])
        found[f"reranked_to_svd_{m}_low"] = float(np.quantile(ratios[:, place], 0.025))
    return found


def gap_to_trainer(
    ranker: lightgbm.LGBMRanker, model: onnx.ModelProto, contract: Contract, rows: Rows
) -> float:
    """The largest difference of the graph's ranks from those of the trees themselves."""
    both = onnx.ModelProto()
    both.CopyFrom(model)
    both.graph.output.append(onnx.helper.make_tensor_value_info("features", 1, None))
    features, ranks = run(both, contract, rows, "features", "rank")
    return float(np.abs(ranker.predict(features) - ranks[:, 0]).max())


def golden_rows(contract: Contract, purchases: Purchases, factors: Factors) -> Rows:
    """Candidates of some held-out sessions, whole, short and empty, and the ends of the ranges."""
    sessions = sessions_of(purchases, CUT, END)[::300]
    cut = [replace(one, shown=one.shown[: row % 6]) for row, one in enumerate(sessions)]
    ids, scores = candidates_of(factors, cut)
    rows = rows_of(contract, cut, list(ids[:, ::60]), list(scores[:, ::60]))
    ends = {
        "item": np.array([1, 2663]),
        "score": np.array([-10, 1000], dtype=np.float32),
        "session": ragged([np.arange(1, 21), np.array([2663, 2663])]),
        "orders_365d": np.array([0, 10000], dtype=np.float32),
        "average_lines_365d": np.array([0, 5000], dtype=np.float32),
        "days_since_order": np.array([0, 3650], dtype=np.float32),
    }
    return {name: np.append(values, ends[name]) for name, values in rows.items()}


def train(out: Path = HERE) -> dict[str, float]:
    """Train, write the package's made files to `out`, and give the metrics."""
    contract, purchases = contract_of(HERE), read_purchases()
    _, items = contract.by_name["item"].range or (0, 0)
    before = fit_factors(purchases, START, int(items or 0))
    past = features_graph(before, items_table(purchases, START, before), contract)
    rows, bought, groups = training_rows(contract, purchases, before)
    ranker = fit(run(past, contract, rows, "features")[0], bought, groups)
    factors = fit_factors(purchases, CUT, int(items or 0))
    features = features_graph(factors, items_table(purchases, CUT, factors), contract)
    model = to_graph(ranker, features, contract)
    metrics = measure(contract, model, purchases, factors)
    metrics["largest_gap_to_trainer"] = gap_to_trainer(ranker, model, contract, rows)
    golden = golden_rows(contract, purchases, factors)
    save(out, contract, model, golden=golden, metrics=metrics)
    return metrics


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE)
    train(parser.parse_args().out)
