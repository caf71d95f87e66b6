"""A graph with a sample, and what onnxruntime itself answers for the sample's rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

__all__ = ["Case", "flat"]

Feeds = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Case:
    """`records` are the sample's rows, `feeds` what the graph takes for each, in a run of its own.

    `files` lie beside the graph. `refused` is what a refusal must say; empty if it is served.
    """

    name: str
    exporter: str
    graph: bytes
    records: Sequence[Mapping[str, Any]]
    feeds: Sequence[Feeds]
    suffix: str = ".csv"
    label: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    refused: str = ""

    def write(self, folder: Path) -> tuple[Path, Path | None]:
        """Write the graph and the sample; their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        graph, sample = folder / f"{self.name}.onnx", folder / f"sample{self.suffix}"
        graph.write_bytes(self.graph)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        if not self.records:
            return graph, None
        if self.suffix == ".csv":
            with sample.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, [*self.records[0]], lineterminator="\n")
                writer.writeheader()
                writer.writerows(self.records)
        else:
            sample.write_text("".join(f"{json.dumps(r)}\n" for r in self.records), encoding="utf-8")
        return graph, sample

    def expected(self, folder: Path, rows: int) -> list[dict[str, NDArray[Any]]]:
        """onnxruntime's own outputs of the first rows, flat, by the graph as it was exported."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        graph: bytes | str = str(folder / f"{self.name}.onnx")  # external data lie beside it
        if b"StringNormalizer" in self.graph:
            graph = _plain_locale(self.graph)
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return [
            {n: flat(v) for n, v in zip(names, session.run(names, dict(feed)), strict=True)}
            for feed in self.feeds[:rows]
        ]


def _plain_locale(graph: bytes) -> bytes:
    """The graph in the locale C: this machine need not have the exporter's."""
    model = onnx.load_model_from_string(graph)
    for node in model.graph.node:
        if node.op_type == "StringNormalizer":
            kept = [a for a in node.attribute if a.name != "locale"]
            del node.attribute[:]
            node.attribute.extend([*kept, onnx.helper.make_attribute("locale", "C")])
    content: bytes = model.SerializeToString()
    return content


def flat(value: Any) -> NDArray[Any]:
    """The numbers or texts of an output in one row; those of a ZipMap, or by class, in order."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = [*value[0].values()]
    if isinstance(value, dict):  # an answer with the names of classes
        value = [*value.values()]
    return np.asarray(value).reshape(-1)
