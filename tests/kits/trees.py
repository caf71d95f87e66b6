"""Trees as gradient boosting makes them: a missing value goes to the left or to the right."""

from __future__ import annotations

from onnx import TensorProto, helper

from quintet.contract import Contract

__all__ = ["trees"]


def trees(contract: Contract) -> bytes:
    """A graph with a tree for each input, which tests its columns one by one, and its output."""
    nodes, inputs, outputs = [], [], []
    for tensor, output in zip(contract.inputs, contract.outputs, strict=True):
        width = tensor.shape[1]
        inner, leaves = range(width), range(width, 2 * width + 1)
        count = len(inner) + len(leaves)
        nodes.append(
            helper.make_node(
                "TreeEnsembleRegressor",
                [tensor.name],
                [output.name],
                domain="ai.onnx.ml",
                n_targets=1,
                nodes_treeids=[0] * count,
                nodes_nodeids=[*inner, *leaves],
                nodes_featureids=[*inner, *[0] * len(leaves)],
                nodes_modes=["BRANCH_LT"] * width + ["LEAF"] * len(leaves),
                nodes_values=[0.5] * width + [0.0] * len(leaves),
                nodes_missing_value_tracks_true=[n % 2 for n in inner] + [0] * len(leaves),
                nodes_truenodeids=[*leaves[:-1], *[0] * len(leaves)],
                nodes_falsenodeids=[*list(inner)[1:], leaves[-1], *[0] * len(leaves)],
                target_treeids=[0] * len(leaves),
                target_nodeids=[*leaves],
                target_ids=[0] * len(leaves),
                target_weights=[0.1 + n for n in range(len(leaves))],
            )
        )
        info = helper.make_tensor_value_info
        inputs.append(info(tensor.name, TensorProto.FLOAT, [None, width]))
        outputs.append(info(output.name, TensorProto.FLOAT, [None, 1]))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph(nodes, "trees", inputs, outputs)
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    content: bytes = made.SerializeToString()
    return content
