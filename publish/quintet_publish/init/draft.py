"""A proposed package that is not written yet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml

from quintet.contract import Contract
from quintet.onnx_model import OnnxModel
from quintet.serving.golden import Golden, score_columns
from quintet_publish.init.chosen import plain
from quintet_publish.init.guess import Guess, changed
from quintet_publish.model_yaml import read_contract
from quintet_publish.noise import measure
from quintet_publish.problems import PackageError
from quintet_publish.tolerance import MAX_TOLERANCE, proposed_tolerance

__all__ = ["Draft", "golden_rows", "head", "scored"]

GOLDEN = 20
GOLDEN_VALUES = 2_000_000


@dataclass(slots=True)
class Draft:
    """A package that is not written yet: `contract` is the content of model.yaml.

    `columns` has the values of some rows by feature, those for golden rows first; `missing` says
    what a sample would have told.
    """

    contract: dict[str, Any]
    model: onnx.ModelProto
    columns: dict[str, list[Any]]
    guesses: list[Guess]
    missing: list[str] = field(default_factory=list)
    training: Path | None = None

    def take(self, guesses: Sequence[Guess]) -> None:
        """Set the fields of some guesses, and keep their reasons."""
        for guess in guesses:
            changed(self.contract, guess.path, guess.value)
        self.guesses += guesses

    def change(self, number: int, text: str) -> None:
        """Set the field of a guess to what a text says in YAML; an empty one removes it.

        Raises:
            PackageError: the contract's rules refuse it; nothing is changed then.
        """
        guess = self.guesses[number]
        before = json.dumps(self.contract)
        try:
            value = yaml.safe_load(text)
            changed(self.contract, guess.path, value)
            self.validated()
        except (PackageError, yaml.YAMLError):
            self.contract = json.loads(before)
            raise
        self.guesses[number] = Guess.of(guess.path, value, "you said so")

    def validated(self) -> Contract:
        """The contract, checked by its rules.

        Raises:
            PackageError: it breaks them.
        """
        return read_contract(json.dumps(self.contract).encode())

    def golden(self) -> tuple[Golden, Guess]:
        """Score the golden rows by the contract as it is; with a tolerance from what is measured.

        Raises:
            ModelFailure: the graph failed.
        """
        contract = self.validated()
        graph = self.model.SerializeToString()
        model = OnnxModel(contract, graph)
        golden = scored(model, head(self.columns, golden_rows(contract)))
        noise = measure(model, graph, golden)
        tolerance = proposed_tolerance(noise.largest) or MAX_TOLERANCE
        reason = f"{noise.ways}, outputs differ by up to {noise.largest:.1g}"
        guess = Guess("golden rows", f"{golden.rows}, tolerance {tolerance:g}", reason)
        return Golden(golden.columns, golden.outputs, tolerance), guess


def scored(model: OnnxModel, columns: Mapping[str, list[Any]]) -> Golden:
    """The rows that are scored, with their outputs."""
    scores = score_columns(model, columns)
    places = [int(place) for place in scores.index]
    return Golden(
        {name: [values[place] for place in places] for name, values in columns.items()},
        {name: [plain(row) for row in values] for name, values in scores.outputs.items()},
    )


def head(columns: Mapping[str, list[Any]], rows: int) -> dict[str, list[Any]]:
    return {name: values[:rows] for name, values in columns.items()}


def golden_rows(contract: Contract) -> int:
    tensors = [*(f.largest for f in contract.features), *(o.largest for o in contract.outputs)]
    row = sum(int(np.prod(shape)) for shape in tensors)
    return max(1, min(GOLDEN, GOLDEN_VALUES // row))
