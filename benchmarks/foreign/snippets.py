"""The sections of docs/exporters.md by framework: run their code, publish what comes out."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from quintet.contract import Contract, Feature
from quintet_publish import kit
from quintet_publish.model_yaml import read_contract
from quintet_publish.release import Release, prepare

__all__ = ["LIGHT", "Snippet", "snippets"]

PAGE = Path(__file__).parents[2] / "docs/exporters.md"
#: what the developer's environment can run
LIGHT = ("scikit-learn", "LightGBM", "TensorFlow")
ROWS = 4


@dataclass(frozen=True)
class Snippet:
    """A section: its code, which writes model.onnx, and the contract's tensors."""

    title: str
    code: str
    tensors: str

    def run(self, python: str, folder: Path) -> str:
        """Run the code in a folder by a Python; what it printed."""
        (folder / "export.py").write_text(self.code, encoding="utf-8")
        command = [python, "-W", "ignore", "export.py"]
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout

    def publish(self, folder: Path) -> Release:
        """Check the folder's model.onnx with the section's contract and some golden rows.

        Raises:
            PackageError: it cannot be published.
        """
        name = re.sub("[^a-z]", "", self.title.lower())
        text = f"name: {name}\nversion: 1\ntask: any\nlimits: {{rows: 20}}\n{self.tensors}"
        contract = read_contract(text.encode())
        model = onnx.load(str(folder / "model.onnx"))
        kit.save(folder, contract, model, golden=_rows(contract), metrics={})
        (folder / "model.yaml").write_text(text, encoding="utf-8")
        return prepare(folder, lambda *_: None)


def snippets() -> list[Snippet]:
    """The sections, in the order of the page."""
    text = (
        PAGE.read_text(encoding="utf-8").partition("\n## By framework\n")[2].partition("\n## ")[0]
    )
    found = []
    for section in text.split("\n### ")[1:]:
        title, _, body = section.partition("\n")
        blocks = {
            language: re.findall(rf"```{language}\n(.*?)```", body, re.DOTALL)
            for language in ("python", "yaml")
        }
        found.append(Snippet(title, blocks["python"][0], blocks["yaml"][0]))
    return found


def _rows(contract: Contract) -> dict[str, Any]:
    """Some rows: of free axes, the longer the later."""
    rng = np.random.default_rng(0)
    return {f.name: _column(f, rng) for f in contract.features}


def _column(feature: Feature, rng: np.random.Generator) -> Any:
    if feature.dtype == "string":
        return np.array(["Oslo", "Paris", "", "elsewhere"], object)
    rows = []
    for row in range(ROWS):
        shape = tuple(row + 2 if size == -1 else size for size in feature.shape)
        least, most = feature.range or (-1, 1)
        value = rng.uniform(least or 0, most or 1, shape).astype(feature.dtype)
        rows.append(value.tolist() if feature.free else value)
    return rows if feature.free else np.array(rows)
