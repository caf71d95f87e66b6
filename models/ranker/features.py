"""The ranker's features as a graph, which training and serving run alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from models.recommendations import Factors
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from quintet.contract import Contract

__all__ = ["FEATURES", "Graph", "features_graph"]

#: what the trees take, in order
FEATURES = (
    "score",
    "fit",  # the item beside all of the session, by the item-item matrix
    "best_fit",  # beside the item of the session that it fits best
    "popularity",
    "recent_sales",
    "price",
    "price_gap",  # from the mean price of the session
    "nearest_code",  # articles of one series have neighbouring numbers
    "near_codes",
    "session_popularity",
    "session_items",
    "orders_365d",
    "average_lines_365d",
    "days_since_order",
)
FAR = 1000.0  # distance of articles' numbers above which it does not count
#: features are multiples of 1 / STEPS. The converter rounds the trees' thresholds to float32: one
#: between two adjacent numbers would become one of them, and send it the other way
STEPS = 16384.0
SERIES = 10.0  # distance of articles' numbers of one series


def features_graph(
    factors: Factors, items: NDArray[np.float32], contract: Contract
) -> onnx.ModelProto:
    """The graph from the contract's inputs to `features`, (rows, len(FEATURES)) float32.

    `items` holds each item's popularity, the logarithm of its recent sales, its price and the
    number of its article, (items + 1, 4). Fits are computed in float64, so that they do not depend
    on the number of rows that run together.
    """
    constants = {
        "left": factors.left,
        "right": np.ascontiguousarray(factors.right.T),
        "items": items,
        "none": np.array([[0]]),
        "one": np.array([1]),
        "last": np.array([2]),
        "unit": np.float32(1),
        "far": np.float32(FAR),
        "series": np.float32(SERIES),
        "steps": np.float32(STEPS),
        **{f"column_{place}": np.array(place) for place in range(4)},
    }
    nodes: list[onnx.NodeProto] = []

    def do(kind: str, inputs: str, outputs: str, **attributes: Any) -> None:
        nodes.append(helper.make_node(kind, inputs.split(), outputs.split(), **attributes))

    # a session of no items has item 0, whose factors are zeros
    do("Shape", "item", "rows", end=1)
    do("Concat", "rows one", "column", axis=0)
    do("Expand", "none column", "nobody")
    do("Concat", "nobody session", "basket", axis=1)
    do("Greater", "basket none", "real")
    do("Cast", "real", "counted", to=TensorProto.FLOAT)
    do("ReduceSum", "counted one", "session_items", keepdims=1)
    do("Max", "session_items unit", "divisor")
    # fits: (rows, basket, rank) @ (rows, rank, 1)
    do("Gather", "left basket", "half_left", axis=0)
    do("Cast", "half_left", "basket_factors", to=TensorProto.DOUBLE)
    do("Gather", "right item", "half_right", axis=0)  # (rows, 1, rank)
    do("Cast", "half_right", "item_factors", to=TensorProto.DOUBLE)
    do("Mul", "basket_factors item_factors", "products")
    do("ReduceSum", "products last", "fits", keepdims=0)  # (rows, basket)
    do("ReduceSum", "fits one", "wide_fit", keepdims=1)
    do("ReduceMax", "fits one", "wide_best", keepdims=1)
    do("Cast", "wide_fit", "fit", to=TensorProto.FLOAT)
    do("Cast", "wide_best", "best_fit", to=TensorProto.FLOAT)
    # what is known of the item, and of the basket's items
    for place, name in enumerate(("popularity", "recent_sales", "price", "code")):
        do("Gather", f"items column_{place}", f"all_{name}", axis=1)
        do("Gather", f"all_{name} item", name, axis=0)  # (rows, 1)
    for name in ("popularity", "price"):
        do("Gather", f"all_{name} basket", f"basket_{name}", axis=0)
        do("ReduceSum", f"basket_{name} one", f"total_{name}", keepdims=1)
        do("Div", f"total_{name} divisor", f"session_{name}")
    do("Sub", "price session_price", "price_gap")
    do("Gather", "all_code basket", "basket_codes", axis=0)
    do("Sub", "basket_codes code", "differences")
    do("Abs", "differences", "distances")
    do("ReduceMin", "distances one", "nearest", keepdims=1)
    do("Min", "nearest far", "nearest_code")
    do("LessOrEqual", "distances series", "near")
    do("Cast", "near", "near_ones", to=TensorProto.FLOAT)
    do("ReduceSum", "near_ones one", "near_codes", keepdims=1)
    do("Concat", " ".join([*FEATURES[:11], "customer"]), "exact", axis=1)
    do("Mul", "exact steps", "scaled")
    do("Round", "scaled", "rounded")
    do("Div", "rounded steps", "features")
    kinds = {"int64": TensorProto.INT64, "float32": TensorProto.FLOAT}
    graph = helper.make_graph(
        nodes,
        contract.name,
        [
            helper.make_tensor_value_info(
                i.name, kinds[i.dtype], ["rows", "basket" if i.shape[1] == -1 else i.shape[1]]
            )
            for i in contract.inputs
        ],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", len(FEATURES)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


class Graph:
    """A graph on one thread."""

    def __init__(self, model: onnx.ModelProto, contract: Contract) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        self._contract = contract

    def run(self, rows: dict[str, NDArray[Any]], outputs: list[str]) -> list[NDArray[np.float32]]:
        """Some outputs for rows of features; sessions are filled up with 0 to the longest."""
        sizes = np.array([len(items) for items in rows["session"]])
        session = np.zeros((len(sizes), sizes.max()), dtype=np.int64)
        session[np.arange(sizes.max()) < sizes[:, np.newaxis]] = np.concatenate(rows["session"])
        feeds = {
            i.name: session
            if i.name == "session"
            else np.stack([rows[name] for name in i.names], axis=1).astype(i.dtype)
            for i in self._contract.inputs
        }
        found: list[NDArray[np.float32]] = self._session.run(outputs, feeds)
        return found
