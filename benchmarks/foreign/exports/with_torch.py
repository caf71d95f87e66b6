"""torch's two exporters: dynamic and fixed batches, sequences, images, tokens, float16, int8."""

from __future__ import annotations

import io
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from benchmarks.foreign.exports.case import Hints, save
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static
from torch import Tensor, nn

TORCH = "torch 2.13.0, onnxscript 0.7.2"
LEGACY = "torch 2.13.0 (dynamo=False)"
BATCH = torch.export.Dim("batch")


def exported(model: nn.Module, arguments: tuple[Tensor, ...], **given: Any) -> bytes:
    """The graph by `torch.onnx.export`, with its weights inside."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        given = {"external_data": False, **given}
        torch.onnx.export(model.eval(), arguments, str(path), dynamo=True, verbose=False, **given)
        return path.read_bytes()


def legacy(model: nn.Module, arguments: tuple[Tensor, ...], **given: Any) -> bytes:
    """The graph by the older exporter."""
    made = io.BytesIO()
    torch.onnx.export(model.eval(), arguments, made, dynamo=False, **given)
    return made.getvalue()


def rows_of(name: str, *shape: int, count: int = 4, seed: int = 0) -> list[dict[str, Any]]:
    """Random rows of one input."""
    rng = np.random.default_rng(seed)
    return [{name: rng.normal(size=shape).astype(np.float32)} for _ in range(count)]


def dense() -> None:
    """Multi-layer perceptrons: the default export, dynamic and fixed batches, float16."""
    net = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 3), nn.Softmax(1))
    x = torch.randn(2, 6)
    names: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"]}
    free = {"dynamic_shapes": ({0: BATCH},)}
    plain = exported(net, (x,), **names, **free)
    save("torch-mlp", TORCH, plain, rows_of("x", 6))
    # the default of torch.onnx.export: weights in a file of their own
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        torch.onnx.export(
            net.eval(),
            (x,),
            str(path),
            dynamo=True,
            external_data=True,
            verbose=False,
            **names,
            **free,
        )
        model = onnx.load(str(path), load_external_data=False)
        if not any(t.external_data for t in model.graph.initializer):  # torch keeps small ones
            onnx.save_model(
                onnx.load(str(path)),
                str(path),
                save_as_external_data=True,
                size_threshold=0,
                location="model.onnx.data",
            )
        save(
            "torch-external-data",
            TORCH,
            path,
            rows_of("x", 6),
            says="weights inside",
            mend="export with `external_data=False`",
            mended=plain,
        )
    fixed = exported(net, (torch.randn(1, 6),), **names)
    save(
        "torch-fixed-batch",
        TORCH,
        fixed,
        rows_of("x", 6),
        says="rows: one",
        mend="`rows: one`",
        mended=Hints(fields={"rows": "one"}),
    )
    half = exported(nn.Sequential(nn.Linear(6, 16), nn.Tanh()).half(), (x.half(),), **names, **free)
    rows = [{"x": row["x"].astype(np.float16)} for row in rows_of("x", 6)]
    save("torch-float16", TORCH, half, rows)
    save(
        "torch-unnamed",
        LEGACY,
        legacy(
            net, (x,), dynamic_axes={"onnx::Gemm_0": {0: "batch"}}, input_names=["onnx::Gemm_0"]
        ),
        rows_of("onnx::Gemm_0", 6),
    )
    quantised(plain)


def quantised(plain: bytes) -> None:
    """int8: dynamic (a row's answer depends on its neighbours) and static."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "a.onnx"), Path(folder, "b.onnx")
        source.write_bytes(plain)
        quantize_dynamic(source, target)
        save(
            "int8-dynamic",
            "onnxruntime 1.32.0 quantize_dynamic",
            target,
            rows_of("x", 6),
            says="rows: one",
            mend="`rows: one`",
            mended=Hints(fields={"rows": "one"}),
        )

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self.rows = iter([{"x": row["x"][None]} for row in rows_of("x", 6, count=20)])

            def get_next(self) -> Any:
                return next(self.rows, None)

        quantize_static(source, target, Reader())
        save("int8-static", "onnxruntime 1.32.0 quantize_static", target, rows_of("x", 6))


class Two(nn.Module):  # type: ignore[misc]
    """Two vectors in, two out."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(5, 4), nn.Linear(3, 4)

    def forward(self, user: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        u, i = self.left(user), self.right(item)
        return (u * i).sum(1), u


class Recurrent(nn.Module):  # type: ignore[misc]
    """(batch, time, 3) to (batch, 2), or (time, batch, 3) to the last state."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        self.lstm, self.first = nn.LSTM(3, 8, batch_first=first), first
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(x)
        return self.head(states[:, -1] if self.first else states[-1])


class Tokens(nn.Module):  # type: ignore[misc]
    """Token ids and a mask, (batch, sequence): the mean of the embeddings, and one for each."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(50, 8), nn.Linear(8, 5)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        found = self.table(input_ids) * attention_mask.unsqueeze(-1)
        mean = found.sum(1) / attention_mask.sum(1, keepdim=True).clamp(min=1)
        return self.head(found), mean


def sequences() -> None:
    """Free axes of time and of tokens; time before the batch; two inputs."""
    rng = np.random.default_rng(1)
    time = torch.export.Dim("time", min=2, max=64)
    names: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"]}
    lengths = (4, 7, 4, 12)
    free = [{"x": rng.normal(size=(n, 3)).astype(np.float32)} for n in lengths]
    made = legacy(
        Recurrent(True),
        (torch.randn(2, 9, 3),),
        **names,
        dynamic_axes={"x": {0: "batch", 1: "time"}, "y": {0: "batch"}},
        opset_version=17,
    )
    save("torch-lstm", LEGACY, made, free, Hints(most={"x": [64]}))
    made = legacy(
        Recurrent(False),
        (torch.randn(9, 2, 3),),
        **names,
        dynamic_axes={"x": {1: "batch"}, "y": {0: "batch"}},
        opset_version=14,
    )
    save("torch-time-first", LEGACY, made, rows_of("x", 9, 3), Hints(axes={"x": 1}))
    ids = [rng.integers(0, 50, n) for n in (3, 8, 3, 16)]
    rows = [{"input_ids": i, "attention_mask": np.ones_like(i)} for i in ids]
    tokens: dict[str, Any] = {
        "input_names": ["input_ids", "attention_mask"],
        "output_names": ["last_hidden_state", "pooled"],
        "dynamic_shapes": ({0: BATCH, 1: time}, {0: BATCH, 1: time}),
    }
    sample = torch.randint(0, 50, (2, 6))
    made = exported(Tokens(), (sample, torch.ones_like(sample)), **tokens)
    most = {"input_ids": [64], "attention_mask": [64], "last_hidden_state": [64]}
    save("torch-tokens", TORCH, made, rows, Hints(most=most))
    made = exported(
        Two(),
        (torch.randn(2, 5), torch.randn(2, 3)),
        input_names=["user", "item"],
        output_names=["score", "embedding"],
        dynamic_shapes=({0: BATCH}, {0: BATCH}),
    )
    pairs = [{**a, **b} for a, b in zip(rows_of("user", 5), rows_of("item", 3), strict=True)]
    save("torch-two-inputs", TORCH, made, pairs)
    heads = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    made = exported(heads, (torch.randn(2, 6, 8),), **names, dynamic_shapes=({0: BATCH, 1: time},))
    rows = [{"x": rng.normal(size=(n, 8)).astype(np.float32)} for n in (5, 9, 5)]
    save("torch-transformer", TORCH, made, rows, Hints(most={"x": [64], "y": [64]}))


def images() -> None:
    """A classifier of fixed images, and a segmentation of images of any size."""
    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["y"]}
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    made = exported(net, (torch.randn(2, 3, 16, 16),), **names, dynamic_shapes=({0: BATCH},))
    save("torch-cnn", TORCH, made, rows_of("image", 3, 16, 16))
    segment = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))
    axes = {0: "batch", 2: "height", 3: "width"}
    made = legacy(
        segment,
        (torch.randn(2, 3, 8, 8),),
        **names,
        opset_version=13,
        dynamic_axes={"image": axes, "y": axes},
    )
    sizes = ((8, 8), (12, 6), (8, 8))
    rows = [{"image": np.full((3, *size), 0.1 * i, np.float32)} for i, size in enumerate(sizes)]
    save("torch-segmentation", LEGACY, made, rows, Hints(most={"image": [32, 32], "y": [32, 32]}))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    dense()
    sequences()
    images()
